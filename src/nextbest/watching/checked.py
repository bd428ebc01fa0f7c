"""What a check of a play's decisions gives, and the decisions it looks at, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from nextbest.types import Status  # noqa: TC001 (a field of a dataclass)

if TYPE_CHECKING:
    import pyarrow as pa

Floats = np.ndarray[Any, np.dtype[np.float64]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Places = np.ndarray[Any, np.dtype[np.int64]]

ALARM = 0.005  # false alarms of one statistical check per look; six of them make at most 3% a look
STOP = ALARM**2  # what stops learning is as rare by chance as the same alarm in two looks at different decisions
ROUNDING = 1e-6
LEAST = 200  # decisions on a side, below which shares and means tell nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: its figure and the limit it is held against, whether it is within, and what to do when it is not.

    `stops` says that nothing may be learnt from these decisions: the log is wrong, or chance would show this in one of
    40,000 looks. What is not within its limit and does not stop is a warning.
    """

    name: str
    status: Status
    ok: bool
    figure: float | None = None
    limit: float | None = None
    why: str = ""
    what_to_do: str = ""
    stops: bool = False


def untold(name: str, why: str) -> Check:
    """Give the check that cannot tell, and why; it raises no alarm."""
    return Check(name=name, status="cannot_tell", ok=True, why=why)


def told(name: str, figure: float, limit: float, *, ok: bool, why: str, what_to_do: str, stops: bool = False) -> Check:
    """Give a check that could tell; what to do is said only where something is to be done."""
    return Check(
        name=name,
        status="ok",
        ok=bool(ok),
        figure=float(figure),
        limit=float(limit),
        why=why,
        what_to_do="" if ok else what_to_do,
        stops=bool(stops),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Decisions in order of time: one entry each; `row` and what follows have one entry per candidate that stood.

    `ts` is in seconds; `subject` and `action` are codes; `latency_us` counts for single requests only (`single`).
    """

    subject: Places
    ts: Floats
    arm: np.ndarray[Any, Any]
    degraded: Flags
    single: Flags
    latency_us: Floats
    row: Places
    action: Places
    chance: Floats
    chosen: Flags
    actions: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """How many decisions."""
        return len(self.ts)

    def where(self, keep: Flags) -> Taken:
        """Give the marked decisions with their candidates."""
        place = np.cumsum(keep) - 1
        of = keep[self.row]
        return Taken(
            subject=self.subject[keep],
            ts=self.ts[keep],
            arm=self.arm[keep],
            degraded=self.degraded[keep],
            single=self.single[keep],
            latency_us=self.latency_us[keep],
            row=place[self.row[of]],
            action=self.action[of],
            chance=self.chance[of],
            chosen=self.chosen[of],
            actions=self.actions,
        )

    def sound(self) -> Taken:
        """Give the decisions that were drawn with known chances: neither degraded nor without a probability."""
        sums = np.bincount(self.row, weights=self.chance, minlength=self.n)
        return self.where(~self.degraded & (np.abs(sums - 1) < ROUNDING))

    def firsts(self) -> Taken:
        """Give the first decision of each subject."""
        keep = np.zeros(self.n, dtype=bool)
        keep[np.unique(self.subject, return_index=True)[1]] = True
        return self.where(keep)


def taken(log: pa.Table) -> Taken:
    """Give decisions of the log as arrays; degraded ones have no known chance."""
    log = log.sort_by([("ts", "ascending"), ("decision_id", "ascending")]).combine_chunks()
    lists = log["candidates"].combine_chunks() if log.num_rows else log["candidates"]
    parents, each = (pc.list_parent_indices(lists), pc.list_flatten(lists))
    standing = pc.is_null(pc.struct_field(each, "removed_by"))
    row = np.asarray(parents.filter(standing), dtype=np.int64)
    names = pc.struct_field(each, "action_id").filter(standing)
    mine = log["action_id"].take(parents.filter(standing))
    coded = _coded(names)
    chance = pc.fill_null(pc.struct_field(each, "choice_probability").filter(standing), 0.0)
    return Taken(
        subject=_coded(log["subject_id"])[0],
        ts=np.asarray(log["ts"].cast("int64"), dtype=np.float64) / 1e6,
        arm=np.asarray(log["arm"].to_pylist(), dtype=object),
        degraded=np.asarray(pc.or_(log["degraded"], pc.is_null(log["choice_probability"]))).astype(bool),
        single=np.asarray(pc.not_equal(log["request_id"], "")).astype(bool),
        latency_us=np.asarray(log["latency_us"], dtype=np.float64),
        row=row,
        action=coded[0],
        chance=np.asarray(chance, dtype=np.float64),
        chosen=np.asarray(pc.equal(names, mine)).astype(bool),
        actions=coded[1],
    )


def _coded(values: pa.ChunkedArray | pa.Array) -> tuple[Places, tuple[str, ...]]:
    texts, codes = np.unique(np.asarray(values.to_pylist(), dtype=object).astype(str), return_inverse=True)
    return codes.ravel().astype(np.int64), tuple(str(t) for t in texts)
