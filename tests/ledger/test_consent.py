"""Permission: the rules of precedence, fail closed, and one answer in bulk and singly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.makers import NOW

from nextbest.config import Consent
from nextbest.errors import DataError, LedgerError
from nextbest.ledger import chain, consent, identities
from nextbest.ledger.workspace import digest

if TYPE_CHECKING:
    from nextbest.ledger import Ledger


def asked(ledger: Ledger, subject_id: str, channel: str = "email", regime: str = "opt_in") -> str | None:
    """Ask singly and in bulk, and give the one answer."""
    settings_ = replace(ledger.config, consent=Consent(regime=regime))
    with ledger.journal.read() as connection:
        one = consent.removed(connection, settings_, ledger.secret, subject_id, purpose="marketing", channel=channel)
        gate = consent.gate(connection, settings_, purpose="marketing", channels=["email", "sms"])
    assert gate.removed([subject_id], channel) == [one]
    return one


@pytest.mark.parametrize(
    ("answers", "rule"),
    [
        ([], "consent:unknown"),
        ([("marketing", "email", True)], None),
        ([("*", "*", True)], None),
        ([("marketing", "sms", True)], "consent:unknown"),
        ([("service", "email", True)], "consent:unknown"),
        ([("marketing", "email", True), ("marketing", "email", False)], "consent:denied"),
        ([("marketing", "email", False), ("marketing", "email", True)], None),
        ([("marketing", "email", False), ("*", "*", True)], "consent:denied"),
        ([("*", "*", False), ("marketing", "email", True)], None),
        ([("marketing", "email", True), ("*", "*", False)], "consent:denied"),
        ([("marketing", "email", True), ("marketing", "*", False)], "consent:denied"),
        ([("marketing", "*", True), ("*", "email", False)], "consent:denied"),
        ([("*", "email", False), ("marketing", "*", True)], "consent:denied"),
        ([("marketing", "email", True), ("marketing", "sms", False)], None),
    ],
)
def test_the_most_specific_answer_counts_and_a_later_no_to_all_wins(
    ledger: Ledger, answers: list[tuple[str, str, bool]], rule: str | None
) -> None:
    """The order of answers and their scope give the rule of reliability.md; in doubt, no."""
    for purpose, channel, allow in answers:
        consent.record(ledger, "c1", purpose=purpose, channel=channel, allow=allow, proof="form")
    assert asked(ledger, "c1") == rule
    if rule != "consent:denied":
        assert asked(ledger, "c1", regime="opt_out") is None
    else:
        assert asked(ledger, "c1", regime="opt_out") == rule


def test_one_no_among_merged_ids_is_enough(ledger: Ledger) -> None:
    """A denial of any id of a merged subject counts for all of them, until the merge is undone."""
    consent.record(ledger, "a", allow=False, proof="mail")
    consent.record(ledger, "b", allow=True, proof="form")
    before = asked(ledger, "b")
    merge_id = identities.merge(ledger, "a", "b", why="same e-mail")
    assert [before, asked(ledger, "b"), asked(ledger, "a")] == [None, "consent:denied", "consent:denied"]
    identities.undo_merge(ledger, merge_id)
    assert asked(ledger, "b") is None


def test_suppression_finds_a_subject_by_any_identity(ledger: Ledger) -> None:
    """A suppressed e-mail, phone or id stops its subject, linked before or after, and keeps no clear text."""
    consent.suppress(ledger, "Ann@Example.com", reason="complaint")
    consent.suppress(ledger, "c2", reason="complaint")
    for subject_id in ("c1", "c2", "c3"):
        consent.record(ledger, subject_id, allow=True, proof="form")
    assert [asked(ledger, s) for s in ("c1", "c2", "c3")] == [None, "suppressed", None]
    identities.link(ledger, "c1", identity_type="email", identity=" ann@example.COM")
    identities.merge(ledger, "c1", "c3", why="same person")
    assert [asked(ledger, s) for s in ("c1", "c2", "c3")] == ["suppressed"] * 3
    with ledger.journal.read() as connection:
        kept = connection.execute("SELECT digest FROM suppression").fetchall()
    assert {k for (k,) in kept} == {digest(ledger, "ann@example.com"), digest(ledger, "c2")}


def test_an_erased_subject_stays_unreachable(ledger: Ledger) -> None:
    """An erased id is removed even where unknown means yes."""
    row = ("receipt_1", digest(ledger, "c1"), 0, "{}")
    ledger.journal.write(lambda c: c.execute("INSERT INTO erased VALUES (?, ?, ?, ?)", row).rowcount)
    assert asked(ledger, "c1", regime="opt_out") == "consent:erased"
    assert asked(ledger, "c2", regime="opt_out") is None


def test_everything_that_changes_a_permission_moves_the_version(ledger: Ledger) -> None:
    """Consent, suppression, merges and identities that may be suppressed raise the version; it never falls."""

    def version() -> int:
        with ledger.journal.read() as connection:
            return consent.version(connection)

    seen = [version()]
    assert consent.record(ledger, "c1", allow=True, proof="form") == version()
    for change in (
        lambda: consent.suppress(ledger, "c5", reason="x"),
        lambda: identities.link(ledger, "c1", identity_type="email", identity="a@b.de"),
        lambda: identities.merge(ledger, "c1", "c2", why="x"),
    ):
        seen.append(version())
        change()
    assert [*seen, version()] == sorted({*seen, version()})


def test_a_table_of_consent_is_recorded_row_by_row(ledger: Ledger) -> None:
    """Bulk consent gives one chained row per answer, with missing scopes filled and the last version given."""
    table = pa.table({
        "subject_id": ["a", "b"], "purpose": ["marketing", None], "channel": ["email", None], "allowed": [True, False],
        "ts": [NOW, NOW], "proof": ["form", "list of 2025"], "source": ["shop", "shop"],
    })  # fmt: skip
    assert consent.record_many(ledger, table) == 2
    assert [asked(ledger, s) for s in "ab"] == [None, "consent:denied"]
    assert chain.verify(ledger).ok
    with pytest.raises(DataError, match="neither yes nor no"):
        consent.record_many(ledger, table.set_column(3, "allowed", pa.array([None, True])))


def test_an_answer_without_proof_is_refused(ledger: Ledger) -> None:
    """Consent without proof is no consent."""
    with pytest.raises(DataError, match="needs a proof"):
        consent.record(ledger, "c1", allow=True, proof=" ")
    with pytest.raises(DataError, match="needs an identity"):
        consent.suppress(ledger, "", reason="x")


def test_permission_is_asked_only_of_the_journal(ledger: Ledger, tmp_path: object) -> None:
    """A connection that does not know the workspace's secret cannot answer, and says so."""
    import sqlite3

    stranger = sqlite3.connect(ledger.journal.file)
    with pytest.raises(LedgerError, match="connection of the journal"):
        consent.gate(stranger, ledger.config, purpose="marketing", channels=["email"])
    stranger.close()


