"""Moments as the ledger stores them: integer microseconds UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from nextbest.errors import DataError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Give a moment as microseconds since 1970 UTC; a naive moment is taken as UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Give the moment (UTC) of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=micros)


def read_moment(value: object) -> tuple[int, int | None]:
    """Give microseconds UTC and the local offset in minutes of a datetime or an ISO 8601 text.

    A time without an offset is UTC and has no local offset. Raises `DataError`.
    """
    moment = _parsed(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise DataError(f"A time must be a datetime or an ISO 8601 text, got {type(value).__name__}.")
    offset = moment.utcoffset()
    return to_micros(moment), None if offset is None else round(offset.total_seconds() / 60)


def _parsed(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        message = f"'{text[:40]}' is not a time. Write ISO 8601 with an offset: 2026-03-01T12:00:00+01:00."
        raise DataError(message) from error
