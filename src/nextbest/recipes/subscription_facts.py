"""What was known of subscribers at moments of their stay: features, payments, and how their subscription stood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.features.build import build_panel
from nextbest.features.language import Feature
from nextbest.features.sets import feature_set
from nextbest.ledger import analysis
from nextbest.recipes.subscriptions import DAY_US, ENDED, KIND, PAYMENT, Stays, days, last_before, lower
from nextbest.recipes.timeline import moment_of

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]

# The hazard's own time. As a feature it would stand still while time goes on.
AGES = ("days_since_first_subscription",)
_STATES = ("plan", "interval", "status")
_WRONG = "failure_code is not null or status = 'failed'"
_JUST_AFTER = 1_000  # microseconds: what happened at the very moment a stay began is known to it
_DAY = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What can be known of the subjects of stays: features to build, and the states of subscriptions in time."""

    ledger: Any
    stays: Stays
    features: tuple[Feature, ...]
    names: tuple[str, ...]
    states: pa.Table
    whose: Whole
    ts: Vector

    def known(self, spell: Whole, age: Vector) -> pa.Table:
        """Give one row per stay and age: every feature as of that moment, and the state that held then."""
        subject = self.stays.subject[spell]
        when = np.round((self.stays.begin[spell] + age) * DAY_US).astype(np.int64) + _JUST_AFTER
        order = np.lexsort((when, subject))
        new = np.ones(len(order), bool)
        new[1:] = (np.diff(subject[order]) != 0) | (np.diff(when[order]) != 0)
        inverse = np.empty(len(order), np.int64)
        inverse[order] = np.cumsum(new) - 1
        pairs = order[new]
        who = self.stays.subject_ids.take(pa.array(subject[pairs])).to_pylist()
        panel = build_panel(
            self.ledger, self.features, list(zip(who, map(moment_of, when[pairs].tolist()), strict=True))
        )
        table = panel.drop_columns(["subject_id", "as_of"]).take(pa.array(inverse))
        place = last_before(self.whose, self.ts, subject, when / DAY_US)
        rows = self.states.take(pa.array(place, mask=place < 0))
        for name in self.names:
            table = table.append_column(f"subscription_{name}", rows[name])
        return table


def facts(ledger: Any, stays: Stays, *, as_of: datetime) -> Facts:  # noqa: ANN401 (a ledger)
    """Give what can be known of these stays before a moment."""
    rows = analysis.table(
        ledger, KIND, columns=("subject_id", "ts", "ended_ts", "cancelled_ts", *_STATES), before=as_of
    )
    whose = pc.index_in(rows["subject_id"].cast(pa.string()), stays.subject_ids)
    rows, whose = rows.filter(pc.is_valid(whose)), pc.drop_null(whose)
    subject, ts = whose.to_numpy().astype(np.int64), days(rows["ts"])
    order = np.lexsort((ts, subject))
    names = _STATES if _is_history(rows, ts) else tuple(n for n in _STATES if n != "status")
    return Facts(
        ledger=ledger, stays=stays, features=_features(ledger), names=names,
        states=rows.take(pa.array(order)).combine_chunks(),
        whose=subject[order], ts=ts[order],
    )  # fmt: skip


def _features(ledger: Any) -> tuple[Feature, ...]:  # noqa: ANN401
    found = [f for f in feature_set(ledger) if f.name not in AGES]
    if PAYMENT in analysis.kinds_present(ledger):
        found += [
            Feature(name="failed_payments_90d", kind=PAYMENT, aggregate="count", window_days=90, where=_WRONG),
            Feature(name="days_since_failed_payment", kind=PAYMENT, aggregate="recency", where=_WRONG),
            Feature(name="days_since_payment", kind=PAYMENT, aggregate="recency"),
        ]
    return tuple({f.name: f for f in found}.values())


def _is_history(rows: pa.Table, ts: Vector) -> bool:
    """Tell whether states were written down as they came: none says ended before it had.

    A list of subscriptions as they stand today has today's state under the day they began: that gives the end away.
    """
    over = np.isin(lower(rows), ENDED)
    end = np.fmin(days(rows["ended_ts"]), days(rows["cancelled_ts"]))
    return bool(over.any()) and not bool((over & (ts < np.where(np.isfinite(end), end, ts) - _DAY)).any())
