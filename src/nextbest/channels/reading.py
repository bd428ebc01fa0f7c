"""From a file or a table to the ledger: opened, understood, mapped, loaded, and reported as `nextbest load` prints it.

What the user says comes first, then what the workspace remembers, then the dictionary, then a proposal.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nextbest.channels import mappings
from nextbest.channels.describe import advice, describe
from nextbest.channels.files import open_file
from nextbest.channels.files.rows import read_all
from nextbest.channels.outcome_file import outcomes_from
from nextbest.channels.override import override
from nextbest.channels.propose import propose
from nextbest.channels.recognise import SURE, mapping, recognise
from nextbest.channels.repair import repaired
from nextbest.errors import DataError
from nextbest.ledger import archive, intake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nextbest.channels.files import Opened
    from nextbest.ledger import Ledger
    from nextbest.ledger.mapping import FileMapping, Loaded

    Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFile:
    """What became of one file or table: what it is, how it was mapped, and every row accounted for."""

    file: str
    recognised_as: Mapping[str, Any]
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rejected_file: str | None
    columns_used: tuple[str, ...]
    columns_unused: tuple[str, ...]
    mapping: tuple[str, ...] = ()
    by_kind: Mapping[str, int] = field(default_factory=dict)
    rows_new: int = 0
    rows_corrected: int = 0
    already_loaded: bool = False
    notes: tuple[str, ...] = ()


def load_file(
    ledger: Ledger,
    path: str | Path,
    *,
    kind: str | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> list[LoadedFile]:
    """Bring the tables of one file into the ledger; one entry per member of a zip and per sheet of a workbook.

    Raises `DataError` when a table cannot be understood, with its columns and what to say with --as and --map.
    """
    loaded = []
    with archive.pending(ledger) as scratch, open_file(Path(path), scratch=scratch) as tables:
        for done, opened in enumerate(tables):
            share = None if progress is None else _share(progress, done, len(tables))
            found = mapping_for(ledger, opened, kind=kind, overrides=overrides)
            result = _import(ledger, repaired(opened, found, scratch), found, dry_run=dry_run, progress=share)
            if not dry_run:
                mappings.remember(ledger.path, opened, found, said=bool(kind or overrides))
            loaded.append(_report(result, found, notes=(*opened.notes, *(() if kind else advice(found)))))
    return loaded


def load_arrow(ledger: Ledger, table: pa.Table, mapping: FileMapping, *, name: str) -> LoadedFile:
    """Bring an Arrow table into the ledger; the same content under the same mapping twice changes nothing."""
    digest = content_digest(table, mapping)
    return _report(intake.import_table(ledger, table, mapping, name=name, digest=digest), mapping)


def mapping_for(
    ledger: Ledger, opened: Opened, *, kind: str | None = None, overrides: Mapping[str, str] | None = None
) -> FileMapping:
    """Give what an opened table means: as the user says, as remembered, as recognised, or as proposed."""
    found = None if kind else mappings.recall(ledger.path, opened) or _recognised(opened)
    if found is None:
        return propose(opened, kind=kind, overrides=overrides)
    return override(found, opened.columns, overrides) if overrides else found


def read_table(path: str | Path) -> pa.Table:
    """Give any readable flat file as a table of text; raises `DataError` when it holds several tables."""
    return read_all(Path(path))


def content_digest(table: pa.Table, mapping: FileMapping) -> str:
    """Give the SHA-256 of a table's schema, rows and mapping, in hex; how it is cut into chunks does not matter."""
    digest = hashlib.sha256(repr(mapping).encode())
    digest.update(table.schema.remove_metadata().to_string().encode())
    for batch in table.combine_chunks().to_batches(max_chunksize=1 << 16):
        for column in batch.columns:
            digest.update(as_bytes(column))
    return digest.hexdigest()


def as_bytes(column: pa.Array) -> memoryview:
    """Give the bytes of an array in Arrow's stream format, free of what lies outside it."""
    fresh = pa.concat_arrays([column])
    batch = pa.RecordBatch.from_arrays([fresh], names=["c"])
    return memoryview(batch.serialize())


def _recognised(opened: Opened) -> FileMapping | None:
    if opened.unnamed:
        return None
    found = recognise(opened.columns, name=opened.name)
    if found.confidence < SURE:
        return None
    return mapping(found.system, found.table, opened.columns, confidence=found.confidence, sample=opened.sample)


def _import(ledger: Ledger, opened: Opened, found: FileMapping, *, dry_run: bool, progress: Progress | None) -> Loaded:
    if not found.emits:
        raise DataError(_not_understood(opened))
    if opened.text is not None:
        told = None if progress is None else lambda done, total: progress(done / max(total, 1))
        return intake.import_text(ledger, opened.text, found, progress=told, dry_run=dry_run)
    if opened.table is None:
        raise DataError(f"{opened.name} has nothing to read.")
    return intake.import_table(ledger, opened.table(), found, name=opened.name, digest=opened.digest, dry_run=dry_run)


def _not_understood(opened: Opened) -> str:
    """Say which columns were found and what to say about them."""
    listed = ", ".join(opened.columns[:40])
    first = "0" if opened.unnamed else opened.columns[0]
    return (
        f"{opened.name} cannot be understood: nothing says whom a row is about, or when. It has: {listed}. Say what "
        f'one row is and which columns are what: --as order --map "{first}=subject_id,...=ts,...=revenue" (a column is '
        "named by its header or its position from 0). Kinds: order, order_line, page_view, message, subjects, items."
    )


def _report(loaded: Loaded, found: FileMapping, *, notes: tuple[str, ...] = ()) -> LoadedFile:
    return LoadedFile(
        file=loaded.file,
        recognised_as={"system": found.system, "table": found.table, "confidence": round(found.confidence, 3)},
        rows_read=loaded.rows_read,
        rows_accepted=loaded.rows_accepted,
        rows_rejected=loaded.rows_rejected,
        rejected_file=loaded.rejected_file,
        columns_used=found.columns_used,
        columns_unused=found.columns_unused,
        mapping=tuple(describe(found)),
        by_kind=dict(loaded.by_kind),
        rows_new=loaded.rows_new,
        rows_corrected=loaded.rows_corrected,
        already_loaded=loaded.already_loaded,
        notes=notes,
    )


def _share(progress: Progress, done: int, total: int) -> Progress:
    return lambda share: progress((done + share) / total)


__all__ = ["LoadedFile", "load_arrow", "load_file", "mapping_for", "outcomes_from", "read_table"]
