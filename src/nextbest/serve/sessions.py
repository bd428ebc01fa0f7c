"""Sessions of the page: the first-run token opens one; a cookie names it; its token guards every form."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from starlette.requests import Request
    from starlette.responses import Response

COOKIE = "nextbest_session"
LASTS = timedelta(hours=12)
_MOST = 1000


class Sessions:
    """Sessions of this process, in memory: stopping the service ends them all."""

    def __init__(self, *, token: str | None, clock: Callable[[], datetime], secure: bool) -> None:
        self._token = token
        self._clock = clock
        self._secure = secure
        self._secret = secrets.token_bytes(32)
        self._ends: dict[bytes, datetime] = {}
        self._lock = threading.Lock()

    def admits(self, request: Request) -> bool:
        """Say whether the address holds the first-run token."""
        given = request.query_params.get("token")
        return given is not None and self._token is not None and self.same(given, self._token)

    def start(self, response: Response) -> Response:
        """Open a session and set its cookie."""
        session = secrets.token_urlsafe(32)
        now = self._clock()
        with self._lock:
            live = {digest: end for digest, end in self._ends.items() if end > now}
            self._ends = {**dict(list(live.items())[-_MOST:]), _digest(session): now + LASTS}
        response.set_cookie(
            COOKIE,
            session,
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=self._secure,
            path="/",
        )
        return response

    def csrf(self, session: str) -> str | None:
        """Give the token of a session's forms, or None when there is no such session."""
        end = self._ends.get(_digest(session))
        if end is None or end <= self._clock():
            return None
        return hmac.digest(self._secret, session.encode(), "sha256").hex()

    @staticmethod
    def same(given: str, expected: str) -> bool:
        """Compare two secrets in constant time."""
        return secrets.compare_digest(given.encode(errors="replace"), expected.encode())


def _digest(session: str) -> bytes:
    return hashlib.sha256(session.encode(errors="replace")).digest()
