"""How things that go wrong are answered: `{"error": {"code", "message"}}` and the right status."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from nextbest.errors import ConflictError, DataError, NextbestError, UnknownNameError, UsageError
from nextbest.serve.bodies import ErrorReply, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.serve.service import Refusal

_STATUS: tuple[tuple[type[NextbestError], int], ...] = (
    (UnknownNameError, 404),
    (ConflictError, 409),
    (UsageError, 400),
    (DataError, 400),
)
JSON = "application/json"


def problem(status: int, code: str, message: str, *, headers: Mapping[str, str] | None = None) -> Response:
    """Give the answer for something that went wrong."""
    body = msgspec.json.encode(Problem(error=ErrorReply(code=code, message=message)))
    return Response(body, status, headers=dict(headers or {}), media_type=JSON)


def refused(refusal: Refusal) -> Response:
    """Give the answer for a refusal."""
    return problem(refusal.status, refusal.code, refusal.message, headers=refusal.headers)


def failed(error: NextbestError) -> Response:
    """Give the answer for an error that nextbest raised on purpose; what only the operator may see is left out."""
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return problem(status, error.code, str(error))
    return problem(503, error.code, "The workspace cannot do that now; its log or `nextbest verify` says why.")
