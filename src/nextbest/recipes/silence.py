"""Churn by silence: nobody says goodbye to a shop, they only stop ordering.

A row of training is one subject at one moment of the past (a cut): the features as they were then, and whether no
order came in the horizon after it. The latest cut that is over judges; it is learnt from only by the model that is
kept. All label windows that teach the judged model end before the judging window begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import UsageError, unknown
from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.ledger import analysis
from nextbest.models import contributions
from nextbest.models.boosting import Boosting
from nextbest.recipes.silence_judged import RECENCY, judge, with_buying_process
from nextbest.types import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.features.language import Feature
    from nextbest.recipes.judged import Judged

ORDERS = ("order", "order_line")  # the first that is there says when a subject ordered
MOST_CUTS = 7
MOST_ROWS = 400_000
FEWEST_OF_A_CLASS = 30

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """The model (None: too little data), its report, what predicting needs, and who taught it."""

    report: Report
    model: Boosting | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    subject_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """When subjects ordered, as microseconds, sorted by subject and time; `subject` is the place in `subject_ids`."""

    kind: str
    subject_ids: pa.Array
    subject: NDArray[np.int64]
    ts: NDArray[np.int64]

    def ordered(self, since: int, before: int) -> NDArray[np.bool_]:
        """Tell, per subject, whether an order fell into [since, before)."""
        inside = (self.ts >= since) & (self.ts < before)
        return np.bincount(self.subject[inside], minlength=len(self.subject_ids)) > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The rows of one or more cuts: features with `subject_id`, and 1 where silence followed."""

    features: pa.Table
    actual: NDArray[np.float64]


def learn(ledger: Any, *, as_of: datetime, horizon_days: int, seed: int) -> Learnt:  # noqa: ANN401 (a ledger)
    """Give the model learnt from all finished cuts before `as_of`, judged on the latest."""
    orders = orders_before(ledger, as_of)
    report = Report(recipe="churn", status="ok", as_of=as_of.isoformat())
    cuts = cut_moments(orders, as_of, horizon_days)
    if len(cuts) < 2:
        return Learnt(report=_too_short(report, orders, horizon_days))
    features = feature_set(ledger)
    panels = [panel(ledger, orders, features, cut, horizon_days) for cut in fitting_in(orders, cuts)]
    judging, *earlier = panels
    learning = stacked(earlier)
    missing = _too_few(judging, learning, horizon_days)
    if missing:
        return Learnt(report=_why(report, missing, rows=len(learning.actual), positives=int(learning.actual.sum())))
    judgement = judge(learning.features, learning.actual, judging.features, judging.actual, seed=seed)
    judgement = with_buying_process(judgement, histories(orders, cuts[0]), horizon_days)
    every = stacked(panels)
    model = Boosting(seed=seed).fit(every.features, pa.table({"label": every.actual}))
    return Learnt(
        model=model,
        report=_report(report, judgement, every, model, cuts[0]),
        extra={
            "horizon_days": horizon_days,
            "features": [f.name for f in features],
            "cuts": [_iso(c) for c in cuts[: len(panels)]],
        },
        subject_ids=tuple(pc.unique(every.features["subject_id"]).to_pylist()),
    )


