"""T1 and T2 of reliability.md: kill -9 loses nothing that was acknowledged and doubles nothing."""

from __future__ import annotations

import multiprocessing
import random
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.ledger import child

from nextbest.ledger import chain, consent, open_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger

SERVER = multiprocessing.get_context("forkserver")  # so that the imports are paid once, not per kill
SERVER.set_forkserver_preload(["tests.ledger.child"])


def run_until_killed(path: Path, what: str, prefix: str, delay: float) -> set[str]:
    """Start the child, kill it after a delay, and give the ids it had acknowledged."""
    ours, theirs = SERVER.Pipe(duplex=False)
    process = SERVER.Process(target=child.main, args=(str(path), what, prefix, theirs), daemon=True)
    process.start()
    theirs.close()
    assert ours.recv_bytes() == b"ready"
    threading.Timer(delay, process.kill).start()
    said: set[str] = set()
    try:
        while True:
            said |= set(ours.recv_bytes().decode().split())
    except (EOFError, OSError):  # killed, perhaps in the middle of a word, which then was not acknowledged
        process.join()
        ours.close()
    assert process.exitcode == -signal.SIGKILL
    return said


def check_events(ledger: Ledger, acknowledged: set[str]) -> None:
    """Every acknowledged message is there, and none twice."""
    with ledger.journal.read() as connection:
        ids = [row[0] for row in connection.execute("SELECT message_id FROM event")]
        messages = connection.execute("SELECT count(*) FROM message").fetchone()[0]
    assert acknowledged - set(ids) == set()
    assert len(ids) == len(set(ids)) == messages


def check_decisions(ledger: Ledger, acknowledged: set[str]) -> None:
    """Every acknowledged decision is there, whole, once, with its message, its contact and its link."""
    with ledger.journal.read() as connection:
        whole = "choice_probability = 0.9 AND policy_version = 'p1' AND model_versions = '{\"churn\":\"churn_1\"}'"
        ids = [row[0] for row in connection.execute(f"SELECT decision_id FROM decision WHERE {whole}")]
        kept = {t: connection.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in ("outbox", "contact")}
    assert acknowledged - set(ids) == set()
    assert len(ids) == len(set(ids))
    assert kept == {"outbox": len(ids), "contact": len(ids)}


def check_cycles(ledger: Ledger, what: str, number: int, longest: float) -> None:
    """Kill, reopen within two seconds and compare, over and over on one workspace."""
    for i in range(10):
        consent.record(ledger, f"c{i}", allow=True, proof="form")
    ledger.journal.close()
    chance, acknowledged = random.Random(what), set()
    for cycle in range(number):
        acknowledged |= run_until_killed(ledger.path, what, str(cycle), chance.uniform(longest / 10, longest))
        start = time.perf_counter()
        with open_ledger(ledger.path) as again:
            assert time.perf_counter() - start <= 2
            {"ingest": check_events, "decide": check_decisions}[what](again, acknowledged)
    assert acknowledged
    with open_ledger(ledger.path) as again:
        assert chain.verify(again).problems == ()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["ingest", "decide"])
def test_kill_9_loses_and_doubles_nothing(ledger: Ledger, what: str) -> None:
    """Over 40 kills, half while ingesting and half while deciding, nothing acknowledged is lost or doubled."""
    check_cycles(ledger, what, 20, 0.2)


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["ingest", "decide"])
def test_kill_9_loses_and_doubles_nothing_in_200_cycles(ledger: Ledger, what: str) -> None:
    """Over 200 kills after up to a second of work, nothing acknowledged is lost or doubled."""
    check_cycles(ledger, what, 100, 1.0)
