"""What is malformed, too large, too deep or not as documented is refused before anything is done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextbest.serve.reading import DEPTH, too_deep
from nextbest.serve.routes import ROUTES

if TYPE_CHECKING:
    from starlette.testclient import TestClient

POSTS = [r for r in ROUTES if r.method == "POST" and r.scope != "open"]
HEADERS = {"Content-Type": "application/json"}
MALFORMED = [
    b"",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"play": NaN, "subject_id": "c1"}',
    b'\xff\xfe{\x00"',
    b'{"play": "\xff"}',
    b'{"play": "\\ud800", "subject_id": "c1"}',
    b"[" * 700,
    b'{"a":' * 700,
    b'{"unknown": 1}',
]


@pytest.mark.parametrize("route", POSTS, ids=lambda r: r.path)
@pytest.mark.parametrize("raw", MALFORMED, ids=lambda raw: repr(raw[:20]))
def test_malformed_bodies_are_400(admin: TestClient, route: Any, raw: bytes) -> None:
    """Every POST answers a malformed body with 400 and a reason."""
    answer = admin.post(route.path, content=raw, headers=HEADERS)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_are_not_finite_never_get_in(admin: TestClient, number: str) -> None:
    """No route takes a number that is not finite, wherever it stands."""
    bodies = {
        "/v1/decide": '{"play": "win_back", "subject_id": "c1", "context": {"x": %s}}',
        "/v1/events": '{"events": [{"kind": "order", "message_id": "z", "subject_id": "c1", "revenue": %s}]}',
        "/v1/outcomes": '{"outcomes": [{"outcome_id": "z", "subject_id": "c1", "ts": "2026-03-01T00:00:00Z",'
        ' "name": "n", "value": %s}]}',
    }
    statuses = {admin.post(p, content=(b % number).encode(), headers=HEADERS).status_code for p, b in bodies.items()}
    assert statuses == {400}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/decide", {"play": "win_back", "subject_id": "c1", "extra": 1}),
        ("/v1/decide", {"play": "win_back", "subject_id": 7}),
        ("/v1/decide", {"play": "win_back", "subject_id": ""}),
        ("/v1/decide", {"play": "win_back", "subject_id": "c" * 257}),
        ("/v1/decide", {"play": "win_back", "subject_id": "c1", "mode": "replay"}),
        ("/v1/decide", {"play": "win_back", "subject_id": "c1", "context": {"a": [1]}}),
        ("/v1/decide", {"play": "win_back", "subject_id": "c1", "context": {f"k{i}": i for i in range(101)}}),
        ("/v1/consent", {"subject_id": "c1", "allow": "yes", "proof": "p"}),
        ("/v1/consent", {"subject_id": "c1", "allow": True, "proof": " "}),
        ("/v1/consent", {"subject_id": "c1", "allow": True}),
        ("/v1/events", {"events": []}),
        ("/v1/events", {"events": [{}] * 1001}),
        ("/v1/outcomes", {"outcomes": [{"outcome_id": "z", "subject_id": "c1", "ts": "2026-03-01", "name": "n"}]}),
        ("/v1/erase", {"subject_id": "c1", "dry_run": "no"}),
        ("/v1/predict", {"subject_ids": ["c1"] * 101}),
        ("/feedback", {"decision_id": "d1", "verdict": "maybe"}),
    ],
)
def test_bodies_that_are_not_as_documented_are_400(admin: TestClient, path: str, body: Any) -> None:
    """Unknown fields, wrong types, empty ids and too long lists or texts are refused with a reason."""
    answer = admin.post(path, json=body)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("route", POSTS, ids=lambda r: r.path)
def test_large_bodies_are_refused_before_they_are_parsed(admin: TestClient, route: Any) -> None:
    """One byte over the limit is 413, with a length that says so and with none; at the limit it is parsed."""
    over = b" " * (route.limit + 1)
    assert admin.post(route.path, content=over, headers=HEADERS).status_code == 413
    chunks = (over[i : i + 50_000] for i in range(0, len(over), 50_000))
    assert admin.post(route.path, content=chunks, headers=HEADERS).status_code == 413
    assert admin.post(route.path, content=over[1:], headers=HEADERS).status_code == 400


@pytest.mark.parametrize("media", ["", "text/plain", "multipart/form-data", "application/xml"])
def test_other_types_are_415(admin: TestClient, media: str) -> None:
    """A body that is not JSON (or, for the page, a form) is refused by its type."""
    assert {admin.post(r.path, content=b"{}", headers={"Content-Type": media}).status_code for r in POSTS} == {415}


@pytest.mark.parametrize("key", ["x" * 256, "", "a\tb", "a b"])
def test_a_bad_idempotency_key_is_400(admin: TestClient, key: str) -> None:
    """A key that is empty, too long or not printable is refused, and nothing is decided."""
    body = {"play": "win_back", "subject_id": "c1"}
    assert admin.post("/v1/decide", json=body, headers={"Idempotency-Key": key}).status_code == 400
    assert "nextbest_decide_seconds_count 0" in admin.get("/metrics").text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='ab[]{}"\\é'),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='k[]{}"\\'), inner, max_size=3),
    max_leaves=12,
)


def depth(value: Any) -> int:
    """Give how deep a value is nested: the slow, obvious way."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(value=values, more=st.integers(0, 2 * DEPTH))
def test_depth_is_what_parsing_would_find(value: Any, more: int) -> None:
    """Depth without parsing agrees with the depth of the parsed value, brackets in texts or not."""
    for i in range(more):
        value = [value] if i % 2 else {"k": value}
    assert too_deep(json.dumps(value).encode()) == (depth(value) > DEPTH)
