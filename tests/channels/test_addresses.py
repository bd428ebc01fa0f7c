from __future__ import annotations

import contextlib
import ipaddress
import socket
from typing import Any

import httpcore2
import pyarrow as pa
import pytest
from tests.channels.sink import Sink

from nextbest.channels import MESSAGE
from nextbest.channels.addresses import GuardedBackend, checked_address, is_public
from nextbest.channels.webhook import Webhook
from nextbest.errors import ChannelError, ConfigError

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

# Every way of writing an address of one's own house; none may lead to a connection.
CORPUS = [
    "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/",
    "https://0x7f.0.0.1/", "https://0177.0.0.1/", "https://017700000001/", "https://0/", "https://0.0.0.0/",
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://[::1]/", "https://[::]/",
    "https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/", "https://[::ffff:10.0.0.1]/", "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/", "https://[64:ff9b::169.254.169.254]/", "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::]/", "https://[2002:a9fe:a9fe::]/", "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[fe80::1]/", "https://[fc00::1]/", "https://[fd00:ec2::254]/", "https://[fec0::1]/", "https://[ff02::1]/",
    "https://10.0.0.1/", "https://172.16.0.1/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/",
    "https://0xa9fea9fe/", "https://2852039166/", "https://100.64.0.1/", "https://100.100.100.200/", "https://192.0.0.192/",
    "https://192.0.0.9/", "https://192.88.99.1/", "https://198.18.0.1/", "https://203.0.113.7/", "https://224.0.0.1/",
    "https://255.255.255.255/", "https://240.0.0.1/", "https://127.0.0.1:443/", "https://127.0.0.1%2f@example.com/",
    "http://127.0.0.1/", "http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1/",
    "https://user:password@example.com/", "https://example.com@127.0.0.1/", "//127.0.0.1/", "127.0.0.1", "",
]  # fmt: skip


def one_message() -> pa.Table:
    """Give one message."""
    return pa.Table.from_pylist([{"decision_id": "d1"}], schema=MESSAGE)


@pytest.mark.parametrize("url", CORPUS)
def test_no_socket_is_opened_to_ones_own_house(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the address is written, no connection is tried, and the answer does not say what is there."""
    tried: list[Any] = []
    monkeypatch.setattr(socket, "create_connection", lambda address, *a, **k: tried.append(address))
    monkeypatch.setattr(socket.socket, "connect", lambda _, address: tried.append(address))
    told = ("failed", "refused before anything was done")
    with contextlib.suppress(ConfigError):
        receipt = Webhook(url=url, secret=SECRET, seconds=1).deliver(one_message()).to_pylist()[0]
        told = (receipt["status"], receipt["detail"])
    assert told[0] in {"failed", "retry"}
    assert "127.0.0.1" not in told[1]
    assert not tried


def test_the_corpus_is_large_enough() -> None:
    """There are at least thirty ways to write it."""
    assert len(CORPUS) >= 30


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("8.8.8.8", True), ("2606:4700:4700::1111", True), ("::ffff:8.8.8.8", True), ("93.184.216.34", True),
        ("192.0.0.192", False), ("64:ff9b::808:808", False), ("2002:808:808::", False), ("100.64.0.1", False),
    ],
)  # fmt: skip
def test_public_addresses_are_told_from_carriers(text: str, public: bool) -> None:  # noqa: FBT001
    """Plain addresses of the internet are public; carriers of others are not, though Python calls them global."""
    assert is_public(ipaddress.ip_address(text)) is public


def test_one_bad_answer_is_enough() -> None:
    """A name that resolves to a public and a private address is refused."""
    with pytest.raises(ChannelError, match="not on the open internet"):
        checked_address("mixed.example", 443, resolve=lambda *_: ["8.8.8.8", "10.0.0.1"])
    with pytest.raises(ChannelError, match="has no address"):
        checked_address("nothing.example", 443, resolve=lambda *_: [])


def test_a_name_is_resolved_once_and_that_address_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that changes its mind after the check (rebinding) is not asked again."""
    answers = iter([["8.8.8.8"], ["127.0.0.1"]])
    connected: list[Any] = []

    def connect(address: Any, *_: Any, **__: Any) -> Any:
        connected.append(address)
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "create_connection", connect)
    backend = GuardedBackend(seconds=1, resolve=lambda *_: next(answers))
    with pytest.raises(httpcore2.ConnectError, match="nobody there"):
        backend.connect_tcp("rebind.example", 443, timeout=1)
    assert connected == [("8.8.8.8", 443)]


def test_a_redirect_is_not_followed() -> None:
    """A target that points elsewhere fails, and nobody calls there."""
    with Sink("redirect") as sink:
        hook = Webhook(url=sink.url, secret=SECRET, seconds=2, allow_hosts=("127.0.0.1",))
        receipt = hook.deliver(one_message()).to_pylist()[0]
    assert receipt["status"] == "failed"
    assert "redirects are not followed" in receipt["detail"]
    assert len(sink.bodies) == 1


def test_a_local_socket_is_refused() -> None:
    """A webhook is never a file in this machine."""
    with pytest.raises(ChannelError, match="local socket"):
        GuardedBackend(seconds=1).connect_unix_socket("/run/x.sock")
