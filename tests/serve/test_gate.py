"""Nobody gets in without a key, from a foreign host, or from a foreign page."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient
from tests.serve.conftest import BASE, NOW, TOKEN

from nextbest import operations
from nextbest.errors import UsageError
from nextbest.serve import create_app
from nextbest.serve.gate import HEADERS
from nextbest.serve.listen import server
from nextbest.serve.routes import ROUTES
from nextbest.serve.service import SCOPES
from nextbest.serve.sessions import COOKIE, LASTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextbest.ledger import Ledger

ANYWHERE = "0.0.0.0"  # noqa: S104 (to see it refused)
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")
ELSEWHERE = ("/nothing", "/v1", "/docs", "/static/", "/.env", "/v1/decide/", "//", "/static/../routes.py")
FILLED = {"{id}": "c1", "{name}": "page.css", "{token}": "nothing"}


def filled(path: str) -> str:
    """Give a path of the table with something in the place of its parameter."""
    return next((path.replace(k, v) for k, v in FILLED.items() if k in path), path)


PATHS = (*sorted({filled(r.path) for r in ROUTES}), *ELSEWHERE)
OPEN = ("/live", "/static/page.css")  # and the links of messages, which hold their own proof
LINK = "/u/nothing"
WRONG_KEYS = ("", "Bearer", "Bearer nbk_", "Bearer nbk_" + "0" * 70, "Basic YTpi", "bearer " + "x" * 9000, TOKEN)


def is_open(method: str, path: str) -> bool:
    """Say whether anybody may ask this."""
    return (path in OPEN and method in {"GET", "HEAD"}) or (path == LINK and method in {"GET", "HEAD", "POST"})


def expected(method: str, path: str) -> int:
    """Give the status for somebody without a key; a link that is none is not found, and takes forms only."""
    if not is_open(method, path):
        return 401
    return 200 if path != LINK else 415 if method == "POST" else 404


def test_nothing_but_the_allow_list_is_open(anyone: TestClient) -> None:
    """Every path of the table and some that do not exist, with every method and no key, is answered with 401."""
    wrong = {
        (method, path): status
        for path in PATHS
        for method in METHODS
        if (status := anyone.request(method, path).status_code) != expected(method, path)
    }
    assert wrong == {}


@pytest.mark.parametrize("value", WRONG_KEYS)
def test_a_wrong_key_opens_nothing(anyone: TestClient, value: str) -> None:
    """A key that is empty, unknown, mistyped, of another kind or huge is answered with 401 everywhere."""
    statuses = {
        anyone.request(m, p, headers={"Authorization": value}).status_code
        for p in PATHS
        for m in ("GET", "POST")
        if not is_open(m, p)
    }
    assert statuses == {401}


@pytest.mark.parametrize("scope", sorted(SCOPES - {"admin"}))
def test_a_key_of_another_scope_is_refused(with_key: Callable[..., TestClient], scope: str) -> None:
    """A key without the scope of a route gets 403 from it, whatever the method."""
    client = with_key(scope)
    closed = {r.path for r in ROUTES} - {r.path for r in ROUTES if r.scope in {scope, "open"}}
    asked = [(m, filled(p)) for p in sorted(closed) for m in METHODS]
    assert {(m, p): s for m, p in asked if (s := client.request(m, p).status_code) != 403} == {}


def test_a_method_that_a_path_does_not_take_is_405(admin: TestClient) -> None:
    """Methods outside the table are answered with 405, paths outside it with 404, in the documented shape."""
    assert admin.put("/v1/decide").status_code == 405
    assert admin.put("/v1/decide").headers["allow"] == "POST"
    assert admin.get("/nothing").json()["error"]["code"] == "not_found"


def test_a_revoked_key_ends_within_a_second(ledger: Ledger) -> None:
    """A second after the revocation of a key its requests are answered with 401, however often it came before."""
    key_id, key = operations.create_key(ledger, "read")
    client = TestClient(create_app(ledger), base_url=BASE, headers={"Authorization": f"Bearer {key}"})
    assert client.get("/ready").status_code == 200
    operations.revoke_key(ledger, key_id)
    until = time.monotonic() + 1
    while client.get("/ready").status_code == 200:
        assert time.monotonic() < until
    assert client.get("/ready").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", ANYWHERE, "", "[::ffff:127.0.0.1]"]
)
def test_a_foreign_host_is_refused(admin: TestClient, host: str) -> None:
    """A name that the service is not known by (DNS rebinding) gets 403 from every path, with a key or without."""
    assert {admin.get(p, headers={"Host": host}).status_code for p in PATHS} == {403}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_own_hosts_are_answered(admin: TestClient, host: str) -> None:
    """The loopback names are answered on any port."""
    assert admin.get("/ready", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:9", "http://localhost.evil.example"]
)
def test_a_foreign_origin_is_refused(person: TestClient, admin: TestClient, origin: str) -> None:
    """A page of another origin gets 403 from every path and method, with a session and with a key."""
    asked = [(m, p) for m in METHODS for p in PATHS]
    for client in (person, admin):
        assert {client.request(m, p, headers={"Origin": origin}).status_code for m, p in asked} == {403}


def test_the_token_becomes_a_cookie_and_leaves_the_address(anyone: TestClient) -> None:
    """The link of the first run redirects to / with a session cookie that scripts and other sites cannot use."""
    answer = anyone.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    assert anyone.get("/").status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + " ", TOKEN[:-1], "é"])
def test_a_wrong_token_opens_no_session(anyone: TestClient, token: str) -> None:
    """Another token is answered with 401, and sets no cookie."""
    answer = anyone.get("/", params={"token": token})
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers


def test_without_a_token_there_are_no_sessions(ledger: Ledger) -> None:
    """A service started without a first-run token opens no session for any token."""
    client = TestClient(create_app(ledger), base_url=BASE)
    assert [client.get("/", params={"token": t}).status_code for t in ("", "None", "null")] == [401, 401, 401]


def test_a_session_ends(ledger: Ledger) -> None:
    """A session is worth nothing once its hours are over, nor is one that was made up."""
    moments = [NOW]
    moving = replace(ledger, clock=lambda: moments[-1])
    client = TestClient(create_app(moving, token=TOKEN), base_url=BASE, follow_redirects=False)
    client.get("/", params={"token": TOKEN})
    assert client.get("/ready").status_code == 200
    moments.append(NOW + LASTS)
    assert client.get("/ready").status_code == 401
    client.cookies.set(COOKIE, "made-up")
    assert client.get("/ready").status_code == 401


def test_a_session_needs_its_origin_and_its_token(person: TestClient) -> None:
    """A cookie alone changes nothing: without an origin, or without the token of its page, the answer is 403."""
    body = {"subject_id": "c1", "allow": False, "proof": "asked"}
    assert person.post("/v1/consent", json=body).json()["error"]["code"] == "origin"
    own = {"Origin": BASE}
    assert person.post("/v1/consent", json=body, headers=own).json()["error"]["code"] == "csrf"
    wrong = {**own, "X-CSRF-Token": "0" * 64}
    assert person.post("/v1/consent", json=body, headers=wrong).json()["error"]["code"] == "csrf"
    form = {"decision_id": "d", "verdict": "approve", "csrf": "0" * 64}
    assert person.post("/feedback", data=form, headers=own).json()["error"]["code"] == "csrf"


def test_every_answer_carries_the_headers(anyone: TestClient, person: TestClient) -> None:
    """Answers of every kind forbid foreign content, framing, sniffing and storing."""
    for answer in (anyone.get("/"), anyone.get("/live"), person.get("/"), person.get("/nothing")):
        assert {n: answer.headers.get(n) for n in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_a_browser_without_a_session_is_told_what_to_do(anyone: TestClient) -> None:
    """A person who opens the page without the link reads how to get in."""
    answer = anyone.get("/", headers={"Accept": "text/html"})
    assert answer.status_code == 401
    assert "open the link from the terminal" in answer.text


@pytest.mark.parametrize("host", [ANYWHERE, "::", "192.0.2.1", "shop.example"])
def test_the_world_is_not_listened_to(ledger: Ledger, host: str) -> None:
    """An address beyond loopback is refused unless a proxy in front is declared."""
    with pytest.raises(UsageError, match="behind-proxy"):
        server(ledger, host=host, port=0, token=None)
    assert server(ledger, host=host, port=0, token=None, behind_proxy=True).config.host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_loopback_is_listened_to(ledger: Ledger, host: str) -> None:
    """Loopback addresses need no proxy, and the page's cookie then needs no TLS."""
    assert server(ledger, host=host, port=0, token=None).config.host == host
