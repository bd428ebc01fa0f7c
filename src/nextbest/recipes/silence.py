"""Churn by silence: nobody says goodbye to a shop, they only stop ordering.

One use of `recipes/moments.py`, with the label turned round: a row is one subject who had ordered before a moment of
the past, and the label is 1 when no order came in the horizon after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.ledger import analysis
from nextbest.recipes import moments, timeline
from nextbest.recipes.silence_judged import RECENCY, buying_process, recency_alone
from nextbest.recipes.timeline import DAY_US, Timeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.features.language import Feature
    from nextbest.recipes.moments import Learnt, Panel

ORDERS = ("order", "order_line")  # the first that is there says when a subject ordered


def learn(ledger: Any, *, as_of: datetime, horizon_days: int, seed: int) -> Learnt:  # noqa: ANN401 (a ledger)
    """Give the model learnt from all finished cuts before `as_of`, judged on the latest."""
    orders = orders_before(ledger, as_of)
    features = feature_set(ledger) if len(orders.ts) else ()

    def rows(cut: int) -> Panel:
        return panel(ledger, orders, features, cut, horizon_days)

    def baselines(learning: Panel, judging: Panel) -> dict[str, NDArray[np.float64]]:
        last = cut_moments(orders, as_of, horizon_days)[0]
        return {RECENCY: recency_alone(learning, judging), **buying_process(histories(orders, last), horizon_days)}

    asked = moments.Asked(
        recipe="churn", horizon_days=horizon_days, span=orders.span(as_of), rows=rows,
        words=moments.Words(
            events="orders", happened=f"had no order within {horizon_days} days", happened_not="had one",
            judged_on="who fell silent after", load="orders",
        ),
        baselines=baselines, against=RECENCY, against_word="recency", seed=seed,
        keep={"features": [f.name for f in features]},
    )  # fmt: skip
    return moments.learn(asked, as_of=as_of)


def features_of(ledger: Any, extra: Mapping[str, Any], *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (a ledger)
    """Give the features as of a moment of everyone who ordered before it."""
    features = moments.needed(feature_set(ledger), extra)
    return build(ledger, features, as_of=as_of, subject_ids=orders_before(ledger, as_of).subject_ids.to_pylist())


def orders_before(ledger: Any, as_of: datetime) -> Timeline:  # noqa: ANN401 (a ledger)
    """Give the orders before a moment; an order line counts as an order where there are no orders."""
    present = analysis.kinds_present(ledger)
    kind = next((k for k in ORDERS if k in present), ORDERS[0])
    return timeline.read(ledger, kind, before=as_of)


def cut_moments(orders: Timeline, as_of: datetime, horizon_days: int) -> list[int]:
    """Give the finished cuts, latest first, a horizon apart, each with at least a horizon of history before it."""
    return moments.cut_moments(orders.span(as_of), horizon_days)


def panel(ledger: Any, orders: Timeline, features: Sequence[Feature], cut: int, horizon_days: int) -> Panel:  # noqa: ANN401
    """Give one row per subject who had ordered before the cut, 1 where silence followed."""
    bought = orders.whom(cut, cut + horizon_days * DAY_US)
    return moments.panel(ledger, features, cut, who=orders.whom(-(2**62), cut), happened=bought, absent=True)


def histories(orders: Timeline, cut: int) -> pa.Table:
    """Give `frequency, recency, T` in days of everyone who ordered before the cut, in order of the subject."""
    known = orders.ts < cut
    width = 2**20  # days since 1970 fit in, so that subject and day make one sortable number
    packed = np.unique(orders.subject[known] * width + orders.ts[known] // DAY_US)
    subject, day = packed // width, packed % width
    first = np.flatnonzero(np.diff(subject, prepend=-1))
    last = np.append(first[1:], len(subject)) - 1
    return pa.table({
        "frequency": (last - first).astype(np.float64),
        "recency": (day[last] - day[first]).astype(np.float64),
        "T": cut / DAY_US - day[first],
    })  # fmt: skip
