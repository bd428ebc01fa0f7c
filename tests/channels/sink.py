"""A server on loopback that receives webhooks, and can be slow, dead, rude or endless."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class Sink:
    """Counts what it gets by webhook id; `modes` says how to answer, one per request, the last one for ever."""

    def __init__(self, *modes: str) -> None:
        self.modes = list(modes) or ["ok"]
        self.bodies: list[bytes] = []
        self.headers: list[dict[str, str]] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    @property
    def ids(self) -> list[str]:
        """The webhook ids in the order in which they came, repeats included."""
        return [h["webhook-id"] for h in self.headers]

    @property
    def data(self) -> list[dict[str, Any]]:
        """The messages."""
        return [json.loads(b)["data"] for b in self.bodies]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                sink.bodies.append(self.rfile.read(length))
                sink.headers.append({k.lower(): v for k, v in self.headers.items()})
                mode = sink.modes.pop(0) if len(sink.modes) > 1 else sink.modes[0]
                getattr(sink, f"_{mode}")(self)

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    def _ok(self, handler: BaseHTTPRequestHandler) -> None:
        self._answer(handler, 200)

    def _error(self, handler: BaseHTTPRequestHandler) -> None:
        self._answer(handler, 500)

    def _busy(self, handler: BaseHTTPRequestHandler) -> None:
        self._answer(handler, 429, Retry_After="7200")

    def _gone(self, handler: BaseHTTPRequestHandler) -> None:
        self._answer(handler, 410)

    def _redirect(self, handler: BaseHTTPRequestHandler) -> None:
        self._answer(handler, 307, Location="http://127.0.0.1:1/elsewhere")

    def _reset(self, handler: BaseHTTPRequestHandler) -> None:
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        handler.close_connection = True
        handler.connection.close()

    def _hang(self, handler: BaseHTTPRequestHandler) -> None:
        time.sleep(3)
        handler.close_connection = True

    def _drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a header a byte at a time, for ever."""
        try:
            for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"a" * 100:
                handler.connection.sendall(bytes([byte]))
                time.sleep(0.1)
        except OSError:
            pass
        handler.close_connection = True

    def _endless(self, handler: BaseHTTPRequestHandler) -> None:
        """Send a body of a gigabyte, as far as anyone reads it."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**9))
        handler.end_headers()
        try:
            for _ in range(1000):
                handler.wfile.write(b"x" * 10**6)
        except OSError:
            pass
        handler.close_connection = True
