"""Days, weeks, months, quarters and years as whole numbers that follow each other, and back to the date they start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from nextbest.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Days = NDArray[np.int64]
    Index = NDArray[np.int64]

Period = Literal["day", "week", "month", "quarter", "year"]
SEASON: dict[Period, int] = {"day": 7, "week": 52, "month": 12, "quarter": 4, "year": 1}
LENGTH_DAYS: dict[Period, float] = {"day": 1.0, "week": 7.0, "month": 30.4375, "quarter": 91.3125, "year": 365.25}
_MONTHS: dict[Period, int] = {"month": 1, "quarter": 3, "year": 12}


def index(days: Days, period: Period, *, anchor: int = 0) -> Index:
    """Give the number of the period that holds each day (from 1970-01-01); a week starts on the weekday of `anchor`."""
    if period == "day":
        return days
    if period == "week":
        return (days - anchor) // 7
    months = days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return np.asarray(months // _MONTHS[period])


def starts(numbers: Index, period: Period, *, anchor: int = 0) -> NDArray[np.datetime64]:
    """Give the first day of each period, as datetime64[D]."""
    if period == "day":
        return numbers.astype("datetime64[D]")
    if period == "week":
        return (numbers * 7 + anchor).astype("datetime64[D]")
    return np.asarray((numbers * _MONTHS[period]).astype("datetime64[M]").astype("datetime64[D]"))


def spacing(days: Days) -> Period:
    """Give the period that the distance of neighbouring dates speaks of; raises `DataError` for a single date."""
    distinct = np.unique(days)
    if len(distinct) < 2:
        raise DataError("All rows have the same date, so there is no time to look along. Give more dates, or `period`.")
    gap = float(np.median(np.diff(distinct)))
    bounds: tuple[tuple[float, Period], ...] = ((4, "day"), (18, "week"), (60, "month"), (200, "quarter"))
    return next((name for most, name in bounds if gap < most), "year")


def weekday(days: Days) -> int:
    """Give the day (0 to 6, modulo 7 from 1970-01-01) on which most of the dates fall: where their weeks start."""
    return int(np.bincount(np.asarray(days % 7, np.int64), minlength=7).argmax())


def steps(horizon_days: int, period: Period) -> int:
    """Give how many periods cover that many days; 540 days are 18 months."""
    return max(1, int(np.ceil(horizon_days / LENGTH_DAYS[period] - 1e-9)))


def phase(numbers: Index, period: Period, *, anchor: int = 0) -> NDArray[np.float64]:
    """Give where in its year (days: in its week) each period lies, as a number from 0."""
    if period == "day":
        return np.asarray(numbers % 7, np.float64)
    if period == "week":  # of the calendar year, as 52 weeks are not a year
        day = starts(numbers, period, anchor=anchor)
        return np.asarray((day - day.astype("datetime64[Y]")).astype(np.int64) // 7, np.float64)
    return np.asarray(numbers % (12 // _MONTHS[period]), np.float64)
