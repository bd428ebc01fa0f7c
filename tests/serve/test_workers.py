"""Several workers answer on one port as one service would: one page, one log, one sum of counters."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from tests.serve.conftest import TOKEN

from nextbest import operations
from nextbest.errors import UsageError
from nextbest.serve import run_workers
from nextbest.serve.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAM = """
import sys
from pathlib import Path
from nextbest.serve import run_workers
run_workers([Path(sys.argv[1])], workers=2, host="127.0.0.1", port=int(sys.argv[2]), tokens=[sys.argv[3]])
"""
DECIDED = re.compile(r'nextbest_requests_total\{method="POST",route="/v1/decide",status="200"\} (\d+)')


@pytest.fixture
def served(made_shop: Path, tmp_path: Path) -> Iterator[tuple[str, str, Path, subprocess.Popen[bytes]]]:
    """Give the address, a key, the workspace and the parent of a service with two workers."""
    folder = shutil.copytree(made_shop, tmp_path / "shared")
    with operations.open(folder) as opened:
        _, key = operations.create_key(opened, "admin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM, str(folder), str(port), TOKEN])
    try:
        yield f"http://127.0.0.1:{port}", key, folder, parent
    finally:
        parent.kill()
        parent.wait()


def in_time(done: Callable[[], bool]) -> bool:
    """Say whether something comes true within 30 s; waits for it."""
    until = time.monotonic() + 30
    while not (came := done()) and time.monotonic() < until:
        time.sleep(0.05)
    return came


def children(parent: int) -> list[int]:
    """Give the processes that a process has started."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(") ")[2].split()
        except OSError:
            continue
        if fields[1] == str(parent) and fields[0] != "Z":
            found.append(int(stat.parent.name))
    return sorted(found)


def alive(url: str) -> bool:
    """Say whether anybody answers."""
    try:
        return httpx2.get(f"{url}/live", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_workers_are_one_service(served: tuple[str, str, Path, subprocess.Popen[bytes]]) -> None:
    """Decisions of both are in one log, counters add up, a killed worker is replaced, and all stop together."""
    url, key, folder, parent = served
    headers = {"Authorization": f"Bearer {key}", "Connection": "close"}
    assert in_time(lambda: len(children(parent.pid)) == 2 and alive(url))

    def ask(i: int) -> str:
        body = {"play": "win_back", "subject_id": f"c{i % 10}"}
        answer = httpx2.post(f"{url}/v1/decide", json=body, headers=headers, timeout=60)
        return str(answer.raise_for_status().json()["decision_id"])

    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(ask, range(40)))

    def counted() -> int:
        found = DECIDED.search(httpx2.get(f"{url}/metrics", headers=headers, timeout=30).text)
        return int(found[1]) if found else 0

    assert in_time(lambda: counted() == 40)
    cookie = httpx2.get(f"{url}/", params={"token": TOKEN}, timeout=30).cookies
    assert {httpx2.get(f"{url}/ready", cookies=cookie, timeout=30).status_code for _ in range(20)} == {200}
    victim, other = children(parent.pid)
    os.kill(victim, signal.SIGKILL)
    assert in_time(lambda: len(set(children(parent.pid)) - {victim, other}) == 1)
    assert in_time(lambda: alive(url))
    parent.send_signal(signal.SIGTERM)
    assert parent.wait(30) == 0
    assert not alive(url)
    with operations.open(folder) as ledger:
        assert {operations.decision(ledger, d).decision_id for d in made} == set(made)
        assert operations.verify(ledger).problems == ()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_do_not_outlive_their_parent(served: tuple[str, str, Path, subprocess.Popen[bytes]]) -> None:
    """When the parent is killed, its workers stop by themselves."""
    url, _, _, parent = served
    assert in_time(lambda: len(children(parent.pid)) == 2 and alive(url))
    workers = children(parent.pid)
    parent.kill()
    assert in_time(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    """A port that somebody listens on, an odd number of workers and an open address are refused before any start."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match="cannot be taken"):
            run_workers([tmp_path], workers=2, host="127.0.0.1", port=port, tokens=[None])
    with pytest.raises(UsageError, match="workers"):
        run_workers([tmp_path], workers=0, host="127.0.0.1", port=0, tokens=[None])
    with pytest.raises(UsageError, match="behind-proxy"):
        run_workers([tmp_path], workers=2, host="192.0.2.1", port=0, tokens=[None])


def test_counters_of_workers_add_up(tmp_path: Path) -> None:
    """Each worker tells the sum of what it counts now and what the others have kept."""
    one, other, alone = Metrics(shared=tmp_path), Metrics(shared=tmp_path), Metrics()
    for metrics, n in ((one, 2), (other, 3), (alone, 7)):
        for _ in range(n):
            metrics.request("GET", "/live", 200)
            metrics.decision(arm="policy", mode="live", degraded=True, seconds=0.002)
    other.keep()
    text = one.text({"segments": 1})
    assert 'nextbest_requests_total{method="GET",route="/live",status="200"} 5' in text
    assert "nextbest_degraded_total 5" in text
    assert 'nextbest_decide_seconds_bucket{le="0.0025"} 5' in text
    assert 'status="200"} 7' in alone.text({})


@pytest.mark.slow
def test_a_revoked_key_ends_at_every_worker(served: tuple[str, str, Path, subprocess.Popen[bytes]]) -> None:
    """A second after a key is revoked no worker takes it, on however many connections it comes."""
    url, key, folder, parent = served
    assert in_time(lambda: alive(url) and len(children(parent.pid)) == 2)
    headers = {"Authorization": f"Bearer {key}"}
    body = {"play": "win_back", "subject_id": "c2"}

    def statuses() -> set[int]:
        """Give what twenty new connections are told by the route that remembers most, and by another."""
        decided = {
            httpx2.post(f"{url}/v1/decide", json=body, headers=headers, timeout=10).status_code for _ in range(10)
        }
        return decided | {httpx2.get(f"{url}/v1/stops", headers=headers, timeout=10).status_code for _ in range(10)}

    assert in_time(lambda: statuses() == {200})
    with operations.open(folder) as opened:
        operations.revoke_key(opened, operations.list_keys(opened)[-1].key_id)
    time.sleep(1)
    assert statuses() == {401}
