"""T14 of reliability.md, the ledger's share: whatever happens in whatever order, the ledger is what a dict says."""

from __future__ import annotations

import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.ledger.child import log
from tests.ledger.makers import CONFIG, NOW, decision, event

from nextbest.ledger import chain, consent, create, decisions, events, open_ledger

SUBJECTS = st.integers(0, 3)


class LedgerMachine(RuleBasedStateMachine):
    """Events, answers, decisions and restarts in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = f"{self.folder.name}/acme"
        self.ledger = create(self.path, config_text=CONFIG, clock=lambda: NOW)
        self.events: dict[str, float] = {}
        self.allowed: dict[str, bool] = {}
        self.decisions: list[str] = []

    def teardown(self) -> None:
        """Verify the chain at the end of every run."""
        assert chain.verify(self.ledger).problems == ()
        self.ledger.journal.close()
        self.folder.cleanup()

    @rule(ids=st.lists(st.integers(0, 5), max_size=4), revenue=st.sampled_from([1.0, 2.0]))
    def ingest(self, ids: list[int], revenue: float) -> None:
        """Send events, some of them again, some of those with other content."""
        receipts = events.ingest(self.ledger, [event(i, revenue=revenue) for i in ids], source="s")
        for receipt in receipts:
            known = self.events.setdefault(receipt.message_id, revenue)
            assert (receipt.status == "rejected") == (known != revenue)
        new = [r.message_id for r in receipts if r.status == "stored"]
        assert len(new) == len(set(new))

    @rule(subject=SUBJECTS, allow=st.booleans())
    def answer(self, subject: int, allow: bool) -> None:  # noqa: FBT001 (hypothesis gives by name)
        """Say yes or no."""
        consent.record(self.ledger, f"c{subject}", channel="email", allow=allow, proof="p")
        self.allowed[f"c{subject}"] = allow

    @rule(subject=SUBJECTS)
    def decide(self, subject: int) -> None:
        """Decide in the transaction that reads the permission."""
        made = decision(len(self.decisions), subject_id=f"c{subject}")
        logged = self.ledger.journal.write(lambda connection: log(connection, self.ledger, made))
        assert logged == self.allowed.get(f"c{subject}", False)
        if logged:
            self.decisions.append(made.decision_id)

    @precondition(lambda self: self.events)
    @rule()
    def restart(self) -> None:
        """Close and open again."""
        self.ledger.journal.close()
        self.ledger = open_ledger(self.path, clock=lambda: NOW)

    @invariant()
    def the_ledger_is_what_the_dicts_say(self) -> None:
        """Every event and decision is there once, and nothing else is."""
        with self.ledger.journal.read() as connection:
            stored = connection.execute("SELECT message_id, body ->> 'revenue' FROM event").fetchall()
            logged = [row[0] for row in connection.execute("SELECT decision_id FROM decision ORDER BY rowid")]
        assert dict(stored) == self.events
        assert len(stored) == len(self.events)
        assert logged == self.decisions
        if logged:
            assert decisions.get(self.ledger, logged[-1]).choice_probability == 0.9


TestLedgerMachine = pytest.mark.slow(LedgerMachine.TestCase)
TestLedgerMachine.settings = settings(
    max_examples=50, stateful_step_count=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
