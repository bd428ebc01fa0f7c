"""Quiet hours: whether it is too late, or too early, where the subject is.

The subject's own time zone decides. Without one, all zones of the subject's country must be awake. Without a country,
the zone that the play (or else the workspace) declares for its customers decides. A zone nobody knows holds.
"""

from __future__ import annotations

import functools
import importlib.resources
import zoneinfo
from datetime import datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow as pa

from nextbest.errors import ConfigError

if TYPE_CHECKING:
    from nextbest.types import QuietHours

_COUNTRY, _ZONE = 0, 2  # columns of zone.tab


# What a moment says of a subject: it is day there, it is night there, or nobody knows which of the two.
DAY, NIGHT, UNSURE = range(3)


def hour_of(hours: QuietHours, now: datetime, *, timezone: str | None, country: str | None, default: str) -> int:
    """Give `DAY`, `NIGHT`, or `UNSURE` where no zone is known or a country's zones do not agree."""
    zones = plausible_zones(hours, timezone=timezone, country=country, default=default)
    found = {_in_hours(hours, now, zone) for zone in zones}
    return UNSURE if len(found) != 1 else NIGHT if found.pop() else DAY


def is_quiet(hours: QuietHours, now: datetime, *, timezone: str | None, country: str | None, default: str) -> bool:
    """Tell whether a subject must be left alone at this moment."""
    return hour_of(hours, now, timezone=timezone, country=country, default=default) != DAY


def hours_of(hours: QuietHours, now: datetime, table: pa.Table, *, default: str) -> np.ndarray[Any, Any]:
    """Give `hour_of` every row of a table, by its columns `timezone` and `country` where it has them."""
    columns = [_texts(table, name) for name in ("timezone", "country")]
    pairs, inverse = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
    found = [hour_of(hours, now, timezone=zone or None, country=land or None, default=default) for zone, land in pairs]
    return np.array(found, dtype=np.int8)[inverse.ravel()] if found else np.zeros(0, dtype=np.int8)


def plausible_zones(hours: QuietHours, *, timezone: str | None, country: str | None, default: str) -> tuple[str, ...]:
    """Give the zones a subject may be in; none when nothing plausible is known."""
    if timezone and _zone(timezone):
        return (timezone,)
    if country:
        return zones_of_country(country)
    # "UTC" is the default of `QuietHours.timezone`: the play has then said nothing of its own.
    declared = hours.timezone if hours.timezone != "UTC" else default
    return (declared,) if _zone(declared) else ()


def _in_hours(hours: QuietHours, now: datetime, zone: str) -> bool:
    start, end = clock_time(hours.start), clock_time(hours.end)
    local = now.astimezone(_zone(zone)).time()
    return start <= local < end if start <= end else local >= start or local < end


def clock_time(text: str) -> time:
    """Give a time written as 21:00; raises `ConfigError` for anything else."""
    try:
        return time.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"Quiet hours are times such as '21:00', got '{text}'.") from error


@functools.cache
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@functools.cache
def zones_of_country(country: str) -> tuple[str, ...]:
    """Give the zones of a country (two letters or its name) by the time zone database; none when it is unknown."""
    names = {row[1].casefold(): row[0] for row in _rows("iso3166.tab")}
    code = names.get(country.strip().casefold(), country.strip().upper())
    return tuple(row[_ZONE] for row in _rows("zone.tab") if row[_COUNTRY] == code)


@functools.cache
def _rows(file: str) -> tuple[tuple[str, ...], ...]:
    """Give the rows of a table of the time zone database: beside the zones themselves, or in the package tzdata."""
    found = next((f.read_text(encoding="utf-8") for f in _places(file) if f.is_file()), "")
    if not found:
        try:
            found = importlib.resources.files("tzdata.zoneinfo").joinpath(file).read_text(encoding="utf-8")
        except (ModuleNotFoundError, FileNotFoundError):
            return ()
    return tuple(tuple(line.split("\t")) for line in found.splitlines() if line and not line.startswith("#"))


def _places(file: str) -> list[Path]:
    return [Path(folder) / file for folder in zoneinfo.TZPATH]


def _texts(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    if name not in table.column_names:
        return np.full(table.num_rows, "")
    column = table[name].cast(pa.string()).fill_null("").dictionary_encode().combine_chunks()
    words = np.array([*column.dictionary.to_pylist(), ""])
    return np.asarray(words[column.indices.to_numpy(zero_copy_only=False)])
