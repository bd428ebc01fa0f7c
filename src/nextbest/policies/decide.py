"""Decide: stop switch, consent, eligibility, caps, quiet hours, rank, hard limits, log, reply. In this order, always.

For a list (`decide_bulk`) the gates are read from one snapshot, and the log is written only if no permission has moved
since; else the gates are read again. For one subject (`decide_one`) gates and log are one transaction. A list is a
plan: its quiet hours are kept by `send`; a single decision is carried out at once and keeps them itself.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import LedgerError
from nextbest.policies import arms, limits
from nextbest.policies.columns import condition, recipe_of, with_unfitted
from nextbest.policies.counters import with_counters
from nextbest.policies.left import used_today
from nextbest.policies.rows import Rows, Stamp
from nextbest.policies.run import Ranked, Run, Settled, chosen_gain, prepare, ranked, settle
from nextbest.policies.settings import check_play, remarks
from nextbest.policies.single import decide_one

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

    from nextbest.ledger import Ledger
    from nextbest.types import Mode, Play

ATTEMPTS = 5
_KNOWN_SINCE = timedelta(days=1)  # events of the day itself come in while a list is made; more than that is the past
_log = logging.getLogger("nextbest")

__all__ = ["Decided", "decide_bulk", "decide_one"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a play decided: sums, and the rows of the log and the list to work through, made when they are asked for.

    `expected_value` is what the chosen actions are expected to earn more than doing nothing. `allocation` says how
    limits were shared out, where there are any: `spent` (what the chosen actions cost), `planned_spend`, `budget`,
    `value` and `bound` (of the plan), `gap` (their difference as a share of the bound), `uses`, `prices`, `short`.
    """

    play: str
    rows: Rows
    by_action: Mapping[str, int] = field(default_factory=dict)
    by_arm: Mapping[str, int] = field(default_factory=dict)
    removed_by: Mapping[str, int] = field(default_factory=dict)
    expected_value: float = 0.0
    degraded: int = 0
    outside_audience: int = 0
    assumed: tuple[str, ...] = ()
    allocation: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def decided(self) -> int:
        """How many subjects were decided for."""
        return int(self.rows.table.num_rows)

    @property
    def table(self) -> pa.Table:
        """The rows of the log."""
        return self.rows.whole()

    def listing(self) -> pa.Table:
        """Give the list to work through: one row per subject, the action chosen for them, what it earns, and why."""
        return self.rows.listing()


def decide_bulk(
    ledger: Ledger,
    play: Play,
    table: pa.Table,
    *,
    as_of: datetime,
    model_versions: Mapping[str, str] | None = None,
    mode: Mode = "live",
    salt: str | None = None,
) -> Decided:
    """Decide for every subject of the table who is in the play's audience, and log all of it in one commit.

    `table` holds `subject_id`, features and predictions, one row per subject. Mode `replay` logs nothing. Decisions
    as of a moment after which events are already known are marked `hindsight` in their context: nobody can have been
    given what was chosen then, so they can be looked at and measured, but never teach what an action adds.
    Raises `ConfigError` for a play that cannot be meant, and `LedgerError` when permissions keep moving, so that
    nothing could be decided soundly.
    """
    check_play(play)
    now, speakers = min(as_of, ledger.clock()), recipe_of(ledger.config.recipes)
    run = prepare(ledger, play, now=now, salt=salt, quiet=False)
    table = with_counters(ledger, table, play, now=now)
    notes = [note for note in (arms.warning(play), *remarks(play, table.column_names, speakers)) if note]
    table = with_unfitted(table, play, speakers)
    inside = table.filter(pa.array(condition(play.audience, table, f"Play '{play.name}', audience")))
    known = ranked(run, inside)
    versions = {**(model_versions or {}), "policy": run.version}
    if run.state is not None and run.state.version:
        versions["learner"] = run.state.version
    past = {"hindsight": True} if _is_past(ledger, now) else {}
    for _ in range(ATTEMPTS):
        with ledger.journal.read() as connection:
            settled = settle(ledger, connection, run, known)
        made = _rows(run, known, settled, versions=versions, mode=mode, context=past)
        if _logged(ledger, run, made, settled, mode):
            notes += limits.remarks(settled.plan, run.actions, play.name)
            return _decided(run, known, settled, made, outside=table.num_rows - inside.num_rows, notes=notes)
    message = f"Permissions or spending changed {ATTEMPTS} times while play '{play.name}' was being decided."
    raise LedgerError(f"{message} Nothing was logged; try again.")


