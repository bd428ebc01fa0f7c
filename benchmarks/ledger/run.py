"""The archive at a million events: connect, read, erase, back up and restore.

    python benchmarks/ledger/run.py [FOLDER]      prints one JSON line per figure

`residue` counts the files that still hold the erased person, as bytes or as Parquet values.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nextbest.ledger import analysis, archive, backup, consent, create, decisions, erasure, events
from nextbest.types import Candidate, Decision

NOW = datetime(2026, 3, 1, tzinfo=UTC)
PERSON = "c000042"


def timed(name: str, seconds: float, **more: object) -> None:
    print(json.dumps({"figure": name, "seconds": round(seconds, 4), "load": os.getloadavg()[0], **more}), flush=True)


def orders(rows: int, subjects: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    who = np.array([f"c{i:06d}" for i in range(subjects)])[rng.integers(0, subjects, rows)]
    ts = np.datetime64("2025-01-01", "us") + rng.integers(0, 365 * 86_400, rows).astype("timedelta64[s]")
    return pa.table(
        {
            "event_id": [f"e{seed}-{i}" for i in range(rows)],
            "subject_id": who,
            "order_id": [f"o{i}" for i in range(rows)],
            "ts": pa.array(ts).cast(pa.timestamp("us", tz="UTC")),
            "revenue": rng.gamma(2, 20, rows),
            "currency": ["EUR"] * rows,
        }
    )


def decision(i: int) -> Decision:
    none = Candidate(action_id="none", choice_probability=0.1)
    mail = Candidate(action_id="mail", response_probability=0.2, expected_value=1.0, choice_probability=0.9)
    return Decision(
        decision_id=f"d{i}", play="p", subject_id=f"c{i % 50_000:06d}", ts=NOW - timedelta(seconds=i), action_id="mail",
        choice_probability=0.9, candidates=(none, mail), features={"orders_30d": 1.0},
    )  # fmt: skip


def residue(folder: Path) -> int:
    needle = PERSON.encode()
    hits = 0
    for path in (p for p in folder.rglob("*") if p.is_file()):
        inside = path.suffix == ".parquet" and PERSON in pq.read_table(path)["subject_id"].to_pylist()
        hits += inside or needle in path.read_bytes()
    return hits


def main(folder: Path) -> None:
    with create(folder / "w", clock=lambda: NOW) as ledger:
        for part in range(10):
            archive.append(ledger, "order", orders(100_000, 50_000, part), source="bench")
        for part in range(290):
            archive.append(
                ledger, "page_view", orders(100, 50, part).select(["event_id", "subject_id", "ts"]), source="b"
            )
        live = [
            {"kind": "order", "message_id": f"m{i}", "subject_id": f"c{i:06d}", "ts": NOW, "revenue": 1.0}
            for i in range(50_000)
        ]
        events.ingest(ledger, live, source="api")
        ledger.journal.write(lambda c: decisions.log(c, ledger, [decision(i) for i in range(50_000)]))
        consent.record(ledger, PERSON, allow=True, proof="form")
        for what, names in (("connect, every view, 300 segments", None), ("connect, the view of orders", ["order"])):
            took = []
            for _ in range(7):
                start = time.perf_counter()
                with analysis.connect(ledger, names):
                    took.append(time.perf_counter() - start)
            timed(what, sorted(took)[3])
        start = time.perf_counter()
        rows = analysis.table(ledger, "order", columns=["subject_id", "ts", "revenue"]).num_rows
        timed("read three columns of orders", time.perf_counter() - start, rows=rows)
        start = time.perf_counter()
        planned = erasure.erase(ledger, PERSON, dry_run=True)
        timed("erase, dry run", time.perf_counter() - start)
        before = residue(ledger.path)
        start = time.perf_counter()
        done = erasure.erase(ledger, PERSON)
        timed(
            "erase one person",
            time.perf_counter() - start,
            removed=dict(done.removed),
            same=planned.removed == done.removed,
        )
        timed("residue", 0.0, files_before=before, files_after=residue(ledger.path))
        start = time.perf_counter()
        said = backup.backup(ledger, folder / "b.zip")
        timed("backup", time.perf_counter() - start, bytes=said["bytes"], segments=said["segments"])
    start = time.perf_counter()
    backup.restore(folder / "b.zip", folder / "w", clock=lambda: NOW).journal.close()
    timed("restore over the same workspace, with replay", time.perf_counter() - start)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as made:
        main(Path(made))
