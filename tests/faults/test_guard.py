"""Ranking within a deadline, and the counting of fallbacks."""

from __future__ import annotations

import threading
import time

import pytest

from nextbest.policies.live.guard import DISTRUST_S, FIRST_S, FORGIVEN, MOST_LEFT_BEHIND, PROOF, Guard
from nextbest.policies.live.tally import Tally

DEADLINE = 0.05


class Counter:
    """Seconds that a test counts."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


def here() -> int:
    """Give the thread that ranks."""
    return threading.get_ident()


def proved() -> Guard:
    """Give a guard that trusts `r`."""
    guard = Guard()
    for _ in range(PROOF):
        guard.run("r", 5.0, here)
    return guard


def test_a_fast_ranker_runs_in_the_callers_thread_once_it_is_proved() -> None:
    """The first calls run beside, the next ones in the caller's own thread; another name has to prove itself."""
    guard = Guard()
    threads = [guard.run("r", 5.0, here) for _ in range(PROOF + 2)]
    assert threading.get_ident() not in threads[:PROOF]
    assert set(threads[PROOF:]) == {threading.get_ident()}
    assert guard.run("other", 5.0, here) != threading.get_ident()


def test_a_ranker_that_hangs_is_left_behind_within_the_deadline() -> None:
    """An unproved ranker that never comes back costs its deadline, and after a few of them nothing at all."""
    guard, forever = Guard(), threading.Event()
    waits = []
    for _ in range(MOST_LEFT_BEHIND + 3):
        started = time.perf_counter()
        assert guard.run("r", DEADLINE, forever.wait) is None
        waits.append(time.perf_counter() - started)
    # The middle one: a busy machine may keep any single one waiting.
    assert sorted(waits[:MOST_LEFT_BEHIND])[MOST_LEFT_BEHIND // 2] < DEADLINE + 0.05
    assert sorted(waits[MOST_LEFT_BEHIND:])[1] < 0.01
    forever.set()
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if guard.run("r", 1.0, here) is not None:
            return
        time.sleep(0.01)
    pytest.fail("The ranker came back and was not asked again.")


def test_a_proved_ranker_that_becomes_slow_is_late_once_and_then_watched() -> None:
    """Its first slow call is late; the next ones are cut off at the deadline; later it is trusted again."""
    counter = Counter()
    guard = Guard(counter)
    for _ in range(PROOF):
        guard.run("r", 5.0, here)

    def slow() -> int:
        counter.now += 1.0
        return here()

    assert guard.run("r", DEADLINE, slow) is None
    assert guard.run("r", 5.0, here) != threading.get_ident()
    for _ in range(PROOF):
        guard.run("r", 5.0, here)
    assert guard.run("r", 5.0, here) != threading.get_ident()
    counter.now += DISTRUST_S
    assert guard.run("r", 5.0, here) == threading.get_ident()


def test_who_is_late_again_is_watched_for_longer() -> None:
    """One hiccup is forgotten after a second; each further one doubles the time; many calls in a row forgive all."""
    counter = Counter()
    guard = Guard(counter)

    def watched_for() -> float:
        """Be late once, and give the seconds until the ranker runs in the caller's thread again."""
        guard.run("r", DEADLINE, lambda: counter.forward(1.0))
        began = counter.now
        while [guard.run("r", 5.0, here) for _ in range(PROOF + 1)][-1] != threading.get_ident():
            counter.forward(0.5)
        return counter.now - began

    for _ in range(PROOF):
        guard.run("r", 5.0, here)
    assert [watched_for() for _ in range(7)] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    for _ in range(FORGIVEN):
        guard.run("r", 5.0, here)
    assert watched_for() == FIRST_S


@pytest.mark.parametrize("error", [ValueError("off"), TimeoutError("own")])
def test_a_rankers_own_error_comes_through(error: Exception) -> None:
    """What a ranker raises, a timeout of its own included, reaches the caller from either thread."""

    def broken() -> None:
        raise error

    for guard in (Guard(), proved()):
        with pytest.raises(type(error), match=str(error)):
            guard.run("r", 5.0, broken)


def test_fallbacks_are_counted_and_more_than_a_hundredth_is_an_alarm() -> None:
    """One in a hundred is no alarm, three in two hundred are; after five minutes they are forgotten, not the counts."""
    counter = Counter()
    tally = Tally(counter)
    assert (tally.share, tally.alarm) == (0.0, "")
    tally.add(99, [])
    tally.add(1, ["clock"])
    assert (tally.share, tally.alarm) == (0.01, "")
    counter.now += 60
    tally.add(100, ["model", "model"])
    assert tally.alarm == "3 of the last 200 decisions fell back (1.5% in 5 minutes)."
    counter.now += 301
    tally.add(1)
    assert (tally.share, tally.alarm) == (0.0, "")
    assert tally.by_failure == {"clock": 1, "model": 2}
