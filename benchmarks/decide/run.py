"""Deciding: seconds for whole lists and milliseconds for one, each beside the least that could do a part of the work.

python benchmarks/decide/run.py            prints one JSON document and writes results.md beside this file
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import platform
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from nextbest.ledger import create, published
from nextbest.policies.decide import decide_bulk, decide_one

if TYPE_CHECKING:
    from nextbest.ledger import Ledger

HERE = Path(__file__).resolve().parent
NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
ACTIONS = ("mail", "call", "coupon", "banner")
LIFTS, COSTS = np.array([0.2, 0.8, 0.5, 0.05, 0.0]), np.array([0.01, 3.0, 1.0, 0.0, 0.0])
TOML = """
[consent]
regime = "opt_out"
[plays.win_back]
audience = "churn_probability > 0.1"
value = "predicted_clv"
holdout = 0.05
random = 0.05
actions = [
  { id = "mail", channel = "email", cost = 0.01, assumed_log_odds = 0.2 },
  { id = "call", channel = "phone", cost = 3.0, assumed_log_odds = 0.8 },
  { id = "coupon", channel = "email", class = "money", cost = 1, assumed_log_odds=0.5, eligibility="orders_365d >= 2" },
  { id = "banner", class = "content", assumed_log_odds = 0.05 },
]
caps = [{ count = 1, days = 7 }]
"""
SIDES = (
    "Ours, a list: audience, stop switch, consent, eligibility, caps, ranking, arms, exploration, a reason per row, "
    "and every candidate with both probabilities in the chained log, in one commit. Bare: the same formula for five "
    "actions in numpy, argmax, and a Parquet file of subject, action and value. Ours, one: published predictions, the "
    "same gates and draw, logged and chained before the answer. Bare: one row of the same text in SQLite (WAL, "
    "synchronous=FULL), committed. Each list in a process of its own, both sides in turns; the least of the rounds."
)


def main() -> None:
    """Print the figures as JSON and write them as a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments.add_argument("--singles", type=int, default=1_000)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--only", type=int, help="one list, in this process: for the driver itself")
    asked = arguments.parse_args()
    logging.disable(logging.WARNING)
    if asked.only:
        print(json.dumps(bulk(asked.only, asked.rounds)))
        return
    load = os.getloadavg()[0]
    figures = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "load": round(load, 1),
        "bulk": [child(n, asked.rounds) for n in asked.sizes],
        "one": singles(asked.singles),
    }
    (HERE / "results.md").write_text(markdown(figures), encoding="utf-8")
    print(json.dumps(figures, indent=1))


