"""Tokens that a workspace gives away and knows again: sealed (nobody else can read or make them) or signed.

A sealed token is deterministic authenticated encryption from HMAC-SHA256 alone: the tag is a MAC of the text, and the
text is hidden under a stream of MACs that the tag begins (Rogaway and Shrimpton 2006, "Deterministic
Authenticated-Encryption", section 4: SIV). So a link needs no row of its own, holds nothing in clear, and is good for
as long as the workspace keeps its secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAG = 16
_BLOCK = 32  # texts are filled up to blocks, so that a token says little about how long an id is
_MOST = 2048


def seal(secret: bytes, use: str, texts: Sequence[str]) -> str:
    """Give a token, safe in a URL, that holds some texts; the same texts give the same token."""
    plain = msgspec.json.encode(list(texts))
    plain += b" " * (-len(plain) % _BLOCK)
    tag = _mac(secret, use, plain)
    return base64.urlsafe_b64encode(tag + _hidden(secret, use, tag, plain)).rstrip(b"=").decode()


def unseal(secret: bytes, use: str, token: str) -> tuple[str, ...] | None:
    """Give the texts of a token that was sealed here for this use; None for any other text."""
    if len(token) > _MOST:
        return None
    try:
        raw = base64.b64decode(token.encode() + b"=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    tag, plain = raw[:_TAG], _hidden(secret, use, raw[:_TAG], raw[_TAG:])
    if not secrets.compare_digest(tag, _mac(secret, use, plain)):
        return None
    return tuple(msgspec.json.decode(plain, type=list[str]))


def sign(secret: bytes, use: str, text: str) -> str:
    """Give the signature of a text for one use: 32 hex digits."""
    return _mac(secret, use, text.encode(errors="surrogatepass")).hex()


def signed(secret: bytes, use: str, text: str, signature: str) -> bool:
    """Say whether a signature is of this text, in constant time."""
    return secrets.compare_digest(signature.encode(errors="replace"), sign(secret, use, text).encode())


def _mac(secret: bytes, use: str, plain: bytes) -> bytes:
    mac = _keyed(secret, f"{use} tag").copy()
    mac.update(plain)
    return mac.digest()[:_TAG]


def _hidden(secret: bytes, use: str, tag: bytes, text: bytes) -> bytes:
    key = _key(secret, f"{use} stream")
    blocks = range((len(text) + _BLOCK - 1) // _BLOCK)
    stream = b"".join(hmac.digest(key, tag + i.to_bytes(4, "big"), "sha256") for i in blocks)
    return bytes(a ^ b for a, b in zip(text, stream, strict=False))


@lru_cache(maxsize=64)
def _keyed(secret: bytes, use: str) -> hmac.HMAC:
    """Give a MAC that has taken in its key: a copy of it is quicker than to begin anew."""
    return hmac.new(_key(secret, use), digestmod="sha256")


def _key(secret: bytes, use: str) -> bytes:
    return hmac.digest(secret, f"nextbest {use}".encode(), "sha256")
