"""What a fact must look like to be let in: strict types, finite numbers, bounded times, known columns."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from nextbest.errors import DataError, nearest
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.times import read_moment, to_micros

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger.kinds import Column, Kind

MOST_BYTES = 65_536
MOST_ID_BYTES = 512
EARLIEST = to_micros(datetime(1900, 1, 1, tzinfo=UTC))
_LARGEST = 2**63 - 1
_DAY = 86_400_000_000


def identifier(name: str, value: object) -> str:
    """Give a value that may be an id: a non-empty text of at most 512 bytes; raises `DataError`."""
    text = plain_text(name, value)
    if not text.strip():
        raise DataError(f"'{name}' is empty; every event needs one.")
    if len(text.encode()) > MOST_ID_BYTES:
        raise DataError(f"'{name}' is longer than {MOST_ID_BYTES} bytes.")
    return text


def plain_text(name: str, value: object) -> str:
    """Give a text of at most 64 KB without NUL or broken characters; raises `DataError`."""
    if not isinstance(value, str):
        raise DataError(f"'{name}' must be a text, got {type(value).__name__}.")
    if "\0" in value:
        raise DataError(f"'{name}' holds a NUL character.")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise DataError(f"'{name}' holds half a character (a lone surrogate).") from error
    if size > MOST_BYTES:
        raise DataError(f"'{name}' has {size:,} bytes; at most {MOST_BYTES:,} are taken.")
    return value


def moment(name: str, value: object, *, latest: int) -> tuple[int, int | None]:
    """Give microseconds UTC and offset in minutes of a time between 1900 and *latest*; raises `DataError`."""
    micros, offset = read_moment(value)
    if not EARLIEST <= micros <= latest:
        raise DataError(f"'{name}' is {value}; it must lie between 1900 and the near future.")
    return micros, offset


def latest_moment(now: datetime, future_days: int) -> int:
    """Give the latest time that an event may have, in microseconds."""
    return to_micros(now) + future_days * _DAY


def number(name: str, value: object) -> float:
    """Give a finite number; raises `DataError`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"'{name}' must be a number, got {type(value).__name__}.")
    try:
        given = float(value)
    except OverflowError as error:
        raise DataError(f"'{name}' is too large.") from error
    if not math.isfinite(given):
        raise DataError(f"'{name}' is {given}; only finite numbers are taken.")
    return given


def integer(name: str, value: object) -> int:
    """Give a whole number that fits 64 bits; raises `DataError`."""
    if isinstance(value, bool) or not isinstance(value, int) or not -_LARGEST <= value <= _LARGEST:
        raise DataError(f"'{name}' must be a whole number, got {value!r:.40}.")
    return value


def body(kind: Kind, given: Mapping[str, Any], *, common: frozenset[str]) -> dict[str, Any]:
    """Give the kind's own columns of an event, checked; times become microseconds. Raises `DataError`."""
    known = _own(kind.name, common)
    for name in given:
        if name not in known and name not in common:
            listed = ", ".join(known)
            raise DataError(f"Kind '{kind.name}' has no column '{name}'.{nearest(name, known)} Known: {listed}.")
    return {name: _value(known[name], value) for name, value in given.items() if name in known and value is not None}


@cache
def _own(kind: str, common: frozenset[str]) -> dict[str, Column]:
    return {column.name: column for column in find_kind(kind).columns if column.name not in common}


def _value(column: Column, value: object) -> Any:  # noqa: ANN401 (what the column's type says)
    match column.type:
        case "text":
            return plain_text(column.name, value)
        case "number":
            return number(column.name, value)
        case "integer":
            return integer(column.name, value)
        case "timestamp":
            return moment(column.name, value, latest=_LARGEST)[0]
        case "boolean" if isinstance(value, bool):
            return value
    raise DataError(f"'{column.name}' must be true or false, got {value!r:.40}.")