def child(rows: int, rounds: int) -> dict[str, float]:
    """Give the figures of one list, from a process of its own, so that its peak of memory is its own."""
    command = [sys.executable, __file__, "--only", str(rows), "--rounds", str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def people(rows: int) -> pa.Table:
    """Give subjects with predictions."""
    rng = np.random.default_rng(0)
    return pa.table({
        "subject_id": [f"c{i:07d}" for i in range(rows)],
        "churn_probability": rng.beta(2, 3, rows),
        "predicted_clv": rng.lognormal(4, 1, rows),
        "orders_365d": rng.poisson(2.0, rows).astype(float),
        "days_since_last_order": rng.exponential(60.0, rows),
    })  # fmt: skip


def bulk(rows: int, rounds: int) -> dict[str, float]:
    """Give the seconds of both sides for one list; every round of ours decides in a workspace of its own."""
    table = people(rows)
    ours, bare, processor, peaks = [], [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder, workspace(Path(folder) / "w") as ledger:
            began, busy = time.perf_counter(), time.process_time()
            decided = decide_bulk(ledger, ledger.config.plays["win_back"], table, as_of=NOW).decided
            ours.append(time.perf_counter() - began)
            processor.append(time.process_time() - busy)
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # the first one: of one list
            began = time.perf_counter()
            least_bulk(table, Path(folder) / "bare.parquet")
            bare.append(time.perf_counter() - began)
    return {
        "rows": rows, "actions": len(ACTIONS) + 1, "decided": decided, "ours_seconds": min(ours),
        "processor_seconds": min(processor), "bare_seconds": min(bare), "ratio": min(ours) / min(bare),
        "per_second": rows / min(ours), "peak_mb": peaks[0],
    }  # fmt: skip


def least_bulk(table: pa.Table, file: Path) -> None:
    """Score every action for everyone, take the best, and write the list."""
    base = 1 - table["churn_probability"].to_numpy()
    value = table["predicted_clv"].to_numpy()
    odds = (base / (1 - base))[:, None] * np.exp(LIFTS)
    worth = odds / (1 + odds) * value[:, None] - COSTS
    best = worth.argmax(axis=1)
    chosen = pa.array((*ACTIONS, "none")).take(pa.array(best))
    found = worth[np.arange(len(best)), best]
    parquet.write_table(
        pa.table({"subject_id": table["subject_id"], "action_id": chosen, "expected_value": found}),
        file,
        compression="zstd",
    )


def singles(count: int) -> dict[str, float]:
    """Give the percentiles of single decisions and of bare commits, in turns, in milliseconds."""
    table = people(count)
    with tempfile.TemporaryDirectory() as folder, workspace(Path(folder) / "w") as ledger:
        published.publish(ledger, "churn", "m1", NOW, table)
        play = ledger.config.plays["win_back"]
        connection = bare_journal(Path(folder) / "bare.sqlite")
        ours, bare = [], []
        for i, subject in enumerate(table["subject_id"].to_pylist()):
            began = time.perf_counter()
            decision = decide_one(ledger, play, subject)
            ours.append(time.perf_counter() - began)
            body = json.dumps(
                [decision.subject_id, decision.action_id, decision.reason, *map(str, decision.candidates)]
            )
            began = time.perf_counter()
            connection.execute("INSERT INTO log (id, body) VALUES (?, ?)", (i, body))
            connection.commit()
            bare.append(time.perf_counter() - began)
        connection.close()
    warm = slice(min(20, count // 10), None)  # the first ones compile expressions and open files
    return {
        "decisions": len(ours[warm]),
        **{f"ours_p{p}_ms": float(np.percentile(ours[warm], p) * 1000) for p in (50, 99)},
        **{f"bare_p{p}_ms": float(np.percentile(bare[warm], p) * 1000) for p in (50, 99)},
        "ratio_p50": float(np.median(ours[warm]) / np.median(bare[warm])),
    }


def bare_journal(file: Path) -> sqlite3.Connection:
    """Give a database of one table that keeps what it has acknowledged."""
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, body TEXT)")
    connection.commit()
    return connection


def workspace(path: Path) -> Ledger:
    """Give a new workspace with the play, at a fixed moment."""
    return create(path, config_text=TOML, clock=lambda: NOW)


def markdown(figures: dict[str, object]) -> str:
    """Give the figures as tables."""
    lines = ["# Deciding: figures", ""]
    lines += [
        f"Written by `python benchmarks/decide/run.py` on {figures['machine']}, at load {figures['load']}.",
        "",
        "| subjects | actions | ours, s | of that processor, s | bare, s | ratio | subjects a second | peak MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {b['rows']:,} | {b['actions']} | {b['ours_seconds']:.2f} | {b['processor_seconds']:.2f} | "
        f"{b['bare_seconds']:.2f} | {b['ratio']:.1f} | {b['per_second']:,.0f} | {b['peak_mb']:,.0f} |"
        for b in figures["bulk"]
    ]
    one = figures["one"]
    lines += [
        "",
        "| one decision, in process | p50, ms | p99, ms |",
        "|---|---|---|",
        f"| decided and logged | {one['ours_p50_ms']:.2f} | {one['ours_p99_ms']:.2f} |",
        f"| bare commit | {one['bare_p50_ms']:.2f} | {one['bare_p99_ms']:.2f} |",
        "",
        f"Ratio of the medians {one['ratio_p50']:.1f}, over {one['decisions']:,} decisions.",
        "",
        SIDES,
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
