"""Several workspaces on one server: the key says which one is meant, and nothing crosses."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, CONFIG, NOW, clock, order

from nextbest import doors, operations, verbs
from nextbest.ledger import unsubscribe
from nextbest.serve import create_app
from nextbest.serve.callers import Callers
from nextbest.serve.routes import ROUTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import ASGIApp

    from nextbest.ledger import Ledger

NAMES = ("north", "south")
TOKENS = ("token-of-north", "token-of-south")
MOVED_BY_ITSELF = ("key_used",)  # when a key was used last is written whenever it is presented


@dataclass(frozen=True, kw_only=True)
class Tenant:
    """One workspace: what it knows that the other must not see, and a key that may do everything."""

    name: str
    ledger: Ledger
    key: str
    decision_id: str
    link: str

    @property
    def subject(self) -> str:
        """The id of its person."""
        return f"{self.name}-c1"

    def client(self, app: ASGIApp) -> TestClient:
        """Give a client with its key."""
        return TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {self.key}"}, follow_redirects=False)

    def rows(self) -> dict[str, list[Any]]:
        """Give every row of its journal."""
        with self.ledger.journal.read() as connection:
            found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
            return {
                name: connection.execute(f"SELECT * FROM {name}").fetchall()
                for (name,) in found
                if name not in MOVED_BY_ITSELF and not name.startswith("sqlite_")
            }


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tenant, Tenant]]:
    """Make two workspaces whose people, orders and proofs bear the name of the workspace."""
    with ExitStack() as stack:
        made = []
        for name in NAMES:
            folder = tmp_path_factory.mktemp("tenants") / name
            text = CONFIG.replace("corner-shop", f"{name}-shop").replace("A note", f"{name}-note")
            ledger = stack.enter_context(operations.create(folder, config_text=text, clock=clock))
            bought = [{**order(i, 1, 20 + i), "subject_id": f"{name}-c1", "order_id": f"{name}-o{i}"} for i in range(3)]
            verbs.ingest(ledger, [*bought, {**order(9, 1, 9), "subject_id": f"{name}-quiet", "order_id": "o9"}])
            operations.consent(ledger, f"{name}-c1", allow=True, proof=f"{name}-proof", channel="email")
            decided = verbs.decide_one(ledger, "win_back", f"{name}-c1")
            link = unsubscribe.Link(subject_id=f"{name}-c1", play="win_back", purpose="marketing", channel="email")
            made.append(
                Tenant(
                    name=name,
                    ledger=ledger,
                    key=operations.create_key(ledger, "admin")[1],
                    decision_id=decided.decision_id,
                    link=unsubscribe.token(ledger.secret, link),
                )
            )
        yield made[0], made[1]


@pytest.fixture(scope="module")
def both(tenants: tuple[Tenant, Tenant]) -> ASGIApp:
    """Give the application that serves both."""
    return create_app(*(t.ledger for t in tenants), token=TOKENS)


def body_of(path: str, about: Tenant, number: int) -> dict[str, Any]:
    """Give a body for a route that names what belongs to one tenant."""
    who = about.subject
    return {
        "/v1/decide": {"play": "win_back", "subject_id": who},
        "/v1/events": {"events": [{**order(1000 + number, 1, 1), "subject_id": who}]},
        "/v1/outcomes": {
            "outcomes": [
                {"outcome_id": f"x{number}", "subject_id": who, "ts": NOW.isoformat(), "name": "n"}
                | {"decision_id": about.decision_id}
            ]
        },
        "/v1/consent": {"subject_id": who, "allow": True, "proof": "asked", "channel": "email"},
        "/v1/predict": {"subject_ids": [who]},
        "/v1/erase": {"subject_id": who, "dry_run": True},
        "/v1/identify": {"anonymous_id": f"anonymous-{number}", "subject_id": who},
        "/v1/stop": {"channel": "another", "why": "test"},
        "/v1/start": {"channel": "another", "why": "test"},
        "/feedback": {"decision_id": about.decision_id, "verdict": "approve"},
    }[path]


def ask(client: TestClient, route: Any, about: Tenant, number: int) -> Any:
    """Send one request of the table that names what belongs to a tenant."""
    filled = {"{id}": about.decision_id if "decisions" in route.path else about.subject}
    path = route.path.replace("{id}", filled["{id}"]).replace("{name}", "page.css").replace("{token}", about.link)
    if route.method == "GET":
        return client.get(path)
    if "{token}" in route.path:
        return client.post(path, data={"List-Unsubscribe": "One-Click"})
    return client.post(path, json=body_of(route.path, about, number))


CLOSED = [r for r in ROUTES if r.scope != "open"]


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.booleans(), st.sampled_from(CLOSED), st.booleans()), min_size=1, max_size=6))
def test_no_key_reads_or_writes_another_workspace(
    tenants: tuple[Tenant, Tenant], both: ASGIApp, steps: list[tuple[bool, Any, bool]]
) -> None:
    """Whatever a key asks on whatever route, about whosever people, the other workspace stays as it was and unseen."""
    for number, (own, route, about) in enumerate(steps):
        me, other = tenants[own], tenants[not own]
        before = other.rows()
        answer = ask(me.client(both), route, tenants[about], number + 10 * len(steps))
        assert answer.status_code < 500
        assert other.rows() == before
        for secret in (f"{other.name}-proof", f"{other.name}-o1", f"{other.name}-shop", f"{other.name}-note"):
            assert secret not in answer.text


@pytest.mark.parametrize("own", [0, 1], ids=NAMES)
def test_the_other_workspace_is_not_there(tenants: tuple[Tenant, Tenant], both: ASGIApp, own: int) -> None:
    """What belongs to the other workspace is answered as what does not exist; one's own is found."""
    me, other = tenants[own], tenants[1 - own]
    client = me.client(both)
    for path in ("/v1/subjects/{}", "/v1/decisions/{}"):
        mine, theirs = (f"{t.name}-quiet" if "subjects" in path else t.decision_id for t in (me, other))
        assert client.get(path.format(mine)).status_code == 200
        assert client.get(path.format(theirs)).status_code == 404
    judged = client.post("/feedback", json={"decision_id": other.decision_id, "verdict": "approve"})
    assert judged.status_code == 404


