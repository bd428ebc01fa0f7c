"""Decisions as they were seen, as rows of our decision log: every candidate, and both chances.

Where a log has no list of candidates, they are the actions that it chose at all. Where it says the chance of the choice
alone, the rest is shared out among the others as estimated, and the context says `estimated_candidates`; where it does
not say that either, the context says `estimated_probability`, and whoever computes with it has to say so too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.channels.logs.estimate import MOST_ACTIONS, estimate
from nextbest.ledger.decisions import DECISION_SCHEMA
from nextbest.ledger.logs import FOREIGN
from nextbest.types import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextbest.channels.logs.estimate import Chances
    from nextbest.channels.logs.seen import Seen

CHOSEN_ABOVE = "chosen_above"
ESTIMATED = "estimated_probability"
ESTIMATED_OTHERS = "estimated_candidates"
IMPORTED = "imported"
BATCH = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The decisions of a log with their ids, people and plays, and the estimated chances where they are asked for."""

    system: str
    decisions: Sequence[Seen]
    ids: Sequence[str]
    request_ids: Sequence[str]
    subjects: Sequence[str]
    plays: Sequence[str]
    chances: Chances | None = None
    index: Mapping[str, int] = field(default_factory=dict)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Give the rows of the decision log, some thousands at a time."""
        for places in _batched(range(len(self.decisions)), BATCH):
            yield self._batch(places)

    @property
    def estimated(self) -> int:
        """How many decisions have an estimated chance of the choice."""
        return sum(seen.choice_probability is None for seen in self.decisions)

    def _batch(self, places: Sequence[int]) -> pa.RecordBatch:
        rows = [_Row(seen=self.decisions[i], weights=self._weights(i), index=self.index) for i in places]
        candidates = [row.candidates() for row in rows]
        own: dict[str, list[Any]] = {
            "decision_id": [self.ids[i] for i in places],
            "request_id": [self.request_ids[i] for i in places],
            "play": [self.plays[i] for i in places],
            "subject_id": [self.subjects[i] for i in places],
            "choice_probability": [found[0].choice_probability for found in candidates],
            "context": [
                json.dumps({**row.seen.context, **row.described, IMPORTED: self.system, **row.marks}) for row in rows
            ],
            "model_versions": [_versions(self.system, row.seen) for row in rows],
            "policy_version": [f"{FOREIGN}{self.system}:{row.seen.policy_version}".rstrip(":") for row in rows],
            "action_features": [_json(row.seen.action_features) for row in rows],
            "reason": [f"Decided by {self.system}, and loaded from its log."] * len(rows),
            **{name: [getattr(row.seen, name) for row in rows] for name in ("arm", "ts", "action_id", "position")},
        }
        same = {"mode": "live", "seed": 0, "features": "{}", "consent_version": 0, "degraded": False, "latency_us": 0}
        columns = {name: [value] * len(rows) for name, value in same.items()} | own
        arrays = [
            _lists(candidates, f.type) if f.name == "candidates" else _array(columns.get(f.name), f, len(rows))
            for f in DECISION_SCHEMA
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=DECISION_SCHEMA)

    def _weights(self, place: int) -> Any:  # noqa: ANN401 (a row of an array, or None)
        return None if self.chances is None else self.chances.weights[place]


def prepared(
    system: str,
    decisions: Sequence[Seen],
    *,
    ids: Sequence[str],
    request_ids: Sequence[str],
    subjects: Sequence[str],
    plays: Sequence[str],
) -> Prepared:
    """Give the decisions ready to be written; chances are estimated only where the log leaves some open."""
    open_ = [d for d in decisions if d.choice_probability is None or not d.known]
    chances = estimate(decisions) if open_ else None
    return Prepared(
        system=system,
        decisions=decisions,
        ids=ids,
        request_ids=request_ids,
        subjects=subjects,
        plays=plays,
        chances=chances,
        index=chances.index() if chances else {},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One decision and the estimated weights of the actions, by their place."""

    seen: Seen
    weights: Any
    index: Mapping[str, int]

    @property
    def marks(self) -> dict[str, bool]:
        """What of the chances is estimated."""
        if self.seen.choice_probability is None:
            return {ESTIMATED: True}
        return {} if self.seen.known or self.seen.choice_probability == 1 else {ESTIMATED_OTHERS: True}

    @property
    def described(self) -> dict[str, Any]:
        """What a segment has no column for: the position in a list, and what described the chosen action."""
        position = {"position": self.seen.position} if self.seen.position > 1 or self.seen.request else {}
        return {**position, **({"action_features": self.seen.action_features} if self.seen.action_features else {})}

    def candidates(self) -> list[Candidate]:
        """Give the candidates, the chosen one first; the chances of those that could be chosen sum to 1."""
        seen = self.seen
        chosen = Candidate(
            action_id=seen.action_id,
            response_probability=seen.response_probability,
            expected_value=seen.expected_value,
        )
        removed = [c for c in seen.listed if c.removed_by is not None]
        removed += [Candidate(action_id=a, removed_by=CHOSEN_ABOVE) for a in seen.above if a != seen.action_id]
        others = self._others()
        chances = self._chances([seen.action_id, *(c.action_id for c in others)], others)
        open_ = [_with(c, float(p)) for c, p in zip((chosen, *others), chances, strict=True)]
        return [*open_, *removed]

    def _others(self) -> list[Candidate]:
        """Give what else could be chosen: as the log lists it, else all that it ever chose."""
        seen = self.seen
        if seen.listed or seen.known:
            return [c for c in seen.listed if c.removed_by is None]
        gone = {seen.action_id, *seen.above}
        return [Candidate(action_id=a) for a in self.index if a not in gone][: MOST_ACTIONS - 1]

    def _chances(self, names: Sequence[str], others: Sequence[Candidate]) -> Any:  # noqa: ANN401 (an array)
        said = self.seen.choice_probability
        if self.seen.known and said is not None:
            return np.array([said, *(c.choice_probability for c in others)])
        least = float(self.weights[self.weights > 0].min()) if (self.weights > 0).any() else 1.0
        weights = np.array([self.weights[self.index[n]] if n in self.index else least for n in names])
        weights = np.where(weights > 0, weights, least)
        if said is None:
            return weights / weights.sum()
        rest = weights[1:] / weights[1:].sum() if len(names) > 1 else weights[1:]
        return np.array([said, *((1 - said) * rest)])


