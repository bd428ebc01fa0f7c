"""What raises the failures that no broken part raises: alarms, settings, dead targets, signals, time zones."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from tests.faults.conftest import CLASSES, NOW, SUBJECT, play_text

from nextbest import operations, registry
from nextbest.errors import UsageError
from nextbest.ledger import alarms, chain, consent, create, learning, outbox, published, spent
from nextbest.ledger.alarms import WATCH, Turn
from nextbest.ledger.rereading import Rereading
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.failsafe import QUEUED
from nextbest.policies.live.outlets import MOST_WAITING, Outlets, holds
from nextbest.watching.alarms import turn_alarms
from nextbest.watching.checked import told, untold
from nextbest.watching.decisions import Watched

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Place

    from nextbest.types import Action, Decision


def decided(place: Place, play: str, **asked: Any) -> Decision:
    """Give the first position of a decision."""
    return place.engine.decide(Ask(play=play, subject_id=SUBJECT, **asked))[0]


def rule_of(made: Decision, action_id: str = "a") -> str | None:
    """Give the rule that removed an action."""
    return next(c.removed_by for c in made.candidates if c.action_id == action_id)


# --- alarms ---

UNDER_ALARM = {"content": "a", "outbound": "a", "money": "b", "significant": "none", "internal": "a"}


@pytest.mark.parametrize("kind", CLASSES)
def test_under_alarm_what_was_learnt_before_goes_on_and_money_stays(place: Place, kind: str) -> None:
    """The best by the state of before is taken without chance, money keeps its amount, grave matters wait."""
    place.ledger.journal.write(lambda c: spent.approve(c, "money", "b", amount=8.0, by="ann", ts=NOW))
    operations.raise_alarm(place.ledger, play=kind, why="the tracking looks broken", by="ann")
    made = [decided(place, kind, request_id=f"r{i}") for i in range(3)]
    assert {(one.action_id, one.degraded, one.choice_probability) for one in made} == {(UNDER_ALARM[kind], True, 1.0)}
    assert kind != "money" or made[0].context["amount"] == 8.0
    assert kind != "significant" or made[0].reason.startswith(QUEUED)
    other = next(k for k in CLASSES if k != kind)
    assert not decided(place, other).degraded
    operations.lift_alarm(place.ledger, play=kind, why="mended", by="ann")
    assert not decided(place, kind).degraded
    assert operations.alarms(place.ledger) == []
    assert chain.verify(place.ledger).ok


def test_an_alarm_about_everything_binds_every_play(place: Place) -> None:
    """An alarm about '*' reaches plays that it does not name, and is told as a warning."""
    operations.raise_alarm(place.ledger, why="poisoned", by="ann")
    assert all(decided(place, kind).degraded for kind in CLASSES)
    assert "poisoned" in operations.warnings(place.ledger)[0]
    with pytest.raises(UsageError, match="reason"):
        operations.raise_alarm(place.ledger, why=" ", by="ann")


def test_nothing_is_learnt_on_under_an_alarm(place: Place) -> None:
    """A state learnt from an older one is not published under an alarm; one learnt again from the beginning is."""
    stored = [learning.Stored(n, f"v{n}", b"x", learning.Cursor(), 0) for n in (1, 2)]
    assert learning.publish(place.ledger, "content", stored[0], [], afresh=True)
    operations.raise_alarm(place.ledger, play="content", why="poisoned", by="ann")
    assert not learning.publish(place.ledger, "content", stored[1], [], afresh=False)
    assert learning.publish(place.ledger, "content", stored[1], [], afresh=True)


def test_checks_raise_and_lift_their_own_alarms_and_leave_those_of_people(place: Place) -> None:
    """What stops raises, warnings do not; soundness or a week of not knowing lifts; a person's word holds a week."""

    def look(*, ok: bool | None, name: str = "reward", stops: bool = False) -> list[str]:
        given = told(name, 1.0, 2.0, ok=ok is True, why="because", what_to_do="look", stops=stops)
        check = untold(name, "?") if ok is None else given
        found = Watched(
            play="content", drifted=False, decisions=1, since="", until="", checks=(check,), why=""
        )  # fmt: skip
        turn_alarms(place.ledger, found)
        return [f"{a['what']} {a['by']}" for a in operations.alarms(place.ledger)]

    assert look(ok=True) == look(ok=False) == []
    assert look(ok=False, stops=True) == look(ok=False) == look(ok=None) == [f"reward {WATCH}"]
    assert look(ok=True) == []
    look(ok=False, stops=True)
    place.clock.forward(days=6.9)
    assert look(ok=None) == [f"reward {WATCH}"]
    place.clock.forward(days=0.1)
    assert look(ok=None) == []
    look(ok=False, stops=True)
    operations.lift_alarm(place.ledger, play="content", why="known", by="ann")
    assert look(ok=False, stops=True) == []
    place.clock.forward(days=7)
    assert look(ok=False, stops=True) == [f"reward {WATCH}"]
    alarms.turn(place.ledger, [Turn(play="content", what="entropy", raised=True, why="", by="ann")])
    assert look(ok=True, name="entropy") == ["entropy ann", f"reward {WATCH}"]


