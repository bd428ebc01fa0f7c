"""From rows of demand to series side by side: which periods there are, what gaps mean, and which drivers are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.forecasting import periods
from nextbest.models.forecasting.panel import Panel, carried, codes, filled, grid, mean_grid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.forecasting.periods import Period
    from nextbest.recipes.demand_rows import Sold

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

REST = "rest of "
DEFAULT_STEPS: dict[Period, int] = {"day": 28, "week": 13, "month": 6, "quarter": 4, "year": 3}
EXTRA_PERIODS = 6  # before the first forecast: below, nothing can be seen of a series


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A panel, how many steps ahead to look, and what was done to the rows (`column`, `step`) and has to be known."""

    panel: Panel
    horizon: int
    preparation: tuple[Mapping[str, str], ...] = ()
    cautions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How rows become a panel; None where it is to be found from the rows."""

    period: Period | None
    horizon_days: int | None
    season: int | None
    known: tuple[str, ...]
    most_series: int
    gaps: str


def see(sold: Sold, wanted: Wanted, *, end: int) -> Seen | None:
    """Give the panel of what was sold before the day `end`, None when nothing was; later rows only tell drivers."""
    past = (sold.days < end) & np.isfinite(sold.amounts)
    if not past.any():
        return None
    period = wanted.period or ("week" if sold.events else periods.spacing(sold.days))
    # Weeks of events end with what is known; those of a table start on the weekday that it writes.
    last = min(end, int(sold.days[past].max()) + 1)
    anchor = last % 7 if sold.events else periods.weekday(sold.days)
    number = periods.index(sold.days, period, anchor=anchor)
    stop = (
        int(periods.index(np.array([last]), period, anchor=anchor)[0]) if sold.events else int(number[past].max()) + 1
    )
    first = int(number[past].min())
    if stop <= first:
        return None
    length = stop - first
    horizon = _steps(wanted.horizon_days, period, length)
    names, rows, groups, categories, more = _series(sold, past, wanted.most_series)
    cells = rows, number - first
    use = past & (cells[1] < length) & (cells[1] >= 0)
    raw = grid(cells[0][use], cells[1][use], sold.amounts[use], (len(names), length))
    values, gaps = filled(
        raw, zeros={"zero": True, "interpolate": False}.get(wanted.gaps, True if sold.events else None)
    )
    doubled = int(use.sum() - np.isfinite(raw).sum())
    known, notes = _known(sold, wanted, cells, (len(names), length, horizon))
    numbers = np.arange(first, stop + horizon)
    panel = Panel(
        series=names, values=values, season=wanted.season or periods.SEASON[period], first=first, period=period,
        anchor=anchor, categories=categories, groups=groups, known=known,
        lagged=_lagged(sold, wanted, (cells[0][use], cells[1][use]), use, (len(names), length)),
        phases=periods.phase(numbers, period, anchor=anchor),
    )  # fmt: skip
    steps = [{"column": "value", "step": gaps}] if gaps else []
    if doubled and not sold.events:
        steps.append(
            {"column": "value", "step": f"{doubled} rows of a series and period that has one were added to it"}
        )
    return Seen(panel=panel, horizon=horizon, preparation=tuple(steps), cautions=(*more, *notes, *_ended(raw, period)))


def shorter(seen: Seen, horizon: int) -> Seen:
    """Give the same panel, looking another number of steps ahead; drivers beyond what is known are left out."""
    end = seen.panel.length + horizon
    known = {name: values[:, :end] for name, values in seen.panel.known.items()}
    return replace(seen, horizon=horizon, panel=replace(seen.panel, known=known))


def _steps(horizon_days: int | None, period: Period, length: int) -> int:
    """Give how many periods to look ahead; when nobody says, as many as the history holds twice and a little."""
    if horizon_days is not None:
        return periods.steps(horizon_days, period)
    return max(1, min(DEFAULT_STEPS[period], (length - EXTRA_PERIODS) // 2))


def _ended(raw: Floats, period: Period) -> tuple[str, ...]:
    """Say how many series are silent at the end for longer than ever before."""
    found = 0
    for row in raw:
        places = np.flatnonzero(np.isfinite(row))
        silence = np.diff(np.append(places, len(row))) - 1
        found += bool(len(silence) and silence[-1] > silence[:-1].max(initial=0))
    said = (
        f"{found} of {len(raw)} series end early: to the last {period} they are silent for longer than ever before. "
        "They are forecast as if they went on; leave out those that have ended."
    )
    return (said,) if found else ()


def _series(
    sold: Sold, past: NDArray[np.bool_], most: int
) -> tuple[tuple[str, ...], Ints, Ints, tuple[str, ...], tuple[str, ...]]:
    """Give names, the series of each row, each series' category, the categories, and what has to be known.

    Beyond `most` series, those that sell least are one series per category, so that sums stay whole.
    """
    names, rows = codes(sold.series)
    categories, of_row = codes(sold.category) if sold.category is not None else ((), np.zeros(len(rows), np.int64))
    groups = np.zeros(len(names), np.int64)
    groups[rows[::-1]] = of_row[::-1]
    total = np.bincount(rows, np.where(past, np.nan_to_num(sold.amounts), 0.0), minlength=len(names))
    kept = np.sort(np.argsort(-total, kind="stable")[:most])
    kept = kept[np.bincount(rows[past], minlength=len(names))[kept] > 0]
    left = np.setdiff1d(np.unique(rows[past]), kept)
    place = np.full(len(names), -1)
    place[kept] = np.arange(len(kept))
    rests = np.unique(groups[left])
    place[left] = len(kept) + np.searchsorted(rests, groups[left])
    labels = [REST + (categories[g] if categories else "all") for g in rests]
    said = f"{len(left)} series that sell least are forecast together, as '{labels[0]}' and so on." if labels else ""
    found = tuple(names[k] for k in kept) + tuple(labels)
    return found, place[rows], np.concatenate([groups[kept], rests]), categories, (said,) if said else ()


def _known(
    sold: Sold, wanted: Wanted, cells: tuple[Ints, Ints], shape: tuple[int, int, int]
) -> tuple[dict[str, Floats], list[str]]:
    """Give the drivers known in advance with the periods to come; where a plan ends, yes/no is no, others stay."""
    count, length, horizon = shape
    inside = (cells[1] >= 0) & (cells[1] < length + horizon) & (cells[0] >= 0)
    found, notes = {}, []
    for name in wanted.known:
        wide = mean_grid(cells[0][inside], cells[1][inside], sold.drivers[name][inside], (count, length + horizon))
        past, ahead = wide[:, :length], wide[:, length:]
        flag = bool(np.isin(past[np.isfinite(past)], (0.0, 1.0)).all())
        missing = np.isnan(ahead)
        stay = np.zeros_like(ahead) if flag else np.repeat(carried(past)[:, -1:], horizon, axis=1)
        wide[:, length:] = np.where(missing, stay, ahead)
        if missing.any():
            said = "no" if flag else "its last value"
            notes.append(f"'{name}' is not given for {int(missing.sum())} of the periods to come; {said} is assumed.")
        found[name] = wide
    return found, notes


def _lagged(
    sold: Sold, wanted: Wanted, cells: tuple[Ints, Ints], use: NDArray[np.bool_], shape: tuple[int, int]
) -> dict[str, Floats]:
    return {
        name: carried(mean_grid(*cells, values[use], shape))
        for name, values in sold.drivers.items()
        if name not in wanted.known
    }