def _with(candidate: Candidate, chance: float) -> Candidate:
    return Candidate(
        action_id=candidate.action_id,
        removed_by=candidate.removed_by,
        response_probability=candidate.response_probability,
        expected_value=candidate.expected_value,
        choice_probability=chance,
    )


# --- Arrow ------------------------------------------------------------------------------------------------------------


def _lists(candidates: Sequence[Sequence[Candidate]], kind: pa.DataType) -> pa.Array:
    flat = [c for found in candidates for c in found]
    offsets = np.concatenate([[0], np.cumsum([len(found) for found in candidates])])
    fields = list(kind.value_type)
    values = [  # another engine's log does not say how sure it was
        pa.nulls(len(flat), f.type)
        if f.name == "spread"
        else pa.array([getattr(c, f.name, None) for c in flat], f.type)
        for f in fields
    ]
    inner = pa.StructArray.from_arrays(values, fields=fields)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner, type=kind)


def _array(values: Sequence[Any] | None, field_: pa.Field, rows: int) -> pa.Array:
    return pa.nulls(rows, field_.type) if values is None else pa.array(values, field_.type)


def _batched(places: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(places), size):
        yield places[start : start + size]


def _json(value: Mapping[str, Any]) -> str | None:
    return json.dumps(value) if value else None


def _versions(system: str, seen: Seen) -> str:
    return json.dumps({system: seen.model_version} if seen.model_version else {})
