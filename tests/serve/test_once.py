"""A reply is kept in the transaction that does what it says: after a crash there are both, or neither."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, NOW, clock, order

from nextbest import doors, operations
from nextbest.errors import ConflictError
from nextbest.ledger import chain, idempotency
from nextbest.serve import create_app
from nextbest.serve.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextbest.ledger import Ledger

DECISION = "decision"
OUTCOME = {"outcome_id": "x1", "subject_id": "c2", "ts": NOW.isoformat(), "name": "n"}
BODIES: dict[str, Any] = {
    "/v1/events": {"events": [order(900, 2, 1)]},
    "/v1/outcomes": {"outcomes": [OUTCOME]},
    "/v1/consent": {"subject_id": "c2", "allow": False, "proof": "called"},
    "/v1/identify": {"anonymous_id": "visitor", "subject_id": "c2"},
    "/v1/stop": {"play": "win_back", "why": "test"},
    "/v1/start": {"play": "win_back", "why": "test"},
    "/v1/erase": {"subject_id": "c2"},
    "/feedback": {"decision_id": DECISION, "verdict": "approve"},
    "/v1/decide": {"play": "win_back", "subject_id": "c2"},
}
EFFECTS = ("event", "outcome", "consent", "merge", "switch", "erased", "feedback", "decision")
CRASH = """
import os, sys
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, clock
from nextbest import operations
from nextbest.ledger import idempotency
from nextbest.serve import create_app
import json
folder, key, path, body, when = sys.argv[1:]
store = idempotency.store
def crash(*given, **more):
    if when == "after":
        store(*given, **more)
    os._exit(9)
idempotency.store = crash
with operations.open(folder, clock=clock) as ledger:
    client = TestClient(create_app(ledger), base_url=BASE, headers={"Authorization": "Bearer " + key})
    client.post(path, json=json.loads(body), headers={"Idempotency-Key": "once"})
"""


def test_every_post_with_an_effect_is_here() -> None:
    """The routes that honour an idempotency key are those that are tried below."""
    assert {r.path for r in ROUTES if r.kept} == BODIES.keys()


def counts(ledger: Ledger) -> dict[str, int]:
    """Give how many rows of effects there are."""
    with ledger.journal.read() as connection:
        tables = {name: f"SELECT count(*) FROM {name}" for name in EFFECTS}
        return {name: connection.execute(asked).fetchone()[0] for name, asked in tables.items()}


def body_of(ledger: Ledger, path: str) -> Any:
    """Give the body for a route, with a decision that is there."""
    body = BODIES[path]
    if body.get("decision_id") == DECISION:
        return {**body, "decision_id": operations.today(ledger).items[0].decision_id}
    return body


@pytest.mark.parametrize("path", BODIES)
def test_a_request_is_done_once(ledger: Ledger, admin: TestClient, path: str) -> None:
    """The same key and body get the same bytes and no second effect; another body is a conflict, and does nothing."""
    body, keyed = body_of(ledger, path), {"Idempotency-Key": "once"}
    first = admin.post(path, json=body, headers=keyed)
    assert first.status_code == 200, first.text
    after = counts(ledger)
    again = admin.post(path, json=body, headers=keyed)
    assert (again.status_code, again.json()) == (200, first.json())
    other = admin.post(
        path, content=msgspec.json.encode(body) + b" ", headers={**keyed, "Content-Type": "application/json"}
    )
    assert other.status_code == 409
    assert counts(ledger) == after


QUICK = [("/v1/consent", "before"), ("/v1/consent", "after"), ("/v1/events", "after")]
CRASHES = [(path, when) for path in sorted(BODIES.keys() - {"/v1/erase"}) for when in ("before", "after")]


@pytest.mark.parametrize(
    ("path", "when"),
    [pytest.param(*c, marks=pytest.mark.slow if c in QUICK else pytest.mark.nightly) for c in CRASHES],
)
def test_a_crash_leaves_both_or_neither(made_shop: Path, tmp_path: Path, path: str, when: str) -> None:
    """Killed between effect and reply, or between reply and commit, nothing was done; asked again, it is done once."""
    folder = shutil.copytree(made_shop, tmp_path / "shop")
    with operations.open(folder, clock=clock) as ledger:
        key, body, before = operations.create_key(ledger, "admin")[1], body_of(ledger, path), counts(ledger)
    program = [sys.executable, "-c", CRASH, str(folder), key, path, msgspec.json.encode(body).decode(), when]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 9, ended.stderr
    with operations.open(folder, clock=clock) as ledger:
        assert counts(ledger) == before
        client = TestClient(create_app(ledger), base_url=BASE, headers={"Authorization": f"Bearer {key}"})
        keyed = {"Idempotency-Key": "once"}
        replies = [client.post(path, json=body, headers=keyed).json() for _ in range(2)]
        assert replies[0] == replies[1]
        assert sum(counts(ledger).values()) == sum(before.values()) + 1
        assert chain.verify(ledger).ok


def test_two_processes_answer_one_key_once(ledger: Ledger) -> None:
    """Of eight that were told that the key is new, one does it; the others get its reply and undo their own."""

    def word(version: int) -> bytes:
        return str(version).encode()

    def answer(_: int) -> bytes:
        keep = doors.once(ledger, "key", b"body", word)
        try:
            return word(operations.consent(ledger, "c2", allow=False, proof="p", also=keep))
        except doors.Repeated as repeated:
            return repeated.reply

    before = counts(ledger)["consent"]
    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(answer, range(8)))) == 1
    assert counts(ledger)["consent"] == before + 1
    with pytest.raises(ConflictError, match="another body"):
        operations.consent(ledger, "c2", allow=False, proof="p", also=doors.once(ledger, "key", b"other", word))
    assert counts(ledger)["consent"] == before + 1


def test_a_step_that_fails_keeps_no_reply(ledger: Ledger) -> None:
    """What is kept goes with its effect: an error after both undoes both."""

    def fail(_: object, result: int) -> None:
        raise ZeroDivisionError(result)

    def both(also: Callable[..., None], connection: Any, result: int) -> None:
        also(connection, result)
        fail(connection, result)

    keep = doors.once(ledger, "key", b"body", lambda version: b"%d" % version)
    before = counts(ledger)
    with pytest.raises(ZeroDivisionError, match=r"\d"):
        operations.consent(ledger, "c2", allow=False, proof="p", also=partial(both, keep))
    assert counts(ledger) == before
    assert doors.reply_before(ledger, "key", b"body") is None
    assert idempotency.KEPT_DAYS == 30
