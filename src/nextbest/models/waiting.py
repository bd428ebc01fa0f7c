"""How long until the next purchase: each customer's own pace, and how waits of alike customers spread around it.

The pace is the median wait by Pareto/NBD of one who stays, which draws the gaps of a customer towards those of all.
What it leaves out is learnt from a window: customers are grouped by how long they have been silent for their pace, and
in each group the waits, as multiples of the pace, have a distribution by Kaplan and Meier (1958). Who had not come when
the window ended counts as still waiting, so that the distribution also knows those who never come.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.grouping import histories
from nextbest.models.likelihood import read_estimate
from nextbest.models.order_history import summary
from nextbest.models.pareto_nbd import ParetoNBD, waiting_time

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.order_history import Purchases

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

MOST_GROUPS = 10
_ROWS_PER_GROUP = 100  # so that the 5% ends of a group's distribution rest on five customers


def learn(bought: Purchases, inner: int, cut: int, *, level: float) -> tuple[ParetoNBD, dict[str, Any]]:
    """Give the pace model learnt before day `inner`, and how waits in [inner, cut) spread (JSON-able)."""
    table = summary(bought, inner)
    model = ParetoNBD(level=None).fit(table, table)
    pace, silent = _pace(model, table)
    wait, came = waits(bought, table, inner, cut)
    count = int(np.clip(len(wait) // _ROWS_PER_GROUP, 1, MOST_GROUPS))
    edges = np.unique(np.quantile(silent, np.linspace(0, 1, count + 1)[1:-1])) if count > 1 else np.empty(0)
    group = np.searchsorted(edges, silent)
    chances = (0.5, (1 - level) / 2, (1 + level) / 2)
    spread = [
        [_plain(q) for q in quantiles((wait / pace)[group == g], came[group == g], chances)]
        for g in range(len(edges) + 1)
    ]
    return model, {"edges": edges.tolist(), "spread": spread}


def foresee(model: ParetoNBD, spread: Mapping[str, Any], table: pa.Table) -> Floats:
    """Give the median, low and high wait in days per row of `summary` (columns); infinite where it is not reached."""
    pace, silent = _pace(model, table)
    known = np.array([[np.inf if q is None else q for q in row] for row in spread["spread"]])
    found: Floats = pace[:, None] * known[np.searchsorted(np.asarray(spread["edges"]), silent)]
    return found


def waits(bought: Purchases, table: pa.Table, since: int, until: int) -> tuple[Floats, Flags]:
    """Give per row of `summary` the days to the first purchase in [since, until), counted from 1, and whether it came.

    Who did not come has waited until the end.
    """
    window = bought.between(since, until)
    first = np.full(len(bought.subject_ids), until, dtype=np.int64)
    np.minimum.at(first, window.subject, window.day)
    day = first[table["subject"].to_numpy()]
    return np.maximum(day - since + 1, 1).astype(np.float64), day < until


def quantiles(wait: Floats, came: Flags, chances: Sequence[float]) -> list[float]:
    """Give the waits by which these shares have come, by Kaplan and Meier's estimate; infinite where it ends below."""
    order = np.lexsort((~came, wait))
    at_risk = len(wait) - np.arange(len(wait))
    left = np.cumprod(1 - came[order] / at_risk)
    arrived = 1 - left
    places = [int(np.searchsorted(arrived, chance - 1e-12)) for chance in chances]
    return [float(wait[order][p]) if p < len(wait) else float("inf") for p in places]


def _pace(model: ParetoNBD, table: pa.Table) -> tuple[Floats, Floats]:
    """Give the median wait of one who stays, in days, and the silence so far as a multiple of it."""
    parameters = read_estimate(model.files, "pareto_nbd").parameters
    rows = histories(table)
    pace = np.maximum(waiting_time(parameters, rows, 0.5)[rows.inverse], 0.5)
    silent = (table["T"].to_numpy() - table["recency"].to_numpy()) / pace
    return pace, silent


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
