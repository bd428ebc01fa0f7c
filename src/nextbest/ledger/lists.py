"""A play decided for a whole list: one Parquet segment, visible, chained and counted against the caps from one commit.

The list comes block by block, so that a million decisions need no more memory than the block that is being written.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.errors import DataError
from nextbest.ledger import archive, catalogue, chain, contacts, gate, spent
from nextbest.ledger.decisions import DECISION_SCHEMA, KIND
from nextbest.ledger.files import digest_file, sync
from nextbest.ledger.workspace import new_id
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

# What repeats within a list is written as a dictionary; trying that with numbers and sentences costs time, for nothing.
_REPEATED = [
    "request_id", "play", "mode", "arm", "context", "action_id", "choice_probability", "seed", "consent_version",
    "policy_version", "model_versions", "latency_us", "ts", *(
        f"candidates.list.element.{name}" for name in ("action_id", "removed_by", "cost", "choice_probability")
    ),
]  # fmt: skip
_SOUGHT = ["decision_id", "subject_id", "play", "ts"]  # by these a reader skips blocks


@dataclass(slots=True, kw_only=True)
class _Sums:
    """What is kept of the blocks that were written."""

    rows: int = 0
    first: Any = None  # microseconds; None without a row
    last: Any = None
    uses: Counter[tuple[str, int]] = field(default_factory=Counter)  # (action id, slot) of live decisions

    def add(self, rows: pa.Table) -> None:
        """Add a block."""
        micros = rows["ts"].cast(pa.int64())
        span = pc.min_max(micros)
        if rows.num_rows:
            self.first = min(self.first, span["min"].as_py()) if self.rows else span["min"].as_py()
            self.last = max(self.last, span["max"].as_py()) if self.rows else span["max"].as_py()
        self.rows += rows.num_rows
        acted = pa.table({"action_id": rows["action_id"], "slot": pc.divide(micros, spent.SLOT_US)})
        acted = acted.filter(pc.and_(pc.equal(rows["mode"], "live"), pc.not_equal(rows["action_id"], NO_ACTION)))
        for row in acted.group_by(["action_id", "slot"]).aggregate([([], "count_all")]).to_pylist():
            self.uses[row["action_id"], row["slot"]] += row["count_all"]


def log_table(
    ledger: Ledger,
    play: str,
    table: pa.Table | Iterable[pa.Table],
    *,
    consent_version: int,
    costs: Mapping[str, float] | None = None,
    still: Callable[[sqlite3.Connection], bool] | None = None,
) -> str | None:
    """Log a play's list, whole or by blocks, as one segment, one link and its contacts in one commit; gives its id.

    Gives None, and keeps nothing, when permissions have changed since `consent_version`, or *still* says no inside the
    transaction: decide again. Tables have the columns of `DECISION_SCHEMA`; `costs` say what one use of an action
    costs, for the sums that limits are held to. Raises `DataError` as `decisions.log` does.
    """
    sums = _Sums()
    with archive.pending(ledger) as folder:
        file = folder / "decisions.parquet"
        _write(play, [table] if isinstance(table, pa.Table) else table, file, sums)
        sync(file)
        segment = _segment(file, sums, play)
        target = ledger.path / segment.path
        target.parent.mkdir(parents=True, exist_ok=True)

        def commit(connection: sqlite3.Connection) -> str | None:
            if gate.version(connection) != consent_version or (still is not None and not still(connection)):
                return None
            file.replace(target)
            sync(target.parent)
            catalogue.add_segment(connection, segment, ledger.clock())
            chain.add_stored(connection, "segment", segment.segment_id)
            contacts.add(connection, _contacts(ledger, play, target))
            spent.add_sums(connection, [(play, a, s, n, n * (costs or {}).get(a, 0.0)) for (a, s), n in booked])
            return segment.segment_id

        booked = sorted(sums.uses.items())
        return ledger.journal.write(commit)


def _write(play: str, blocks: Iterable[pa.Table], file: Path, sums: _Sums) -> None:
    with pq.ParquetWriter(
        file, DECISION_SCHEMA, compression="zstd", use_dictionary=_REPEATED, write_statistics=_SOUGHT
    ) as writer:
        for block in blocks:
            rows = _checked(block, play)
            writer.write_table(rows, row_group_size=archive.ROW_GROUP)
            sums.add(rows)


def _checked(table: pa.Table, play: str) -> pa.Table:
    """Give a table in the schema of the log, after the checks that `decisions.log` makes."""
    missing = [n for n in DECISION_SCHEMA.names if n not in table.column_names]
    if missing:
        raise DataError(f"The decisions of play '{play}' lack the columns {', '.join(missing)}.")
    rows = table.select(DECISION_SCHEMA.names).cast(DECISION_SCHEMA)
    p = rows["choice_probability"]
    in_range = pc.and_(pc.greater(p, 0.0), pc.less_equal(p, 1.0))
    good = pc.if_else(pc.is_null(p), rows["degraded"], in_range)
    if not pc.all(pc.fill_null(good, False), min_count=0).as_py():  # noqa: FBT003 (Arrow takes it by place)
        raise DataError(f"A decision of play '{play}' has a choice probability that is missing or not in (0, 1].")
    if not all(map(_choices_stand, rows.to_batches())):
        raise DataError(f"A decision of play '{play}' chose an action that is no candidate or that a rule had removed.")
    return rows


def _choices_stand(rows: pa.RecordBatch) -> bool:
    """Say whether every chosen action is among the candidates of its row, and not removed by a rule."""
    parents = pc.list_parent_indices(rows["candidates"])
    candidate = pc.list_flatten(rows["candidates"])
    chosen = pc.equal(pc.struct_field(candidate, "action_id"), rows["action_id"].take(parents))
    standing = pc.and_(chosen, pc.is_null(pc.struct_field(candidate, "removed_by")))
    found = parents.to_numpy()[standing.to_numpy(zero_copy_only=False)]  # in the order of the rows
    return bool(np.count_nonzero(np.diff(found)) + bool(len(found)) == rows.num_rows)


def _contacts(ledger: Ledger, play: str, file: Path) -> Iterator[contacts.Row]:
    """Give the live decisions of a file that reach their subject; they are read back, so that nobody keeps them."""
    config = ledger.config
    with pq.ParquetFile(file) as stored:
        for rows in stored.iter_batches(columns=["subject_id", "ts", "decision_id", "action_id", "mode"]):
            used = pc.unique(rows["action_id"]).to_pylist()
            channels = {a: contacts.channel_of(config, play, a) for a in used if contacts.is_contact(config, play, a)}
            reaching = pc.is_in(rows["action_id"], pa.array(channels, pa.string()))
            made = rows.filter(pc.and_(reaching, pc.equal(rows["mode"], "live")))
            micros = made["ts"].cast(pa.int64()).to_pylist()
            columns = (made[name].to_pylist() for name in ("subject_id", "decision_id", "action_id"))
            for ts, s, d, a in zip(micros, *columns, strict=True):
                yield s, ts, d, channels[a], play, a


def _segment(file: Path, sums: _Sums, play: str) -> catalogue.Segment:
    segment_id = new_id("s")
    return catalogue.Segment(
        segment_id=segment_id,
        kind=KIND,
        path=f"{archive.FOLDER}/{KIND}/{segment_id}.parquet",
        rows=sums.rows,
        bytes=file.stat().st_size,
        sha256=digest_file(file),
        min_ts=sums.first,
        max_ts=sums.last,
        source=f"play:{play}",
    )
