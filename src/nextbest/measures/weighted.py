"""Each action against doing nothing, over those who could have got it, from decisions of known choice probability.

Weighted means (Hajek 1971): every outcome counts by 1 / its choice probability, over the sum of these weights. The
variance is that of a ratio of sums: sum w^2 (y - mean)^2 / (sum w)^2 (Lohr 2019, Sampling, section 4.1). With fewer
than `LEAST` effective subjects (Kish) on either side, nothing is told.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LEAST = 100.0


def weighted_effects(sums: Sequence[Mapping[str, Any]], *, level: float = 0.95) -> dict[str, Any]:
    """Give per action: status, estimate, low, high, n, effective_n; `sums` are the rows of `statistics.action_sums`."""
    sides = {(row["action_id"], row["taken"]): row for row in sums}
    return {
        action: _effect(sides.get((action, True)), sides.get((action, False)), level)
        for action in sorted({action for action, _ in sides})
    }


def _effect(taken: Mapping[str, Any] | None, left: Mapping[str, Any] | None, level: float) -> dict[str, Any]:
    n = sum(side["n"] for side in (taken, left) if side)
    effective = min(effective_number(taken), effective_number(left))
    told = {"n": n, "effective_n": effective, "estimate": None, "low": None, "high": None}
    if taken is None or left is None or effective < LEAST:
        why = (
            f"Of those who could get it, too few got it or nothing by chance: {effective:.0f} effective of {LEAST:.0f}."
        )
        return {**told, "status": "not_enough_data", "why": why}
    estimate = taken["wy"] / taken["w"] - left["wy"] / left["w"]
    reach = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt(_variance(taken) + _variance(left))
    interval = {"estimate": estimate, "low": estimate - reach, "high": estimate + reach}
    return {**told, **interval, "status": "ok", "why": ""}


def effective_number(side: Mapping[str, Any] | None) -> float:
    """Give how many equally weighted subjects would tell as much."""
    return float(side["w"] ** 2 / side["ww"]) if side and side["ww"] else 0.0


def _variance(side: Mapping[str, Any]) -> float:
    mean = side["wy"] / side["w"]
    spread = side["wwyy"] - 2 * mean * side["wwy"] + mean**2 * side["ww"]
    return float(max(0.0, spread) / side["w"] ** 2)
