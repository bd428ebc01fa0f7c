"""Who is in a workspace: the subjects with an event or attributes, merged ones counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.ledger import analysis
from nextbest.ledger.kinds import EVENTS
from nextbest.ledger.views import relation

if TYPE_CHECKING:
    from nextbest.ledger.workspace import Ledger


def subjects(ledger: Ledger) -> list[str]:
    """Give the id of every subject with an event or attributes, sorted."""
    present = analysis.kinds_present(ledger)
    column = exp.column("subject_id")
    parts = [exp.select(column).from_(relation(k)) for k in (*EVENTS, "subjects") if k in present]
    if not parts:
        return []
    query: exp.Query = parts[0]
    for part in parts[1:]:
        query = exp.Union(this=query, expression=part, distinct=True)
    every = exp.Subquery(this=query, alias=exp.TableAlias(this=exp.to_identifier("every")))
    found = exp.select(column).distinct().from_(every).where(column.is_(exp.null()).not_()).order_by(column)
    ids: list[str] = analysis.fetch(ledger, found)["subject_id"].to_pylist()
    return ids
