"""Which addresses may be called: a name is resolved once, every answer is checked, and that very address is connected.

A check before the connection is not enough: a name server may give another answer the second time. So the check is part
of connecting. `ipaddress.is_global` alone is not enough either: it calls the carriers of other addresses (NAT64, 6to4,
Teredo) global.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpcore2

from nextbest.errors import ChannelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NOT_PUBLIC = tuple(
    ipaddress.ip_network(text)
    for text in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "::/96",  # IPv4 in IPv6, old style
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/23",  # protocol assignments, Teredo among them
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fec0::/10",  # site-local
    )
)


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to the open internet, whatever it is wrapped in."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_public(mapped)
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address.version == net.version and address in net for net in _NOT_PUBLIC)


def look_up(host: str, port: int) -> list[str]:
    """Give the addresses of a host as the system resolves it; numbers in any base are addresses too.

    Raises `httpcore2.ConnectError` when there is no answer: a name server may answer later.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError("The name of the webhook's host cannot be resolved.") from error
    return [str(entry[4][0]) for entry in found]


def checked_address(host: str, port: int, *, resolve: Callable[[str, int], list[str]] = look_up) -> str:
    """Give the address to connect to; raises `ChannelError` when any answer for the host is not on the internet."""
    answers = resolve(host, port)
    if not answers:
        raise ChannelError("The name of the webhook's host has no address.")
    for answer in answers:
        if not is_public(ipaddress.ip_address(answer.partition("%")[0])):
            message = "The webhook's host is not on the open internet. Name a host of your own network in allow_hosts."
            raise ChannelError(message)
    return answers[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """A connection on which everything together must be done by a deadline, however slowly the other side drips."""

    stream: httpcore2.NetworkStream
    deadline: float

    def _left(self, timeout: float | None) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("The whole exchange took too long.")
        return left if timeout is None else min(timeout, left)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:  # noqa: ANN401 (httpcore's)
        secure = self.stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _Watched(stream=secure, deadline=self.deadline)

    def get_extra_info(self, info: str) -> Any:  # noqa: ANN401 (httpcore's)
        return self.stream.get_extra_info(info)


class GuardedBackend(httpcore2.NetworkBackend):
    """Connects to checked addresses only, and closes whatever takes longer than `seconds` in all."""

    def __init__(
        self, *, seconds: float, allow_hosts: Iterable[str] = (), resolve: Callable[[str, int], list[str]] = look_up
    ) -> None:
        self._seconds = seconds
        self._allowed = frozenset(h.casefold() for h in allow_hosts)
        self._resolve = resolve
        self._plain = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,  # noqa: ANN401 (httpcore's)
    ) -> Any:  # noqa: ANN401 (httpcore's)
        """Resolve once, check every answer, connect to the first."""
        deadline = time.monotonic() + self._seconds
        address = host if host.casefold() in self._allowed else checked_address(host, port, resolve=self._resolve)
        stream = self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
        return _Watched(stream=stream, deadline=deadline)

    def connect_unix_socket(self, *_: Any, **__: Any) -> Any:  # noqa: ANN401 (httpcore's)
        """Refuse: a webhook is never a local socket."""
        raise ChannelError("A webhook cannot be a local socket.")

    def sleep(self, seconds: float) -> None:
        """Wait between attempts."""
        time.sleep(seconds)
