"""T14 of reliability.md: whatever happens in whatever order, what is decided and sent keeps to what a dict says."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nextbest import deciding, operations, verbs
from nextbest.channels.dispatch import dispatch
from nextbest.ledger import chain, consent, create, open_ledger, outcomes, published
from nextbest.policies.decide import decide_bulk
from nextbest.policies.live.ask import Ask, Offer
from nextbest.types import Decision, Outcome

START = datetime(2026, 3, 2, 11, tzinfo=UTC)
PEOPLE = st.sampled_from(["c0", "c1", "c2"])
CAP, BUDGET = 2, 9.0
CONFIG = f"""
[consent]
regime = "opt_in"
[plays.p]
holdout = 0.1
random = 0.2
value = "worth"
places = 2
default = "banner"
budget = {BUDGET}
caps = [{{ count = {CAP}, days = 7 }}]
policy = {{ name = "greedy", explore = 0.3 }}
actions = [
  {{ id = "mail", channel = "email", cost = 1.0, assumed_log_odds = 1.0, text = "Hello" }},
  {{ id = "call", channel = "phone", cost = 2.5, assumed_log_odds = 2.0 }},
  {{ id = "banner", class = "content" }},
  {{ id = "*", class = "money", floor = 5.0, ceiling = 15.0, max_change = 0.5 }},
]
"""
REACHING = {"mail": "email", "call": "phone"}


class Hands:
    """A channel that remembers whom it reached."""

    contacts_now = True

    def __init__(self) -> None:
        self.reached: list[tuple[str, str]] = []

    def read(self, location: str) -> Any:
        """Nothing comes in here."""
        raise NotImplementedError(location)

    def deliver(self, messages: pa.Table) -> pa.Table:
        """Take everything."""
        self.reached += zip(messages["subject_id"].to_pylist(), messages["action_id"].to_pylist(), strict=True)
        ids = messages["decision_id"]
        told = pa.repeat(pa.scalar("sent"), len(ids))
        return pa.table({"decision_id": ids, "status": told, "detail": pa.repeat(pa.scalar(""), len(ids))})


def encode(made: Any) -> bytes:
    """Give a reply as bytes."""
    return msgspec.json.encode([(one.decision_id, one.action_id, one.choice_probability) for one in made])


class SafetyMachine(RuleBasedStateMachine):
    """Events, answers, decisions of every kind, sending, stops, erasures, restarts and a clock that moves."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.now = START
        # The secret seeds the draws; a machine that is run again must draw the same.
        (Path(self.folder.name) / "w").mkdir()
        (Path(self.folder.name) / "w" / ".secret").write_bytes(bytes(32))
        self.ledger = create(f"{self.folder.name}/w", config_text=CONFIG, clock=lambda: self.now)
        self.engine = deciding.engine(self.ledger)
        self.allowed: dict[str, bool] = {}
        self.erased: set[str] = set()
        self.stopped: set[tuple[str, str]] = set()
        self.contacts: dict[str, list[datetime]] = defaultdict(list)
        self.spent: list[tuple[datetime, float]] = []
        self.replies: dict[int, tuple[str, bytes]] = {}
        self.logged: list[Decision] = []
        self.last = START - timedelta(days=365)  # nothing is logged: no time is too early
        self._publish()
        for subject in ("c0", "c1"):
            self.answer(subject=subject, allow=True)

    def teardown(self) -> None:
        """Verify the chain at the end of every run."""
        assert chain.verify(self.ledger).problems == ()
        self.ledger.close()
        self.folder.cleanup()

    def _publish(self) -> None:
        ids = [s for s in ("c0", "c1", "c2") if s not in self.erased]
        known = pa.table({"subject_id": ids, "worth": [50.0] * len(ids), "churn_probability": [0.5] * len(ids)})
        published.publish(self.ledger, "churn", "m1", self.now, known)

    # --- what comes in ---

    @rule(subject=PEOPLE, allow=st.sampled_from([True, True, False]))
    def answer(self, subject: str, allow: bool) -> None:  # noqa: FBT001 (hypothesis gives by name)
        """Say yes or no."""
        consent.record(self.ledger, subject, allow=allow, proof="form")
        self.allowed[subject] = allow

    @rule(subject=PEOPLE, number=st.integers(0, 5))
    def ingest(self, subject: str, number: int) -> None:
        """Send an order, perhaps again."""
        if subject not in self.erased:
            order = {"kind": "order", "message_id": f"m{subject}{number}", "subject_id": subject, "ts": START}
            verbs.ingest(self.ledger, [{**order, "order_id": f"o{number}", "revenue": 5.0}])

    @precondition(lambda self: self.logged)
    @rule(which=st.integers(0, 50), value=st.sampled_from([0.0, 1.0]))
    def outcome(self, which: int, value: float) -> None:
        """Say what came of a decision."""
        made = self.logged[which % len(self.logged)]
        known = f"out{which}"
        if made.subject_id not in self.erased and known not in self.erased:
            self.erased.add(known)  # each outcome once
            outcomes.record(
                self.ledger,
                [
                    Outcome(
                        outcome_id=known,
                        decision_id=made.decision_id,
                        subject_id=made.subject_id,
                        ts=self.now,
                        name="order",
                        value=value,
                    )
                ],
            )

    # --- what is decided ---

    @rule(
        subject=PEOPLE,
        count=st.integers(1, 2),
        prices=st.lists(st.sampled_from([1.0, 5.0, 9.0, 15.0, 40.0]), max_size=2, unique=True),
        number=st.integers(0, 9),
    )
    def decide(self, subject: str, count: int, prices: list[float], number: int) -> None:
        """Decide for one subject, a place or two, with prices that the request brings."""
        offers = tuple(Offer(action_id=f"price{p:g}", features={"amount": p}) for p in prices)
        plain = tuple(Offer(action_id=name) for name in ("mail", "call", "banner"))
        ask = Ask(play="p", subject_id=subject, count=count, request_id=f"r{number}", candidates=(*offers, *plain))
        self._check_one(subject, self.engine.decide(ask))

    @rule(subjects=st.lists(PEOPLE, min_size=2, max_size=6))
    def decide_group(self, subjects: list[str]) -> None:
        """Decide for many requests in one commit."""
        asks = [Ask(play="p", subject_id=s, count=2, request_id=f"g{i}") for i, s in enumerate(subjects)]
        for subject, slate in zip(subjects, self.engine.submit(asks).result(), strict=True):
            self._check_one(subject, tuple(chosen.decision() for chosen in slate))

    @rule(key=st.integers(0, 2), subject=PEOPLE)
    def decide_with_key(self, key: int, subject: str) -> None:
        """Ask under an idempotency key: the first reply comes again, whatever has happened since."""
        if key in self.replies:
            subject = self.replies[key][0]
        name, request = deciding.keyed(self.ledger, f"k{key}", subject.encode())
        wanted = deciding.Wanted(
            proposal=self.engine.propose(Ask(play="p", subject_id=subject)), key=name, request=request
        )
        (made,) = deciding.write(self.ledger, self.engine, lambda: [wanted], encode).result()
        if key in self.replies:
            assert made == self.replies[key][1]
        else:
            self.replies[key] = subject, encode(made)
            self._check_one(subject, tuple(one.decision() for one in made))

    @rule()
    def decide_list(self) -> None:
        """Decide for everybody in bulk."""
        ids = [s for s in ("c0", "c1", "c2") if s not in self.erased]
        known = pa.table({"subject_id": ids, "worth": [50.0] * len(ids), "churn_probability": [0.5] * len(ids)})
        made = decide_bulk(self.ledger, self.ledger.config.plays["p"], known, as_of=self.now)
        for row in made.table.to_pylist():
            self._check_reach(row["subject_id"], row["action_id"], clock=False)
            if row["action_id"] in REACHING:
                self.contacts[row["subject_id"]].append(self.now)
            assert row["choice_probability"] > 0

    @rule()
    def send(self) -> None:
        """Send what was decided."""
        hands: Any = Hands()
        dispatch(self.ledger, self.ledger.config.plays["p"], hands, name="hands")
        for subject, action in hands.reached:
            self._check_reach(subject, action, clock=False, sent=True)

    # --- what operators do ---

    @rule(what=st.sampled_from([("*", "*"), ("email", "*"), ("*", "call")]), on=st.booleans())
    def switch(self, what: tuple[str, str], on: bool) -> None:  # noqa: FBT001 (hypothesis gives by name)
        """Stop a channel, an action or everything, or lift that."""
        turn = operations.stop if on else operations.start
        turn(self.ledger, channel=what[0], action=what[1], why="test")
        (self.stopped.add if on else self.stopped.discard)(what)

    @rule(subject=PEOPLE)
    def erase(self, subject: str) -> None:
        """Erase somebody for good."""
        if subject in self.erased or subject == "c0":
            return
        verbs.erase(self.ledger, subject)
        self.erased.add(subject)
        self.contacts.pop(subject, None)
        self.logged = [one for one in self.logged if one.subject_id != subject]
        self.replies = {k: kept for k, kept in self.replies.items() if kept[0] != subject}

    @rule()
    def restart(self) -> None:
        """Close and open again."""
        self.ledger.close()
        self.ledger = open_ledger(f"{self.folder.name}/w", clock=lambda: self.now)
        self.engine = deciding.engine(self.ledger)

    @rule(hours=st.sampled_from([0.001, 1, 30, 24 * 8, -1, -24]))
    def move_clock(self, hours: float) -> None:
        """Let time pass, or set the clock back."""
        self.now += timedelta(hours=hours)

    # --- what must hold ---

    def _check_one(self, subject: str, slate: tuple[Decision, ...]) -> None:
        for position, made in enumerate(slate, start=1):
            assert made.position == position
            assert sum(c.choice_probability for c in made.candidates) == pytest.approx(1.0)
            assert made.choice_probability is not None
            assert 0 < made.choice_probability <= 1 + 1e-12
            assert made.chosen.removed_by is None
            assert all(c.choice_probability == 0 for c in made.candidates if c.removed_by is not None)
            assert (
                made.action_id not in {above.action_id for above in slate[: position - 1]} or made.action_id == "none"
            )
            self._check_reach(subject, made.action_id, clock=True)
            if made.action_id.startswith("price"):
                assert 5.0 <= made.action_features[made.action_id]["amount"] <= 15.0
            self.spent.append((self.now, made.chosen.cost))
            if made.action_id in REACHING:
                self.contacts[subject].append(self.now)
                assert sum(ts >= self.now - timedelta(days=7) for ts in self.contacts[subject]) <= CAP
            self.logged.append(made)
        self.last = max(self.last, self.now)
        midnight = self.now.replace(hour=0, minute=0, second=0, microsecond=0)
        assert sum(cost for ts, cost in self.spent if ts >= midnight) <= BUDGET or slate[-1].action_id in (
            "none",
            "banner",
        )

    def _check_reach(self, subject: str, action: str, *, clock: bool, sent: bool = False) -> None:
        """Check a contact against the dict: permission, erasure, stops, and the clock."""
        if action == "none":
            return
        channel = REACHING.get(action, "")
        assert not self.stopped & {("*", "*"), (channel, "*"), ("*", action)}
        if action in REACHING:
            assert self.allowed.get(subject, False)
            assert subject not in self.erased
            assert sent or not clock or self.now >= self.last - timedelta(seconds=2)

    @invariant()
    def every_decision_is_on_record(self) -> None:
        """What was replied is what the log says."""
        if self.logged:
            made = self.logged[-1]
            assert operations.decision(self.ledger, made.decision_id) == made


def machine(examples: int, steps: int) -> Any:
    """Give the machine as a test of so many runs of so many steps."""
    case = type("Case", (SafetyMachine.TestCase,), {})
    case.settings = settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )
    return case


TestSafetyMachine = pytest.mark.slow(machine(20, 10))
TestSafetyMachineAtNight = pytest.mark.timeout(3600)(pytest.mark.nightly(machine(500, 20)))
