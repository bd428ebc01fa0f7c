"""Sessions of the page: the first-run token opens one; a cookie names it; its token guards every form.

A session is signed, not stored, so that every worker of a server knows it: `<end>.<random>.<HMAC>` under a secret that
follows from the first-run token of the workspace. The token is new at every start, so stopping the service ends all.
"""

from __future__ import annotations

import hmac
import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

COOKIE = "nextbest_session"
LASTS = timedelta(hours=12)


class Sessions:
    """The sessions of one workspace."""

    def __init__(self, *, token: str | None, clock: Callable[[], datetime], secure: bool) -> None:
        self._token = token
        self._clock = clock
        self._secure = secure
        self._secret = hmac.digest((token or secrets.token_hex(32)).encode(), b"nextbest sessions", "sha256")

    def admits(self, request: Request) -> bool:
        """Say whether the address holds the first-run token."""
        given = request.query_params.get("token")
        return given is not None and self._token is not None and self.same(given, self._token)

    def start(self, response: Response) -> Response:
        """Open a session and set its cookie."""
        named = f"{int((self._clock() + LASTS).timestamp())}.{secrets.token_urlsafe(24)}"
        response.set_cookie(
            COOKIE,
            f"{named}.{self._sign('session', named)}",
            max_age=int(LASTS.total_seconds()),
            httponly=True,
            samesite="strict",
            secure=self._secure,
            path="/",
        )
        return response

    def csrf(self, session: str) -> str | None:
        """Give the token of a session's forms, or None when there is no such session."""
        named, _, signature = session.rpartition(".")
        if not self.same(signature, self._sign("session", named)):
            return None
        end = datetime.fromtimestamp(int(named.partition(".")[0]), UTC)
        return None if end <= self._clock() else self._sign("form", session)

    @staticmethod
    def same(given: str, expected: str) -> bool:
        """Compare two secrets in constant time."""
        return secrets.compare_digest(given.encode(errors="replace"), expected.encode())

    def _sign(self, what: str, text: str) -> str:
        return hmac.digest(self._secret, f"{what}\n{text}".encode(errors="replace"), "sha256").hex()
