"""Each action against doing nothing, over those who could have got it, from decisions of known choice probability.

Weighted means (Hajek 1971): every outcome counts by 1 / its choice probability, over the sum of these weights. The
variance is that of a ratio of sums: sum w^2 (y - mean)^2 / (sum w)^2 (Lohr 2019, Sampling, section 4.1). Where few on a
side answered yes (or no), that variance misleads, and Newcombe's score interval takes its place, on the number of
equally weighted subjects that would show it (Korn and Graubard 1998, Survey Methodology 24, 193-201). With fewer than
`LEAST` effective subjects (Kish) on either side, or amounts of fewer than `RARE`, nothing is told.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from nextbest.measures.randomised import RARE, score_difference

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
    shares = _is_share(taken) and _is_share(left)
    few = min(side["answered"] for side in (taken, left))
    if not shares and few < RARE:
        why = f"Only {few} on one side have an amount other than 0; at least {RARE} are needed."
        return {**told, "status": "not_enough_data", "why": why}
    estimate = taken["wy"] / taken["w"] - left["wy"] / left["w"]
    low, high = _reach(taken, left, NormalDist().inv_cdf((1 + level) / 2), shares=shares)
    return {**told, "estimate": estimate, "low": low, "high": high, "status": "ok", "why": ""}


def _reach(taken: Mapping[str, Any], left: Mapping[str, Any], z: float, *, shares: bool) -> tuple[float, float]:
    rates = (taken["wy"] / taken["w"], left["wy"] / left["w"])
    if shares and min(_rarer(taken), _rarer(left)) < RARE:
        return score_difference(rates, (_equal_number(taken), _equal_number(left)), z)
    reach = z * math.sqrt(_variance(taken) + _variance(left))
    return rates[0] - rates[1] - reach, rates[0] - rates[1] + reach


def _is_share(side: Mapping[str, Any]) -> bool:
    """Tell whether every outcome is 0 or 1, so that its square is itself (up to rounding of the sums)."""
    return math.isclose(side["wwy"], side["wwyy"], rel_tol=1e-9, abs_tol=1e-12) and side["wy"] <= side["w"] * (1 + 1e-9)


def _rarer(side: Mapping[str, Any]) -> float:
    """Give the effective number of the rarer answer: a few heavy ones tell as little as a few."""
    yes, no = side["answered"], side["n"] - side["answered"]
    if not min(yes, no):
        return 0.0
    left, left_squares = side["w"] - side["wy"], side["ww"] - side["wwy"]
    return float(min(side["wy"] ** 2 / side["wwy"], left**2 / left_squares))


def _equal_number(side: Mapping[str, Any]) -> float:
    """Give how many equally weighted subjects would show a rate with this variance; Kish's number where none shows."""
    rate, spread = side["wy"] / side["w"], _variance(side)
    kish = effective_number(side)
    if not _rarer(side) or not spread:
        return kish
    # Not above Kish's: where the heavy rows happen to have no answer, the variance that shows is too small.
    return float(min(kish, rate * (1 - rate) / spread))


def effective_number(side: Mapping[str, Any] | None) -> float:
    """Give how many equally weighted subjects would tell as much."""
    return float(side["w"] ** 2 / side["ww"]) if side and side["ww"] else 0.0


def _variance(side: Mapping[str, Any]) -> float:
    mean = side["wy"] / side["w"]
    spread = side["wwyy"] - 2 * mean * side["wwy"] + mean**2 * side["ww"]
    return float(max(0.0, spread) / side["w"] ** 2)
