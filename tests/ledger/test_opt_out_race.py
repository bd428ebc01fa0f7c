"""T19 of reliability.md: from the acknowledgement of an opt-out on, nothing is decided or sent for that subject."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.ledger.child import log
from tests.ledger.makers import CONFIG, NOW, decision

from nextbest.ledger import chain, consent, create, open_ledger, outbox

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger

DECIDERS = 8


class Race:
    """Eight deciders and a dispatcher run after the subjects who are opting out, one by one."""

    def __init__(self, ledger: Ledger, subjects: range) -> None:
        self.ledger, self.subjects = ledger, subjects
        self.acknowledged: set[str] = set()
        self.waits: list[float] = []
        self.late: list[str] = []
        self.decided = self.sent = 0
        self.current = subjects.start
        self.over = threading.Event()

    def run(self) -> None:
        """Opt out every subject while the others race, then stop them."""
        threads = [threading.Thread(target=self.decide, args=(i,)) for i in range(DECIDERS)]
        threads.append(threading.Thread(target=self.dispatch))
        for thread in threads:
            thread.start()
        for i in self.subjects:
            self.current = i
            start = time.perf_counter()
            consent.record(self.ledger, f"c{i}", allow=False, proof="unsubscribe")
            self.acknowledged.add(f"c{i}")
            self.waits.append(time.perf_counter() - start)
        self.over.set()
        for thread in threads:
            thread.join()

    def decide(self, thread: int) -> None:
        """Decide for subjects who have just opted out or are about to."""
        chance, number = random.Random(thread), 0
        while not self.over.is_set():
            number += 1
            subject_id = f"c{self.current + chance.randint(-3, 3)}"
            too_late = subject_id in self.acknowledged
            made = decision(f"{self.subjects.start}-{thread}-{number}", subject_id=subject_id)
            logged = self.ledger.journal.write(lambda connection, made=made: log(connection, self.ledger, made))
            self.decided += logged
            if logged and too_late:
                self.late.append(made.decision_id)

    def dispatch(self) -> None:
        """Hand over what is due."""
        while not self.over.is_set():
            before = set(self.acknowledged)
            for message in outbox.claim(self.ledger, "email", 20, NOW):
                self.sent += 1
                if message.subject_id in before:
                    self.late.append(message.key)
                outbox.mark(self.ledger, message.key, "sent")


def logged_after_opt_out(ledger: Ledger) -> list[str]:
    """Give the decisions whose link comes after the link of their subject's opt-out: the durable order decides."""
    with ledger.journal.read() as connection:
        return connection.execute(
            "SELECT d.decision_id FROM consent AS c"
            " JOIN chain_link AS o ON o.what = 'consent' AND o.ref = CAST(c.version AS TEXT)"
            " JOIN decision AS d ON d.subject_id = c.subject_id"
            " JOIN chain_link AS l ON l.what = 'decision' AND l.ref = d.decision_id"
            " WHERE c.allowed = 0 AND l.seq > o.seq"
        ).fetchall()


def trials(path: Path, number: int, rounds: int) -> list[float]:
    """Race over all subjects in rounds with a restart after each; gives the waits for the acknowledgement."""
    with create(path, config_text=CONFIG, clock=lambda: NOW) as ledger:
        for i in range(-3, number + 4):
            consent.record(ledger, f"c{i}", allow=True, proof="form")
    waits, decided, sent, opted_out = [], 0, 0, set()
    for part in range(rounds):
        with open_ledger(path, clock=lambda: NOW) as ledger:
            for message in outbox.claim(ledger, "email", 10_000, NOW):  # what the last round left in the outbox
                assert message.subject_id not in opted_out
                outbox.mark(ledger, message.key, "sent")
            race = Race(ledger, range(part * number // rounds, (part + 1) * number // rounds))
            race.run()
            assert race.late == []
            opted_out |= race.acknowledged
            waits += race.waits
            decided, sent = decided + race.decided, sent + race.sent
    with open_ledger(path, clock=lambda: NOW) as ledger:
        assert logged_after_opt_out(ledger) == []
        assert not any(
            ledger.journal.write(lambda c, s=s: log(c, ledger, decision(f"end-{s}", subject_id=s))) for s in opted_out
        )
        assert chain.verify(ledger).ok
    assert len(opted_out) == len(waits) == number
    assert decided > number // 10
    assert sent > 0
    return sorted(waits)


@pytest.mark.slow
def test_nothing_follows_an_acknowledged_opt_out(tmp_path: Path) -> None:
    """In 1,000 races over 5 restarts no action is logged or claimed after its subject's opt-out is acknowledged."""
    waits = trials(tmp_path / "acme", 1000, 5)
    print(f"acknowledged in {waits[500] * 1e3:.1f} ms (median), {waits[990] * 1e3:.1f} ms (99 of 100)")
    assert waits[990] <= 0.1
