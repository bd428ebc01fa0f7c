"""Forecasts made again as of moments in the past, each from what was known then, beside what came: rolling origins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.forecasting import global_trees, statistical
from nextbest.models.forecasting.hierarchy import Hierarchy, summed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.forecasting.panel import Panel

    Floats = NDArray[np.float64]

ENSEMBLE, TREES = "statistical ensemble", "trees"
KINDS = (statistical.NAIVE, statistical.SEASONAL_NAIVE, statistical.ETS, ENSEMBLE, TREES)
MOST_ORIGINS = 16
_WORK = 1_500  # series forecast in all; with many series few origins say enough
_FEWEST_PERIODS = 6
_OWN_PAST = 3  # values below which a series follows its category's profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Forecasts as of one moment by kind, nodes x steps each; `scale` is each node's usual change.

    `driven` says that somebody named drivers that are known in advance.
    """

    moment: int
    by_kind: Mapping[str, Floats]
    scale: Floats
    actual: Floats
    driven: bool = False


def moments(length: int, season: int, horizon: int, series: int) -> tuple[int, ...]:
    """Give the moments to forecast from again, oldest first, the last of them one horizon before the end; may be ().

    Two seasons come before the first where the history has them twice, else half of it, or what two horizons leave.
    """
    latest = length - horizon
    # A judged origin needs another whose horizon was over by then: two horizons before the end.
    first = max(_FEWEST_PERIODS, min(2 * season + 1, length // 2, length - 2 * horizon))
    if latest < first:
        return ()
    most = int(np.clip(_WORK // max(series, 1), 4, MOST_ORIGINS))
    first = max(first, latest - horizon * (most - 1))
    count = min(most, latest - first + 1)
    return tuple(int(m) for m in np.unique(np.round(np.linspace(first, latest, count)).astype(np.int64)))


def base(panel: Panel, hierarchy: Hierarchy, moment: int, horizon: int, *, seed: int) -> Base:
    """Give the forecasts of every node as known after `moment` periods, unreconciled."""
    nodes = summed(hierarchy, panel.values)
    seen = nodes[:, :moment]
    said = [_of_node(row, panel.season, horizon) for row in seen]
    by_kind = {kind: np.array([s[kind] for s in said]) for kind in KINDS if kind != TREES}
    _profile(by_kind, hierarchy, seen)
    grown = global_trees.forecast(panel, moment, horizon, seed=seed)
    items = by_kind[ENSEMBLE][hierarchy.above :]
    grown = items if grown is None else items + np.nan_to_num(grown)
    # Trees know items; what lies above them is their sum.
    by_kind[TREES] = hierarchy.sums @ np.nan_to_num(grown)
    actual = np.full((len(nodes), horizon), np.nan)
    later = nodes[:, moment : moment + horizon]
    actual[:, : later.shape[1]] = later
    return Base(
        moment=moment, by_kind=by_kind, scale=usual_change(seen, panel.season), actual=actual, driven=bool(panel.known)
    )


NO_SCALE = 1e-9  # of a node that was nothing but nought so far: beside it every error is without measure
_NOISE = 1e-6  # share of the level below which a change is rounding


def relative(wrong: Floats, scale: Floats) -> Floats:
    """Give errors (... x nodes x steps) in usual changes of their node, NaN for nodes that were only nought so far.

    Where that holds for all of them the errors are given as they are.
    """
    known = scale > NO_SCALE
    if not known.any():
        return wrong
    return np.asarray(np.where(known, 1 / np.where(known, scale, 1.0), np.nan)[..., None] * wrong)


def usual_change(seen: Floats, season: int) -> Floats:
    """Give each node's mean absolute change over a season (or from period to period), the scale of MASE.

    Hyndman and Koehler (2006), International Journal of Forecasting 22. A node that never changes has a scale of the
    typical node's share of its level, one that was only nought `NO_SCALE`.
    """
    lag = season if 4 * seen.shape[1] >= 5 * season else 1
    with np.errstate(all="ignore"):
        change = np.abs(seen[:, lag:] - seen[:, :-lag])
        count = np.maximum(np.isfinite(change).sum(axis=1), 1)
        found = np.nansum(change, axis=1) / count
        level = np.nansum(np.abs(seen), axis=1) / np.maximum(np.isfinite(seen).sum(axis=1), 1)
    found = np.where(found > _NOISE * level, found, 0.0)
    good = (found > 0) & (level > 0)
    share = float(np.median(found[good] / level[good])) if good.any() else 1.0
    return np.asarray(np.where(found > 0, found, np.maximum(level * share, NO_SCALE)))


def _of_node(row: Floats, season: int, horizon: int) -> dict[str, Floats]:
    """Give the forecasts of one node by kind; all NaN for one that has not begun."""
    values = row[np.isfinite(row)]
    if not len(values):
        return {kind: np.full(horizon, np.nan) for kind in KINDS}
    found = statistical.methods_of(values, season=season, horizon=horizon)
    ensemble = statistical.combined(found)
    return {
        **{kind: found[kind] for kind in statistical.BASELINES},
        statistical.ETS: found.get(statistical.ETS, ensemble),
        ENSEMBLE: ensemble,
    }


def _profile(by_kind: dict[str, Floats], hierarchy: Hierarchy, seen: Floats) -> None:
    """Let items with hardly a past follow their category: its forecast times their share of it so far."""
    known = np.isfinite(seen[hierarchy.above :])
    young = np.flatnonzero((known.sum(axis=1) > 0) & (known.sum(axis=1) < _OWN_PAST))
    if not len(young) or not hierarchy.above:
        return
    for item in young:
        same = np.flatnonzero(hierarchy.sums[: hierarchy.above, item])[-1]  # the closest sum that holds it
        of_all = float(np.nansum(seen[same, known[item]]))
        share = float(np.nansum(seen[hierarchy.above + item, known[item]])) / of_all if of_all > 0 else 0.0
        by_kind[ENSEMBLE][hierarchy.above + item] = share * by_kind[ENSEMBLE][same]
