"""A play's log as arrays, a stretch at a time: what the measure of another policy reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import DataError
from nextbest.measures.replay.logged import Batch
from nextbest.policies.gates import reaches
from nextbest.policies.lift import logit
from nextbest.policies.target import Seen, actions_in
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextbest.measures.replay.logged import Codes, Numbers
    from nextbest.policies.target import Alternative
    from nextbest.types import Action

PLAIN = ("arm", "policy_version", "action_id")  # columns of the log itself that results may be split by
_CELLS = 2_000_000  # decisions x actions in memory at a time
_MOST_GROUPS = 20
_LEAST = 1e-6
_MICROS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """The rows of a log, an alternative to it, and what is known of every row beforehand; `reader` makes one."""

    rows: pa.Table
    other: Alternative
    names: tuple[str, ...]
    ids: tuple[str, ...]
    actions: tuple[Action, ...]
    subject: Codes
    page: Codes
    group: Codes
    groups: tuple[str, ...]
    recent: Numbers
    paid: list[tuple[float, float, int]] = field(default_factory=list)

    def batches(self) -> Iterator[Batch]:
        """Give the log, a stretch at a time."""
        step = max(1, _CELLS // len(self.ids))
        for start in range(0, self.rows.num_rows, step):
            rows = self.rows.slice(start, step)
            span = slice(start, start + rows.num_rows)
            cells = _cells(rows, self.ids)
            yield Batch(
                reward=_numbers(rows["reward"]),
                chosen=_index(rows["action_id"], self.ids),
                probability=_numbers(rows["choice_probability"]),
                eligible=cells["eligible"] > 0,
                subject=self.subject[span],
                facts=1.0 / _numbers(rows["place"])[:, None],  # who looks further down looks less
                cell_facts=_facts(cells),
                logged=cells["choice_probability"],
                request=self.page[span],
                position=_numbers(rows["place"]).astype(np.int64),
                group=self.group[span],
                place=start,
            )

    def target(self, batch: Batch) -> Numbers:
        """Give the alternative's chances of every action of a batch, and note what its actions cost."""
        rows = self.rows.slice(batch.place, len(batch))
        cells = _cells(rows, self.ids)
        seen = Seen(
            known=known(rows, self.names),
            actions=self.actions,
            worth=cells["expected_value"],
            cost=cells["cost"],
            spread=cells["spread"],
            price=_prices(rows, self.ids),
            eligible=batch.eligible,
            recent=self.recent[batch.place : batch.place + len(batch)],
        )
        p = self.other.chances(seen)
        done = float(seen.cost[np.arange(len(batch)), batch.chosen].sum())
        self.paid.append((done, float((p * seen.cost).sum()), len(batch)))
        return p

    def costs(self) -> dict[str, float]:
        """Give what the logged actions cost per decision, and those of the alternative."""
        n = max(1, sum(count for _, _, count in self.paid))
        return {"logged": sum(done for done, _, _ in self.paid) / n, "other": sum(p for _, p, _ in self.paid) / n}


def reader(rows: pa.Table, other: Alternative, *, names: tuple[str, ...] = (), by: str = "") -> Reader:
    """Give the reader of a log (`ledger.replayed`): *names* are the features asked for, *by* splits the results."""
    ids = _ids(rows)
    actions = actions_in(other.play, ids)
    groups, group = _groups(rows, by)
    return Reader(
        rows=rows,
        other=other,
        names=names,
        ids=ids,
        actions=actions,
        subject=_codes(rows["subject_id"]),
        page=_codes(pc.binary_join_element_wise(rows["request"], rows["subject_id"], "\n")),
        group=group,
        groups=groups,
        recent=_recent(rows, other, actions),
    )


def _groups(rows: pa.Table, by: str) -> tuple[tuple[str, ...], Codes]:
    """Give the names of the groups, most first, and each row's; those beyond the twentieth are called other."""
    if not by:
        return (), np.zeros(rows.num_rows, dtype=np.int64)
    column = rows[by] if by in PLAIN else known(rows, (by,))[by]
    values = pc.fill_null(pc.cast(column, pa.string()), "unknown")
    order = sorted(values.value_counts().to_pylist(), key=lambda v: (-v["counts"], v["values"]))
    names = [v["values"] for v in order[:_MOST_GROUPS]]
    if len(order) > _MOST_GROUPS:
        names.append("other")
    return tuple(names), _index(values, names, missing=len(names) - 1)


def _recent(rows: pa.Table, other: Alternative, actions: tuple[Action, ...]) -> Numbers:
    """Give how many contacts each decision's subject had within the days of the cap that is asked about."""
    cap = other.cap
    if cap is None:
        return np.zeros(rows.num_rows)
    contacting = [a.id for a in actions if reaches(a) and cap.channel in {"", a.channel}]
    contact = pc.is_in(rows["action_id"], value_set=pa.array(contacting, pa.string()))
    when = rows["ts"].cast(pa.int64()).to_numpy() // _MICROS
    return within(_codes(rows["subject_id"]), when, contact.to_numpy(), timedelta(days=cap.days).total_seconds())


