"""Another policy on a log that somebody else kept: a flat table, a row per decision, with the chance of what was done.

The other policy is an action for everyone, "uniform", columns with its chance of every action, or a table of its
chances per action (and per anything else that both tables know, such as the place on the page).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError, UsageError, nearest
from nextbest.measures.replay.evaluate import evaluate, untold
from nextbest.measures.replay.logged import Batch
from nextbest.measures.replay.support import MOST_WITHOUT
from nextbest.measures.table import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextbest.measures.replay.logged import Codes, Numbers
    from nextbest.types import Effect

UNIFORM = "uniform"
CHANCE = "probability"
_MOST_ACTIONS = 2000
_CELLS = 2_000_000
_MOST_GROUPS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which column says what: the action taken, its chance, and where there are any: subject, groups, facts, places.

    `choice_probability` is the column with the chance of the action taken, or the beginning of the names of columns
    with the chance of every action. `facts` are numbers known before the decision, to expect a reward by. `request`
    and `position` say which rows are places of one page.
    """

    outcome: str
    treatment: str
    choice_probability: str
    subject: str = ""
    by: str = ""
    facts: tuple[str, ...] = ()
    request: str = ""
    position: str = ""

    def checked(self, table: pa.Table) -> None:
        """Raise `UsageError` for a column that the table does not have."""
        single = [self.outcome, self.treatment, self.subject, self.by, self.request, self.position, *self.facts]
        for name in filter(None, single):
            if name not in table.column_names:
                known = table.column_names
                raise UsageError(f"The table has no column '{name}'.{nearest(name, known)} It has: {', '.join(known)}.")


def wanted(
    *, level: float = 0.95, estimator: str = "", facts: Sequence[str] = (), **names: str
) -> tuple[Columns, dict[str, Any]]:
    """Give the columns that are named, and the rest of what `replay_table` takes; raises `UsageError`."""
    known = [f.name for f in fields(Columns)]
    for name in names:
        if name not in known:
            raise UsageError(f"A log has no column for '{name}'.{nearest(name, known)} Known: {', '.join(known)}.")
    if not names.get("choice_probability"):
        message = "Say which column holds the chance with which the action was chosen: --choice-probability COLUMN."
        raise UsageError(message)
    return Columns(**names, facts=tuple(facts)), {"level": level, "estimator": estimator}


