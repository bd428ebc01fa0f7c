"""Decisions over HTTP beside the least that a service could do, on the same server, workers, model and requests.

    python benchmarks/serving/run.py                     the ratios, with 1 and with 2 workers
    python benchmarks/serving/run.py --hold 600          then a constant rate, held for so many seconds

Ours logs every decision durably before it answers, after consent, ten rules, caps and exploration (`shop.py`). What is
in `bare.py` only reads the request, scores the candidates and answers. Both are asked in turns (ABAB). wrk gives
requests per second; latencies at the same load come from a client with a constant rate, half of what ours can do, and
count from the moment at which a request was due.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from benchmarks.serving import client, shop  # noqa: E402 (a script: its own folder is not on the path before)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONNECTIONS = 16
ROUNDS, SECONDS = 3, 6
WARM_S = 15  # about as many requests as there are customers: those that were never asked about are read first


def free_port() -> int:
    """Give a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(commands: list[list[str]], port: int) -> Iterator[None]:
    """Run servers while the block lasts; it begins when they answer."""
    children = [subprocess.Popen(command) for command in commands]
    try:
        _wait(port, children)
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()


def _wait(port: int, children: list[subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if any(child.poll() is not None for child in children):
            raise SystemExit("A server ended before it answered.")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/live", timeout=5).read()
        except OSError:
            time.sleep(0.2)
        else:
            time.sleep(1)  # the other workers
            return
    raise SystemExit("A server did not answer within a minute.")


@contextlib.contextmanager
def both(folder: Path, workers: int) -> Iterator[tuple[int, int, str]]:
    """Run both services; gives their ports, and a key for ours."""
    key = shop.make(folder)
    model, bare, ours = str(folder / "model.txt"), free_port(), free_port()
    least = [[sys.executable, str(HERE / "bare.py"), model, str(bare)]] * workers
    whole = [[sys.executable, str(HERE / "ours.py"), str(folder / "shop"), model, str(ours)]] * workers
    with running(least, bare), running(whole, ours):
        yield bare, ours, key


def wrk(port: int, folder: Path, key: str, seconds: float) -> dict[str, float]:
    """Ask as fast as the service answers; gives requests per second, errors and latencies in milliseconds."""
    file = folder / "bodies.txt"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(HERE / "decide.lua")]
    command += [f"http://127.0.0.1:{port}", "--", str(file), key, str(shop.STRIDE), str(shop.SUBJECTS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    said: dict[str, float] = json.loads(done.strip().splitlines()[-1])
    return {**said, "rate": said["requests"] / said["seconds"]}


def requests(key: str) -> Callable[[int], bytes]:
    """Give the n-th request, about the n-th customer."""
    raw = [client.request("localhost", "/v1/decide", key, body) for body in shop.bodies()]
    parts = [one.split(shop.SUBJECT.encode()) for one in raw]

    def request(i: int) -> bytes:
        before, after = parts[i % len(parts)]
        return before + shop.subject(i).encode() + after

    return request


def held(port: int, key: str, *, rate: float, seconds: float) -> client.Held:
    """Ask at a constant rate."""
    return asyncio.run(client.hold(port, requests(key), rate=rate, seconds=seconds, connections=2 * CONNECTIONS))


def compare(workers: int) -> dict[str, float]:
    """Ask both in turns and give the figures of one number of workers."""
    with tempfile.TemporaryDirectory() as made, both(Path(made), workers) as (bare, ours, key):
        folder = Path(made)
        for port in (bare, ours):
            wrk(port, folder, key, WARM_S)
        fast = [(wrk(bare, folder, key, SECONDS), wrk(ours, folder, key, SECONDS)) for _ in range(ROUNDS)]
        rate = 0.5 * float(np.median([b["rate"] for _, b in fast]))
        slow = [tuple(held(port, key, rate=rate, seconds=SECONDS) for port in (bare, ours)) for _ in range(ROUNDS)]
    ratios = [b["rate"] / a["rate"] for a, b in fast]
    return {
        "workers": workers,
        "bare req/s": float(np.median([a["rate"] for a, _ in fast])),
        "ours req/s": float(np.median([b["rate"] for _, b in fast])),
        "ratio": float(np.median(ratios)),
        "errors": sum(b["errors"] for _, b in fast) + sum(b.errors for _, b in slow),
        "rate held": rate,
        "bare p50 ms": float(np.median([a.at(0.5) for a, _ in slow])),
        "ours p50 ms": float(np.median([b.at(0.5) for _, b in slow])),
        "p50 ratio": float(np.median([b.at(0.5) / a.at(0.5) for a, b in slow])),
        "bare p99 ms": float(np.median([a.at(0.99) for a, _ in slow])),
        "ours p99 ms": float(np.median([b.at(0.99) for _, b in slow])),
        "p99 ratio": float(np.median([b.at(0.99) / a.at(0.99) for a, b in slow])),
        "p50 ratio, full load": float(np.median([b["p50_ms"] / a["p50_ms"] for a, b in fast])),
        "p99 ratio, full load": float(np.median([b["p99_ms"] / a["p99_ms"] for a, b in fast])),
    }


def hold(seconds: float, rate: float, workers: int) -> dict[str, float]:
    """Hold a constant rate of durably logged decisions; gives latencies, errors and the disk that they took."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        key = shop.make(folder)
        port, model = free_port(), str(folder / "model.txt")
        before = _bytes(folder / "shop")
        command = [sys.executable, str(HERE / "ours.py"), str(folder / "shop"), model, str(port)]
        with running([command] * workers, port):
            held(port, key, rate=rate, seconds=WARM_S)
            found = held(port, key, rate=rate, seconds=seconds)
        grown = _bytes(folder / "shop") - before
    return {
        "workers": workers,
        "seconds": seconds,
        "asked/s": rate,
        "decisions/s": found.rate,
        "errors": found.errors,
        "p50 ms": found.at(0.5),
        "p99 ms": found.at(0.99),
        "worst ms": found.at(1.0),
        "disk KB/decision": grown / 1024 / (rate * (seconds + WARM_S)),
    }


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def table(rows: list[dict[str, float]]) -> None:
    """Print rows as Markdown."""
    names = list(rows[0])
    print(f"\n| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(f'{row[n]:,.4g}' for n in names)} |")


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hold", type=float, default=0.0, help="seconds to hold --rate, with the most of --workers")
    parser.add_argument("--hold-only", action="store_true", help="leave the ratios out")
    parser.add_argument("--rate", type=float, default=1000.0)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("This benchmark needs wrk (apt-get install wrk).")
    cores = os.cpu_count() or 1
    print(f"{shop.CANDIDATES} candidates x {shop.FEATURES} features, {shop.TREES} trees, {cores} cores.")
    if not given.hold_only:
        ratios(given.workers)
    if given.hold:
        best = hold(given.hold, given.rate, max(given.workers))
        table([best])
        print(json.dumps({"figure": "serving held rate", "value": best["decisions/s"]}))
        print(json.dumps({"figure": "serving held p99", "value": best["p99 ms"]}))
        print(json.dumps({"figure": "serving held errors", "value": best["errors"]}))


def ratios(workers: list[int]) -> None:
    """Print the ratios to the bare app for each number of workers."""
    rows = [compare(n) for n in workers]
    table(rows)
    for row in rows:
        n = f"{row['workers']:.0f}"
        print(json.dumps({"figure": f"serving ratio {n}", "value": row["ratio"]}))
        print(json.dumps({"figure": f"serving p50 {n}", "value": row["p50 ratio"]}))
        print(json.dumps({"figure": f"serving p99 {n}", "value": row["p99 ratio"]}))


if __name__ == "__main__":
    main()