def _is_past(ledger: Ledger, now: datetime) -> bool:
    """Tell whether events of more than a day after the moment are already in the ledger."""
    from nextbest.ledger import catalogue

    last = catalogue.last_event(ledger)
    return last is not None and min(last, ledger.clock()) - now > _KNOWN_SINCE


def _rows(
    run: Run, known: Ranked, settled: Settled, *, versions: Mapping[str, str], mode: Mode, context: Mapping[str, Any]
) -> Rows:
    from nextbest.ledger.workspace import new_id

    stamp = Stamp(
        play=run.play.name,
        request_id=new_id("d"),
        ts=run.moment.now,
        mode=mode,
        consent_version=settled.consent_version,
        policy_version=run.version,
        model_versions=versions,
        context=json.dumps({**context, **_prices(settled)}, sort_keys=True),
    )
    return Rows(
        table=known.table,
        actions=run.actions,
        stamp=stamp,
        ranking=known.ranking,
        charged=settled.charged,
        removals=settled.removals,
        choice=settled.choice,
    )


def _prices(settled: Settled) -> dict[str, Any]:
    """Give the prices at which a list was decided, for its log: another policy is replayed at the same ones."""
    if settled.plan is None:
        return {}
    prices = settled.plan.prices
    return {"prices": {"budget": prices.budget, "per_action": dict(prices.per_action)}}


def _logged(ledger: Ledger, run: Run, made: Rows, settled: Settled, mode: Mode) -> bool:
    """Write the log in one commit; False when a permission or the spending moved since the gates were read."""
    if mode == "replay" or not made.table.num_rows:
        return True
    from nextbest.ledger import lists

    before = settled.used

    def unspent(connection: sqlite3.Connection) -> bool:
        return used_today(connection, run.moment) == before

    logged = lists.log_table(
        ledger,
        run.play.name,
        made,
        consent_version=settled.consent_version,
        costs={a.id: a.cost for a in run.actions},
        still=unspent if settled.plan is not None else None,
    )
    return logged is not None


def _decided(run: Run, known: Ranked, settled: Settled, made: Rows, *, outside: int, notes: list[str]) -> Decided:
    for note in notes:
        _log.info(note)  # whoever calls has them in `notes`, and says them once
    return Decided(
        play=run.play.name,
        rows=made,
        by_action=_counts(settled.choice.action, [a.id for a in run.actions]),
        by_arm=_counts(settled.choice.arms, arms.ARMS),
        removed_by=settled.removals.counts(),
        expected_value=chosen_gain(run, known, settled.choice),
        degraded=int(settled.choice.degraded.sum()),
        outside_audience=outside,
        allocation=_allocation(run, settled),
        assumed=tuple(a.id for a, guess in zip(run.actions, known.ranking.assumed, strict=True) if guess),
        notes=tuple(notes),
    )


def _allocation(run: Run, settled: Settled) -> dict[str, Any]:
    if settled.plan is None:
        return {}
    cost = np.array([a.cost for a in run.actions])
    found = limits.facts(settled.plan, run.actions, settled.left)
    return {"spent": round(float(cost[settled.choice.action].sum()), 6), **found}


def _counts(places: np.ndarray[Any, Any], names: Sequence[str]) -> dict[str, int]:
    """Give how often each name occurs, most first, names in order where that is the same."""
    found = np.bincount(places, minlength=len(names)).tolist()
    pairs = sorted(zip(names, found, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return {name: n for name, n in pairs if n}
