"""From matrices to rows of the decision log, by blocks of subjects and without a loop over them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies.arms import ARMS
from nextbest.policies.reasons import sentences
from nextbest.policies.run import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from nextbest.policies.choose import Choice
    from nextbest.policies.removals import Removals
    from nextbest.policies.response import Ranking
    from nextbest.types import Action, Mode

LISTING = (
    "decision_id", "subject_id", "action_id", "choice_probability", "response_probability", "expected_value", "arm",
    "reason", "channel", "gain",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What all decisions of one run have in common."""

    play: str
    request_id: str
    ts: datetime
    mode: Mode
    consent_version: int
    policy_version: str
    model_versions: Mapping[str, str]
    latency_us: int = 0
    context: str = "{}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """The rows of a list. They are made when asked for, by blocks: they are far bigger than what they follow from."""

    table: pa.Table
    actions: tuple[Action, ...]
    stamp: Stamp
    ranking: Ranking
    charged: Ranking
    removals: Removals
    choice: Choice

    def __iter__(self) -> Iterator[pa.Table]:
        """Give blocks of rows with the columns of the decision log; an empty list is one empty block."""
        return (self._block(part) for part in blocks(self.table.num_rows))

    def whole(self) -> pa.Table:
        """Give all rows at once."""
        return pa.concat_tables(self)

    def listing(self) -> pa.Table:
        """Give the list a person works through: the chosen action with its probabilities, worth, gain and reason."""
        return pa.concat_tables(
            _listing(self._block(part), self.actions, self.ranking.part(part), self.choice.part(part))
            for part in blocks(self.table.num_rows)
        )

    def _block(self, part: slice) -> pa.Table:
        removals, choice, ranking = self.removals.part(part), self.choice.part(part), self.ranking.part(part)
        charged = self.charged.part(part).worth
        told = sentences(ranking, removals, self.actions, choice.arms, choice.action, charged=charged)
        return _decision_rows(
            self.table.slice(part.start, part.stop - part.start),
            self.actions,
            self.stamp,
            first=part.start,
            candidates=candidates(
                self.actions, ranking, removals, choice, learnt="learner" in self.stamp.model_versions
            ),
            choice=choice,
            reasons=told,
        )


def _decision_rows(
    table: pa.Table,
    actions: tuple[Action, ...],
    stamp: Stamp,
    *,
    first: int,
    candidates: pa.ListArray,
    choice: Choice,
    reasons: pa.Array,
) -> pa.Table:
    """Give one row per subject with the columns of the decision log; *first* is the number of the first one."""
    n = table.num_rows
    ids = pa.array([a.id for a in actions])
    number = pc.utf8_lpad(pc.cast(pa.array(np.arange(first, first + n)), pa.string()), 8, "0")
    columns: dict[str, Any] = {
        "decision_id": pc.binary_join_element_wise(stamp.request_id, number, "-"),
        "request_id": _all(stamp.request_id, n),
        "play": _all(stamp.play, n),
        "mode": _all(stamp.mode, n),
        "arm": pa.array(ARMS).take(pa.array(choice.arms)),
        "subject_id": table["subject_id"],
        "ts": pa.repeat(pa.scalar(stamp.ts, pa.timestamp("us", tz="UTC")), n),
        "context": _all(stamp.context, n),
        "candidates": candidates,
        "action_id": ids.take(pa.array(choice.action)),
        "choice_probability": pa.array(choice.probability[np.arange(n), choice.action]),
        "seed": pa.repeat(pa.scalar(choice.seed, pa.int64()), n),
        "features": as_json(table.drop_columns(["subject_id"])),
        "consent_version": pa.repeat(pa.scalar(stamp.consent_version, pa.int64()), n),
        "policy_version": _all(stamp.policy_version, n),
        "model_versions": _all(json.dumps(dict(stamp.model_versions), sort_keys=True), n),
        "reason": reasons,
        "degraded": pa.array(choice.degraded),
        "latency_us": pa.repeat(pa.scalar(stamp.latency_us, pa.int64()), n),
    }
    return pa.table(columns)


def candidates(
    actions: tuple[Action, ...], ranking: Ranking, removals: Removals, choice: Choice, *, learnt: bool = False
) -> pa.ListArray:
    """Give every action considered per subject: who removed it, both probabilities, its worth and cost.

    `learnt` says that a learner told how sure it was, which is logged then.
    """
    n, k = ranking.worth.shape
    fields = {
        "action_id": pa.array([a.id for a in actions]).take(pa.array(np.tile(np.arange(k, dtype=np.int16), n))),
        "removed_by": removals.names(removals.codes),
        "response_probability": pa.array(ranking.response.ravel()),
        "expected_value": pa.array(ranking.worth.ravel()),
        "cost": pa.array(np.tile(np.array([a.cost for a in actions], dtype=np.float64), n)),
        "choice_probability": pa.array(choice.probability.ravel()),
        "spread": pa.array(ranking.spread.ravel())
        if learnt and ranking.spread is not None
        else pa.nulls(n * k, pa.float64()),
    }
    return pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(k)),
        pa.StructArray.from_arrays(list(fields.values()), list(fields)),
    )


def as_json(table: pa.Table) -> pa.Array:
    """Give each row as a JSON object in text; what is missing or not finite is null."""
    if not table.num_columns:
        return _all("{}", table.num_rows)
    parts: list[Any] = []
    for name in table.column_names:
        value = _value(table[name].combine_chunks())
        head = f"{', ' if parts else '{'}{json.dumps(name)}: "
        parts += [head, pc.fill_null(value, "null") if value.null_count else value]
    return pc.binary_join_element_wise(*parts, "}", "")


def _value(column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_floating(kind):
        finite = pc.is_finite(column)
        if not pc.all(finite, min_count=0).as_py():
            column = pc.if_else(finite, column, pa.scalar(None, kind))
        return pc.cast(column, pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pc.cast(column, pa.string())
    # Texts repeat: each distinct one is quoted once.
    coded = pc.cast(column, pa.string()).dictionary_encode()
    quoted = pa.array([json.dumps(v) for v in coded.dictionary.to_pylist()], pa.string())
    return quoted.take(coded.indices)


def _listing(rows: pa.Table, actions: tuple[Action, ...], ranking: Ranking, choice: Choice) -> pa.Table:
    at = (np.arange(rows.num_rows), choice.action)
    none = [a.id for a in actions].index("none")
    worth = ranking.worth[at]
    extra = {
        "response_probability": pa.array(ranking.response[at]),
        "expected_value": pa.array(worth),
        "gain": pa.array(worth - ranking.worth[:, none]),
        "channel": pa.array([a.channel for a in actions]).take(pa.array(choice.action)),
    }
    return pa.table({name: extra[name] if name in extra else rows[name] for name in LISTING})


def _all(text: str, n: int) -> pa.Array:
    return pa.repeat(pa.scalar(text), n)
