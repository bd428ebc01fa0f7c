"""Who is who: normal spellings, merges through several steps, and their undoing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ledger.makers import NOW, event

from nextbest.errors import ConflictError, UnknownNameError
from nextbest.ledger import events, identities

if TYPE_CHECKING:
    from nextbest.ledger import Ledger


def test_identities_have_one_spelling() -> None:
    """Case, blanks and the ways to write a telephone number make no difference; ids stay as they are."""
    assert identities.normalise(" Ann@Example.COM ") == "ann@example.com"
    assert identities.normalise("+49 (0)170-123") == "+490170123"
    assert identities.normalise("0049 170 123 45") == identities.normalise("+49/170.12345") == "+4917012345"
    assert identities.normalise("0170 12345") == "017012345"
    assert identities.normalise(" C42-x ") == "C42-x"


def test_resolve_finds_ids_and_identities(ledger: Ledger) -> None:
    """An id, an e-mail or a phone leads to the canonical id; what nobody has is an error that says so."""
    events.ingest(ledger, [event(1)], source="s")
    identities.link(ledger, "c2", identity_type="email", identity="Ann@example.com")
    identities.merge(ledger, "c2", "c1", why="same person")
    assert [identities.resolve(ledger, i) for i in ("c1", "c2", "ann@EXAMPLE.com")] == ["c1", "c1", "c1"]
    with pytest.raises(UnknownNameError, match="no subject with the id, e-mail or phone 'c9'"):
        identities.resolve(ledger, "c9")
    identities.link(ledger, "c7", identity_type="email", identity="ann@example.com")
    with pytest.raises(UnknownNameError, match="share this identifier: c1, c7"):
        identities.resolve(ledger, "ann@example.com")


def test_a_merge_can_be_undone_once(ledger: Ledger) -> None:
    """Undoing separates the ids again; the second undoing is an error, and so is merging what is one."""
    merge_id = identities.merge(ledger, "a", "b", why="x")
    with pytest.raises(ConflictError, match="one subject already"):
        identities.merge(ledger, "b", "a", why="x")
    identities.undo_merge(ledger, merge_id)
    with ledger.journal.read() as connection:
        assert identities.merge_map(connection) == {}
    with pytest.raises(UnknownNameError, match="no merge"):
        identities.undo_merge(ledger, merge_id)


IDS = st.sampled_from("abcdefgh")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(st.tuples(IDS, IDS), st.integers(0, 9)), max_size=14))
def test_merges_are_what_joining_sets_gives(ledger: Ledger, steps: list[tuple[str, str] | int]) -> None:
    """After any merges and undoings, two ids are one subject exactly if a path of merges in force joins them."""
    ledger.journal.write(lambda c: c.execute("DELETE FROM merge").rowcount)
    done: list[tuple[str, str, str]] = []
    for step in steps:
        if isinstance(step, tuple):
            try:
                done.append((identities.merge(ledger, *step, why="t"), *step))
            except ConflictError:
                continue
        elif done:
            identities.undo_merge(ledger, done.pop(step % len(done))[0])
    group = {i: {i} for i in "abcdefgh"}
    with ledger.journal.read() as connection:
        edges = connection.execute("SELECT from_id, into_id FROM merge WHERE undone_ts IS NULL").fetchall()
        canonical = {i: identities.canonical(connection, i) for i in group}
        clusters = {i: set(identities.cluster(connection, i)) for i in group}
        mapped = identities.merge_map(connection)
    for one, other in edges:
        joined = group[one] | group[other]
        group |= dict.fromkeys(joined, joined)
    assert clusters == group
    assert all(mapped.get(i, i) == canonical[i] for i in group)
    assert all(canonical[i] == canonical[j] for i in group for j in group[i])


def table(pairs: list[tuple[str, str]]) -> pa.Table:
    """Give identities as intake does."""
    kinds = ["email" if "@" in i else "phone" for _, i in pairs]
    return pa.table({
        "subject_id": [s for s, _ in pairs], "identity_type": kinds, "identity": [i for _, i in pairs],
        "ts": [NOW] * len(pairs), "source": ["t"] * len(pairs),
    })  # fmt: skip


def store(ledger: Ledger, pairs: list[tuple[str, str]]) -> None:
    """Store identities as intake does."""
    ledger.journal.write(lambda connection: identities.add_table(connection, ledger, table(pairs)))


def test_duplicates_are_joined_through_shared_addresses(ledger: Ledger) -> None:
    """Equal e-mails or phones join subjects, in steps, to the one with a real id; running again joins nobody."""
    pairs = [
        ("p_1", "a@x.de"),
        ("c2", "A@x.de "),
        ("c2", "+49 170 1234567"),
        ("c3", "0049 1701234567"),
        ("c4", "d@x.de"),
    ]
    store(ledger, pairs)
    assert identities.join_duplicates(ledger) == 2
    assert identities.join_duplicates(ledger) == 0
    with ledger.journal.read() as connection:
        assert identities.merge_map(connection) == {"p_1": "c2", "c3": "c2"}


def test_a_placeholder_joins_nobody(ledger: Ledger) -> None:
    """An address that dozens share is no person."""
    store(ledger, [(f"c{i}", "0000000") for i in range(30)])
    assert identities.join_duplicates(ledger) == 0


def test_an_undone_join_is_not_made_again(ledger: Ledger) -> None:
    """What a person separated stays separate."""
    store(ledger, [("c1", "a@x.de"), ("c2", "a@x.de")])
    assert identities.join_duplicates(ledger) == 1
    with ledger.journal.read() as connection:
        (merge_id,) = connection.execute("SELECT merge_id FROM merge").fetchone()
    identities.undo_merge(ledger, merge_id)
    assert identities.join_duplicates(ledger) == 0


def test_an_address_that_nobody_has_yet_waits_for_its_owner(ledger: Ledger) -> None:
    """An e-mail leads to its owner; unknown, to the id its owner will be loaded under; other text is an id."""
    identities.link(ledger, "c2", identity_type="email", identity="Ann@example.com")
    assert identities.resolve_or_expect(ledger, " ann@EXAMPLE.com ") == "c2"
    bob = identities.resolve_or_expect(ledger, "Bob@example.com")
    assert bob.startswith("p_")
    assert identities.resolve_or_expect(ledger, "bob@example.com") == bob
    assert identities.resolve(ledger, "BOB@example.com") == bob
    assert identities.resolve_or_expect(ledger, "+49 170 1234567").startswith("p_")
    assert [identities.resolve_or_expect(ledger, i) for i in ("c9", "1234567")] == ["c9", "1234567"]
