"""Texts of one column as moments: how they are written is decided once for all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import product
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from nextbest.channels.profile import moment
from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.ledger.mapping import Parse

_EPOCHS: dict[Parse, float] = {"epoch_s": 1.0, "epoch_ms": 1e-3, "epoch_us": 1e-6}
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M:%S %p", " %I:%M %p", ", %H:%M:%S", ", %H:%M")
_DAYS: dict[Parse, tuple[str, ...]] = {
    "yyyymmdd": ("%Y%m%d",),
    "date_dmy": ("%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d/%m/%y", "%d.%m.%y"),
    "date_mdy": ("%m/%d/%Y", "%m.%d.%Y", "%m-%d-%Y", "%m/%d/%y"),
    "timestamp": ("%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%d %B %Y", "%d-%b-%Y"),
}


def read_times(values: Sequence[str], *, name: str, timezone: str = "UTC") -> list[datetime]:
    """Give the moments of a column's texts; one without an offset is local to *timezone*. Raises `DataError`."""
    found, _ = moment(values)
    zone = ZoneInfo(timezone)
    return [read_time(v.strip(), found or "timestamp", name, zone) for v in values]


def read_time(text: str, parse: Parse, name: str, zone: ZoneInfo) -> datetime:
    """Give one moment of a column whose times are written as *parse* says; raises `DataError` or `ValueError`."""
    if parse in _EPOCHS:
        return datetime.fromtimestamp(float(text) * _EPOCHS[parse], UTC)
    plain = text.removesuffix(" UTC") + ("+00:00" if text.endswith(" UTC") else "")
    try:
        read = datetime.fromisoformat(plain)
    except ValueError:
        read = _by_format(text, parse, name)
    return read if read.tzinfo else read.replace(tzinfo=zone)


def _by_format(text: str, parse: Parse, name: str) -> datetime:
    for day, clock in product(_DAYS.get(parse, ()), _CLOCKS):
        try:
            return datetime.strptime(text, day + clock)  # noqa: DTZ007 (the caller gives the zone)
        except ValueError:
            continue
    raise DataError(f"'{text[:40]}' in column '{name}' is not a time. Write it as 2026-03-31T12:00:00+02:00.")
