"""Totals of a workspace: how many subjects it knows, and when the last event happened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.ledger import analysis
from nextbest.ledger.kinds import EVENTS
from nextbest.ledger.views import relation

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger


def count_subjects(ledger: Ledger) -> int:
    """Give the number of different subjects with an event or attributes, merged ones counted once."""
    query = _over(ledger, exp.column("subject_id"), (*EVENTS, "subjects"))
    if query is None:
        return 0
    counted = exp.select(exp.Count(this=exp.Distinct(expressions=[exp.column("subject_id")]))).from_(query)
    return int(analysis.fetch(ledger, counted)[0][0].as_py())


def last_event(ledger: Ledger) -> datetime | None:
    """Give the moment of the last event of any kind, or None when there is none."""
    query = _over(ledger, exp.Max(this=exp.column("ts")).as_("ts"), EVENTS)
    if query is None:
        return None
    last = exp.select(exp.Max(this=exp.column("ts"))).from_(query)
    found: datetime | None = analysis.fetch(ledger, last)[0][0].as_py()
    return found


def _over(ledger: Ledger, what: exp.Expr, kinds: tuple[str, ...]) -> exp.Subquery | None:
    """Give the rows of *what* from every kind that is present, as one relation."""
    present = analysis.kinds_present(ledger)
    parts = [exp.select(what.copy()).from_(relation(k)) for k in kinds if k in present]
    if not parts:
        return None
    query: exp.Query = parts[0]
    for part in parts[1:]:
        query = exp.Union(this=query, expression=part, distinct=False)
    return exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("every")))
