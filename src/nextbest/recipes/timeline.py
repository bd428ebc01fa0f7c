"""When something happened to whom: the events of one kind that meet a condition, as numbers that are quick to count."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.features.expression import check, evaluate, parse
from nextbest.features.language import usable
from nextbest.ledger import analysis
from nextbest.ledger.kinds import kind as kind_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAY_US = 86_400_000_000
_SHOWN = 6
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The events of one kind: `subject` is the place in `subject_ids` (sorted), `ts` microseconds since 1970 UTC.

    `wanted` tells which events meet the condition that was asked for; None means all. Those that do not still show
    from when to when events of this kind are known.
    """

    kind: str
    subject_ids: pa.Array
    subject: NDArray[np.int64]
    ts: NDArray[np.int64]
    wanted: NDArray[np.bool_] | None = None

    def ordered(self, since: int, before: int) -> NDArray[np.bool_]:
        """Tell, per subject, whether a wanted event fell into [since, before)."""
        inside = (self.ts >= since) & (self.ts < before)
        inside = inside if self.wanted is None else inside & self.wanted
        return np.bincount(self.subject[inside], minlength=len(self.subject_ids)) > 0

    def whom(self, since: int, before: int) -> pa.Array:
        """Give the subjects with a wanted event in [since, before), in order."""
        return self.subject_ids.filter(pa.array(self.ordered(since, before)))

    def span(self, as_of: datetime) -> tuple[int, int]:
        """Give from when to when events of this kind are known: what is known ends with the day of the last one.

        However late the moment is: after that day nothing failed to happen, it is unseen. (0, 0) without events.
        """
        if not len(self.ts):
            return 0, 0
        return int(self.ts.min()), min(micros(as_of), (int(self.ts.max()) // DAY_US + 1) * DAY_US)


def read(ledger: Any, kind: str, *, before: datetime, where: str = "") -> Timeline:  # noqa: ANN401 (a ledger)
    """Give the events of a kind before a moment; `where` is a condition over the kind's columns.

    Raises `ConfigError` for an unknown column, a personal one, and one that is known only afterwards.
    """
    condition = parse(where, gives="boolean")
    check(condition, usable(kind_named(kind)))
    columns = ("subject_id", "ts", *sorted(condition.columns - {"ts"}))
    rows = analysis.table(ledger, kind, columns=columns, before=before)
    met = evaluate(condition, rows).to_numpy(zero_copy_only=False).astype(bool) if where.strip() else None
    return of_rows(kind, rows, met)


def unmet(ledger: Any, kind: str, *, before: datetime, where: str) -> str:  # noqa: ANN401 (a ledger)
    """Say what the columns of a condition hold, where no event meets it: a value may be spelt otherwise."""
    said = []
    for name in sorted(parse(where, gives="boolean").columns):
        column = analysis.table(ledger, kind, columns=(name,), before=before)[name].drop_null()
        most = sorted(pc.value_counts(column).to_pylist(), key=lambda found: (-found["counts"], str(found["values"])))
        shown = ", ".join(f"'{found['values']}'" for found in most[:_SHOWN])
        more = f" and {len(most) - _SHOWN} more" if len(most) > _SHOWN else ""
        said.append(f"'{name}' holds {shown}{more}." if most else f"'{name}' is empty in all of them.")
    return " ".join(said)


def of_rows(kind: str, rows: pa.Table, wanted: NDArray[np.bool_] | None = None) -> Timeline:
    """Give a timeline from a table with `subject_id` and `ts`."""
    ids = pc.unique(rows["subject_id"])
    ids = ids.take(pc.sort_indices(ids)).cast(pa.string())
    subject = pc.index_in(rows["subject_id"].cast(pa.string()), ids).to_numpy(zero_copy_only=False).astype(np.int64)
    ts = rows["ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy()
    return Timeline(kind=kind, subject_ids=ids, subject=subject, ts=ts, wanted=wanted)


def micros(moment: datetime) -> int:
    """Give a moment as microseconds since 1970 UTC."""
    return int((moment - _EPOCH) / timedelta(microseconds=1))


def moment_of(at: int) -> datetime:
    """Give the moment of so many microseconds since 1970 UTC."""
    return _EPOCH + timedelta(microseconds=at)


def iso(at: int) -> str:
    """Give the same as text."""
    return moment_of(at).isoformat()
