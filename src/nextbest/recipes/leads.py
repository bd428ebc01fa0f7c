"""Leads in the ledger: who is one, what counts as converting, and what is known of them at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import unknown
from nextbest.features.build import build
from nextbest.ledger import analysis
from nextbest.recipes import timeline
from nextbest.recipes.timeline import DAY_US, Timeline, micros

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nextbest.features.language import Feature

# What a lead is: any subject that is not one of these.
_NO_PERSON = ("deal", "account", "company", "product", "device", "campaign", "order", "refund")
_CUSTOMER = ("customer", "evangelist", "closed won", "closedwon")
_QUALIFIED = ("qualified", "sql", "salesqualifiedlead", "sales qualified lead", "sales qualified", "opportunity",
              "open_deal", "open deal")  # fmt: skip
# What was known of a lead when it came in. Stages, statuses, owners, ratings and bought scores are left out: they are
# written by those who work the lead, after they saw how it went.
TEXTS = ("lead_source", "industry", "job_title", "country", "state", "city", "language")
NUMBERS = ("employees", "annual_revenue")
ATTRIBUTES = (*TEXTS, *NUMBERS)
AGE = "days_since_created"
_ENOUGH = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What counts as converting: its name, how it is said, and when it happened to whom."""

    name: str
    said: str
    happened: Timeline

    def conversions(self) -> int:
        """Give how many events of conversion there are."""
        wanted = self.happened.wanted
        return len(self.happened.ts) if wanted is None else int(wanted.sum())


def goal(ledger: Any, name: str, *, as_of: datetime) -> Goal | None:  # noqa: ANN401 (a ledger)
    """Give the goal of that name; for '' the firmest of which there are enough, else the one of which there are most.

    None when the ledger holds no conversion of any kind.
    """
    if name:
        if name not in GOALS:
            raise unknown("goal of a lead", name, GOALS)
        return _goal(ledger, name, as_of)
    found = [g for known in GOALS if (g := _goal(ledger, known, as_of)).conversions()]
    enough = [g for g in found if g.conversions() >= _ENOUGH]
    return enough[0] if enough else max(found, key=Goal.conversions, default=None)


