"""What a ranking is worth to people who cannot call everybody: conversions captured at their capacity.

Beside it stand first come, first called, and a random order, which finds as much as it takes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import UsageError
from nextbest.models.evaluate import auc, capture_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.types import Report

    Vector = NDArray[np.float64]

FIRST_COME, RANDOM = "first come, first called", "random order"
CAPTURED = "captured_at_capacity"
_DRAWS = 200
_LEVEL = 0.95


def share_of(capacity: float, rows: int) -> float:
    """Give the share of rows that can be worked: *capacity* is a share up to 1, or a number of leads above 1."""
    if not capacity > 0:
        raise UsageError(f"capacity is the share of leads that can be called, or their number. Got {capacity:g}.")
    return capacity if capacity <= 1 else min(1.0, capacity / max(rows, 1))


def told(report: Report, actual: Vector, ours: Vector, came: Vector, *, capacity: float, seed: int) -> Report:
    """Give the report with what is captured at capacity; *came* puts the rows in the order in which they came."""
    share = share_of(capacity, len(actual))
    mine, first = capture_at(actual, ours, share), capture_at(actual, -came, share)
    low, high, apart_low, apart_high = (round(x, 4) for x in _intervals(actual, ours, came, share, seed))
    count = max(1, round(share * len(actual)))
    sentence = (
        f"The best {count:,} of {len(actual):,} leads ({share:.0%}) hold {mine:.0%} of the conversions ({low:.0%} to"
        f" {high:.0%}); the first to come hold {first:.0%}, a random choice {share:.0%}."
    )
    said: dict[str, Any] = {
        "share": round(share, 4), "rows": count, "captured": round(mine, 4), "first_come": round(first, 4),
    }  # fmt: skip
    return replace(
        report,
        why=" ".join(x for x in (report.why, sentence) if x),
        metrics={**report.metrics, CAPTURED: round(mine, 4)},
        intervals={
            **report.intervals,
            CAPTURED: (low, high),
            f"{CAPTURED} minus {FIRST_COME}": (apart_low, apart_high),
        },
        baselines={
            **report.baselines,
            FIRST_COME: {"auc": round(auc(actual, -came), 4), CAPTURED: round(first, 4)},
            RANDOM: {"auc": 0.5, CAPTURED: round(share, 4)},
        },
        details={**report.details, "capacity": said},
    )


def _intervals(actual: Vector, ours: Vector, came: Vector, share: float, seed: int) -> tuple[float, ...]:
    """Give the percentile intervals of what we capture, and of that minus first come, on the same drawn rows."""
    chance = np.random.default_rng(seed)
    found = np.full((_DRAWS, 2), np.nan)
    for draw in range(_DRAWS):
        rows = chance.integers(0, len(actual), len(actual))
        mine = capture_at(actual[rows], ours[rows], share)
        found[draw] = mine, mine - capture_at(actual[rows], -came[rows], share)
    edges = np.nanquantile(found, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return float(edges[0, 0]), float(edges[1, 0]), float(edges[0, 1]), float(edges[1, 1])
