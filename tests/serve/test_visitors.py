"""Anonymous visitors who turn out to be people, and pages that tell what visitors did."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, CONFIG, NOW, clock

from nextbest import doors, operations, verbs
from nextbest.errors import ConflictError, UsageError
from nextbest.ledger import chain, statistics
from nextbest.serve import create_app
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

SHOP = "https://shop.example"
JOIN = {"anonymous_id": "visitor-1", "subject_id": "c2"}


def test_what_a_visitor_was_decided_is_the_person_s(admin: TestClient, ledger: Ledger) -> None:
    """After joining, the visitor's decision is found under the person, and the row of the log is as it was."""
    made = admin.post("/v1/decide", json={"play": "win_back", "subject_id": "visitor-1"}).json()["decision_id"]
    row = admin.get(f"/v1/decisions/{made}").json()
    joined = admin.post("/v1/identify", json=JOIN)
    assert joined.status_code == 200
    assert made in {d["decision_id"] for d in admin.get("/v1/subjects/c2").json()["decisions"]}
    assert admin.get("/v1/subjects/visitor-1").json()["subject_id"] == "c2"
    assert admin.get(f"/v1/decisions/{made}").json() == row
    assert chain.verify(ledger).ok
    assert admin.post("/v1/identify", json=JOIN).json() == joined.json()
    doors.separate(ledger, joined.json()["merge_id"])
    assert made not in {d["decision_id"] for d in admin.get("/v1/subjects/c2").json()["decisions"]}


def test_what_the_person_does_counts_for_the_visitor_s_decision(ledger: Ledger) -> None:
    """An outcome of the person after joining answers the decision that the anonymous visitor got."""
    verbs.decide_one(ledger, "win_back", "visitor-1")
    later = NOW + timedelta(hours=2)
    outcome = Outcome(outcome_id="x", subject_id="c99", ts=NOW + timedelta(hours=1), name="bought", value=1.0)
    verbs.record(ledger, [outcome])

    def answered() -> int:
        happened = statistics.happened(ledger, "bought", days=1 / 24 / 2)
        window = statistics.Happened(rows=happened.rows, days=1 / 12, once=True, end=None)
        sums = statistics.arm_statistics(ledger, "win_back", window, as_of=later)
        return sum(s.answered for s in sums.values())

    assert answered() == 0
    doors.identify(ledger, "visitor-1", "c99")
    assert answered() == 1


@pytest.mark.parametrize("who", ["visitor-1", "c2"])
def test_one_no_is_the_no_of_both(admin: TestClient, who: str) -> None:
    """Whichever of the two ids objected, both are left alone once they are one."""
    no = {"subject_id": who, "allow": False, "proof": "asked", "channel": "email"}
    admin.post("/v1/consent", json=no).raise_for_status()
    admin.post("/v1/identify", json=JOIN).raise_for_status()
    for subject in JOIN.values():
        body = {"play": "win_back", "subject_id": subject}
        assert {admin.post("/v1/decide", json=body).json()["action_id"] for _ in range(5)} == {"none"}


def test_two_people_at_one_browser_stay_two(admin: TestClient, ledger: Ledger) -> None:
    """An id that is another person's, or that has an address of its own, is not joined: 409, and nothing changes."""
    admin.post("/v1/identify", json=JOIN).raise_for_status()
    assert admin.post("/v1/identify", json={**JOIN, "subject_id": "c3"}).status_code == 409
    from nextbest.ledger import identities

    identities.link(ledger, "c4", identity_type="email", identity="four@example.com")
    assert admin.post("/v1/identify", json={"anonymous_id": "c4", "subject_id": "c5"}).status_code == 409
    with pytest.raises(ConflictError, match="not anonymous"):
        doors.identify(ledger, "c4", "c5")
    assert admin.get("/v1/subjects/c3").json()["subject_id"] == "c3"
    by_address = {"anonymous_id": "visitor-2", "subject_id": "four@example.com"}
    admin.post("/v1/identify", json=by_address).raise_for_status()
    assert admin.get("/v1/subjects/visitor-2").json()["subject_id"] == "c4"


# --- the key of a web page ------------------------------------------------------------------------------------------


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Ledger]:
    """Make a workspace that answers a shop's pages."""
    text = CONFIG.replace("[server]", f'[server]\norigins = ["{SHOP}", "https://other.example"]')
    with operations.create(tmp_path / "pages", config_text=text, clock=clock) as ledger:
        yield ledger


@pytest.fixture
def page(shop: Ledger) -> Callable[..., TestClient]:
    """Give a maker of clients that call as a page of an origin does."""
    _, key = operations.create_key(shop, "write", origins=[SHOP])
    app = create_app(shop)

    def make(origin: str = SHOP, address: str = "192.0.2.1") -> TestClient:
        headers = {"Authorization": f"Bearer {key}"} | ({"Origin": origin} if origin else {})
        return TestClient(app, base_url=BASE, headers=headers, client=(address, 1))

    return make