def replay_table(
    table: pa.Table, columns: Columns, *, target: str | pa.Table, level: float = 0.95, estimator: str = ""
) -> Effect:
    """Give what the target policy would have earned per row less what the logged one did, or why nobody can tell."""
    columns.checked(table)
    if isinstance(target, str) and not target:
        raise UsageError(f"Say which policy to judge: --target ACTION, {UNIFORM}, a prefix of columns, or a file.")
    rows, lost = _usable(table, columns)
    actions = _actions(rows, columns, target)
    taken = _text(rows[columns.treatment])
    chosen = _codes(taken, actions)
    name = columns.choice_probability
    whole = _matrix(rows, name, actions)
    if name in table.column_names:
        probability = numbers(rows[name], name).to_numpy()
    elif whole is not None:
        probability = whole[np.arange(len(chosen)), chosen]
    else:
        raise UsageError(
            f"The table has no column '{name}', nor one for every action that begins with it, for the "
            "chance with which the action was chosen."
        )
    good = np.isfinite(probability) & (probability > 0) & (probability <= 1)
    if (~good).mean() > MOST_WITHOUT:
        why = f"{(~good).sum():,} of {len(good):,} rows have no chance above 0 and at most 1 in '{name}'."
        return replace(untold("cannot_tell", why, rows.num_rows, level=level), outcome=columns.outcome)
    log = _Log(rows=rows, columns=columns, actions=actions, chosen=chosen, probability=probability, whole=whole)
    log = log.where(good)
    effect = evaluate(
        log.batches,
        lambda batch: _chances(target, log, batch),
        level=level,
        estimator=estimator,
        groups=log.groups(),
    )
    left = lost + int((~good).sum())
    note = (
        f"{left:,} of {table.num_rows:,} rows lack an outcome, an action or its chance, and are left out."
        if left
        else ""
    )
    details = {**effect.details, "policy": target if isinstance(target, str) else "the target table", "left_out": left}
    return replace(effect, outcome=columns.outcome, why=" ".join(filter(None, (effect.why, note))), details=details)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """The rows that can be used, as arrays where the estimators need them."""

    rows: pa.Table
    columns: Columns
    actions: tuple[str, ...]
    chosen: Codes
    probability: Numbers
    whole: Numbers | None

    def where(self, keep: Any) -> _Log:  # noqa: ANN401 (an array of flags)
        """Give the marked rows."""
        whole = None if self.whole is None else self.whole[keep]
        rows = self.rows.filter(pa.array(keep))
        return replace(self, rows=rows, chosen=self.chosen[keep], probability=self.probability[keep], whole=whole)

    def groups(self) -> tuple[str, ...]:
        """Give the most frequent values of the column that results are split by."""
        if not self.columns.by:
            return ()
        counted = _text(self.rows[self.columns.by]).value_counts().to_pylist()
        order = sorted(counted, key=lambda v: (-v["counts"], v["values"]))
        return tuple(v["values"] for v in order[:_MOST_GROUPS])

    def batches(self) -> Iterator[Batch]:
        """Give the log, a stretch at a time."""
        n, k = self.rows.num_rows, len(self.actions)
        reward = numbers(self.rows[self.columns.outcome], self.columns.outcome).to_numpy()
        place = _place(self.rows, self.columns)
        facts = np.column_stack([_facts(self.rows, self.columns.facts), 1.0 / place])
        subject, request = _own(self.rows, self.columns.subject), _own(self.rows, self.columns.request)
        groups = self.groups()
        group = _codes(_text(self.rows[self.columns.by]), groups, other=len(groups)) if groups else subject * 0
        step = max(1, _CELLS // k)
        for start in range(0, n, step):
            span = slice(start, min(start + step, n))
            many = span.stop - start
            yield Batch(
                reward=reward[span],
                chosen=self.chosen[span],
                probability=self.probability[span],
                eligible=np.ones((many, k), dtype=bool),
                subject=subject[span],
                facts=facts[span],
                cell_facts=np.zeros((many, k, 0)),
                logged=None if self.whole is None else self.whole[span],
                request=request[span],
                position=place[span],
                group=group[span],
                place=start,
            )


def _usable(table: pa.Table, columns: Columns) -> tuple[pa.Table, int]:
    reward = numbers(table[columns.outcome], columns.outcome)
    keep = pc.and_(pc.fill_null(pc.is_finite(reward), fill_value=False), pc.is_valid(table[columns.treatment]))
    rows = table.filter(keep)
    return rows, table.num_rows - rows.num_rows


def _actions(rows: pa.Table, columns: Columns, target: str | pa.Table) -> tuple[str, ...]:
    """Give all actions: those taken, and those that the target knows besides."""
    found = set(pc.unique(_text(rows[columns.treatment])).to_pylist())
    if isinstance(target, pa.Table):
        for name in (columns.treatment, CHANCE):
            if name not in target.column_names:
                raise UsageError(f"The target table needs the columns '{columns.treatment}' and '{CHANCE}'.")
        found |= set(pc.unique(_text(target[columns.treatment])).to_pylist())
    if len(found) > _MOST_ACTIONS:
        raise DataError(f"Column '{columns.treatment}' has {len(found):,} different values; at most {_MOST_ACTIONS:,}.")
    return tuple(sorted(found))


def _chances(target: str | pa.Table, log: _Log, batch: Batch) -> Numbers:
    """Give the target's chance of every action for a batch."""
    n, k = batch.eligible.shape
    rows = log.rows.slice(batch.place, n)
    if isinstance(target, pa.Table):
        return _looked_up(target, log, rows)
    if target == UNIFORM:
        return np.full((n, k), 1.0 / k)
    if target in log.actions:
        return np.tile(np.eye(k)[log.actions.index(target)], (n, 1))
    whole = _matrix(rows, target, log.actions)
    if whole is None:
        raise UsageError(
            f"--target '{target}' is no action, no file, not '{UNIFORM}', and there is no column '{target}ACTION' "
            f"for every action.{nearest(target, log.actions)} Actions: {', '.join(log.actions[:_MOST_GROUPS])}."
        )
    return whole


def _looked_up(target: pa.Table, log: _Log, rows: pa.Table) -> Numbers:
    """Give the chances of the target table, by what both tables know besides the action; they must sum to 1."""
    treatment = log.columns.treatment
    keys = [n for n in target.column_names if n in rows.column_names and n not in {treatment, CHANCE}]
    theirs, ours = (_joined(t, keys) for t in (target, rows))
    known = pc.unique(theirs)
    chance = np.zeros((len(known), len(log.actions)))
    value = numbers(target[CHANCE], CHANCE).to_numpy()
    at = pc.index_in(theirs, value_set=known).to_numpy()
    np.add.at(chance, (at, _codes(_text(target[treatment]), log.actions)), value)
    where = pc.index_in(ours, value_set=known)
    if where.null_count:
        raise DataError(f"The target table says nothing for {where.null_count:,} rows: it is looked up by {keys}.")
    return np.asarray(chance[where.to_numpy()], dtype=np.float64)


def _joined(table: pa.Table, keys: Sequence[str]) -> pa.Array:
    if not keys:
        return pa.repeat(pa.scalar(""), table.num_rows)
    return pc.binary_join_element_wise(*(_text(table[k]) for k in keys), "\n")


def _matrix(rows: pa.Table, prefix: str, actions: Sequence[str]) -> Numbers | None:
    """Give the columns whose names are the prefix and an action; None unless there is one for every action."""
    if not prefix or any(prefix + a not in rows.column_names for a in actions):
        return None
    return np.column_stack([numbers(rows[prefix + a], prefix + a).to_numpy() for a in actions])


def _facts(rows: pa.Table, names: Sequence[str]) -> Numbers:
    """Give the facts as numbers; what is missing has the mean of what is known."""
    out = np.zeros((rows.num_rows, len(names)))
    for j, name in enumerate(names):
        column = numbers(rows[name], name).to_numpy(zero_copy_only=False)
        good = np.isfinite(column)
        out[:, j] = np.where(good, column, column[good].mean() if good.any() else 0.0)
    return out


def _place(rows: pa.Table, columns: Columns) -> Codes:
    """Give each row's place on its page from 1; 1 where rows are no places of a page."""
    if not columns.request or not columns.position:
        return np.ones(rows.num_rows, dtype=np.int64)
    position = numbers(rows[columns.position], columns.position).to_numpy()
    return np.asarray(position - position.min() + 1, dtype=np.int64)


def _own(rows: pa.Table, name: str) -> Codes:
    """Give a number per value of a column; every row its own where there is none."""
    if not name:
        return np.arange(rows.num_rows, dtype=np.int64)
    coded = _text(rows[name]).dictionary_encode().indices
    return np.asarray(pc.fill_null(coded, -1).to_numpy(zero_copy_only=False), dtype=np.int64) + 1


def _text(column: pa.ChunkedArray) -> pa.Array:
    return pc.utf8_trim_whitespace(pc.cast(column.combine_chunks(), pa.string()))


def _codes(values: pa.Array, names: Sequence[str], *, other: int = 0) -> Codes:
    found = pc.fill_null(pc.index_in(values, value_set=pa.array(names, pa.string())), other)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
