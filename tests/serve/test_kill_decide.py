"""A server that is killed in the middle of its work has logged what it answered, once (T2)."""

from __future__ import annotations

import http.client
import json
import random
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.serve.conftest import TOKEN

from nextbest import operations
from nextbest.ledger import analysis

if TYPE_CHECKING:
    from collections.abc import Iterator

CALLERS = 8
KEYED = 5  # every fifth request has an idempotency key, and a subject of its own


class Caller(threading.Thread):
    """Asks without a pause until the connection breaks, and keeps every whole answer with status 200."""

    def __init__(self, port: int, key: str, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self.port, self.key = port, key
        self.told: list[str] = []
        self.once: dict[str, str] = {}
        self.tried: list[str] = []
        self.other: list[int] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        i = 0
        while True:
            i += 1
            once = f"{self.name}-{i}" if i % KEYED == 0 else ""
            self.tried += [once] if once else []
            try:
                status, raw = ask(connection, self.key, once or f"c{i % 11}", once=once)
            except (OSError, http.client.HTTPException):
                return
            if status != 200:
                self.other.append(status)
                continue
            made = json.loads(raw)["decision_id"]
            self.told.append(made)
            if once:
                self.once[once] = made


def ask(connection: http.client.HTTPConnection, key: str, subject: str, *, once: str = "") -> tuple[int, bytes]:
    """Ask for one decision; gives the status and the whole body."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    headers |= {"Idempotency-Key": once} if once else {}
    connection.request("POST", "/v1/decide", json.dumps({"play": "win_back", "subject_id": subject}), headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


@contextmanager
def started(folder: Path, port: int) -> Iterator[None]:
    """Start a server, wait until it answers, and kill it when the block ends."""
    command = [sys.executable, str(Path(__file__).with_name("child.py")), str(folder), str(port), TOKEN]
    child = subprocess.Popen(command)
    try:
        until = time.monotonic() + 60
        while not is_open(port):
            assert child.poll() is None, "the server ended"
            assert time.monotonic() < until
            time.sleep(0.05)
        yield
    finally:
        child.kill()
        child.wait()


def is_open(port: int) -> bool:
    """Say whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def killed_again_and_again(shop: Path, folder: Path, cycles: int) -> int:
    """Kill a server under load so many times, and compare what was answered with what is in the log."""
    shutil.copytree(shop, folder)
    with operations.open(folder) as ledger:
        _, key = operations.create_key(ledger, "decide")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    chance = random.Random(5)
    callers: list[Caller] = []
    for cycle in range(cycles):
        fresh = [Caller(port, key, f"k{cycle}-{i}") for i in range(CALLERS)]
        with started(folder, port):
            for caller in fresh:
                caller.start()
            wanted, until = chance.randint(20, 80), time.monotonic() + 20
            while sum(len(c.told) for c in fresh) < wanted and time.monotonic() < until:
                time.sleep(chance.uniform(0.001, 0.02))
        for caller in fresh:
            caller.join(30)
        callers += fresh
    repeated(folder, port, key, callers)
    return compared(folder, callers)


def repeated(folder: Path, port: int, key: str, callers: list[Caller]) -> None:
    """Ask once more under the last keys: an answered one gives the same decision, any other decides at most once."""
    with started(folder, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for caller in callers[-CALLERS:]:
            for once in caller.tried[-3:]:
                status, raw = ask(connection, key, once, once=once)
                made = json.loads(raw)["decision_id"]
                assert (status, caller.once.setdefault(once, made)) == (200, made)
                caller.told.append(made)
        connection.close()


def compared(folder: Path, callers: list[Caller]) -> int:
    """Check what was answered against the log; gives how many answers there were."""
    told = {made for caller in callers for made in caller.told}
    assert [status for caller in callers for status in caller.other] == []
    with operations.open(folder) as ledger:
        columns = ["decision_id", "subject_id", "choice_probability", "policy_version", "model_versions"]
        rows = analysis.table(ledger, "decisions", columns=columns).to_pylist()
        problems = operations.verify(ledger).problems
    logged = {row["decision_id"]: row for row in rows}
    assert problems == ()
    assert len(logged) == len(rows)
    assert told - logged.keys() == set()
    assert all(0 < logged[made]["choice_probability"] <= 1 for made in told)
    assert all(logged[made]["policy_version"] and logged[made]["model_versions"] for made in told)
    twice = [s for s, n in Counter(row["subject_id"] for row in rows).items() if s.startswith("k") and n > 1]
    assert twice == []
    return len(told)


@pytest.mark.slow
def test_a_killed_server_has_logged_what_it_answered(made_shop: Path, tmp_path: Path) -> None:
    """Killed three times under load: no answered decision is missing or double, keys decide once, the chain holds."""
    assert killed_again_and_again(made_shop, tmp_path / "killed", 3) >= 60


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_hundred_kills_lose_nothing(made_shop: Path, tmp_path: Path) -> None:
    """Killed a hundred times under load: no answered decision is missing or double."""
    assert killed_again_and_again(made_shop, tmp_path / "killed", 100) >= 2000
