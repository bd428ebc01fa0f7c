"""What is looked at when sales people are compared: deals that are over, whose they were, and what was done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import UsageError
from nextbest.ledger import analysis
from nextbest.models import deal_history, encode_values
from nextbest.models.deal_history import DAY
from nextbest.recipes import deals as of_deals
from nextbest.recipes import flat_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

_SHOWN = 6
_MIX = ("product", "pipeline", "lead_source", "deal_type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deals:
    """Deals that are over: `rep` by place in `reps`, `won` 0 or 1, `days` from opening to the end (NaN: not known).

    `mix` is what was known of them, `done` how often each kind of activity was done in their first `landmark_days`;
    `lasted` tells whether they were still open then.
    """

    reps: tuple[str, ...]
    rep: NDArray[np.int64]
    won: Vector
    days: Vector
    mix: pa.Table
    done: pa.Table
    lasted: NDArray[np.bool_]


def from_ledger(ledger: Any, *, as_of: datetime, landmark_days: int) -> Deals:  # noqa: ANN401 (a ledger)
    """Give the deals of the ledger that were over before a moment and had an owner."""
    known = of_deals.read(of_deals.rows(ledger, as_of=as_of), as_of=as_of)
    over = known.over()
    last = known.last_row(over) if len(over) else over
    owned = known.text["owner_id"][last] >= 0 if len(over) else np.zeros(0, dtype=bool)
    over, last = over[owned], last[owned]
    reps, rep = np.unique(known.words["owner_id"].to_pylist() or [""], return_inverse=True)
    mix: dict[str, Any] = {
        name: known.words[name].take(pa.array(known.text[name][last], mask=known.text[name][last] < 0))
        for name in _MIX
        if len(known.words[name])
    }
    if known.history:
        mix["amount"] = pa.array(np.log1p(known.row_amount[last]), from_pandas=True)
    days = (known.closed[over] - known.opened[over]) / DAY
    done = _activities(ledger, known, over, as_of=as_of, landmark_days=landmark_days)
    used, place = np.unique(rep[known.text["owner_id"][last]], return_inverse=True)
    return Deals(
        reps=tuple(str(reps[i]) for i in used), rep=place.astype(np.int64), won=known.won[over].astype(np.float64),
        days=days.astype(np.float64), mix=pa.table(mix), done=done, lasted=days > landmark_days,
    )  # fmt: skip


def _activities(ledger: Any, known: deal_history.Deals, over: Any, *, as_of: datetime, landmark_days: int) -> pa.Table:  # noqa: ANN401
    """Give per deal how often each kind of activity was done in its first days: what comes later knows the end."""
    rows = analysis.table(ledger, "activity", columns=("deal_id", "activity_type", "ts"), before=as_of)
    keys = pa.array([deal_history.short(k) if k else None for k in rows["deal_id"].to_pylist()], pa.string())
    deal = pc.fill_null(pc.index_in(keys, known.keys), -1).to_numpy(zero_copy_only=False).astype(np.int64)
    moment = deal_history.seconds(rows["ts"])
    use = (deal >= 0) & (moment - known.opened[deal] <= landmark_days * DAY) & (moment >= known.opened[deal])
    kinds = np.array([k or "other" for k in rows["activity_type"].to_pylist()], dtype=object)[use]
    counted = {
        str(kind): np.bincount(deal[use][kinds == kind], minlength=len(known.ids))[over] for kind in sorted(set(kinds))
    }
    return pa.table({name: values.astype(np.float64) for name, values in counted.items()})


def from_table(
    table: str | pa.Table, *, rep: str, label: str, positive: str, days: tuple[str, ...], activities: Sequence[str],
    mix: Sequence[str], lost: str = "",
) -> Deals:  # fmt: skip
    """Give the deals of a flat table: a label of `positive` was won, one of `lost` (or any other) was lost."""
    raw = flat_table.read(table)
    said = flat_table.column(raw, label, "label").cast(pa.string())
    owner = flat_table.column(raw, rep, "rep").cast(pa.string())
    over = pc.and_(pc.is_valid(owner), pc.is_valid(said))
    if lost:
        over = pc.and_(over, pc.is_in(said, pa.array([positive, lost])))
    use = pc.fill_null(over, fill_value=False)
    kept, owner, said = raw.filter(use), owner.filter(use), said.filter(use)
    values = sorted(pc.unique(said).to_pylist())
    if values and positive not in values:
        shown = ", ".join(f"'{v}'" for v in values[:_SHOWN]) + (" ..." if len(values) > _SHOWN else "")
        raise UsageError(
            f"No row of '{label}' is '{positive}'. Which value means that the deal was won? Give positive (on the "
            f"command line: --positive). The values are: {shown}."
        )
    names, place = np.unique(np.array(owner.to_pylist(), dtype=object).astype(str), return_inverse=True)
    done = {name: encode_values.numbers(encode_values.plain(kept[name])) for name in activities}
    return Deals(
        reps=tuple(str(n) for n in names), rep=place.astype(np.int64),
        won=pc.equal(said, positive).cast(pa.float64()).to_numpy(zero_copy_only=False), days=_days(kept, days),
        mix=kept.select(list(mix)),
        done=pa.table({n: np.nan_to_num(v) for n, v in done.items() if v is not None}),
        lasted=np.ones(kept.num_rows, dtype=bool),
    )  # fmt: skip


def _days(table: pa.Table, columns: tuple[str, ...]) -> Vector:
    """Give the length from one column of days, or from the dates of opening and end."""
    if not columns:
        return np.full(table.num_rows, np.nan)
    found = [flat_table.column(table, name, "days") for name in columns]
    if len(found) == 1:
        values = encode_values.numbers(found[0])
        return np.full(table.num_rows, np.nan) if values is None else values
    first, last = (encode_values.days(values) for values in found[:2])
    missing = np.full(table.num_rows, np.nan)
    return missing if first is None or last is None else last - first
