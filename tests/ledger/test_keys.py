"""Keys, repeated requests and published predictions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from tests.ledger.makers import NOW

from nextbest.errors import ConflictError, DataError, UnknownNameError, UsageError
from nextbest.ledger import chain, idempotency, keys, published

if TYPE_CHECKING:
    from tests.clocks import Clock

    from nextbest.ledger import Ledger


def find(ledger: Ledger, key: str) -> keys.KeyInfo | None:
    """Look a key up at the time of the test."""
    with ledger.journal.read() as connection:
        return keys.find(connection, key, now=ledger.clock())


def test_a_key_is_found_and_never_stored(ledger: Ledger) -> None:
    """The key opens what it was made for, and no file of the workspace holds it."""
    key_id, key = keys.create(ledger, ["decide", "ingest"])
    info = find(ledger, key)
    assert info is not None
    assert (info.key_id, info.scopes, info.expires) == (key_id, ("decide", "ingest"), None)
    assert key.startswith("nbk_")
    assert len(key) == 4 + 64 + 6
    body = key.removeprefix("nbk_")[:64].encode()
    assert [f for f in ledger.path.rglob("*") if f.is_file() and body in f.read_bytes()] == []
    assert chain.verify(ledger).ok


def test_a_wrong_key_opens_nothing(ledger: Ledger) -> None:
    """A changed, cut, foreign or well-formed but unknown key is not found."""
    _, key = keys.create(ledger, "read")
    other = "0" * 64
    wrong = [key[:-1], key[:-1] + "x", "nbx" + key[3:], "", "nbk_", "nbk_" + other + keys._check(other), "ü" + key]
    assert [find(ledger, w) for w in wrong] == [None] * len(wrong)


def test_a_key_ends(ledger: Ledger, clock: Clock) -> None:
    """A key is of no use after its days or its revocation; revoking twice or the unknown is an error."""
    _, short = keys.create(ledger, "decide", days=1)
    key_id, revoked = keys.create(ledger, "decide")
    keys.revoke(ledger, key_id)
    assert find(ledger, short) is not None
    assert find(ledger, revoked) is None
    clock.forward(days=1)
    assert find(ledger, short) is None
    with pytest.raises(UnknownNameError, match="no key"):
        keys.revoke(ledger, key_id)
    assert [k.revoked is None for k in keys.listing(ledger)] == [True, False]
    assert chain.verify(ledger).ok


def test_a_key_needs_a_known_scope_and_a_future(ledger: Ledger) -> None:
    """A misspelt or missing scope and a life of no days are refused."""
    with pytest.raises(UnknownNameError, match="Did you mean 'decide'"):
        keys.create(ledger, "decid")
    with pytest.raises(UnknownNameError, match="no scope ''"):
        keys.create(ledger, [])
    with pytest.raises(UsageError, match="longer than 0 days"):
        keys.create(ledger, "read", days=0)


def test_the_last_use_is_remembered_by_the_minute(ledger: Ledger, clock: Clock) -> None:
    """Use is written once a minute at most."""
    _, key = keys.create(ledger, "decide")
    seen = []
    for seconds in (0, 30, 40):
        clock.forward(seconds=seconds)
        info = find(ledger, key)
        assert info is not None
        keys.used(ledger, info)
        ledger.journal.write(lambda c: None)
        found = find(ledger, key)
        assert found is not None
        seen.append(found.last_used)
    assert seen == [NOW, NOW, NOW + timedelta(seconds=70)]


def test_a_repeated_request_gets_its_first_reply(ledger: Ledger) -> None:
    """Same key and body give the same bytes; another body is a conflict; pruning forgets the old."""
    ledger.journal.write(lambda c: idempotency.store(c, "k", "body", b'{"a": 1}', now=NOW, subject_id="c1"))
    with ledger.journal.read() as connection:
        assert idempotency.lookup(connection, "new", "body") is None
        assert idempotency.lookup(connection, "k", "body") == b'{"a": 1}'
        with pytest.raises(ConflictError, match="another body"):
            idempotency.lookup(connection, "k", "other")
    assert ledger.journal.write(lambda c: idempotency.prune(c, before=NOW)) == 0
    assert ledger.journal.write(lambda c: idempotency.prune(c, before=NOW + timedelta(days=1))) == 1


def test_a_publication_replaces_the_one_before(ledger: Ledger) -> None:
    """Serving sees the newest predictions of each recipe with their model, and nothing of the older ones."""
    first = pa.table({"subject_id": ["a", "b"], "churn_probability": [0.1, 0.2]})
    second = pa.table({"subject_id": ["a"], "churn_probability": [None], "churn_probability_low": [float("nan")]})
    value = pa.table({"subject_id": ["a"], "next_order": pa.array([NOW])})
    assert published.publish(ledger, "churn", "m1", NOW, first) == 2
    assert published.publish(ledger, "churn", "m2", NOW, second) == 1
    published.publish(ledger, "value", "v1", NOW, value)
    with ledger.journal.read() as connection:
        assert published.published(connection, "a") == (
            {
                "churn_probability": None,
                "churn_probability_low": None,
                "next_order": "2026-03-01T12:00:00Z",
            },
            {"churn": "m2", "value": "v1"},
        )
        assert published.published(connection, "b") == ({}, {})
        assert connection.execute("SELECT count(*) FROM published").fetchone() == (2,)
    with pytest.raises(DataError, match="no column 'subject_id'"):
        published.publish(ledger, "churn", "m", NOW, pa.table({"id": ["a"]}))


def test_a_killed_publication_is_never_seen_and_is_swept(ledger: Ledger) -> None:
    """Rows of a generation that was never switched to do not count, and the next publication removes them."""
    published.publish(ledger, "churn", "m1", NOW, pa.table({"subject_id": ["a"], "p": [0.1]}))
    half = ("a", "churn", "gen_0", '{"p": 0.9}')
    ledger.journal.write(lambda c: c.execute("INSERT INTO published VALUES (?, ?, ?, ?)", half).rowcount)
    with ledger.journal.read() as connection:
        assert published.published(connection, "a")[0] == {"p": 0.1}
    published.publish(ledger, "churn", "m2", NOW, pa.table({"subject_id": ["a"], "p": [0.2]}))
    with ledger.journal.read() as connection:
        assert connection.execute("SELECT count(*) FROM published").fetchone() == (1,)
