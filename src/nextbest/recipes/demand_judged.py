"""How well demand was foreseen: each origin judged with what earlier origins had taught, beside the simple methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.forecasting import conformal
from nextbest.models.forecasting.learn import Learnt, foreseen, learn
from nextbest.models.forecasting.learn import judged as to_judge
from nextbest.models.forecasting.origins import ENSEMBLE, NO_SCALE, TREES, Base, relative
from nextbest.models.forecasting.statistical import ETS, NAIVE, SEASONAL_NAIVE, is_rare

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.forecasting.hierarchy import Hierarchy

    Floats = NDArray[np.float64]

OURS = "ours"
CHANCES = (0.005, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.995)
REGULAR, RARE, ABOVE = "regular", "rare", "above"
_FEWEST_ERRORS = 30  # of a group; with fewer all errors together say more
_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was foreseen at the judged origins: per kind (origins x items x steps), the actual, scales, intervals."""

    by_kind: Mapping[str, Floats]
    actual: Floats
    scale: Floats
    low: Floats
    high: Floats
    origins: tuple[int, ...]


def groups(hierarchy: Hierarchy, nodes: Floats) -> list[str]:
    """Give the group of each node whose errors are alike: sums, items that sell rarely, other items."""
    rare = [len(v := row[np.isfinite(row)]) > 0 and is_rare(v) for row in nodes]
    return [ABOVE if i < hierarchy.above else RARE if rare[i] else REGULAR for i in range(len(nodes))]


def spread(learnt: Learnt, of: Sequence[str]) -> dict[str, Floats]:
    """Give per group the quantiles (chances x steps) of the scaled errors."""
    steps = learnt.errors.shape[2]
    every = conformal.quantiles(learnt.errors.reshape(-1, steps), CHANCES)
    found = {}
    for group in (REGULAR, RARE, ABOVE):
        own = learnt.errors[:, [g == group for g in of], :].reshape(-1, steps)
        enough = np.isfinite(own).sum() >= _FEWEST_ERRORS * min(steps, 3)
        found[group] = conformal.quantiles(own, CHANCES) if enough else every
    return found


def bound(forecast: Floats, scale: Floats, quantiles: Mapping[str, Floats], of: Sequence[str], chance: float) -> Floats:
    """Give the value (nodes x steps) that demand stays under with this chance."""
    wide = np.stack([quantiles[g] for g in of])  # nodes x chances x steps
    place = float(np.interp(chance, CHANCES, np.arange(len(CHANCES))))
    below, share = int(place), place - int(place)
    above = min(below + 1, len(CHANCES) - 1)
    return np.asarray(forecast + scale[:, None] * ((1 - share) * wide[:, below] + share * wide[:, above]))


def judge(
    bases: Sequence[Base], hierarchy: Hierarchy, of: Sequence[str], *, horizon: int, interval: float, positive: bool
) -> Judged | None:
    """Give what was foreseen at every origin that others had been finished before; None without such an origin."""
    items = slice(hierarchy.above, None)
    rows: list[tuple[Base, Floats, Floats, Floats]] = []
    for base, earlier in to_judge(bases, horizon):
        learnt = learn(earlier, hierarchy, positive=positive)
        ours = foreseen(base, hierarchy, learnt.weight, positive=positive)
        quantiles = spread(learnt, of)
        low, high = (
            bound(ours, base.scale, quantiles, of, chance) for chance in ((1 - interval) / 2, (1 + interval) / 2)
        )
        rows.append((base, ours, np.maximum(low, 0.0) if positive else low, high))
    if not rows:
        return None
    kinds = {
        OURS: np.stack([r[1][items] for r in rows]),
        **{k: np.stack([r[0].by_kind[k][items] for r in rows]) for k in (NAIVE, SEASONAL_NAIVE, ETS, ENSEMBLE, TREES)},
    }
    return Judged(
        by_kind=kinds,
        actual=np.stack([r[0].actual[items] for r in rows]),
        scale=np.stack([r[0].scale[items] for r in rows]),
        low=np.stack([r[2][items] for r in rows]),
        high=np.stack([r[3][items] for r in rows]),
        origins=tuple(r[0].moment for r in rows),
    )


