"""The service as it runs: a process of its own, over a socket, until it is told to stop."""

from __future__ import annotations

import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx2
import pytest

from nextbest import operations

if TYPE_CHECKING:
    from tests.serve.conftest import Started


@pytest.mark.slow
def test_a_whole_round_over_a_socket(started: Started) -> None:
    """A real server decides for 40 callers at once, stops on Ctrl+C, and had no use for heavy packages."""
    headers = {"Authorization": f"Bearer {started.key}"}

    def ask(i: int) -> str:
        body = {"play": "win_back", "subject_id": f"c{i % 10}"}
        answer = httpx2.post(f"{started.url}/v1/decide", json=body, headers=headers, timeout=60)
        return str(answer.raise_for_status().json()["decision_id"])

    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(ask, range(40)))
    assert len(made) == 40
    for path in ("/", "/ready", "/metrics", "/openapi.json", "/v1/subjects/c1"):
        assert httpx2.get(f"{started.url}{path}", headers=headers, timeout=60).status_code == 200
    assert httpx2.get(f"{started.url}/ready", timeout=60).status_code == 401
    started.process.send_signal(signal.SIGINT)
    said, _ = started.process.communicate(timeout=30)
    assert said.strip().splitlines()[-1] == "[]"
    with operations.open(started.folder) as ledger:
        assert {operations.decision(ledger, d).decision_id for d in made} == made


@pytest.mark.slow
def test_broken_requests_do_not_stop_the_service(started: Started) -> None:
    """Bytes that are no HTTP, headers without end, two hosts and websockets are refused; the service goes on."""
    port = int(started.url.rpartition(":")[2])
    headers = b"Host: localhost\r\n"
    for raw in (
        b"\x00\xff\x16\x03\x01" * 50 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /ready HTTP/1.1\r\n" + headers + b"Host: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + headers + b"X: " + b"a" * 200_000,
        b"GET / HTTP/1.1\r\n" + headers + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            try:
                connection.sendall(raw)
                answer = connection.recv(4096)
            except (ConnectionError, TimeoutError):
                answer = b""
        assert b" 200 " not in answer.partition(b"\r\n")[0]
    assert httpx2.get(f"{started.url}/live", timeout=10).status_code == 200
