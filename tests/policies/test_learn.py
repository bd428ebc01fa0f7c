from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tests.policies.conftest import NOW

from nextbest.ledger import decisions, erasure, learning, outcomes
from nextbest.ledger.workspace import open_ledger
from nextbest.policies.learners import learn
from nextbest.policies.learners.loop import Learning
from nextbest.policies.live.ask import Offers
from nextbest.types import Candidate, Decision, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.clocks import Clock

    from nextbest.ledger import Ledger

PLAY = """
goal = "click"
value = "1"
goal_days = 1
policy = { name = "squarecb" }
learner = { name = "linear" }
"""
BANNERS = '[{ id = "a", class = "content" }, { id = "b", class = "content" }]'
BOTH = Offers(ids=("a", "b"), names=(), values=np.zeros((2, 0)))


def shown(i: int, action: str, *, hours: float = 0.0, **changes: object) -> Decision:
    """Give one decision for one visitor, some hours after the start."""
    given = {
        "decision_id": f"d{i}",
        "play": "win_back",
        "subject_id": f"s{i}",
        "ts": NOW + timedelta(hours=hours),
        "action_id": action,
        "choice_probability": 0.5,
        "candidates": tuple(Candidate(action_id=a, choice_probability=0.5) for a in ("a", "b")),
        "context": {"age": float(i % 7)},
        "features": {"orders_30d": float(i % 3)},
    }
    return Decision(**{**given, **changes})  # type: ignore[arg-type]


def click(i: int, *, hours: float = 1.0, named: bool = True, serial: str = "o") -> Outcome:
    """Give the answer of one visitor."""
    return Outcome(
        outcome_id=f"{serial}{i}",
        subject_id=f"s{i}",
        ts=NOW + timedelta(hours=hours),
        name="click",
        decision_id=f"d{i}" if named else None,
    )


def log(ledger: Ledger, rows: list[Decision]) -> None:
    """Put decisions into the log."""
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))


def counted(found: learn.Learnt | None) -> tuple[float, float]:
    """Give how many decisions a state has counted, and how many of them as answered."""
    assert found is not None
    return found.state.sums.n, found.state.sums.yy


@pytest.fixture
def ledger(workspace: Callable[..., Ledger]) -> Ledger:
    """Give a workspace with one play of two banners."""
    return workspace(PLAY, actions=BANNERS)


def test_pending_is_not_no(ledger: Ledger, clock: Clock) -> None:
    """An answer counts at once; silence counts by quarters, and whole only after its time is up."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "a") for i in range(6)])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(0), click(1, named=False)])
    assert counted(learn.advance(ledger, play)) == (2 + 4 / 2, 2)
    clock.now = NOW + timedelta(hours=30)
    outcomes.record(ledger, [click(900, hours=29)])  # somebody else: the log goes on
    assert counted(learn.advance(ledger, play)) == (6, 2)
    assert counted(learn.advance(ledger, play)) == (6, 2)


def test_a_late_answer_puts_a_no_right(ledger: Ledger, clock: Clock) -> None:
    """What was counted as no and is answered late leaves the same state as if it had been answered in time."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "ab"[i % 2]) for i in range(20)])
    clock.now = NOW + timedelta(hours=30)
    outcomes.record(ledger, [*(click(i) for i in range(4)), click(900, hours=29)])
    learn.advance(ledger, play)
    outcomes.record(ledger, [click(7)])
    late = learn.advance(ledger, play)
    settings = learn.settings_of(play)
    assert late is not None
    assert settings is not None
    with ledger.journal.read() as connection:
        fresh = learn.Learnt(number=0, state=settings.start(), cursor=learning.Cursor())
        whole, _ = learn._all(ledger, connection, play, fresh, afresh=True)
    assert counted(late) == (20, 5)
    np.testing.assert_allclose(late.state.sums.xy, whole.state.sums.xy, atol=1e-9)
    np.testing.assert_allclose(late.state.sums.ff, whole.state.sums.ff, atol=1e-9)


def test_an_answer_counts_once(ledger: Ledger, clock: Clock) -> None:
    """Two clicks on one banner are one answer, now and later."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(0, "a")])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(0), click(0, serial="p")])
    assert counted(learn.advance(ledger, play)) == (1, 1)
    outcomes.record(ledger, [click(0, serial="q")])
    assert counted(learn.advance(ledger, play)) == (1, 1)


def test_what_was_not_carried_out_teaches_nothing(ledger: Ledger, clock: Clock) -> None:
    """Shadows, degraded decisions, hindsight and machines are left out, with and without an answer."""
    play = ledger.config.plays["win_back"]
    log(
        ledger,
        [
            shown(0, "a", mode="shadow"),
            shown(1, "a", degraded=True),
            shown(2, "a", context={"hindsight": True}),
            shown(3, "a", context={"bot": True}),
            shown(4, "a"),
        ],
    )
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(i) for i in range(5)])
    assert counted(learn.advance(ledger, play)) == (1, 1)
    clock.now = NOW + timedelta(hours=30)
    outcomes.record(ledger, [click(900, hours=29)])
    assert counted(learn.advance(ledger, play)) == (1, 1)


def test_an_answer_outside_its_time_is_none(ledger: Ledger, clock: Clock) -> None:
    """A click before the decision, or after its time, does not answer it."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(0, "a", hours=2), shown(1, "a")])
    clock.now = NOW + timedelta(hours=40)
    outcomes.record(ledger, [click(0, hours=1), click(1, hours=25)])
    assert counted(learn.advance(ledger, play)) == (2, 0)


