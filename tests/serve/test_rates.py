"""How much a caller may ask, and what happens to one who asks more."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient
from tests.serve.conftest import BASE

from nextbest import operations
from nextbest.errors import UsageError
from nextbest.serve import create_app
from nextbest.serve.limits import Buckets

if TYPE_CHECKING:
    from nextbest.ledger import Ledger


class Time:
    """A clock that moves when told to."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        """Give the seconds."""
        return self.at


def served(ledger: Ledger, *, rate: float, failures: float, workers: int = 1) -> TestClient:
    """Give a client of the shop with its own limits."""
    server = replace(ledger.config.server, rate=rate, failures=failures)
    limited = replace(ledger, config=replace(ledger.config, server=server))
    return TestClient(create_app(limited, workers=workers), base_url=BASE)


@given(steps=st.lists(st.floats(0, 3), max_size=60), rate=st.floats(0.5, 50), seconds=st.floats(0.1, 5))
def test_a_bucket_never_gives_more_than_its_rate(steps: list[float], rate: float, seconds: float) -> None:
    """From any moment on, at most a bucket full and what flows in meanwhile is given; who waits as told gets one."""
    time = Time()
    buckets = Buckets(rate, seconds=seconds, now=time)
    given_at = []
    for step in steps:
        time.at += step
        if buckets.take("a") == 0:
            given_at.append(time.at)
    most = max(1.0, rate * seconds)
    for i, since in enumerate(given_at):
        for j, until in enumerate(given_at[i:], start=1):
            assert j <= most + (until - since) * rate + 1e-6
    wait = 1
    while wait:
        wait = buckets.take("a")
        if wait:
            time.at += wait
            assert buckets.take("a") == 0
            break


def test_names_do_not_share_and_memory_is_bounded() -> None:
    """One name's requests cost no other's; the longest unseen of too many names is forgotten."""
    time = Time()
    buckets = Buckets(1, seconds=1, most=3, now=time)
    assert [buckets.take("a"), buckets.take("a"), buckets.take("b")] == [0, 1, 0]
    for i in range(10_000):
        buckets.take(str(i))
    assert len(buckets) == 3
    assert buckets.take("a") == 0


def test_workers_share_a_rate() -> None:
    """Of a rate of 8, each of four workers gives 2 a second, and its share of a key's own rate."""
    buckets = Buckets(8, seconds=1, workers=4, now=Time())
    assert [buckets.take("a") for _ in range(3)] == [0, 0, 1]
    assert [buckets.take("b", rate=4.0) for _ in range(2)] == [0, 1]


def test_no_rate_is_no_limit() -> None:
    """A rate of 0 lets everything pass and remembers nobody."""
    buckets = Buckets(0)
    assert {buckets.take("a") for _ in range(1000)} == {0}
    assert len(buckets) == 0


def test_a_key_that_asks_too_much_waits(ledger: Ledger) -> None:
    """Over its rate a key gets 429 and a time to wait; another key, and an objection, are not held up."""
    client = served(ledger, rate=0.01, failures=0)
    keys = [operations.create_key(ledger, "read")[1] for _ in range(2)]
    asked = [client.get("/v1/subjects/c1", headers={"Authorization": f"Bearer {keys[0]}"}) for _ in range(3)]
    late = [a for a in asked if a.status_code == 429]
    assert asked[0].status_code == 200
    assert late
    assert int(late[0].headers["retry-after"]) >= 1
    assert late[0].json()["error"]["code"] == "rate"
    assert client.get("/v1/subjects/c1", headers={"Authorization": f"Bearer {keys[1]}"}).status_code == 200
    assert {client.get("/live").status_code for _ in range(20)} == {200}


def test_a_key_may_have_its_own_rate(ledger: Ledger) -> None:
    """A key made with a rate keeps to it, whatever the others have."""
    client = served(ledger, rate=1, failures=0)
    _, key = operations.create_key(ledger, "read", rate=1000)
    assert {client.get("/openapi.json", headers={"Authorization": f"Bearer {key}"}).status_code for _ in range(30)} == {
        200
    }
    with pytest.raises(UsageError, match="above 0"):
        operations.create_key(ledger, "read", rate=0)


def test_an_address_that_guesses_waits(ledger: Ledger) -> None:
    """After many wrong keys an address gets 429 for wrong ones; a key that was good a moment ago still opens."""
    client = served(ledger, rate=0, failures=1)
    _, key = operations.create_key(ledger, "read")
    good = {"Authorization": f"Bearer {key}"}
    assert client.get("/openapi.json", headers=good).status_code == 200
    wrong = [client.get("/openapi.json", headers={"Authorization": "Bearer nbk_x"}).status_code for _ in range(20)]
    assert wrong[:10] == [401] * 10
    assert wrong[-1] == 429
    assert client.get("/openapi.json", headers=good).status_code == 200
    assert client.get("/openapi.json").status_code == 401
