"""T19 of reliability.md, through the live engine: no contact follows an acknowledged opt-out."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import NOW

from nextbest.ledger import chain, consent, create, open_ledger, outbox
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nextbest.ledger import Ledger

DECIDERS = 8
CONFIG = """
[consent]
regime = "opt_in"
[plays.p]
holdout = 0.0
value = "50"
policy = { name = "greedy", explore = 0.5 }
actions = [{ id = "mail", channel = "email", assumed_log_odds = 1.0 }]
"""


@dataclass
class Seen:
    """What races showed: who opted out, the waits for it, and whom anything reached later, by each way of looking."""

    gone: set[str] = field(default_factory=set)
    waits: list[float] = field(default_factory=list)
    reached: int = 0
    late: list[str] = field(default_factory=list)
    late_after_restart: list[str] = field(default_factory=list)
    late_in_log: int = 0
    chained: bool = False


class Race:
    """Eight deciding threads and a dispatcher run after the subjects who are opting out, one by one."""

    def __init__(self, decide: Callable[[str], str], subjects: range) -> None:
        self.decide, self.subjects = decide, subjects
        self.acknowledged: set[str] = set()
        self.waits: list[float] = []
        self.late: list[str] = []
        self.reached = 0
        self.current = subjects.start
        self.over = threading.Event()

    def run(self, opt_out: Callable[[str], None], also: Callable[[Race], None] | None = None) -> None:
        """Opt out every subject while the others race, then stop them."""
        jobs = [threading.Thread(target=self.keep_deciding, args=(i,)) for i in range(DECIDERS)]
        jobs += [threading.Thread(target=also, args=(self,))] if also is not None else []
        for job in jobs:
            job.start()
        for i in self.subjects:
            self.current = i
            started = time.perf_counter()
            opt_out(f"c{i}")
            self.waits.append(time.perf_counter() - started)
            self.acknowledged.add(f"c{i}")
        self.over.set()
        for job in jobs:
            job.join()

    def keep_deciding(self, number: int) -> None:
        """Decide for subjects who have just opted out or are about to."""
        chance = random.Random(number)
        while not self.over.is_set():
            subject = f"c{self.current + chance.randint(-2, 2)}"
            too_late = subject in self.acknowledged
            reached = self.decide(subject) == "mail"
            self.reached += reached
            if reached and too_late:
                self.late.append(subject)


def dispatcher(ledger: Ledger) -> Callable[[Race], None]:
    """Give what queues and claims messages for the subjects of the race, and notes those claimed too late."""

    def run(race: Race) -> None:
        number = 0
        while not race.over.is_set():
            number += 1
            subject = f"c{race.current}"
            message = outbox.Message(
                key=f"k{race.subjects.start}-{number}",
                decision_id="d",
                play="p",
                subject_id=subject,
                channel="email",
                action_id="mail",
                due=NOW,
            )
            ledger.journal.write(lambda connection, m=message: outbox.enqueue(connection, [m]))
            before = set(race.acknowledged)
            race.late += [m.key for m in outbox.claim(ledger, "email", 20, NOW) if m.subject_id in before]

    return run


def after_opt_out(ledger: Ledger) -> int:
    """Count the contacts whose decision has a higher consent version than their subject's no: the order of the log."""
    with ledger.journal.read() as connection:
        found: int = connection.execute(
            "SELECT count(*) FROM contact AS k JOIN decision AS d ON d.decision_id = k.decision_id"
            " JOIN consent AS c ON c.subject_id = k.subject_id AND c.allowed = 0 AND c.version <= d.consent_version"
        ).fetchone()[0]
    return found


def trials(path: Path, number: int, rounds: int) -> Seen:
    """Race over all subjects in rounds with a restart after each; gives what was seen, waits from short to long."""
    with create(path, config_text=CONFIG, clock=lambda: NOW) as ledger:
        ledger.journal.write(
            lambda connection: consent.add(
                connection, [(f"c{i}", "marketing", "*", 1, 0, "form", "") for i in range(-2, number + 3)], 0
            )
        )
    seen = Seen()
    for part in range(rounds):
        with open_ledger(path, clock=lambda: NOW) as ledger:
            engine = Engine(ledger)
            seen.late_after_restart += [subject for subject in seen.gone if _mail(engine, subject)]
            race = Race(
                lambda subject, engine=engine: engine.decide(Ask(play="p", subject_id=subject))[0].action_id,
                range(part * number // rounds, (part + 1) * number // rounds),
            )
            race.run(
                lambda subject, at=ledger: consent.record(at, subject, allow=False, proof="unsubscribe"),
                dispatcher(ledger),
            )
            seen.late += race.late
            seen.gone |= race.acknowledged
            seen.waits += race.waits
            seen.reached += race.reached
    with open_ledger(path, clock=lambda: NOW) as ledger:
        seen.late_in_log, seen.chained = after_opt_out(ledger), chain.verify(ledger).ok
    seen.waits.sort()
    return seen


def _mail(engine: Engine, subject: str) -> bool:
    return engine.decide(Ask(play="p", subject_id=subject, request_id="again"))[0].action_id == "mail"


def told(waits: list[float]) -> float:
    """Print the waits, and give the one that 99 of 100 keep within."""
    high = waits[int(0.99 * (len(waits) - 1))]
    print(f"opt-out acknowledged in {waits[len(waits) // 2] * 1e3:.1f} ms (median), {high * 1e3:.1f} ms (99 of 100)")
    return high


@pytest.mark.slow
def test_no_decision_of_the_engine_follows_an_opt_out(tmp_path: Path) -> None:
    """In 100 races with a restart in between, nothing is decided or claimed after the opt-out is acknowledged."""
    seen = trials(tmp_path / "w", 100, 2)
    told(seen.waits)
    assert (seen.late, seen.late_after_restart, seen.late_in_log) == ([], [], 0)
    assert seen.chained
    assert len(seen.gone) == len(seen.waits) == 100
    assert seen.reached > 0


@pytest.mark.nightly
def test_no_decision_of_the_engine_follows_an_opt_out_in_a_thousand(tmp_path: Path) -> None:
    """In 1,000 races over 5 restarts nothing follows an opt-out, which is acknowledged within 100 ms (99 of 100)."""
    seen = trials(tmp_path / "w", 1000, 5)
    assert (seen.late, seen.late_after_restart, seen.late_in_log) == ([], [], 0)
    assert seen.chained
    assert len(seen.gone) == len(seen.waits) == 1000
    assert seen.reached > 0
    assert told(seen.waits) <= 0.1
