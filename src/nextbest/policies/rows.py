"""From matrices to rows of the decision log, without a loop over subjects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies.arms import ARMS

if TYPE_CHECKING:
    from collections.abc import Mapping
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


def decision_rows(
    table: pa.Table,
    actions: tuple[Action, ...],
    stamp: Stamp,
    *,
    ranking: Ranking,
    removals: Removals,
    choice: Choice,
    reasons: pa.Array,
) -> pa.Table:
    """Give one row per subject with the columns of the decision log."""
    n = table.num_rows
    ids = pa.array([a.id for a in actions])
    chosen = choice.probability[np.arange(n), choice.action]
    number = pc.utf8_lpad(pc.cast(pa.array(np.arange(n)), pa.string()), 8, "0")
    columns: dict[str, Any] = {
        "decision_id": pc.binary_join_element_wise(stamp.request_id, number, "-"),
        "request_id": _all(stamp.request_id, n),
        "play": _all(stamp.play, n),
        "mode": _all(stamp.mode, n),
        "arm": pa.array(ARMS).take(pa.array(choice.arms)),
        "subject_id": table["subject_id"],
        "ts": pa.repeat(pa.scalar(stamp.ts, pa.timestamp("us", tz="UTC")), n),
        "context": _all(stamp.context, n),
        "candidates": candidates(actions, ranking, removals, choice),
        "action_id": ids.take(pa.array(choice.action)),
        "choice_probability": pa.array(chosen),
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


def candidates(actions: tuple[Action, ...], ranking: Ranking, removals: Removals, choice: Choice) -> pa.ListArray:
    """Give every action considered per subject: who removed it, both probabilities, its worth and cost."""
    n, k = ranking.worth.shape
    fields = {
        "action_id": pa.array([a.id for a in actions]).take(pa.array(np.tile(np.arange(k, dtype=np.int16), n))),
        "removed_by": removals.names(removals.codes),
        "response_probability": pa.array(ranking.response.ravel()),
        "expected_value": pa.array(ranking.worth.ravel()),
        "cost": pa.array(np.tile(np.array([a.cost for a in actions], dtype=np.float64), n)),
        "choice_probability": pa.array(choice.probability.ravel()),
    }
    return pa.ListArray.from_arrays(
        pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(k)),
        pa.StructArray.from_arrays(list(fields.values()), list(fields)),
    )


def as_json(table: pa.Table) -> pa.Array:
    """Give each row as a JSON object in text; what is missing or not finite is null."""
    parts = [_member(name, table[name]) for name in table.column_names]
    if not parts:
        return _all("{}", table.num_rows)
    inner = pc.binary_join_element_wise(*parts, ", ")
    joined = pc.binary_join_element_wise("{", inner, "}", "")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _member(name: str, column: pa.ChunkedArray) -> Any:  # noqa: ANN401 (an Arrow array)
    text = _value(column)
    return pc.binary_join_element_wise(json.dumps(name), pc.fill_null(text, "null"), ": ")


def _value(column: pa.ChunkedArray) -> Any:  # noqa: ANN401 (an Arrow array)
    kind = column.type
    if pa.types.is_floating(kind):
        return pc.cast(pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind)), pa.string())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return pc.cast(column, pa.string())
    # Texts repeat: each distinct one is quoted once.
    coded = pc.cast(column, pa.string()).combine_chunks().dictionary_encode()
    quoted = pa.array([json.dumps(v) for v in coded.dictionary.to_pylist()], pa.string())
    return quoted.take(coded.indices)


def listing(rows: pa.Table, actions: tuple[Action, ...], ranking: Ranking, choice: Choice) -> pa.Table:
    """Give the list a person works through: the chosen action with its probabilities, worth, gain and reason."""
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
