"""Forecasts of one series by statistical methods, and their combination by the median.

    combined(methods_of(values, season=12, horizon=18))

Regular demand: exponential smoothing (Hyndman and Khandakar 2008, AutoETS), the dynamic optimised theta method
(Fiorucci et al. 2016) and complex exponential smoothing (Svetunkov et al. 2022); the median of such a set did best in
Petropoulos and Svetunkov (2020), A simple combination of univariate models. Rare demand: Croston's method corrected
(Syntetos and Boylan 2005), TSB (Teunter et al. 2011) and ADIDA (Nikolopoulos et al. 2011). The library's own code
computes all of them; what it cannot take (a point, a constant, nothing but zeros) is answered here.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.forecasting import extra

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NAIVE, SEASONAL_NAIVE, ETS = "naive", "seasonal naive", "ets"
BASELINES = (NAIVE, SEASONAL_NAIVE)
RARE_INTERVAL = 1.32  # mean periods between sales above which demand is intermittent (Syntetos, Boylan, Croston 2005)
_LONG_SEASON = 24  # above, the methods cannot hold a seasonal pattern themselves: it is taken out and put back
_FEWEST = 5  # values from which a trend can be told from noise at all
_SMOOTHING = 0.1  # of rare demand; the usual range is 0.05 to 0.2


def methods_of(values: Floats, *, season: int, horizon: int) -> dict[str, Floats]:
    """Give each method's forecast of `horizon` periods after `values` (no gaps), by name; baselines always."""
    found = {
        NAIVE: np.full(horizon, values[-1]),
        SEASONAL_NAIVE: seasonal_naive(values, season=season, horizon=horizon),
    }
    if len(values) < _FEWEST or np.ptp(values) == 0:
        return {**found, ETS: np.full(horizon, values[-3:].mean())}
    if is_rare(values):
        return {**found, **_rare(values, horizon)}
    if season > _LONG_SEASON and repeats(values, season, horizon):
        return {**found, **_long_season(values, season, horizon)}
    usable = season if season <= _LONG_SEASON and len(values) >= 2 * season + 1 else 1
    return {**found, **_regular(values, usable, horizon)}


def combined(found: Mapping[str, Floats]) -> Floats:
    """Give the median of the methods beside the baselines: one that runs away takes nobody along."""
    return np.asarray(np.median([f for name, f in found.items() if name not in BASELINES], axis=0))


def seasonal_naive(values: Floats, *, season: int, horizon: int) -> Floats:
    """Give the last season again, or the last value where not a whole season is known."""
    last = values[-season:] if len(values) >= season else values[-1:]
    return np.resize(last, horizon)


def is_rare(values: Floats) -> bool:
    """Tell whether the mean interval between sales is that of intermittent demand."""
    return bool(len(values) > RARE_INTERVAL * np.count_nonzero(values))


def _regular(values: Floats, season: int, horizon: int) -> dict[str, Floats]:
    library = extra.methods()
    made = {
        ETS: library.AutoETS(season_length=season),
        "theta": library.DynamicOptimizedTheta(season_length=season),
        "ces": library.AutoCES(season_length=season),
    }
    return _said(made, values, horizon)


def _rare(values: Floats, horizon: int) -> dict[str, Floats]:
    library = extra.methods()
    made = {
        ETS: library.SimpleExponentialSmoothingOptimized(),
        "croston": library.CrostonSBA(),
        "tsb": library.TSB(alpha_d=_SMOOTHING, alpha_p=_SMOOTHING),
        "adida": library.ADIDA(),
    }
    return _said(made, values, horizon)


def repeats(values: Floats, season: int, horizon: int) -> bool:
    """Tell whether a season ago says more than the last value does, half a horizon ahead, on what is known."""
    if len(values) < season + max(season // 4, horizon // 2 + 1):
        return False
    late = values[season:]
    ahead = min(horizon // 2 + 1, season - 1)
    return bool(np.abs(late - values[:-season]).mean() < np.abs(late - values[season - ahead : -ahead]).mean())


def _long_season(values: Floats, season: int, horizon: int) -> dict[str, Floats]:
    """Give the last season as it was and as it is shifted now; from two seasons on also methods on what STL leaves."""
    again = seasonal_naive(values, season=season, horizon=horizon)
    late = min(season // 4, len(values) - season)
    shift = float((values[-late:] - values[-season - late : -season][:late]).mean())
    found = {"last season": again, "last season, shifted": again + shift}
    if len(values) <= 2 * season:
        return {**found, ETS: again + shift / 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = extra.seasons().mstl(values, period=season)
    pattern = np.asarray(parts["seasonal"], np.float64)
    put_back = np.resize(pattern[-season:], horizon)
    return {**found, **{name: f + put_back for name, f in _regular(values - pattern, 1, horizon).items()}}


def _said(made: Mapping[str, Any], values: Floats, horizon: int) -> dict[str, Floats]:
    """Give what each method says; one that fails is left out, and without any the mean of late values stands."""
    found = {}
    for name, method in made.items():
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                said = np.asarray(method.forecast(y=values, h=horizon)["mean"], np.float64)
            except Exception:  # noqa: BLE001, S112 (the library raises bare Exception when no variant of a method fits)
                continue
        if np.isfinite(said).all():
            found[name] = said
    return found or {ETS: np.full(horizon, values[-_FEWEST:].mean())}
