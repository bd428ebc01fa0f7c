"""From bytes to a checked body: type, size and depth are looked at before anything is parsed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextbest.serve.routes import Route

DEPTH = 16
FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NOT_BRACKETS = bytes(b for b in range(256) if b not in b"[]{}")
_FIELDS = 20


def media_type(request: Request) -> str:
    """Give the type of the body, in small letters and without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read(request: Request, route: Route) -> bytes:
    """Give the body; refuses a type that is not documented (415) and more bytes than the route takes (413)."""
    allowed = (JSON, FORM) if route.form else (JSON,)
    if media_type(request) not in allowed:
        raise Refusal(415, "media_type", f"Send the body as {' or '.join(allowed)}.")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > route.limit:
        raise _too_large(route)
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > route.limit:
            raise _too_large(route)
    return bytes(raw)


def parse(raw: bytes, route: Route, media: str) -> Any:  # noqa: ANN401 (the struct that the route names)
    """Give the body as the route's struct; refuses what is malformed, deeper than 16, or not as documented (400)."""
    kind = route.body
    try:
        if media == FORM:
            pairs = parse_qsl(raw.decode("ascii"), max_num_fields=_FIELDS, keep_blank_values=False)
            return msgspec.convert(dict(pairs), kind)
        if too_deep(raw):
            raise Refusal(400, "malformed", f"The body is not balanced, or nested deeper than {DEPTH}.")
        raw.decode("utf-8")
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        message = str(error) if isinstance(error, msgspec.MsgspecError) else "The body is not valid text."
        raise Refusal(400, "malformed", message) from error


def too_deep(raw: bytes) -> bool:
    """Say whether the brackets of a JSON text go deeper than 16 or do not match, without parsing it."""
    left = _TEXTS.sub(b"", raw).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(DEPTH):
        left = left.replace(b"()", b"")
    return bool(left)


def _too_large(route: Route) -> Refusal:
    return Refusal(413, "too_large", f"{route.path} takes at most {route.limit:,} bytes.")