def _ids(rows: pa.Table) -> tuple[str, ...]:
    """Give the ids of all actions that were ever a candidate, `none` last."""
    flat = pc.list_flatten(rows["candidates"])
    ids = pc.unique(pc.struct_field(flat, "action_id")).to_pylist()
    return (*sorted(i for i in ids if i != NO_ACTION), NO_ACTION)


def within(subject: Codes, when: Codes, contact: Any, seconds: float) -> Numbers:  # noqa: ANN401 (flags)
    """Give per row how many contacts of its subject lie in the *seconds* before it."""
    when = when - when.min()
    span = int(when.max() + seconds + 2)
    order = np.lexsort((when, subject))
    key = subject[order] * span + when[order]
    before = np.concatenate([[0.0], np.cumsum(contact[order])])
    first = np.searchsorted(key, np.maximum(key - int(seconds), subject[order] * span), side="left")
    here = np.searchsorted(key, key, side="left")
    out = np.empty(len(order))
    out[order] = before[here] - before[first]
    return out


def _cells(rows: pa.Table, ids: tuple[str, ...]) -> dict[str, Numbers]:
    """Give what was logged of every candidate, as arrays (decisions, actions); 0 for what was no candidate."""
    lists = rows["candidates"].combine_chunks()
    flat, parent = lists.flatten(), pc.list_parent_indices(lists).to_numpy()
    column = _index(flat.field("action_id"), ids)
    found = {}
    for name in ("eligible", "response_probability", "expected_value", "cost", "choice_probability", "spread"):
        filled = np.zeros((rows.num_rows, len(ids)))
        filled[parent, column] = np.nan_to_num(_numbers(flat.field(name)))
        found[name] = filled
    return found


def _prices(rows: pa.Table, ids: tuple[str, ...]) -> tuple[Numbers, Numbers]:
    """Give what a unit of money cost at each decision (n, 1), and a use of each action (n, k) or (1, k); 0: nothing."""
    price = np.nan_to_num(_numbers(rows["price"]))[:, None]
    coded = pc.fill_null(_whole(rows["prices"]), "{}").dictionary_encode()
    said = [msgspec.json.decode(text) for text in coded.dictionary.to_pylist()]
    each = np.array([[float(one.get(i, 0.0)) for i in ids] for one in said]).reshape(len(said), len(ids))
    return price, each[coded.indices.to_numpy(zero_copy_only=False)] if each.any() else np.zeros((1, len(ids)))


def _facts(cells: Mapping[str, Numbers]) -> Numbers:
    """Give what was expected of each candidate, as facts for the regression: log-odds of a response, and the worth."""
    chance = cells["response_probability"]
    odds = np.where(chance > 0, logit(np.clip(chance, _LEAST, 1 - _LEAST)), 0.0)
    return np.stack([odds, cells["expected_value"]], axis=2)


def known(rows: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """Give the asked features and pieces of context as columns, null where a decision does not have them."""
    if not names:
        return pa.table({"subject_id": rows["subject_id"]})
    said = [
        {**msgspec.json.decode(context or "{}"), **msgspec.json.decode(features or "{}")}
        for features, context in zip(rows["features"].to_pylist(), rows["context"].to_pylist(), strict=True)
    ]
    columns = {name: _column([row.get(name) for row in said]) for name in names}
    return pa.table({"subject_id": rows["subject_id"], **columns})


def _column(values: list[Any]) -> pa.Array:
    """Give values of JSON as one column: numbers, booleans, or else texts."""
    kinds = {type(v) for v in values if v is not None}
    if kinds <= {int, float}:
        return pa.array(values, pa.float64())
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    return pa.array([None if v is None else str(v) for v in values], pa.string())


def _codes(column: Any) -> Codes:  # noqa: ANN401 (an Arrow column)
    """Give a number from 0 per distinct value, in the order of appearance."""
    coded = _whole(column).dictionary_encode()
    return np.asarray(coded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def _index(column: Any, ids: Sequence[str], *, missing: int | None = None) -> Codes:  # noqa: ANN401 (an Arrow column)
    """Give the place of each value in *ids*; raises `DataError` for one that has none, unless *missing* says which."""
    found = pc.index_in(_whole(column), value_set=pa.array(ids, pa.string()))
    if missing is not None:
        found = pc.fill_null(found, missing)
    if found.null_count:
        raise DataError("A decision of the log chose an action that is not among its candidates.")
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)


def _numbers(column: Any) -> Numbers:  # noqa: ANN401 (an Arrow column)
    return np.asarray(pc.cast(_whole(column), pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _whole(column: Any) -> pa.Array:  # noqa: ANN401 (an Arrow column)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
