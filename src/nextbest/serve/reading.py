"""From bytes to a checked body: type, size and depth are looked at before anything is parsed."""

from __future__ import annotations

import re
from email import message_from_bytes
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from starlette.requests import Request

    from nextbest.serve.routes import Route

DEPTH = 16
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data"
_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = bytes.maketrans(b"[{]}", b"(())")
_NOT_BRACKETS = bytes(b for b in range(256) if b not in b"[]{}")
_FIELDS = 20


def media_type(request: Request) -> str:
    """Give the type of the body, in small letters and without its parameters."""
    return _media(request.headers.get("content-type", ""))


def _media(said: str) -> str:
    return said.partition(";")[0].strip().lower()


async def read(request: Request, route: Route) -> bytes:
    """Give the body; refuses a type that is not documented (415) and more bytes than the route takes (413)."""
    if media_type(request) not in route.media:
        raise Refusal(415, "media_type", f"Send the body as {' or '.join(route.media)}.")
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > route.limit:
        raise _too_large(route)
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > route.limit:
            raise _too_large(route)
    return bytes(raw)


def parse(raw: bytes, route: Route, said: str) -> Any:  # noqa: ANN401 (the struct that the route names)
    """Give the body as the route's struct; refuses what is malformed, deeper than 16, or not as documented (400).

    `said` is the request's Content-Type, whole.
    """
    kind, media = route.body, _media(said)
    try:
        if media in (FORM, PARTS):
            return msgspec.convert(_fields(raw) if media == FORM else _parts(raw, said), kind)
        if too_deep(raw):
            raise Refusal(400, "malformed", f"The body is not balanced, or nested deeper than {DEPTH}.")
        raw.decode("utf-8")
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeError, ValueError) as error:
        message = str(error) if isinstance(error, msgspec.MsgspecError) else "The body is not valid text."
        raise Refusal(400, "malformed", message) from error


def _fields(raw: bytes) -> dict[str, str]:
    return dict(parse_qsl(raw.decode("ascii"), max_num_fields=_FIELDS, keep_blank_values=False))


def _parts(raw: bytes, said: str) -> dict[str, str]:
    """Give the texts of a form in parts (RFC 7578), as some mail programs post an unsubscription."""
    head = f"Content-Type: {said}\r\n\r\n".encode("latin-1")
    parts = [p for p in message_from_bytes(head + raw).walk() if not p.is_multipart()][:_FIELDS]
    named = [(p.get_param("name", header="content-disposition"), p.get_payload()) for p in parts]
    return {str(name): str(text).strip() for name, text in named if name}


def too_deep(raw: bytes) -> bool:
    """Say whether the brackets of a JSON text go deeper than 16 or do not match, without parsing it."""
    left = _TEXTS.sub(b"", raw).translate(_BRACKETS, _NOT_BRACKETS)
    for _ in range(DEPTH):
        left = left.replace(b"()", b"")
    return bool(left)


def _too_large(route: Route) -> Refusal:
    return Refusal(413, "too_large", f"{route.path} takes at most {route.limit:,} bytes.")