def rows(ledger: Any, features: Sequence[Feature], *, as_of: datetime, dated: bool) -> pa.Table:  # noqa: ANN401
    """Give `subject_id`, features and attributes of everyone known before a moment who is a person.

    `dated`: only those of whom it is known that they were known: created before it, or with an event before it.
    """
    states = _states(ledger, as_of)
    if features:
        seen = build(ledger, features, as_of=as_of, population="all")
    else:
        seen = states.select(["subject_id"]).sort_by("subject_id")
    place = pc.index_in(seen["subject_id"], value_set=states["subject_id"].combine_chunks().cast(pa.string()))
    known = states.take(place)
    created = known["created_ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
    age = pc.divide(pc.cast(pc.subtract(micros(as_of), created), pa.float64()), float(DAY_US))
    person = pc.invert(pc.is_in(known["subject_type"], value_set=pa.array(_NO_PERSON)))
    before = pc.fill_null(pc.greater(age, 0.0), fill_value=not dated)
    table = seen
    for column in ATTRIBUTES:
        table = table.append_column(column, known[column])
    table = table.append_column(AGE, age)
    there = pc.or_(before, pa.array(_active(seen))) if dated else pc.or_(before, pc.is_null(age))
    return table.filter(pc.and_(person, there)).combine_chunks()


def first_known(ledger: Any, as_of: datetime) -> int | None:  # noqa: ANN401
    """Give when the first lead was created, in microseconds, or None where no lead says."""
    first = pc.min(_states(ledger, as_of)["created_ts"]).as_py()
    return None if first is None else micros(first)


def _states(ledger: Any, as_of: datetime) -> pa.Table:  # noqa: ANN401
    columns = ("subject_id", "subject_type", "created_ts", *ATTRIBUTES)
    found: pa.Table = analysis.table(ledger, "subjects", columns=columns, before=as_of)
    return found


def _active(seen: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell who has any event: a feature that is known and not zero."""
    found = np.zeros(seen.num_rows, dtype=bool)
    for name in seen.column_names:
        if name != "subject_id":
            values = seen[name].to_numpy(zero_copy_only=False)
            found |= np.isfinite(values) & (values != 0)
    return found


# --- what counts as converting ----------------------------------------------------------------------------------------


def _goal(ledger: Any, name: str, as_of: datetime) -> Goal:  # noqa: ANN401
    said, read = _GOALS[name]
    return Goal(name=name, said=said, happened=read(ledger, as_of))


def _won_deals(ledger: Any, as_of: datetime) -> Timeline:  # noqa: ANN401
    """Give the stages of deals at the people they are tied to; wanted is the winning, when the deal was closed."""
    columns = ("subject_id", "ts", "won", "closed_ts")
    deals = analysis.table(ledger, "deal_stage", columns=columns, before=as_of)
    won = pc.fill_null(deals["won"], fill_value=False)
    when = pc.if_else(won, pc.coalesce(deals["closed_ts"], deals["ts"]), deals["ts"])
    links = analysis.table(ledger, "links", columns=("subject_id", "to_subject_id"))
    ties = pa.table({
        "deal": pa.chunked_array([*links["to_subject_id"].chunks, *links["subject_id"].chunks], pa.string()),
        "person": pa.chunked_array([*links["subject_id"].chunks, *links["to_subject_id"].chunks], pa.string()),
    })  # fmt: skip
    stages = pa.table({"deal": deals["subject_id"].cast(pa.string()), "ts": when, "won": won})
    stages = stages.filter(pc.less(stages["ts"], pa.scalar(as_of, pa.timestamp("us", tz="UTC"))))
    tied = stages.join(ties, keys="deal", join_type="inner")
    tied = tied.filter(pc.invert(pc.is_in(tied["person"], value_set=pc.unique(stages["deal"]))))
    met = tied["won"].to_numpy(zero_copy_only=False).astype(bool)
    return timeline.of_rows("deal_stage", tied.rename_columns({"person": "subject_id"}), met)


def _events(*kinds: str, where: str = "") -> Callable[[Any, datetime], Timeline]:
    def read(ledger: Any, as_of: datetime) -> Timeline:  # noqa: ANN401
        present = analysis.kinds_present(ledger)
        return timeline.read(ledger, next((k for k in kinds if k in present), kinds[0]), before=as_of, where=where)

    return read


def _became(column: str, words: Sequence[str]) -> Callable[[Any, datetime], Timeline]:
    """Give the states whose moment is known; wanted are those that say one of the words."""

    def read(ledger: Any, as_of: datetime) -> Timeline:  # noqa: ANN401
        names = ("subject_id", "valid_from", column)
        states = analysis.table(ledger, "subjects_history", columns=names, before=as_of)
        states = states.filter(pc.and_(pc.is_valid(states["valid_from"]), pc.is_valid(states[column])))
        said = pc.utf8_lower(pc.utf8_trim_whitespace(states[column].cast(pa.string())))
        met = pc.is_in(said, value_set=pa.array(words)).to_numpy(zero_copy_only=False).astype(bool)
        return timeline.of_rows("subjects", states.rename_columns({"valid_from": "ts"}), met)

    return read


_GOALS: dict[str, tuple[str, Callable[[Any, datetime], Timeline]]] = {
    "won_deal": ("a deal was won", _won_deals),
    "order": ("a first order came", _events("order", "order_line")),
    "subscription": ("a subscription began", _events("subscription")),
    "converted": ("the lead was marked as converted", _events("label", where="name == 'converted'")),
    "customer": ("the lead became a customer", _became("lifecycle_stage", _CUSTOMER)),
    "qualified": ("the lead was qualified", _became("lead_status", _QUALIFIED)),
}
GOALS = tuple(_GOALS)  # the firmest first
