"""Where deals stand still and where they are lost, by stage, and what closing dates said against what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.deal_history import DAY, NEVER, STAYS, TO_LOST, UNKNOWN

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals, Spells

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

STALLED = 0.9  # quantile of the days that deals which were won in the end spent in a stage
FEWEST = 10  # won deals of a stage: the 90th percentile of fewer is their maximum
DRAWS = 200


def stalled_after(deals: Deals, seen: Spells) -> Floats:
    """Give, per stage, the days after which a deal is stalled: longer than nine of ten won deals; NaN for too few."""
    ended = (seen.leaves != STAYS) & (deals.won & (deals.closed < NEVER))[seen.deal]
    found = np.full(len(deals.stages), np.nan)
    for stage in range(len(found)):
        days = seen.days[ended & (seen.stage == stage)]
        if len(days) >= FEWEST:
            found[stage] = np.quantile(days, STALLED)
    return found


def stage_table(deals: Deals, seen: Spells, *, seed: int = 0) -> list[dict[str, Any]]:
    """Give one plain row per stage: deals, conversion, median days, shares of all time and of all losses, bottleneck.

    The bottleneck is the stage in which most time is spent or most deals are lost, surely: its 90% interval, over
    resampled deals, lies above that of every other stage.
    """
    times, losses = _per_deal(deals, seen)
    random = np.random.default_rng([seed, 7])
    draws = [random.integers(len(times), size=len(times)) for _ in range(DRAWS)]
    shares = {"share_of_time": _shares(times, draws), "share_of_losses": _shares(losses, draws)}
    most = {name: _surely_most(drawn) for name, (_, drawn) in shares.items()}
    rows = []
    for stage, name in enumerate(deals.stages):
        mine = seen.stage == stage
        left = mine & (seen.leaves != STAYS)
        lost = int((seen.leaves[left] == TO_LOST).sum())
        row: dict[str, Any] = {"stage": name, "deals": len(np.unique(seen.deal[mine])), "left": int(left.sum())}
        row["conversion"] = None if not left.any() else round(1 - lost / int(left.sum()), 4)
        row["median_days"] = None if not left.any() else round(float(np.median(seen.days[left])), 1)
        for share, (whole, drawn) in shares.items():
            low, high = np.quantile(drawn[:, stage], [0.05, 0.95])
            row |= {share: round(float(whole[stage]), 4), f"{share}_low": round(float(low), 4),
                    f"{share}_high": round(float(high), 4)}  # fmt: skip
        row["bottleneck"] = ", ".join(n.removeprefix("share_of_") for n, place in most.items() if place == stage)
        rows.append(row)
    return rows


def closing_dates(deals: Deals) -> dict[str, Any]:
    """Give what closing dates said, as they stood when first given, against when deals ended."""
    over = deals.over()
    first = np.searchsorted(deals.row_deal, over)
    last = deals.rows_at(over, np.maximum(deals.closed[over] - 1, deals.opened[over]))
    told = np.full(len(over), np.nan)
    for place, (a, b) in enumerate(zip(first, last, strict=True)):
        dates = deals.row_expected[a : b + 1]
        dates = dates[np.isfinite(dates)]
        told[place] = dates[0] if len(dates) else np.nan
    known = np.isfinite(told)
    if not known.any():
        return {"deals": 0, "why": "No deal that is over had a closing date while it was open."}
    slip = (deals.closed[over] - told)[known] / DAY
    return {
        "deals": int(known.sum()),
        "share_over_by_the_date": round(float((slip <= 1).mean()), 4),  # a date is a whole day
        "share_won_by_the_date": round(float(((slip <= 1) & deals.won[over][known]).mean()), 4),
        "median_slip_days": round(float(np.median(slip)), 1),
    }


def _per_deal(deals: Deals, seen: Spells) -> tuple[Floats, Floats]:
    """Give days by deal and stage, and losses by deal and stage, of deals that are over."""
    over = deals.closed < NEVER
    place = np.cumsum(over) - 1
    mine = over[seen.deal] & (seen.stage != UNKNOWN)
    days, losses = np.zeros((int(over.sum()), len(deals.stages))), np.zeros((int(over.sum()), len(deals.stages)))
    np.add.at(days, (place[seen.deal[mine]], seen.stage[mine]), seen.days[mine])
    lost = mine & (seen.leaves == TO_LOST)
    np.add.at(losses, (place[seen.deal[lost]], seen.stage[lost]), 1.0)
    return days, losses


def _shares(values: Floats, draws: list[Ints]) -> tuple[Floats, Floats]:
    """Give each stage's share of a sum over deals, and the same over resampled deals."""
    sums = np.stack([values.sum(axis=0), *(values[rows].sum(axis=0) for rows in draws)])
    total = sums.sum(axis=1, keepdims=True)
    shares = np.divide(sums, total, out=np.zeros_like(sums), where=total > 0)
    return shares[0], shares[1:]


def _surely_most(drawn: Floats) -> int:
    """Give the stage whose interval lies above every other's, or -1; one stage alone is no bottleneck."""
    low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
    best = int(low.argmax())
    others = np.delete(high, best)
    return best if len(others) and low[best] > others.max() else -1