# --- settings ---


def test_a_changed_file_of_settings_takes_effect_and_a_wrong_one_is_refused(place: Place) -> None:
    """Within a look a valid nextbest.toml is in use and chained; an invalid one changes nothing and is told."""
    seconds = [0.0]
    place.engine.rereading = Rereading(place.ledger, clock=lambda: seconds[0])
    file = place.ledger.path / "nextbest.toml"
    before = file.read_text(encoding="utf-8")

    def write(text: str) -> None:
        file.write_text(text, encoding="utf-8")
        seconds[0] += 1.0

    decided(place, "content")
    write(before.replace("count = 3", "count = 0"))
    assert rule_of(decided(place, "outbound")) == "cap:0 in 7 days"
    write("[plays.content]\nactions = 3\n")
    assert rule_of(decided(place, "outbound")) == "cap:0 in 7 days"
    assert "nextbest.toml" in place.engine.rereading.problem
    assert "still in use" in operations.warnings(place.ledger)[0]
    file.unlink()
    seconds[0] += 1.0
    assert rule_of(decided(place, "outbound")) == "cap:0 in 7 days"
    assert place.engine.rereading.refused == 2
    write(before)
    assert decided(place, "outbound").action_id in {"a", "b"}
    assert (place.engine.rereading.problem, operations.warnings(place.ledger)) == ("", ())
    with place.ledger.journal.read() as connection:
        assert connection.execute("SELECT count(*) FROM config_change").fetchone() == (3,)
    assert chain.verify(place.ledger).ok


# --- dead targets ---


def message(number: int, **settings: Any) -> outbox.Message:
    """Give a message by e-mail."""
    return outbox.Message(
        key=f"k{number}", decision_id="d", play="outbound", subject_id=SUBJECT, channel="email", action_id="a",
        due=NOW, **settings,
    )  # fmt: skip


def test_nothing_is_decided_for_a_channel_that_has_been_dead_too_long(place: Place) -> None:
    """After as long as a message would be valid contacts by the channel wait; other channels and pages do not."""
    place.engine._outlets = Outlets(every_s=0.0)
    place.ledger.journal.write(lambda c: outbox.enqueue(c, [message(1)]))
    outbox.claim(place.ledger, "email", 1, NOW)
    outbox.mark(place.ledger, "k1", "retry", "connection refused", NOW + timedelta(minutes=1))
    assert rule_of(decided(place, "outbound")) is None
    place.clock.forward(days=8)
    published.publish(
        place.ledger, "churn", "m2", place.clock(),
        pa.table({"subject_id": [SUBJECT], "worth": [50.0], "churn_probability": [0.5]}),
    )  # fmt: skip
    held = decided(place, "outbound")
    assert (held.action_id, rule_of(held), held.degraded) == ("none", "failsafe:outbox", False)
    assert not decided(place, "content").degraded
    assert operations.rule_in_words("failsafe:outbox").startswith("its target")
    outbox.mark(place.ledger, "k1", "expired")  # nothing waits for another try: a new one may find out
    assert rule_of(decided(place, "outbound")) is None
    place.ledger.journal.write(lambda c: outbox.enqueue(c, [message(2)], now=place.clock()))
    outbox.claim(place.ledger, "email", 1, place.clock())
    outbox.mark(place.ledger, "k2", "retry", "connection refused", place.clock() + timedelta(minutes=1))
    assert rule_of(decided(place, "outbound")) == "failsafe:outbox"
    outbox.mark(place.ledger, "k2", "sent")
    assert rule_of(decided(place, "outbound")) is None


def test_a_full_queue_holds_what_it_would_only_add_to(place: Place) -> None:
    """Beyond the stated number of waiting messages every class that goes over the channel waits."""
    mail = place.ledger.config.plays["outbound"].actions[0]
    full = {"email": outbox.Stuck(MOST_WAITING + 1, 0)}
    assert holds(full, mail, NOW)
    assert not holds({"phone": full["email"]}, mail, NOW)
    assert not holds(full, place.ledger.config.plays["content"].actions[0], NOW)


# --- signals ---


def test_a_browsers_no_against_a_recorded_yes_is_a_conflict_and_the_no_counts(tmp_path: Path, place: Place) -> None:
    """With a yes on record the no removes contacts, is marked and queues grave matters; alone it only removes."""
    alone = decided(place, "outbound", gpc=True)
    assert (alone.action_id, rule_of(alone), alone.degraded) == ("none", "consent:gpc", False)
    consent.record(place.ledger, SUBJECT, allow=True, proof="form")
    both = decided(place, "outbound", gpc=True)
    assert (both.action_id, rule_of(both), both.degraded) == ("none", "consent:gpc", True)
    grave = decided(place, "significant", gpc=True)
    assert grave.reason.startswith(QUEUED)
    assert grave.context["queued"] == ["a", "b"]
    assert not decided(place, "content", gpc=True).degraded
    assert not decided(place, "outbound").degraded
    consent.record(place.ledger, SUBJECT, allow=False, proof="form")
    assert rule_of(decided(place, "outbound", gpc=True)) == "consent:denied"
    assert not decided(place, "outbound", gpc=True).degraded


