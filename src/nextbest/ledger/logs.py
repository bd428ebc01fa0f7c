"""Decisions of other engines as one segment of the log: chained as ours are, and never counted as our own contacts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextbest.errors import DataError
from nextbest.ledger import analysis, archive, catalogue, outcomes
from nextbest.ledger.archive import DECISION
from nextbest.ledger.decisions import DECISION_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nextbest.ledger.catalogue import FileRecord
    from nextbest.ledger.workspace import Ledger
    from nextbest.types import Outcome

_FULL = 1.0 + 1e-6
FOREIGN = "log:"  # the policies of other engines begin so: nobody here carries out what they decided


def ours(log: pa.Table) -> pa.Table:
    """Give the decisions (with a column `policy_version`) that this workspace made itself."""
    return log.filter(pc.invert(pc.starts_with(log["policy_version"], FOREIGN)))


def loaded(ledger: Ledger, digest: str) -> FileRecord | None:
    """Give what came of a log with this digest, or None when it has not been loaded."""
    with ledger.journal.read() as connection:
        return catalogue.loaded(connection, digest)


def logged(ledger: Ledger, decision_ids: Sequence[str]) -> set[str]:
    """Give those of the ids that the decision log has."""
    if not analysis.kinds_present(ledger).get("decisions"):
        return set()
    known = analysis.table(ledger, "decisions", columns=("decision_id",))["decision_id"]
    return set(known.filter(pc.is_in(known, pa.array(decision_ids, pa.string()))).to_pylist())


def adopt(
    ledger: Ledger,
    batches: Iterable[pa.RecordBatch],
    came: Sequence[Outcome],
    *,
    file: FileRecord,
    source: str,
) -> tuple[int, int]:
    """Store decisions as one segment and their outcomes; gives how many decisions and outcomes were new.

    The outcomes go first, each kept once by its id, so that a load that is broken off is made good by the next one.
    Raises `DataError` for a decision that our own log would not take.
    """
    archive.tidy(ledger)
    with archive.pending(ledger) as folder:
        path = folder / "log.parquet"
        rows = 0
        with pq.ParquetWriter(path, DECISION_SCHEMA, compression="zstd") as writer:
            for batch in batches:
                _check(batch)
                writer.write_batch(batch, row_group_size=archive.ROW_GROUP)
                rows += batch.num_rows
        new = outcomes.record(ledger, came)
        archive.adopt(ledger, {DECISION: [path]}, file=file, source=source)
    return rows, new


def _check(batch: pa.RecordBatch) -> None:
    """Refuse rows whose choice is no standing candidate or whose chances cannot be."""
    parents = pc.list_parent_indices(batch["candidates"])
    each = pc.list_flatten(batch["candidates"])
    chance, standing = pc.struct_field(each, "choice_probability"), pc.is_null(pc.struct_field(each, "removed_by"))
    chosen = pc.and_(pc.equal(pc.struct_field(each, "action_id"), batch["action_id"].take(parents)), standing)
    one_each = len(pc.unique(parents.filter(chosen))) == batch.num_rows == pc.sum(chosen.cast(pa.int64())).as_py()
    p = batch["choice_probability"]
    in_range = pc.min(p).as_py() > 0 and pc.max(p).as_py() <= _FULL and not p.null_count
    sums = pa.table({"row": parents, "p": chance}).group_by("row").aggregate([("p", "sum")])["p_sum"]
    if not (one_each and in_range and pc.max(sums).as_py() <= _FULL):
        raise DataError("A decision of this log chose what was no candidate, or its chances do not lie in (0, 1].")