STEP = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(["marketing", "service", "*"]),
    st.sampled_from(["email", "sms", "*"]),
    st.booleans(),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, max_size=12), merged=st.booleans())
def test_bulk_and_single_answers_agree(
    ledger: Ledger,
    steps: list[tuple[str, str, str, bool]],
    merged: bool,  # noqa: FBT001 (hypothesis gives by name)
) -> None:
    """Whatever was answered and merged, the gate for everyone and the question for one give the same rule."""
    ledger.journal.write(lambda c: [c.execute(f"DELETE FROM {t}").rowcount for t in ("consent", "merge")])
    for subject_id, purpose, channel, allow in steps:
        consent.record(ledger, subject_id, purpose=purpose, channel=channel, allow=allow, proof="p")
    if merged:
        identities.merge(ledger, "a", "b", why="x")
    for subject_id in "abc":
        for channel in ("email", "sms"):
            assert asked(ledger, subject_id, channel) == slow_rule(
                steps, {"a", "b"} if merged else set(), subject_id, channel
            )


def slow_rule(steps: list[tuple[str, str, str, bool]], merged: set[str], subject_id: str, channel: str) -> str | None:
    """Give the rule the slow way: keep the latest answer per scope, look at the most specific, then for a later no."""
    said = []
    for one in merged if subject_id in merged else {subject_id}:
        latest = {}
        for n, (subject, purpose, where, allow) in enumerate(steps):
            if subject == one and purpose in ("marketing", "*") and where in (channel, "*"):
                latest[purpose, where] = (n, allow)
        levels: dict[int, list[tuple[int, bool]]] = {}
        for (purpose, where), answer in latest.items():
            levels.setdefault((purpose != "*") + (where != "*"), []).append(answer)
        if levels:
            top = levels[max(levels)]
            later_no = any(not allow and n > min(m for m, _ in top) for n, allow in latest.values())
            said.append(all(allow for _, allow in top) and not later_no)
    return "consent:denied" if False in said else None if said else "consent:unknown"
