"""The audit chain: it verifies after an erasure, and after nothing else that was done behind its back."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from tests.ledger.makers import decision

from nextbest.errors import LedgerError
from nextbest.ledger import chain, consent, decisions, feedback, keys, lists, switches

if TYPE_CHECKING:
    from nextbest.ledger import Ledger


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Give a workspace with one of everything that is chained."""
    ledger.journal.write(lambda c: decisions.log(c, ledger, [decision(i) for i in range(5)]))
    consent.record(ledger, "c1", allow=True, proof="form of 2026-01-05")
    consent.suppress(ledger, "a@b.de", reason="complaint")
    keys.revoke(ledger, keys.create(ledger, "decide")[0])
    switches.stop(ledger, play="win_back", why="wrong price")
    feedback.record(ledger, "d1", verdict="reject", by="ann")
    rows = [bulk_row(i) for i in range(10)]
    table = pa.Table.from_pylist(rows, schema=decisions.DECISION_SCHEMA)
    assert lists.log_table(ledger, "win_back", table, consent_version=2)
    return ledger


def bulk_row(i: int) -> dict[str, object]:
    """Give one row of a play decided in bulk."""
    one = decision(f"b{i}")
    row = {name: getattr(one, name) for name in decisions.DECISION_SCHEMA.names}
    candidates = [{f: getattr(c, f) for f in c.__slots__} for c in one.candidates]
    return row | {"context": "{}", "features": "{}", "model_versions": "{}", "candidates": candidates}


def tamper(ledger: Ledger, statement: str) -> chain.Verification:
    """Change the file as an insider would, and verify."""
    insider = sqlite3.connect(ledger.journal.file)
    insider.execute(statement)
    insider.commit()
    insider.close()
    return chain.verify(ledger)


def test_an_untouched_ledger_verifies(filled: Ledger) -> None:
    """Every link, row and segment is found as it was written, and the head counts the links."""
    found = chain.verify(filled)
    assert found.problems == ()
    assert found.ok
    assert found.links == 1 + 1 + 2 + 2 + 1 + 1 + 1  # decisions logged together share a link
    assert found.head == chain.head(filled)
    assert found.head.startswith(f"{found.links}:")


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        (
            "UPDATE decision SET choice_probability = 1.0 WHERE decision_id = 'd3'",
            "decision 'd3' is not what was written",
        ),
        ("UPDATE consent SET allowed = 0", "consent '1' is not what was written"),
        ("UPDATE switch SET stopped = 0", "is not what was written"),
        ("UPDATE key SET scopes = 'admin'", "is not what was written"),
        ("UPDATE segment SET rows = 9 WHERE kind = 'decision'", "is not what was written"),
        ("DELETE FROM decision WHERE decision_id = 'd3'", "decision 4 of link 2 is gone without an erasure"),
        ("DELETE FROM chain_salt WHERE seq = 4", "is gone without an erasure"),
        ("DELETE FROM suppression", "is gone without an erasure"),
        ("DELETE FROM chain_link WHERE seq = 3", "a link is missing before link 4"),
        ("DELETE FROM chain_link WHERE seq = 3", "stands without a link"),
        ("UPDATE chain_link SET digest = zeroblob(32) WHERE seq = 3", "link 3 does not follow"),
        (
            "INSERT INTO consent VALUES (9, 'c9', 'marketing', '*', 1, 0, 0, 'made up', '')",
            "consent '9' stands without",
        ),
        ("INSERT INTO chain_forgotten VALUES (3, 'made_up')", "forget 'made_up' stands without a link"),
        ("DELETE FROM chain_link WHERE seq > 8", "stands without a link"),
        ("DELETE FROM chain_link WHERE seq = 2", "decision 'd0' stands out of its place"),
        ("UPDATE chain_group SET digests = zeroblob(160)", "the list of link 2 is not what was written"),
        ("UPDATE decision SET salt = NULL WHERE decision_id = 'd1'", "decision 'd1' is not what was written"),
        ("UPDATE decision SET chain_place = 9 WHERE decision_id = 'd1'", "decision 'd1' is not what was written"),
        ("UPDATE decision SET position = 2 WHERE decision_id = 'd1'", "decision 'd1' is not what was written"),
        ("UPDATE decision SET chain_seq = NULL WHERE decision_id = 'd1'", "decision 'd1' stands without a link"),
    ],
)
def test_what_an_insider_changes_is_found(filled: Ledger, statement: str, problem: str) -> None:
    """A changed, removed or slipped-in row or link is named."""
    found = tamper(filled, statement)
    assert not found.ok
    assert any(problem in p for p in found.problems), found.problems


def test_a_changed_bulk_segment_is_found(filled: Ledger) -> None:
    """One flipped byte in a decision segment, or its absence, is named."""
    (file,) = (filled.path / "archive" / "decision").glob("*.parquet")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    assert "is not the file that was written" in chain.verify(filled).problems[0]
    file.unlink()
    assert "cannot be read" in chain.verify(filled).problems[0]


