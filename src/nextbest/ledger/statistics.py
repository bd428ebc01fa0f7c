"""The log as sums: arms and actions of a play with the outcomes that followed. SQL sums people, Python infers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot

from nextbest.errors import unknown
from nextbest.ledger import analysis, catalogue, outcomes
from nextbest.ledger.kinds import EVENTS, KINDS
from nextbest.ledger.statements import load
from nextbest.ledger.views import DUCKDB
from nextbest.types import Statistics

if TYPE_CHECKING:
    from nextbest.ledger.workspace import Ledger

_FILE = "statistics.sql"
_WINDOW = re.compile(r"(?P<what>\w+?)_(?P<days>\d+)d")
_PLURAL = {f"{kind}s": kind for kind in EVENTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What counts as an outcome: `rows` of subject_id, ts, value; within how many days; and whether once is all.

    Recorded outcomes also say which decision they belong to, where they do: `decision_id`.
    """

    rows: pa.Table
    days: float
    once: bool
    end: datetime | None


def happened(ledger: Ledger, outcome: str, *, days: float) -> Happened:
    """Give what an outcome's name means.

    `order` (a kind of event): whether there was one within `days`; `orders_30d`, `revenue_30d`: how many, how much,
    within 30 days; any other name: the recorded outcomes of that name. Raises `UnknownNameError` with the near word.
    """
    match = _WINDOW.fullmatch(outcome)
    what, window = (match["what"], int(match["days"])) if match else (outcome, days)
    if what in EVENTS and not match:
        return _happened(_events(ledger, what, None), days=window, once=True)
    if match and (what in _PLURAL or what in EVENTS):
        return _happened(_events(ledger, _PLURAL.get(what, what), None), days=window)
    if match and what in {c.name for c in KINDS["order"].columns if c.type == "number"}:
        return _happened(_events(ledger, "order", what), days=window)
    recorded = _recorded(ledger)
    names = pc.unique(recorded["name"]).to_pylist()
    for name, span in ((outcome, days), (what, window)):
        if name in names:
            rows = recorded.filter(pc.equal(recorded["name"], name)).drop_columns(["name"])
            return _happened(rows, days=span, watched=_watched(ledger))
    raise unknown("outcome", outcome, {*names, *EVENTS, "revenue_30d", "orders_30d"})


def arm_statistics(
    ledger: Ledger, play: str, outcome: Happened, *, as_of: datetime
) -> dict[tuple[str, str], Statistics]:
    """Give per (arm, action) the sums of what followed each subject's first decision, as far as it had time to."""
    rows = _run(ledger, "arms", play, outcome, as_of=as_of)
    return {
        (r["arm"], r["action_id"]): Statistics(
            n=r["n"], total=r["total"], total_squares=r["total_squares"], answered=r["answered"]
        )
        for r in rows.to_pylist()
    }


def in_hindsight(ledger: Ledger, play: str, outcome: Happened, *, as_of: datetime) -> int:
    """Give how many of the subjects counted were decided for when what followed was already known."""
    return sum(_run(ledger, "arms", play, outcome, as_of=as_of)["hindsight"].to_pylist())


def action_sums(ledger: Ledger, play: str, outcome: Happened, *, as_of: datetime) -> pa.Table:
    """Give per action, taken or not, over those who could get it: n, answered, sums weighted by 1 / probability."""
    return _run(ledger, "actions", play, outcome, as_of=as_of)


def responses(ledger: Ledger, play: str, outcome: Happened, *, as_of: datetime) -> pa.Table:
    """Give per due decision: action_id, choice_probability, base (the response expected of none), could, responded."""
    return _run(ledger, "responses", play, outcome, as_of=as_of, once=True)


def _run(
    ledger: Ledger, statement: str, play: str, outcome: Happened, *, as_of: datetime, once: bool | None = None
) -> pa.Table:
    seen = min(as_of, outcome.end) if outcome.end else as_of
    asked = {"play": play, "days": outcome.days, "due": seen - timedelta(days=outcome.days)}
    if statement != "responses":
        asked["once"] = outcome.once if once is None else once
    query = sqlglot.parse_one(load(_FILE, statement), dialect=DUCKDB)
    return analysis.fetch(ledger, query, parameters=asked, tables={"happened": outcome.rows})


def _events(ledger: Ledger, kind: str, column: str | None) -> pa.Table:
    columns = ("subject_id", "ts") if column is None else ("subject_id", "ts", column)
    rows = analysis.table(ledger, kind, columns=columns)
    value = pa.repeat(pa.scalar(1.0), rows.num_rows) if column is None else pc.fill_null(rows[column], 0.0)
    return pa.table({"subject_id": rows["subject_id"], "ts": rows["ts"], "value": value})


def _recorded(ledger: Ledger) -> pa.Table:
    """Give the recorded outcomes; one that seems to come just before the decision it names comes with it."""
    columns = ("outcome_id", "name", "subject_id", "ts", "value", "decision_id")
    rows = analysis.table(ledger, "outcomes", columns=columns)
    early = outcomes.early(ledger)
    kind = rows.schema.field("ts").type
    place = pc.index_in(rows["outcome_id"], value_set=pa.array(early.keys(), pa.string()))
    moments = pa.array(early.values(), pa.int64()).cast(pa.timestamp("us", tz="UTC")).cast(kind)
    ts = pc.coalesce(moments.take(pc.cast(place, pa.int64()).combine_chunks()), rows["ts"].combine_chunks())
    return rows.set_column(rows.column_names.index("ts"), "ts", ts).drop_columns(["outcome_id"])


def _happened(rows: pa.Table, *, days: float, once: bool = False, watched: datetime | None = None) -> Happened:
    """Give the outcome with the end of what was observed of it: the start of the day after the last one.

    An event has only its own kind to go by: a shop whose page views still come in while its last file of orders is a
    month old does not know who ordered in that month, and not known is not no. `watched` is a moment up to which a
    recorded outcome would have come in, where that is known otherwise.
    """
    last = [t for t in (pc.max(rows["ts"]).as_py(), watched) if t is not None]
    end = (max(last) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0) if last else None
    return Happened(rows=rows, days=days, once=once, end=end)


def _watched(ledger: Ledger) -> datetime | None:
    """Give the last event or outcome of any name: people record the outcomes that came, not those that did not."""
    recorded = pc.max(analysis.table(ledger, "outcomes", columns=("ts",))["ts"]).as_py()
    return max((t for t in (catalogue.last_event(ledger), recorded) if t is not None), default=None)
