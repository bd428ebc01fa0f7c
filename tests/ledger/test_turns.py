"""T8 of reliability.md: several processes write to one workspace, and none of them waits long."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.ledger.makers import NOW, event

from nextbest.ledger import events, open_ledger
from nextbest.ledger.turns import Turns

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path

    from nextbest.ledger import Ledger

PROCESSES, THREADS, SECONDS = 4, 8, 2.0
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.ledger.child"])


def write_for_a_while(path: str, name: str, connection: Connection) -> None:
    """Write from eight threads, and tell how many events were stored, and the longest wait."""
    waits: list[float] = []
    with open_ledger(path, clock=lambda: NOW) as ledger:
        end = time.monotonic() + SECONDS

        def write(thread: int) -> None:
            number = 0
            while time.monotonic() < end:
                start = time.perf_counter()
                (receipt,) = events.ingest(ledger, [event(f"{name}-{thread}-{number}")], source="s")
                assert receipt.status == "stored"
                waits.append(time.perf_counter() - start)
                number += 1

        threads = [threading.Thread(target=write, args=(i,)) for i in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    connection.send((len(waits), max(waits)))


@pytest.mark.slow
def test_four_processes_share_the_journal_fairly(ledger: Ledger) -> None:
    """Four processes of eight threads lose nothing, meet no lock error, and nobody waits longer than 250 ms."""
    pipes, processes = [], []
    for i in range(PROCESSES):
        ours, theirs = SERVER.Pipe(duplex=False)
        processes.append(SERVER.Process(target=write_for_a_while, args=(str(ledger.path), str(i), theirs)))
        pipes.append(ours)
        processes[-1].start()
        theirs.close()
    told = [pipe.recv() for pipe in pipes]
    for process, pipe in zip(processes, pipes, strict=True):
        process.join()
        pipe.close()
    with ledger.journal.read() as connection:
        assert connection.execute("SELECT count(*) FROM event").fetchone() == (sum(n for n, _ in told),)
    print(f"{sum(n for n, _ in told) / SECONDS:,.0f} events/s, longest wait {max(w for _, w in told) * 1e3:.0f} ms")
    assert max(w for _, w in told) <= 0.25


def test_a_turn_that_never_comes_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A neighbour that stopped in the room does not stop the others for ever."""
    monkeypatch.setattr("nextbest.ledger.turns._PATIENCE_S", 0.01)
    stuck, mine = Turns(tmp_path), Turns(tmp_path)
    with stuck.turn(), mine.turn():
        assert os.listdir(tmp_path)  # noqa: PTH208 (that we came here is the point)
    stuck.close()
    mine.close()