def metrics(judged: Judged, kind: str) -> dict[str, float]:
    """Give `mase` (error beside the usual change), `wape` (of the total), `smape`, `mae`, `rmse`, `total_error`.

    `mase` leaves out where a series was only nought before: it has no usual change then (see `without_scale`).
    """
    there = np.isfinite(judged.actual) & np.isfinite(judged.by_kind[kind])
    actual, said = judged.actual[there], judged.by_kind[kind][there]
    wrong = np.abs(said - actual)
    both = np.abs(actual) + np.abs(said)
    total = max(float(np.abs(actual).sum()), 1e-12)
    return {
        "mase": float(np.nanmean(relative(np.abs(judged.by_kind[kind] - judged.actual), judged.scale))),
        "wape": float(wrong.sum()) / total,
        "smape": float(np.where(both > 0, 200 * wrong / np.where(both > 0, both, 1.0), 0.0).mean()),
        "mae": float(wrong.mean()),
        "rmse": float(np.sqrt((wrong**2).mean())),
        "total_error": float((said - actual).sum()) / total,
    }


def without_scale(judged: Judged) -> int:
    """Give how many series were only nought before some judged origin, so that `mase` leaves them out there."""
    there = np.isfinite(judged.actual) & np.isfinite(judged.by_kind[OURS])
    return int((there.any(axis=2) & (judged.scale <= NO_SCALE)).any(axis=0).sum())


def against(judged: Judged, leads: Mapping[str, tuple[float, float, float]]) -> str:
    """Say whether we beat the seasonal naive and exponential smoothing, and where another measure says otherwise."""
    ours, said, otherwise = metrics(judged, OURS), [], []
    for kind in (SEASONAL_NAIVE, ETS):
        by, low, high = leads[kind]
        if not np.isfinite(low):
            word = "lower" if by > 0 else "not lower"
            said.append(f"{word} than that of {kind} (one series: no interval)")
        else:
            word = "lower" if low > 0 else "higher" if high < 0 else "not clearly lower"
            said.append(f"{word} than that of {kind} (by {abs(by):.3f} of a usual change)")
        theirs = metrics(judged, kind)
        contrary = [m for m in ("wape", "mae") if (theirs[m] - ours[m]) * by < 0]
        if contrary:
            better = "lower" if by < 0 else "higher"
            figures = ", ".join(f"{m} {ours[m]:.3f} against {theirs[m]:.3f}" for m in contrary)
            otherwise.append(
                f"In amounts it is {better} than that of {kind} ({figures}): large series count more there."
            )
    return " ".join([f"The error is {' and '.join(said)}, every series counting alike.", *otherwise])


def held(judged: Judged) -> float:
    """Give the share of what came that lay inside its interval."""
    there = np.isfinite(judged.actual) & np.isfinite(judged.by_kind[OURS])
    return float(((judged.actual >= judged.low) & (judged.actual <= judged.high))[there].mean())


def lead(judged: Judged, kind: str, *, seed: int) -> tuple[float, float, float]:
    """Give by how much our scaled error is below another's, and its 95% interval by drawing series; NaN for one."""
    ours, theirs = (_by_series(judged, k) for k in (OURS, kind))
    difference = (theirs - ours)[np.isfinite(theirs) & np.isfinite(ours)]
    if len(difference) < 2:
        return float(difference.mean()) if len(difference) else float("nan"), float("nan"), float("nan")
    draw = np.random.default_rng(seed)
    means = [difference[draw.integers(0, len(difference), len(difference))].mean() for _ in range(_DRAWS)]
    low, high = np.quantile(means, (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)


def value_added(judged: Judged) -> list[dict[str, Any]]:
    """Give the forecast value added, step by step: naive, seasonal naive, exponential smoothing, ours.

    Gilliland (2010), The Business Forecasting Deal: `added` is how much lower `wape` is than one step before.
    """
    found: list[dict[str, Any]] = []
    for kind in (NAIVE, SEASONAL_NAIVE, ETS, OURS):
        said = metrics(judged, kind)
        added = found[-1]["wape"] - said["wape"] if found else 0.0
        found.append({"forecast": kind, **{n: said[n] for n in ("wape", "mase", "smape")}, "added": added})
    return found


def _by_series(judged: Judged, kind: str) -> Floats:
    wrong = relative(np.abs(judged.by_kind[kind] - judged.actual), judged.scale)
    there = np.isfinite(wrong)
    count = there.sum(axis=(0, 2))
    return np.where(count > 0, np.where(there, wrong, 0.0).sum(axis=(0, 2)) / np.maximum(count, 1), np.nan)
