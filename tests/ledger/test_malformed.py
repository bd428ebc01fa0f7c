"""Broken files: every record is accounted for, nothing impossible is stored, every reject has its line and reason."""

from __future__ import annotations

import csv
import math
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.ledger import malformed
from tests.ledger.makers import NOW

from nextbest.ledger import analysis
from nextbest.ledger.intake import import_text
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping, TextFile

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.ledger.mapping import Loaded

CORPUS = list(malformed.cases())
MAPPING = FileMapping(
    system="generic",
    table="orders",
    confidence=1.0,
    emits=(
        Emit(
            kind="order",
            subject=(ColumnRule(to="subject_id", source="id", parse="id"),),
            columns=(
                ColumnRule(to="ts", source="ts", parse="timestamp", required=True),
                ColumnRule(to="revenue", source="price", parse="number"),
                ColumnRule(to="tags", source="note"),
            ),
        ),
    ),
)


def load(ledger: Ledger, folder: Path, case: malformed.Case) -> Loaded:
    """Write the file of a case and import it."""
    path = folder / f"{case.name}.csv"
    path.write_bytes(case.data)
    file = TextFile(
        path=path,
        delimiter=case.delimiter,
        quote='"',
        escape=case.escape,
        header=case.header,
        columns=malformed.COLUMNS,
        digest=case.name.encode().hex(),
    )
    return import_text(ledger, file, MAPPING)


def rejects(ledger: Ledger, loaded: Loaded) -> list[dict[str, str]]:
    """Give the rejects that were written for a file."""
    if loaded.rejected_file is None:
        return []
    with (ledger.path / loaded.rejected_file).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_every_record_of_every_broken_file_is_accounted_for(ledger: Ledger, tmp_path: Path) -> None:
    """On 300 files the reader agrees with a slow one on every record; each reject has its line and a reason."""
    latest = NOW + timedelta(days=1)
    wrong = []
    for case in CORPUS:
        loaded = load(ledger, tmp_path, case)
        rows = malformed.read(case)
        refused = [r.line for r in rows if not malformed.acceptable(r, latest)]
        written = rejects(ledger, loaded)
        expected = (len(rows), len(rows) - len(refused), len(refused))
        got = (loaded.rows_read, loaded.rows_accepted, loaded.rows_rejected)
        if got != expected or [int(w["line"]) for w in written] != refused or not all(w["reason"] for w in written):
            wrong.append((case.name, expected, got, refused, [(w["line"], w["reason"]) for w in written]))
    assert wrong == []
    assert len(CORPUS) >= 300
    with analysis.connect(ledger) as connection:
        stored = connection.sql('select revenue, ts, subject_id from "order"').to_arrow_table()
    assert all(v is None or math.isfinite(v) for v in stored["revenue"].to_pylist())
    assert all(1900 <= t.year <= 2026 for t in stored["ts"].to_pylist())
    assert {"007", "9007199254740993", "901"} <= set(stored["subject_id"].to_pylist())


def test_the_corpus_is_the_same_every_time() -> None:
    """Two runs of the generator give the same bytes under the same names."""
    assert [(c.name, c.data) for c in malformed.cases()] == [(c.name, c.data) for c in CORPUS]
    assert len({c.name for c in CORPUS}) == len(CORPUS)
