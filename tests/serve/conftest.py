"""A small shop with a list decided in bulk, copied for every test that writes, and clients of its service."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from starlette.testclient import TestClient

from nextbest import operations, verbs
from nextbest.serve import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
TOKEN = "first-run-token"
BASE = "http://localhost"
SUBJECTS = 12
CONFIG = """
name = "corner-shop"
currency = "EUR"

[consent]
regime = "opt_in"

[server]
rate = 0
failures = 0

[plays.win_back]
audience = "orders_365d >= 1"
value = "average_order_value"
holdout = 0.0
policy = { name = "greedy", explore = 0.1 }

[[plays.win_back.actions]]
id = "coupon"
channel = "email"
cost = 0.1
eligibility = "orders_365d >= 2"
text = "5 off <b>everything</b>"

[[plays.win_back.actions]]
id = "note"
channel = "email"
cost = 0.01
text = "A note"
"""


def clock() -> datetime:
    """Give the moment at which the tests happen."""
    return NOW


def order(i: int, subject: int, days: int) -> dict[str, object]:
    """Give one order as an event."""
    ts = (NOW - timedelta(days=days)).isoformat()
    named = {"kind": "order", "message_id": f"m{i}", "subject_id": f"c{subject}", "ts": ts}
    return {**named, "order_id": f"o{i}", "revenue": 20.0 + subject}


@pytest.fixture(scope="session")
def made_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace with orders, permission and a decided list; no test writes to it."""
    folder = tmp_path_factory.mktemp("serve") / "shop"
    with operations.create(folder, config_text=CONFIG, clock=clock) as ledger:
        wanted = [order(10 * s + k, s, 20 + 30 * k) for s in range(SUBJECTS) for k in range(1 + s % 3)]
        assert {r.status for r in verbs.ingest(ledger, wanted)} == {"stored"}
        for s in range(SUBJECTS - 1):
            operations.consent(ledger, f"c{s}", allow=True, proof="form", channel="email")
        verbs.decide(ledger, "win_back", as_of=NOW)
    return folder


@pytest.fixture
def ledger(made_shop: Path, tmp_path: Path) -> Iterator[Ledger]:
    """Give a copy of the shop, open."""
    with operations.open(shutil.copytree(made_shop, tmp_path / "shop"), clock=clock) as opened:
        yield opened


@pytest.fixture
def app(ledger: Ledger) -> ASGIApp:
    """Give the application that serves the shop."""
    return create_app(ledger, token=TOKEN)


@pytest.fixture
def anyone(app: ASGIApp) -> Iterator[TestClient]:
    """Give a client without a key."""
    with TestClient(app, base_url=BASE, follow_redirects=False) as client:
        yield client


@pytest.fixture
def with_key(app: ASGIApp, ledger: Ledger) -> Callable[..., TestClient]:
    """Give a maker of clients with a key of the given scope."""

    def make(scope: str) -> TestClient:
        _, key = operations.create_key(ledger, scope)
        return TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {key}"}, follow_redirects=False)

    return make


@pytest.fixture
def admin(with_key: Callable[..., TestClient]) -> TestClient:
    """Give a client that may do everything."""
    return with_key("admin")


@pytest.fixture
def person(app: ASGIApp) -> TestClient:
    """Give a browser that has opened the link from the terminal."""
    client = TestClient(app, base_url=BASE, follow_redirects=False)
    assert client.get("/", params={"token": TOKEN}).status_code == 303
    return client


@dataclass(frozen=True, kw_only=True)
class Started:
    """A real server in a child process."""

    url: str
    folder: Path
    process: subprocess.Popen[str]
    key: str


@pytest.fixture
def started(made_shop: Path, tmp_path: Path) -> Iterator[Started]:
    """Start a server on a free port over a copy of the shop, and stop it afterwards."""
    folder = shutil.copytree(made_shop, tmp_path / "served")
    with operations.open(folder) as opened:
        _, key = operations.create_key(opened, "admin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(Path(__file__).with_name("child.py")), str(folder), str(port), TOKEN]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url, process)
        yield Started(url=url, folder=folder, process=process, key=key)
    finally:
        process.kill()
        process.communicate()


def _wait(url: str, process: subprocess.Popen[str]) -> None:
    """Wait until the service answers; fails with what it printed when it ends instead."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if process.poll() is not None:
            pytest.fail(f"The server ended: {process.communicate()[0]}")
        try:
            if httpx2.get(f"{url}/live", timeout=5).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    pytest.fail("The server did not answer within a minute.")