# --- time zones ---


@pytest.mark.parametrize(
    ("country", "hour", "rule"),
    [
        ("US", 12, "failsafe:timezone"),  # 07:00 in New York is day, 02:00 in Honolulu is night
        ("US", 19, None),  # 09:00 in Honolulu, 15:00 in New York
        ("DE", 23, "quiet_hours"),
        ("DE", 12, None),
        ("Atlantis", 12, "failsafe:timezone"),
    ],
)
def test_a_country_whose_zones_disagree_holds_contacts_and_says_so(
    place: Place, country: str, hour: int, rule: str | None
) -> None:
    """A contact waits unless it is day in every zone of the country; the log tells a doubt from a night."""
    place.clock.now = NOW.replace(hour=hour)
    play = place.ledger.config.plays["outbound"]
    with create(
        place.ledger.path / "q",
        config_text='[consent]\nregime = "opt_out"\n'
        + play_text("outbound", 'quiet_hours = { start = "21:00", end = "06:00" }'),
        clock=place.clock,
    ) as ledger:
        known = {"subject_id": [SUBJECT], "worth": [50.0], "churn_probability": [0.5], "country": [country]}
        published.publish(ledger, "churn", "m1", place.clock(), pa.table(known))
        (one,) = Engine(ledger, salt="s").decide(
            Ask(play=play.name, subject_id=SUBJECT, context={"country": country})
        )  # fmt: skip
    assert rule_of(one) == rule


# --- missing predictions ---


def test_without_predictions_money_keeps_its_amount_and_grave_matters_wait(place: Place) -> None:
    """For somebody unknown the default price stands at its amount, and a person is asked about the grave."""
    place.engine = Engine(place.ledger, salt="s")
    (money,) = place.engine.decide(Ask(play="money", subject_id="nobody"))
    assert (money.action_id, money.context["amount"], money.degraded) == ("b", 10.0, True)
    assert rule_of(money) == "failsafe:features"
    (grave,) = place.engine.decide(Ask(play="significant", subject_id="nobody"))
    assert grave.reason.startswith(QUEUED)
    (page,) = place.engine.decide(Ask(play="content", subject_id="nobody"))
    assert (page.degraded, rule_of(page)) == (True, None)


# --- policies of others ---


class Stranger:
    """A policy that likes the first action, knows no arrays, and misbehaves as told."""

    mood = "sound"
    threads: tuple[str, ...] = ()

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give all to the first action that is open."""
        type(self).threads = (*self.threads, threading.current_thread().name)
        if self.mood == "slow":
            time.sleep(0.3)
        if self.mood == "broken":
            raise ValueError("broken")
        worth = {a.id: predictions[f"expected_value:{a.id}"][0].as_py() for a in actions}
        first = next(a.id for a in actions if worth[a.id] is not None)
        p = np.nan if self.mood == "nan" else 1.0
        return pa.table({a.id: [p if a.id == first else 0.0] for a in actions})


@pytest.fixture
def strange(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give the place with the stranger as the policy of every play."""
    monkeypatch.setattr(registry, "make", lambda *_: Stranger())
    monkeypatch.setattr(Stranger, "threads", ())
    return place


def test_a_strange_policy_is_asked_outside_the_transaction(strange: Place) -> None:
    """What the transaction removes is taken out of its answer, and its next answer counts where nothing is left."""
    one = decided(strange, "content")
    assert (one.action_id, one.degraded, one.choice_probability) == ("a", False, 1.0)
    assert "nextbest-journal" not in Stranger.threads
    operations.stop(strange.ledger, action="a", why="test")
    assert (decided(strange, "content").action_id, decided(strange, "content").degraded) == ("b", False)
    operations.stop(strange.ledger, action="b", why="test")
    assert (decided(strange, "content").action_id, decided(strange, "content").degraded) == ("none", False)


@pytest.mark.parametrize("mood", ["slow", "broken", "nan"])
def test_a_strange_policy_that_fails_falls_back_in_time(
    strange: Place, monkeypatch: pytest.MonkeyPatch, mood: str
) -> None:
    """A policy that is late, raises or gives no numbers is treated as a model that does, and holds nobody up."""
    monkeypatch.setattr(Stranger, "mood", mood)
    strange.engine.compiled(strange.ledger.config.plays["content"], strange.clock())
    started = time.perf_counter()
    one = decided(strange, "content", deadline_ms=50.0)
    assert time.perf_counter() - started < 0.25
    assert (one.action_id, one.degraded) == ("b", True)
    assert one.reason.startswith("Ranking took too long" if mood == "slow" else "The model cannot be used")
