"""Products, categories and the total: forecasts that add up, by minimum trace.

Wickramasuriya, Athanasopoulos and Hyndman (2019), Journal of the American Statistical Association 114, eq. 9, with the
variances of forecast errors at rolling origins on the diagonal (their WLS): the full covariance of many series cannot
be told from few origins.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.forecasting import extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.models.forecasting.panel import Panel

    Floats = NDArray[np.float64]

ITEM, CATEGORY, TOTAL = "item", "category", "total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """What adds up to what: `sums` is nodes x series (1 where a series counts), in the order total, category, item."""

    names: tuple[str, ...]
    levels: tuple[str, ...]
    sums: Floats

    @property
    def above(self) -> int:
        """Number of nodes that are sums."""
        return int(self.sums.shape[0] - self.sums.shape[1])


def tree(panel: Panel, *, total: bool) -> Hierarchy:
    """Give the hierarchy of a panel: items alone, or below their categories and, when `total`, one sum of all."""
    count = len(panel.series)
    rows, names, levels = [], [], []
    if total and count > 1:
        rows.append(np.ones((1, count)))
        names, levels = ["total"], [TOTAL]
    if len(panel.categories) > 1:
        rows.append((panel.groups[None, :] == np.arange(len(panel.categories))[:, None]).astype(np.float64))
        names += panel.categories
        levels += [CATEGORY] * len(panel.categories)
    return Hierarchy(
        names=(*names, *panel.series),
        levels=(*levels, *([ITEM] * count)),
        sums=np.vstack([*rows, np.eye(count)]),
    )


def summed(hierarchy: Hierarchy, values: Floats) -> Floats:
    """Give nodes x periods from series x periods; a sum begins when the first of its series does."""
    there = hierarchy.sums @ np.isfinite(values)
    return np.where(there > 0, hierarchy.sums @ np.nan_to_num(values), np.nan)


def reconciled(hierarchy: Hierarchy, forecasts: Floats, variances: Floats, *, positive: bool) -> Floats:
    """Give forecasts (nodes x steps) that add up, changed least where `variances` (per node) are small."""
    if not hierarchy.above:
        return np.maximum(forecasts, 0.0) if positive else forecasts
    # The library takes residuals and uses their mean squares: one column of standard deviations has the variances.
    largest = max(float(np.max(variances)), 1e-300)
    residuals = np.sqrt(np.clip(variances / largest, 1e-6, 1.0))[:, None]
    made = extra.reconcilers().MinTrace(method="wls_var")
    said = made.fit_predict(
        S=hierarchy.sums, y_hat=forecasts, y_insample=residuals, y_hat_insample=np.zeros_like(residuals)
    )
    items = np.asarray(said["mean"], np.float64)[hierarchy.above :]
    return hierarchy.sums @ (np.maximum(items, 0.0) if positive else items)
