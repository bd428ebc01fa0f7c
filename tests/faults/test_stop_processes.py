"""The kill switch binds every process within a second, by call and by file, and at dispatch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nextbest import operations
from nextbest.ledger import create, outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nextbest.ledger import Ledger

CONFIG = """
[consent]
regime = "opt_out"
[plays.p]
holdout = 0.0
value = "50"
actions = [{ id = "mail", channel = "email", assumed_log_odds = 1.0 }]
"""
WORKERS, WITHIN_S = 2, 1.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace on the wall clock."""
    with create(tmp_path / "w", config_text=CONFIG) as opened:
        yield opened


def deciding_while(ledger: Ledger, act: Callable[[], None]) -> tuple[float, list[tuple[float, str]]]:
    """Let processes decide, act in the middle; give when the act was done, and every decision with its moment."""
    child = str(Path(__file__).with_name("child.py"))
    workers = [
        subprocess.Popen([sys.executable, child, str(ledger.path), f"w{i}"], stdout=subprocess.PIPE, text=True)
        for i in range(WORKERS)
    ]
    try:
        first = [worker.stdout.readline() for worker in workers if worker.stdout is not None]
        time.sleep(0.5)
        act()
        done = time.time()
        time.sleep(WITHIN_S + 0.5)
    finally:
        for worker in workers:
            worker.kill()
        rest = [worker.communicate()[0] for worker in workers]
    lines = [line.split() for text in (*first, *rest) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return done, [(float(asked), action) for asked, action in lines]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["call", "file"])
def test_a_stop_binds_every_process_within_a_second(ledger: Ledger, how: str) -> None:
    """After a stop has returned, or the file lies there, no decision that any process is asked for is an action."""

    def act() -> None:
        if how == "call":
            operations.stop(ledger, channel="email", why="test")
        else:
            (ledger.path / "stop").write_text("channel=email\n")

    done, made = deciding_while(ledger, act)
    assert {action for asked, action in made if asked < done - 0.1} >= {"mail"}
    late = [asked - done for asked, action in made if asked > done and action != "none"]
    assert late == []
    assert sum(asked > done for asked, _ in made) >= WORKERS


def test_a_stop_binds_what_is_about_to_leave(ledger: Ledger) -> None:
    """A message that was queued before a stop is held at dispatch, and goes when the stop is lifted."""
    now = ledger.clock()
    message = outbox.Message(
        key="k", decision_id="d", play="p", subject_id="c", channel="email", action_id="mail", due=now
    )
    ledger.journal.write(lambda connection: outbox.enqueue(connection, [message]))
    operations.stop(ledger, play="p", action="mail", why="test")
    assert outbox.claim(ledger, "email", 5, now) == []
    operations.start(ledger, play="p", action="mail", why="test")
    assert [m.key for m in outbox.claim(ledger, "email", 5, ledger.clock().replace(year=now.year + 1))] == ["k"]