def view(number: int, **more: Any) -> dict[str, Any]:
    """Give one view of a page as events."""
    ts = NOW.isoformat()
    named = {"kind": "page_view", "message_id": f"v{number}", "subject_id": "visitor-1", "ts": ts, "url": "/shoes"}
    return {"events": [{**named, **more}]}


def test_a_page_may_say_what_was_seen(shop: Ledger, page: Callable[..., TestClient]) -> None:
    """A view from the page is stored with the source web, and the browser may read the answer."""
    answer = page().post("/v1/events", json=view(1))
    assert (answer.status_code, answer.json()["stored"]) == (200, 1)
    assert answer.headers["access-control-allow-origin"] == SHOP
    with shop.journal.read() as connection:
        assert connection.execute("SELECT kind, source FROM event").fetchall() == [("page_view", "web")]


@pytest.mark.parametrize("origin", ["", "https://other.example", "https://evil.example", BASE])
def test_the_key_is_worth_nothing_elsewhere(page: Callable[..., TestClient], origin: str) -> None:
    """Without the origin of its pages the key is refused, also from an origin that other keys may name."""
    assert page(origin).post("/v1/events", json=view(1)).status_code == 403


def test_a_page_may_say_nothing_else(page: Callable[..., TestClient]) -> None:
    """Orders, consent, decisions, people and figures are not for the key of a page."""
    client = page()
    assert client.post("/v1/events", json=view(1, kind="order", revenue=1e6)).status_code == 403
    assert client.post("/v1/consent", json={"subject_id": "c1", "allow": True, "proof": "x"}).status_code == 403
    assert client.post("/v1/identify", json=JOIN).status_code == 403
    assert {client.get(p).status_code for p in ("/v1/subjects/c1", "/metrics", "/v1/stops", "/openapi.json")} == {403}
    assert client.post("/v1/decide", json={"play": "win_back", "subject_id": "c1"}).status_code == 403


def test_an_outcome_needs_the_token_of_its_decision(shop: Ledger, page: Callable[..., TestClient]) -> None:
    """The reply to a decision has a token; with it, and not else, a page may say that it worked, worth 1."""
    key = operations.create_key(shop, "decide")[1]
    server = TestClient(create_app(shop), base_url=BASE, headers={"Authorization": f"Bearer {key}"})
    made = server.post("/v1/decide", json={"play": "win_back", "subject_id": "visitor-1"}).json()
    outcome = {"outcome_id": "x1", "subject_id": "visitor-1", "ts": NOW.isoformat(), "name": "click"}
    good = {**outcome, "decision_id": made["decision_id"], "token": made["outcome_token"]}
    wrong = [
        outcome,
        {**good, "token": ""},
        {**good, "token": "0" * 32},
        {**good, "subject_id": "visitor-2"},
        {**good, "decision_id": "d_other"},
        {**good, "value": 1_000_000.0},
    ]
    client = page()
    assert {client.post("/v1/outcomes", json={"outcomes": [o]}).status_code for o in wrong} == {403}
    assert client.post("/v1/outcomes", json={"outcomes": [good]}).json() == {"received": 1, "new": 1}
    with shop.journal.read() as connection:
        assert connection.execute("SELECT source, value FROM outcome").fetchall() == [("web", 1.0)]


def test_one_visitor_cannot_flood(page: Callable[..., TestClient]) -> None:
    """An address that says too much waits; another address with the same key does not."""
    loud, quiet = page(address="192.0.2.1"), page(address="192.0.2.2")
    statuses = [loud.post("/v1/events", json=view(i)).status_code for i in range(90)]
    assert statuses[:20] == [200] * 20
    assert 429 in statuses
    assert quiet.post("/v1/events", json=view(1000)).status_code == 200


def test_a_browser_may_ask_first(shop: Ledger, admin: TestClient) -> None:
    """A preflight of a known origin is answered for the routes of pages, by name; others get what anybody gets."""
    client = TestClient(create_app(shop), base_url=BASE)
    asks = {"Origin": SHOP, "Access-Control-Request-Method": "POST"}
    answer = client.options("/v1/events", headers=asks)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, SHOP)
    assert "*" not in answer.headers.values()
    assert client.options("/v1/decide", headers=asks).status_code == 401
    assert client.options("/v1/events", headers={**asks, "Origin": "https://evil.example"}).status_code == 403
    assert admin.options("/v1/events", headers=asks).status_code == 403


def test_a_page_s_key_is_made_with_care(shop: Ledger) -> None:
    """A key for everybody has no other scope and names its pages; terms are chained and listed, the key is not."""
    with pytest.raises(UsageError, match="names the pages"):
        operations.create_key(shop, "write")
    with pytest.raises(UsageError, match="Only a key with the scope write"):
        operations.create_key(shop, "read", origins=[SHOP])
    with pytest.raises(UsageError, match="not a kind of event"):
        operations.create_key(shop, "write", origins=[SHOP], kinds=["subjects"])
    operations.create_key(shop, "write", origins=[SHOP], kinds=["page_view", "cart_add"], rate=50)
    listed = operations.list_keys(shop)[-1]
    assert (listed.kinds, listed.origins, listed.rate) == (("page_view", "cart_add"), (SHOP,), 50.0)
    assert chain.verify(shop).ok
