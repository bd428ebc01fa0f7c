"""Hours at a constant rate, with predictions published anew: memory, open files and p99 over time.

    python benchmarks/serving/soak.py                          two hours at 100 requests per second
    python benchmarks/serving/soak.py --minutes 5 --rate 50    a short one; its slope says little

The service is the one of `run.py` (`ours.py`), in one process. The slope of its memory is fitted to what comes after
the first eighth of the time (caches fill), and p99 is that of the last quarter against that of the second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from benchmarks.serving import client, shop  # noqa: E402 (a script: its own folder is not on the path before)
from benchmarks.serving.run import free_port, requests, running  # noqa: E402

from nextbest import operations  # noqa: E402
from nextbest.ledger import published  # noqa: E402

SLOPE_MB_H, DRIFT = 2.0, 0.10


@dataclass(frozen=True, kw_only=True)
class Look:
    """What one stretch of the run looked like at its end."""

    hours: float
    rss_mb: float
    files: int
    p99_ms: float
    errors: int


def memory_mb(pid: int) -> float:
    """Give the resident memory of a process in MB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def server_of(folder: Path) -> int:
    """Give the id of the child that serves the workspace."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _is_child(entry) and str(folder).encode() in (entry / "cmdline").read_bytes():
            return int(entry.name)
    raise SystemExit("The server has ended.")


def _is_child(entry: Path) -> bool:
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
    except OSError:
        return False


def republish(folder: Path, number: int) -> None:
    """Publish other predictions, as a refit does."""
    rng = np.random.default_rng(number)
    n = shop.SUBJECTS
    table = {
        "subject_id": [shop.subject(i) for i in range(n)],
        "orders_365d": rng.integers(1, 9, n).astype(np.float64),
        "average_order_value": rng.gamma(4, 12, n),
        "churn_probability": rng.beta(2, 5, n),
    }
    with operations.open(folder) as ledger:
        published.publish(ledger, "churn", f"churn-{number}", ledger.clock(), pa.table(table))


def soak(folder: Path, key: str, *, minutes: float, rate: float, step_s: float, reload_s: float) -> list[Look]:
    """Serve, ask and look."""
    port = free_port()
    command = [sys.executable, str(HERE / "ours.py"), str(folder / "shop"), str(folder / "model.txt"), str(port)]
    asks = requests(key)
    looks: list[Look] = []
    with running([command], port):
        pid, started, reloads = server_of(folder / "shop"), time.monotonic(), 0
        while (gone := time.monotonic() - started) < minutes * 60:
            if gone > (reloads + 1) * reload_s:
                reloads += 1
                republish(folder / "shop", reloads)
            held = asyncio.run(client.hold(port, asks, rate=rate, seconds=step_s))
            look = Look(
                hours=(time.monotonic() - started) / 3600,
                rss_mb=memory_mb(pid),
                files=len(list(Path(f"/proc/{pid}/fd").iterdir())),
                p99_ms=held.at(0.99),
                errors=held.errors,
            )
            looks.append(look)
            print(look, file=sys.stderr, flush=True)
    return looks


def told(looks: list[Look], rate: float) -> str:
    """Give the figures as Markdown and as JSON lines."""
    late = looks[len(looks) // 8 :]
    slope = (
        float(np.polyfit([x.hours for x in late], [x.rss_mb for x in late], 1)[0]) if len(late) > 1 else float("nan")
    )
    quarter = max(1, len(looks) // 4)
    before = float(np.median([x.p99_ms for x in looks[quarter : 2 * quarter] or looks]))
    after = float(np.median([x.p99_ms for x in looks[-quarter:]]))
    errors = sum(x.errors for x in looks)
    rows = [
        ("memory, MB an hour", f"{slope:+.2f}", f"<= {SLOPE_MB_H:g}"),
        ("open files, first and last", f"{late[0].files} and {late[-1].files}", "constant"),
        ("p99 of the last quarter against the second", f"{after / before - 1:+.1%}", f"<= {DRIFT:.0%}"),
        ("errors", f"{errors}", "0"),
    ]
    head = f"{looks[-1].hours * 60:.0f} minutes at {rate:g} requests per second; memory {late[-1].rss_mb:.0f} MB."
    table = "\n".join(f"| {name} | {value} | {goal} |" for name, value, goal in rows)
    figures = {"soak_mb_per_hour": slope, "soak_p99_drift": after / before - 1}
    lines = "\n".join(json.dumps({"figure": name, "value": round(value, 4)}) for name, value in figures.items())
    return f"## Soak\n\n{head}\n\n| | found | goal |\n|---|---|---|\n{table}\n\n{lines}"


def main() -> None:
    """Read the settings, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--step", type=float, default=60.0, help="seconds between looks")
    parser.add_argument("--reload", type=float, default=300.0, help="seconds between publications")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        key = shop.make(folder)
        looks = soak(folder, key, minutes=wanted.minutes, rate=wanted.rate, step_s=wanted.step, reload_s=wanted.reload)
    print(told(looks, wanted.rate))


if __name__ == "__main__":
    main()
