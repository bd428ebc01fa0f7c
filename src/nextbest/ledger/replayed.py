"""The log of a play as another policy would see it: each due decision, its candidates and chances, what followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import sqlglot

from nextbest.ledger import analysis
from nextbest.ledger.statements import load
from nextbest.ledger.views import DUCKDB

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.ledger.statistics import Happened
    from nextbest.ledger.workspace import Ledger

_FILE = "replayed.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged:
    """The due decisions of a play whose chance is known, one row each, and how many there were of which sort.

    `rows`: subject_id, ts, arm, action_id, choice_probability, request, place, policy_version, features and context
    (JSON; null unless asked for), candidates, reward; price (of a unit of money) and prices (JSON, per use of an
    action) at which it was decided, null where nothing says. `counts`: decisions, pending, degraded,
    without_probability, hindsight, estimated (the chance of what was done was estimated, not logged),
    estimated_others (those of what was not done).
    """

    rows: pa.Table
    counts: Mapping[str, int]


def logged(ledger: Ledger, play: str, outcome: Happened, *, as_of: datetime, features: bool = False) -> Logged:
    """Give the decisions of a play that are due at a moment; with the *features* they were made with, or without."""
    seen = min(as_of, outcome.end) if outcome.end else as_of
    asked: dict[str, Any] = {"play": play, "due": seen - timedelta(days=outcome.days)}
    (counts,) = _fetch(ledger, "counts", asked, {}).to_pylist()
    asked |= {"days": outcome.days, "once": outcome.once, "wanted": features}
    happened = outcome.rows
    if "decision_id" not in happened.column_names:
        happened = happened.append_column("decision_id", pa.nulls(happened.num_rows, pa.string()))
    return Logged(rows=_fetch(ledger, "decisions", asked, {"happened": happened}), counts=counts)


def _fetch(ledger: Ledger, statement: str, asked: Mapping[str, Any], tables: Mapping[str, pa.Table]) -> pa.Table:
    query = sqlglot.parse_one(load(_FILE, statement), dialect=DUCKDB)
    return analysis.fetch(ledger, query, parameters=asked, tables=tables)