@pytest.mark.parametrize(("seconds", "named", "taken"), [(5, True, 1), (6, True, 0), (1, False, 0)])
def test_an_answer_that_names_its_decision_may_seem_early(
    ledger: Ledger, clock: Clock, *, seconds: int, named: bool, taken: int
) -> None:
    """A clock that cuts, or is behind, by five seconds loses no answer that names its decision; others it may."""
    log(ledger, [shown(1, "a", hours=1)])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(1, hours=1 - seconds / 3600, named=named)])
    found = learn.advance(ledger, ledger.config.plays["win_back"])
    assert (0 if found is None else found.state.sums.yy) == taken


def test_of_two_workers_one_publishes(ledger: Ledger, clock: Clock) -> None:
    """A state learnt from an older one than the newest is not published; the loser takes the winner's."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "a") for i in range(4)])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(0), click(3)])
    first = learn.advance(ledger, play)
    assert first is not None
    stored = learning.Stored(first.number, "x", b"x", first.cursor, 0)
    assert learning.publish(ledger, play.name, stored, [], afresh=False) is False
    outcomes.record(ledger, [click(1)])
    other = open_ledger(ledger.path, clock=clock)
    try:
        theirs = learn.advance(other, play, first)
    finally:
        other.close()
    ours = learn.advance(ledger, play, first)
    assert theirs is not None
    assert ours is not None
    assert (theirs.number, theirs.state.version) == (ours.number, ours.state.version)
    assert counted(ours) == (3 + 1 / 2, 3)


def test_many_workers_lose_nothing(ledger: Ledger, clock: Clock) -> None:
    """Three workers that learn while answers come in count every answer once."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "ab"[i % 2]) for i in range(90)])
    clock.now = NOW + timedelta(hours=2)
    workers = [Learning(ledger, every_s=0.01).start() for _ in range(3)]
    for i in range(90):
        outcomes.record(ledger, [click(i)])
    for worker in workers:
        worker.close()
    assert counted(learn.advance(ledger, play)) == (90, 90)


def test_an_outcome_changes_the_next_answer_within_seconds(ledger: Ledger, clock: Clock) -> None:
    """With the live loop, clicks on one banner raise what it is worth within two seconds."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "ab"[i % 2]) for i in range(60)])
    clock.now = NOW + timedelta(hours=30)
    with Learning(ledger, every_s=0.1) as learning_:
        state = learning_.state(play)
        assert state is not None
        before, wide = state.response({"age": 1.0}, BOTH)
        outcomes.record(ledger, [click(i) for i in range(0, 60, 4)])  # half of those who saw a
        until = time.monotonic() + 2.0
        while time.monotonic() < until and (state := learning_.state(play)) is not None and not state.version:
            threading.Event().wait(0.02)
        assert state is not None
        after, narrow = state.response({"age": 1.0}, BOTH)
    assert before[0] == before[1]
    assert after[0] > after[1] + 0.2
    assert (narrow < wide).all()


def test_an_erased_person_is_learnt_out(ledger: Ledger, clock: Clock) -> None:
    """After an erasure the state is learnt anew from the log, and holds nothing of the person."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "a", context={"city": f"city-of-{i}"}) for i in range(5)])
    clock.now = NOW + timedelta(hours=30)
    outcomes.record(ledger, [*(click(i) for i in range(3)), click(900, hours=29)])
    assert counted(learn.advance(ledger, play)) == (5, 3)
    erasure.erase(ledger, "s1")
    found = learn.advance(ledger, play)
    assert counted(found) == (4, 2)
    assert found is not None
    assert len([c for c in found.state.subject.columns if c.startswith("city=")]) == 4
    with ledger.journal.read() as connection:
        assert learning.learnt(connection, ["d0", "d1", "d2"]) == {"d0", "d2"}


def test_a_goal_may_be_an_event(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """An order that comes in live answers its subject's last decision before it."""
    from nextbest.ledger import events

    ledger = workspace(PLAY.replace('"click"', '"order"'), actions=BANNERS)
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(0, "a"), shown(1, "b"), shown(2, "a", hours=1, subject_id="s1")])
    clock.now = NOW + timedelta(hours=3)
    order = {"kind": "order", "message_id": "m1", "subject_id": "s1", "ts": NOW + timedelta(hours=2)}
    events.ingest(ledger, [{**order, "order_id": "o1", "revenue": 5.0}], source="test")
    found = learn.advance(ledger, play)
    assert counted(found) == (1 + 2 / 2, 1)
    assert found is not None
    assert found.state.sums.xy[:, 0].tolist() == [0.0, 1.0, 0.0]