def test_a_session_shows_one_workspace(tenants: tuple[Tenant, Tenant], both: ASGIApp) -> None:
    """Each link opens its own workspace; the token of one opens no other, and its cookie is worth nothing there."""
    pages = []
    for token in TOKENS:
        client = TestClient(both, base_url=BASE)
        pages.append(client.get("/", params={"token": token}).text)
    assert ["north-shop" in p and "south-shop" not in p for p in pages] == [True, False]
    assert ["south-shop" in p and "north-shop" not in p for p in pages] == [False, True]
    alone = TestClient(create_app(tenants[0].ledger, token=TOKENS[0]), base_url=BASE)
    alone.get("/", params={"token": TOKENS[0]})
    south = TestClient(create_app(tenants[1].ledger, token=TOKENS[1]), base_url=BASE, cookies=dict(alone.cookies))
    assert south.get("/ready").status_code == 401


def test_a_link_ends_messages_of_its_own_workspace(tenants: tuple[Tenant, Tenant], both: ASGIApp) -> None:
    """An unsubscribe link is followed in the workspace that sealed it, whichever comes first on the server."""
    anyone = TestClient(both, base_url=BASE)
    before = tenants[0].rows()
    answer = anyone.post(f"/u/{tenants[1].link}", data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert "south-shop" in answer.text
    assert tenants[0].rows() == before
    assert any(row[4] == 0 and "one-click" in row[7] for row in tenants[1].rows()["consent"])


def test_idempotency_keys_and_counters_do_not_meet(tenants: tuple[Tenant, Tenant], both: ASGIApp) -> None:
    """The same Idempotency-Key may be used in both; each counts its own requests."""
    clients = [t.client(both) for t in tenants]
    replies = [
        c.post("/v1/decide", json={"play": "win_back", "subject_id": "x"}, headers={"Idempotency-Key": "same"})
        for c in clients
    ]
    assert [r.status_code for r in replies] == [200, 200]
    assert replies[0].json()["decision_id"] != replies[1].json()["decision_id"]
    counted = [c.get("/metrics").text.count('route="/v1/subjects/{id}"') for c in clients]
    assert counted[0] <= 2  # its own statuses only: 200 and 404
    only = create_app(tenants[0].ledger, tenants[1].ledger)
    tenants[0].client(only).get("/ready")
    assert "/ready" not in tenants[1].client(only).get("/metrics").text


def test_ready_is_of_all_and_names_none(tenants: tuple[Tenant, Tenant], both: ASGIApp) -> None:
    """A workspace that may not serve makes the server not ready for the others too, without a word about what it is."""
    mark = tenants[1].ledger.path / "restoring"
    mark.touch()
    try:
        answer = tenants[0].client(both).get("/ready")
    finally:
        mark.unlink()
    assert answer.status_code == 503
    assert answer.json()["why"] == ["Another workspace of this server is not ready."]
    assert tenants[0].client(both).get("/ready").status_code == 200


def test_every_workspace_is_asked_for_a_key(tenants: tuple[Tenant, Tenant], monkeypatch: pytest.MonkeyPatch) -> None:
    """A key known in the first, in the last or nowhere costs the same look-ups, so that time tells nothing."""
    asked: list[str] = []
    find = operations.find_key

    def counted(ledger: Ledger, key: str) -> Any:
        asked.append(ledger.config.name)
        return find(ledger, key)

    monkeypatch.setattr(operations, "find_key", counted)
    callers = Callers([t.ledger for t in tenants])
    unknown = operations.create_key(tenants[0].ledger, "read")[1]
    operations.revoke_key(tenants[0].ledger, operations.list_keys(tenants[0].ledger)[-1].key_id)
    for key in (tenants[0].key, tenants[1].key, unknown):
        asked.clear()
        callers.find(key)
        assert asked == ["north-shop", "south-shop"]


def test_a_broken_workspace_takes_no_other_down(tenants: tuple[Tenant, Tenant], tmp_path: Path) -> None:
    """With one journal closed the keys of the other are good, and an unknown key is no 401 but a 503."""
    copy = operations.open(shutil.copytree(tenants[1].ledger.path, tmp_path / "copy"), clock=clock)
    app = create_app(tenants[0].ledger, copy)
    copy.close()
    assert tenants[0].client(app).get("/v1/stops").status_code == 200
    assert tenants[1].client(app).get("/v1/stops").status_code == 503


def test_a_visitor_with_a_name_stays_in_the_workspace(tenants: tuple[Tenant, Tenant]) -> None:
    """Joining in one workspace joins nothing in the other."""
    before = tenants[1].rows()["merge"]
    assert doors.identify(tenants[0].ledger, "visitor", tenants[0].subject)
    assert tenants[1].rows()["merge"] == before