def features_of(ledger: Any, extra: Mapping[str, Any], *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (a ledger)
    """Give the features as of a moment of everyone who ordered before it."""
    if extra and "features" not in extra:
        raise UsageError("This model learnt from a table, not from events. Give table (and id) to predict with it.")
    features = feature_set(ledger)
    if extra:
        features = chosen(features, extra["features"])
    orders = orders_before(ledger, as_of)
    return build(ledger, features, as_of=as_of, subject_ids=orders.subject_ids.to_pylist())


def chosen(features: Sequence[Feature], names: Sequence[str]) -> tuple[Feature, ...]:
    """Give the features of these names; raises when the workspace no longer has one."""
    known = {f.name: f for f in features}
    for name in names:
        if name not in known:
            raise unknown("feature", name, known)
    return tuple(known[name] for name in names)


# --- the rows ---------------------------------------------------------------------------------------------------------


def orders_before(ledger: Any, as_of: datetime) -> Orders:  # noqa: ANN401 (a ledger)
    """Give the orders before a moment; an order line counts as an order where there are no orders."""
    present = analysis.kinds_present(ledger)
    kind = next((k for k in ORDERS if k in present), ORDERS[0])
    rows = analysis.table(ledger, kind, columns=("subject_id", "ts"), before=as_of)
    ids = pc.unique(rows["subject_id"])
    ids = ids.take(pc.sort_indices(ids)).cast(pa.string())
    subject = pc.index_in(rows["subject_id"].cast(pa.string()), ids).to_numpy(zero_copy_only=False).astype(np.int64)
    ts = rows["ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return Orders(kind=kind, subject_ids=ids, subject=subject, ts=ts)


def cut_moments(orders: Orders, as_of: datetime, horizon_days: int) -> list[int]:
    """Give the finished cuts, latest first, a horizon apart, each with at least a horizon of history before it.

    What is known of orders ends with the day of the last one, however late the moment is: after it nobody is silent,
    they are unseen.
    """
    if not len(orders.ts):
        return []
    step = horizon_days * _DAY_US
    first, last_day = int(orders.ts.min()), int(orders.ts.max()) // _DAY_US
    end = min(_micros(as_of), (last_day + 1) * _DAY_US)
    return [cut for k in range(1, MOST_CUTS + 1) if (cut := end - k * step) >= first + step]


def fitting_in(orders: Orders, cuts: Sequence[int]) -> Sequence[int]:
    """Give as many of the latest cuts as stay within the rows worth learning from, at least two."""
    return cuts[: max(2, MOST_ROWS // max(1, len(orders.subject_ids)))]


def panel(ledger: Any, orders: Orders, features: Sequence[Feature], cut: int, horizon_days: int) -> Panel:  # noqa: ANN401
    """Give one row per subject who had ordered before the cut."""
    before = orders.ordered(-(2**62), cut)
    silent = ~orders.ordered(cut, cut + horizon_days * _DAY_US)
    who = orders.subject_ids.filter(pa.array(before))
    table = build(ledger, features, as_of=_moment(cut), subject_ids=who.to_pylist())
    place = pc.index_in(table["subject_id"], orders.subject_ids).to_numpy(zero_copy_only=False)
    return Panel(features=table, actual=silent[place].astype(np.float64))


def histories(orders: Orders, cut: int) -> pa.Table:
    """Give `frequency, recency, T` in days of everyone who ordered before the cut, in order of the subject."""
    known = orders.ts < cut
    width = 2**20  # days since 1970 fit in, so that subject and day make one sortable number
    packed = np.unique(orders.subject[known] * width + orders.ts[known] // _DAY_US)
    subject, day = packed // width, packed % width
    first = np.flatnonzero(np.diff(subject, prepend=-1))
    last = np.append(first[1:], len(subject)) - 1
    return pa.table({
        "frequency": (last - first).astype(np.float64),
        "recency": (day[last] - day[first]).astype(np.float64),
        "T": cut / _DAY_US - day[first],
    })  # fmt: skip


def stacked(panels: Sequence[Panel]) -> Panel:
    """Give several cuts as one."""
    return Panel(
        features=pa.concat_tables([p.features for p in panels]).combine_chunks(),
        actual=np.concatenate([p.actual for p in panels]),
    )


# --- what is said -----------------------------------------------------------------------------------------------------


def _report(report: Report, judgement: Judged, every: Panel, model: Boosting, judged_from: int) -> Report:
    return replace(
        report,
        why=_against_recency(judgement),
        rows=len(every.actual),
        positives=int(every.actual.sum()),
        evaluation=f"out of time: learnt on earlier moments, judged on who fell silent after {_iso(judged_from)[:10]}",
        metrics=judgement.metrics(),
        intervals=judgement.intervals(),
        baselines=judgement.baseline_metrics(),
        left_out=model.left_out,
        top_features=contributions.top_features(model, every.features),
    )


def _against_recency(judgement: Judged) -> str:
    """Say by how much the model beats knowing only when somebody last ordered, or that it does not."""
    ours, theirs = judgement.metrics()["auc"], judgement.baseline_metrics()[RECENCY]["auc"]
    low, high = judgement.intervals()[f"auc minus {RECENCY}"]
    lead = f"AUC {ours:.3f} against {theirs:.3f} from days since the last order alone"
    if low > 0:
        return f"It beats recency: {lead}, {ours - theirs:+.3f} ({low:+.3f} to {high:+.3f})."
    return f"It does not surely beat recency: {lead}, {ours - theirs:+.3f} ({low:+.3f} to {high:+.3f})."


def _too_short(report: Report, orders: Orders, horizon_days: int) -> Report:
    if not len(orders.ts):
        return _why(report, "There are no orders before this moment. Load orders first.")
    days = (_micros(datetime.fromisoformat(report.as_of)) - int(orders.ts.min())) // _DAY_US
    return _why(
        report,
        f"The orders span {days} days; a horizon of {horizon_days} days needs {3 * horizon_days} (one before the first"
        f" moment to learn from, one to learn, one to judge). Load more history, or set a shorter horizon_days.",
    )


def _too_few(judging: Panel, learning: Panel, horizon_days: int) -> str:
    for rows, what in ((learning, "to learn from"), (judging, "to judge on")):
        silent = int(rows.actual.sum())
        back = len(rows.actual) - silent
        if min(silent, back) < FEWEST_OF_A_CLASS:
            return (
                f"Of {len(rows.actual)} rows {what}, {silent} had no order within {horizon_days} days and {back} had"
                f" one; at least {FEWEST_OF_A_CLASS} of either are needed. Load more customers, or set another"
                f" horizon_days."
            )
    return ""


def _why(report: Report, why: str, *, rows: int = 0, positives: int | None = None) -> Report:
    return replace(report, status="not_enough_data", why=why, rows=rows, positives=positives)


def _micros(moment: datetime) -> int:
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)


def _iso(micros: int) -> str:
    return _moment(micros).isoformat()