def test_a_cut_tail_is_found_by_the_head_kept_outside(filled: Ledger) -> None:
    """A chain whose end was cut, rows and all, verifies by itself but not against an earlier head."""
    before = chain.head(filled)
    filled.journal.write(lambda c: decisions.log(c, filled, [decision("x")]))
    after = chain.head(filled)
    assert chain.verify(filled, expected_head=before).ok
    tamper(filled, "DELETE FROM decision WHERE decision_id = 'dx'")
    tamper(filled, "DELETE FROM chain_link WHERE seq = (SELECT max(seq) FROM chain_link)")
    cut = tamper(filled, "DELETE FROM chain_salt WHERE seq NOT IN (SELECT seq FROM chain_link)")
    assert cut.ok
    assert "tail was cut" in chain.verify(filled, expected_head=after).problems[0]
    assert not chain.verify(filled, expected_head="nonsense").ok


def test_an_erasure_leaves_the_chain_whole(filled: Ledger) -> None:
    """Rows that were forgotten with a statement are gone, and everything still verifies."""

    def erase(connection: sqlite3.Connection) -> int:
        refs = [("decision", "d2"), ("decision", "d3"), ("consent", "1"), ("decision", "never")]
        forgotten = chain.forget(connection, "receipt_1", refs)
        connection.execute("DELETE FROM decision WHERE decision_id IN ('d2', 'd3')")
        connection.execute("DELETE FROM consent WHERE version = 1")
        return forgotten

    links = chain.verify(filled).links
    assert filled.journal.write(erase) == 3
    found = chain.verify(filled)
    assert found.problems == ()
    assert found.links == links + 1
    with filled.journal.read() as connection:
        # The salts of grouped rows stand in the rows; of the links with a salt of their own one is erased.
        assert connection.execute("SELECT count(*) FROM chain_salt").fetchone() == (links + 1 - 1 - 1,)


def test_a_row_that_is_stated_as_erased_must_be_gone(filled: Ledger) -> None:
    """Forgetting the salt but keeping the row is named."""
    filled.journal.write(lambda c: chain.forget(c, "receipt_1", [("decision", "d2")]))
    assert chain.verify(filled).problems == ("decision 'd2' is stated as erased and is still there",)


def test_a_group_whose_rows_are_all_erased_still_verifies(filled: Ledger) -> None:
    """The link of a group stays when every row of it was forgotten, and a row that comes back is named."""
    refs = [("decision", f"d{i}") for i in range(5)]

    def erase(connection: sqlite3.Connection) -> None:
        chain.forget(connection, "receipt_1", refs)
        connection.execute("DELETE FROM decision")

    filled.journal.write(erase)
    assert chain.verify(filled).problems == ()
    tamper(filled, "DELETE FROM chain_erased WHERE place = 0")
    assert "decision 1 of link 2 is gone without an erasure" in chain.verify(filled).problems


def test_a_link_of_one_decision_from_an_older_version_still_verifies(ledger: Ledger) -> None:
    """A row with a link and a salt of its own, without the columns that came later, is found as it was written."""

    def as_before(connection: sqlite3.Connection) -> None:
        decisions.log(connection, ledger, [decision(1)])
        connection.execute("DELETE FROM chain_group")
        connection.execute("DELETE FROM chain_link WHERE what = 'decisions'")
        connection.execute("UPDATE decision SET chain_seq = NULL, chain_place = NULL, salt = NULL")
        columns = "decision_id, request_id, play, mode, arm, subject_id, ts, context, candidates, action_id,"
        columns += "choice_probability, seed, features, consent_version, policy_version, model_versions, reason,"
        row = connection.execute(f"SELECT {columns} degraded, latency_us FROM decision").fetchone()
        chain.add(connection, "decision", "d1", chain.row_bytes(row))

    ledger.journal.write(as_before)
    assert chain.verify(ledger).problems == ()
    found = tamper(ledger, "UPDATE decision SET position = 2")
    assert found.problems == ("decision 'd1' is not what was written",)
    tamper(ledger, "UPDATE decision SET position = NULL")
    ledger.journal.write(lambda c: chain.forget(c, "receipt_1", [("decision", "d1")]))
    assert tamper(ledger, "DELETE FROM decision").problems == ()


def test_a_link_needs_its_row(ledger: Ledger) -> None:
    """A link for a row that is not stored is refused."""
    with pytest.raises(LedgerError, match="no stored decision 'd9'"):
        ledger.journal.write(lambda c: chain.add_stored(c, "decision", "d9"))


def test_the_same_row_gives_another_digest_under_another_salt() -> None:
    """Without its salt a digest cannot be guessed from the row."""
    row = chain.row_bytes(("c1", 1.5, None))
    assert row == b'["c1",1.5,null]'
    assert chain._digest(b"a", "x", "1", row) != chain._digest(b"b", "x", "1", row)