def test_changed_settings_learn_afresh(ledger: Ledger, clock: Clock) -> None:
    """A state of other settings is not learnt on from."""
    from dataclasses import replace

    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "a") for i in range(4)])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(i) for i in range(4)])
    first = learn.advance(ledger, play)
    assert first is not None
    other = replace(play, learner={"name": "linear", "features": ["age"]})
    found = learn.advance(ledger, other)
    assert found is not None
    assert found.number == first.number + 1
    assert counted(found) == (4, 4)
    assert found.state.subject.columns == ("age",)


def test_the_engine_decides_by_what_was_learnt(ledger: Ledger, clock: Clock) -> None:
    """After clicks on one banner the engine shows it more often, and says by which state."""
    from nextbest.policies.live.ask import Ask
    from nextbest.policies.live.engine import Engine

    learning_ = Learning(ledger)
    engine = Engine(ledger, states=learning_.state)

    def ask(i: int) -> Decision:
        return engine.decide(Ask(play="win_back", subject_id=f"v{i}", context={"age": 3.0}, request_id=f"r{i}"))[0]

    first = [ask(i) for i in range(60)]
    clock.now = NOW + timedelta(minutes=30)
    seen = [d for d in first if d.action_id == "b"]
    answers = [
        Outcome(outcome_id=f"o{i}", subject_id=d.subject_id, ts=clock.now, name="click", decision_id=d.decision_id)
        for i, d in enumerate(seen)
    ]
    outcomes.record(ledger, answers)
    assert learning_.tick() == 1
    state = learning_.state(ledger.config.plays["win_back"])
    assert state is not None
    later = [ask(1000 + i) for i in range(60)]
    assert all(d.model_versions != first[0].model_versions for d in later)
    policy = [d for d in later if d.arm == "policy"]
    chance = {c.action_id: c.response_probability for c in policy[0].candidates}
    assert chance["b"] > chance["a"] + 0.2  # type: ignore[operator]
    assert sum(d.action_id == "b" for d in policy) > 2 * sum(d.action_id == "a" for d in policy)


def test_what_the_caller_chose_itself_teaches_nothing(ledger: Ledger, clock: Clock) -> None:
    """The caller's own choice may know what the log does not; a habit does not, and `chosen` is never a feature."""
    own = {"arm": "business_as_usual", "context": {"age": 3.0, "chosen": "a"}}
    log(ledger, [shown(1, "a", **own), shown(2, "a", arm="business_as_usual"), shown(3, "b", context={"chosen": "a"})])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(1), click(2), click(3)])
    found = learn.advance(ledger, ledger.config.plays["win_back"])
    assert counted(found) == (pytest.approx(2.0), pytest.approx(2.0))
    assert found is not None
    assert not any("chosen" in column for column in found.state.subject.columns)


def test_silence_counts_as_soon_as_answers_usually_come(ledger: Ledger, clock: Clock) -> None:
    """Where answers come within a minute, silence of two hours counts nearly whole; in the end the steps are gone."""
    play = ledger.config.plays["win_back"]
    log(ledger, [shown(i, "a" if i % 2 else "b") for i in range(400)])
    clock.now = NOW + timedelta(hours=2)
    outcomes.record(ledger, [click(i, hours=1 / 60) for i in range(20)])
    assert counted(learn.advance(ledger, play)) == (20 + 380 / 2, 20)  # too few answers to know how soon they come
    outcomes.record(ledger, [click(i, hours=1 / 60) for i in range(20, 100)])
    found = learn.advance(ledger, play)
    n, answered = counted(found)
    assert answered == 100
    assert n == pytest.approx(100 + 300 * 102 / 104, abs=1)
    assert found is not None
    assert found.cursor.delays == (100, 0, 0, 0)
    again = learn.advance(ledger, play)
    assert again is not None
    assert again.number == found.number
    clock.now = NOW + timedelta(hours=30)
    outcomes.record(ledger, [click(150, hours=9), click(900, hours=29)])
    assert counted(learn.advance(ledger, play)) == (400, 101)


def test_a_new_action_is_not_taken_for_better_than_an_old_one(ledger: Ledger, clock: Clock) -> None:
    """Two actions that are answered alike, one shown for a day and one for an hour, are believed to be alike."""
    play = ledger.config.plays["win_back"]
    random = np.random.default_rng(60_606)
    old = [shown(i, "a", hours=-24 * float(random.random())) for i in range(1500)]
    new = [shown(i, "b", hours=-float(random.random())) for i in range(1500, 3000)]
    log(ledger, old + new)
    clock.now = NOW
    when = {int(d.decision_id[1:]): (d.ts - NOW) / timedelta(hours=1) for d in old + new}
    yes = [i for i in range(3000) if random.random() < 0.1]
    came = {i: when[i] + 0.05 * float(random.exponential()) for i in yes}
    outcomes.record(ledger, [click(i, hours=h) for i, h in came.items() if h < 0])
    found = learn.advance(ledger, play)
    assert found is not None
    mean, spread = found.state.response({"age": 3.0, "orders_30d": 1.0}, BOTH)
    assert mean == pytest.approx([0.1, 0.1], abs=0.03)
    assert spread.max() < 0.02
