"""`python -m benchmarks.load [--size-gb 1] [--turns 3] [--people 1000000]`: ours and the bare database in turns.

Every run is a process of its own, so that peak memory is its own too. Ours parses, checks, maps, removes duplicates,
hashes, syncs and commits; the other side is `COPY (SELECT * FROM read_csv(file)) TO parquet` and nothing else.
"""

from __future__ import annotations

import argparse
import importlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.load import make


def main() -> None:
    """Run the comparison, or (with --run) one side of it in this process."""
    options = _options()
    if options.run:
        print(json.dumps(_one(options.run, Path(options.folder))))
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        records = make.orders(folder / "orders.csv", gigabytes=options.size_gb)
        make_people(folder / "people.parquet", options.people)
        runs: dict[str, list[dict[str, float]]] = {}
        for _ in range(options.turns):
            for side in ("bare", "ours", "join", "duplicates"):
                runs.setdefault(side, []).append(_child(side, folder))
        print(_report(runs, records, options))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-gb", type=float, default=1.0)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--folder", default=None, help="where the temporary files go")
    parser.add_argument("--run", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def _child(side: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.load", "--run", side, "--folder", str(folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _one(side: str, folder: Path) -> dict[str, float]:
    importlib.import_module("duckdb")  # starting Python is not what is compared
    if side in {"ours", "duplicates"}:
        importlib.import_module("nextbest.ledger.intake")
        importlib.import_module("nextbest.ledger.quality_people")
    sides = {"bare": _bare, "ours": _ours, "join": _join, "duplicates": _duplicates}
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    rows = sides[side](folder)
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu_seconds": cpu, "peak_mb": used.ru_maxrss / 1024, "rows": rows}


def _bare(folder: Path) -> int:
    import duckdb

    connection = duckdb.connect(config={"threads": "2"})
    source, target = str(folder / "orders.csv"), str(folder / "bare.parquet")
    copy = "COPY (SELECT * FROM read_csv($source)) TO $target (FORMAT parquet)"
    return int(connection.execute(copy, {"source": source, "target": target}).fetchall()[0][0])


def _ours(folder: Path) -> int:
    from benchmarks.load.mapping import ORDERS

    from nextbest.ledger import create
    from nextbest.ledger.intake import import_text
    from nextbest.ledger.mapping import TextFile

    path = folder / "orders.csv"
    file = TextFile(path=path, delimiter=",", quote='"', escape='"', header=True, columns=make.COLUMNS)
    with tempfile.TemporaryDirectory(dir=folder) as name, create(Path(name) / "workspace") as ledger:
        loaded = import_text(ledger, file, ORDERS)
    return loaded.rows_new


def make_people(path: Path, people: int) -> None:
    """Write people of whom one in fifty has the e-mail of another, in other capitals."""
    import duckdb

    query = (
        "COPY (SELECT 'c' || i AS subject_id, CASE WHEN i % 50 = 0 THEN 'User' || (i - 1) || '@Example.org' "
        "ELSE 'user' || i || '@example.org' END AS email, '+49 30 ' || (1000000 + i) AS phone FROM range($n) t(i)) "
        "TO $path (FORMAT parquet)"
    )
    duckdb.connect().execute(query, {"n": people, "path": str(path)})


def _join(folder: Path) -> int:
    import duckdb

    query = (
        "SELECT count(*) FROM read_parquet($path) a JOIN read_parquet($path) b "
        "ON lower(a.email) = lower(b.email) AND a.subject_id < b.subject_id"
    )
    connection = duckdb.connect(config={"threads": "2"})
    return int(connection.execute(query, {"path": str(folder / "people.parquet")}).fetchall()[0][0])


def _duplicates(folder: Path) -> int:
    import duckdb

    from nextbest.ledger.quality_people import same_identity

    connection = duckdb.connect(config={"threads": "2"})
    people = connection.read_parquet(str(folder / "people.parquet"))
    people.create_view("subjects")
    return same_identity(connection).num_rows


def _report(runs: dict[str, list[dict[str, float]]], records: int, options: argparse.Namespace) -> str:
    middle = {side: {k: statistics.median(r[k] for r in found) for k in found[0]} for side, found in runs.items()}
    ratios = {
        "load_ratio": middle["ours"]["seconds"] / middle["bare"]["seconds"],
        "load_cpu_ratio": middle["ours"]["cpu_seconds"] / middle["bare"]["cpu_seconds"],
        "duplicates_ratio": middle["duplicates"]["seconds"] / middle["join"]["seconds"],
        "rows_per_second": records / middle["ours"]["seconds"],
    }
    table = ["| run | seconds | CPU seconds | peak MB | rows |", "|---|---|---|---|---|"]
    for side, m in middle.items():
        table.append(
            f"| {side} | {m['seconds']:.2f} | {m['cpu_seconds']:.2f} | {m['peak_mb']:.0f} | {m['rows']:,.0f} |"
        )
    facts = {"size_gb": options.size_gb, "records": records, "turns": options.turns} | ratios | {"median": middle}
    return "\n".join([json.dumps(facts, indent=1), "", *table])


if __name__ == "__main__":
    main()
