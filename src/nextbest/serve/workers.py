"""Several workers on one port: child processes with a journal connection each, watched over by this one.

The kernel deals connections out between their sockets (`SO_REUSEPORT`). What the workers share is handed over on
standard input, where no process list shows it: the first-run token opens the page at each of them. A worker that ends
is started again; one whose parent has gone stops.
"""

from __future__ import annotations

import contextlib
import json
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from typing import TYPE_CHECKING, Any

from nextbest.errors import UsageError
from nextbest.serve.listen import DRAIN_S, check_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MOST = 64
_POLL_S = 0.2
_YOUNG_S = 5.0  # one that ends before this age has a reason that a restart does not mend
_TRIES = 3
_log = logging.getLogger("nextbest")


def run_workers(
    folders: Sequence[Path],
    *,
    workers: int,
    host: str,
    port: int,
    tokens: Sequence[str | None],
    behind_proxy: bool = False,
    announce: Callable[[], None] | None = None,
) -> None:
    """Serve the workspaces in *folders* (a token each) with so many processes until told to stop.

    Raises `UsageError` for an address open to the world, a port in use, or a system that cannot share a port.
    """
    check_address(host, behind_proxy=behind_proxy)
    if not 1 <= workers <= MOST or not hasattr(socket, "SO_REUSEPORT"):
        raise UsageError(f"A service has 1 to {MOST} workers, on a system where they can share a port; got {workers}.")
    with _reserved(host, port) as taken, tempfile.TemporaryDirectory(prefix="nextbest-") as shared:
        settings = {"folders": list(map(str, folders)), "tokens": list(tokens), "host": host, "port": taken}
        settings |= {"behind_proxy": behind_proxy, "workers": workers, "shared": shared}
        if announce is not None:
            announce()
        _Watch(settings, workers).run()


@contextlib.contextmanager
def _reserved(host: str, port: int) -> Iterator[int]:
    """Hold a port that nobody else listens on while the block lasts; gives its number."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:  # without sharing: another service on this port is found here
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(f"Port {port} of {host} cannot be taken: {error.strerror}. Choose another.") from error
        port = probe.getsockname()[1]
    with shared_socket(host, port):
        yield port


def shared_socket(host: str, port: int) -> socket.socket:
    """Give a socket bound to a port that other workers bind, too; it does not listen yet."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind((host, port))
    return made


class _Watch:
    """The workers of one service."""

    def __init__(self, settings: dict[str, Any], workers: int) -> None:
        self._settings = settings
        self._children: list[subprocess.Popen[bytes]] = []
        self._started = [0.0] * workers
        self._failures = 0
        self._stop = threading.Event()

    def run(self) -> None:
        """Start the workers, start again those that end, and stop them all when told to."""
        handled = {s: signal.signal(s, lambda *_: self._stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            self._children = [self._start(i) for i in range(len(self._started))]
            while not self._stop.wait(_POLL_S):
                self._mend()
        finally:
            self._end()
            for number, before in handled.items():
                signal.signal(number, before)

    def _start(self, i: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "nextbest.serve.worker"]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)  # noqa: S603 (this program)
        if child.stdin is not None:
            child.stdin.write(json.dumps(self._settings).encode() + b"\n")
            child.stdin.flush()  # and left open: its end tells the worker that nobody watches any more
        self._started[i] = time.monotonic()
        return child

    def _mend(self) -> None:
        for i, child in enumerate(self._children):
            if child.poll() is None:
                continue
            _log.error("worker %d ended with status %s and is started again", i, child.returncode)
            young = time.monotonic() - self._started[i] < _YOUNG_S
            self._failures = self._failures + 1 if young else 0
            if self._failures >= _TRIES * len(self._children):
                raise UsageError("The workers end as soon as they start; what they printed says why.")
            self._children[i] = self._start(i)

    def _end(self) -> None:
        for child in self._children:
            child.terminate()
        until = time.monotonic() + DRAIN_S + 5
        for child in self._children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdin is not None:
                child.stdin.close()
