"""A load generator with a constant rate: a request is due when it is due, however late the last answer was.

What waits because the service is slow counts as waiting (no coordinated omission): a latency is measured from the
moment at which the request was due. One thread, raw sockets, nothing parsed but the status and the length.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

_LEFT_S = 5.0  # for what is still under way at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What came of a run: latencies in milliseconds from when each was due, and how many had which status (0: none)."""

    seconds: float
    latencies: np.ndarray
    statuses: Counter[int] = field(default_factory=Counter)

    def at(self, quantile: float) -> float:
        """Give a quantile of the latencies in milliseconds."""
        return float(np.quantile(self.latencies, quantile)) if len(self.latencies) else float("nan")

    @property
    def rate(self) -> float:
        """Answers with status 200 per second."""
        return self.statuses[200] / self.seconds

    @property
    def errors(self) -> int:
        """How many were not answered with 200."""
        return sum(self.statuses.values()) - self.statuses[200]


def request(host: str, path: str, key: str, body: bytes, *, extra: str = "") -> bytes:
    """Give the bytes of one POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    return f"{head}{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body


class _Connection(asyncio.Protocol):
    """One request at a time over one socket."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._got = bytearray()
        self.due: float | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._run.free(self)

    def send(self, raw: bytes, due: float) -> None:
        assert self.transport is not None
        self.due = due
        self.transport.write(raw)

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0:
            return
        lower = bytes(self._got[:head]).lower()
        found = lower.find(b"content-length: ") + 16
        length = int(lower[found : (lower + b"\r").find(b"\r", found)])
        if len(self._got) < head + 4 + length:
            return
        self._run.done(self, int(self._got[9:12]), bytes(self._got[head + 4 : head + 4 + length]))
        self._got.clear()
        self._run.free(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 (asyncio's name)
        self._run.lost(self)


class _Run:
    """One run: what is due, who is free, what came back."""

    def __init__(self, request: Callable[[int], bytes], keep: Callable[[int, bytes], None] | None) -> None:
        self._request = request
        self._keep = keep
        self._free: deque[_Connection] = deque()
        self._due: deque[tuple[float, int]] = deque()
        self.latencies: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.under_way = 0

    def ask(self, due: float, i: int) -> None:
        self.under_way += 1
        if self._free:
            self._free.pop().send(self._request(i), due)
        else:
            self._due.append((due, i))

    def free(self, connection: _Connection) -> None:
        connection.due = None
        if self._due:
            due, i = self._due.popleft()
            connection.send(self._request(i), due)
        else:
            self._free.append(connection)

    def done(self, connection: _Connection, status: int, body: bytes) -> None:
        assert connection.due is not None
        self.latencies.append((time.perf_counter() - connection.due) * 1000)
        self.statuses[status] += 1
        self.under_way -= 1
        if self._keep is not None:
            self._keep(status, body)

    def lost(self, connection: _Connection) -> None:
        if connection in self._free:
            self._free.remove(connection)
        elif connection.due is not None:
            self.statuses[0] += 1
            self.under_way -= 1


async def hold(
    port: int,
    request: Callable[[int], bytes],
    *,
    rate: float,
    seconds: float,
    connections: int = 64,
    keep: Callable[[int, bytes], None] | None = None,
) -> Held:
    """Send the requests 0, 1, ... at a constant rate; `keep` is called with the status and body of every answer."""
    loop = asyncio.get_running_loop()
    run = _Run(request, keep)
    opened = [await loop.create_connection(lambda: _Connection(run), "127.0.0.1", port) for _ in range(connections)]
    started, sent, total = time.perf_counter(), 0, int(rate * seconds)
    while sent < total:
        now = time.perf_counter() - started
        for i in range(sent, min(total, int(now * rate) + 1)):
            run.ask(started + i / rate, i)
            sent = i + 1
        await asyncio.sleep(max(0.0, sent / rate - (time.perf_counter() - started)))
    until = time.perf_counter() + _LEFT_S
    while run.under_way and time.perf_counter() < until:  # noqa: ASYNC110 (the run is timed, not awaited)
        await asyncio.sleep(0.01)
    run.statuses[0] += run.under_way
    for transport, _ in opened:
        transport.close()
    return Held(seconds=seconds, latencies=np.array(run.latencies), statuses=run.statuses)
