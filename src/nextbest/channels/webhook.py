"""A webhook out: one signed POST per message, as Standard Webhooks specifies (standardwebhooks.com, section Signature).

    webhook-id: the decision     webhook-timestamp: seconds     webhook-signature: v1,<base64 of HMAC-SHA256>

The id is the same at every attempt, so that the receiver can drop what it has seen. What the receiver answers beyond
its status is neither read nor shown.
"""

from __future__ import annotations

import base64
import binascii
import functools
import hmac
import os
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpcore2
import msgspec
import pyarrow as pa

from nextbest.channels import RECEIPT
from nextbest.channels.addresses import GuardedBackend
from nextbest.errors import ChannelError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST_BYTES = 64 * 1024
CIRCUIT = 5  # failures in a row after which the target is left alone
_PREFIX = "whsec_"
_LATER = frozenset({408, 425, 429})
_FIRST_GOOD, _FIRST_REDIRECT, _FIRST_CLIENT_ERROR, _FIRST_SERVER_ERROR = 200, 300, 400, 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """Where to post and how to sign.

    `secret` is `whsec_` and base64, or better a reference: `env:NAME` or `file:PATH`. `allow_hosts` names hosts of your
    own network that may be called although they are not on the open internet, and without TLS.
    """

    url: str = ""
    secret: str = ""
    seconds: float = 15.0
    allow_hosts: tuple[str, ...] = ()
    contacts_now: bool = True

    def read(self, location: str) -> Iterator[pa.RecordBatch]:
        """Refuse: this channel only goes out."""
        raise ChannelError(f"A webhook cannot be read; '{location}' was asked for. Events come in through the API.")

    def deliver(self, messages: pa.Table) -> pa.Table:
        """Post the messages one by one; after five failures in a row the rest waits for a later attempt."""
        key = signing_key(self.secret)
        self._check_url()
        answers, failures = [], 0
        with self._pool() as pool:
            for message in messages.to_pylist():
                if failures >= CIRCUIT:
                    answers.append(("retry", f"not tried: {CIRCUIT} failures in a row"))
                    continue
                answers.append(self._post(pool, message, key))
                failures = failures + 1 if answers[-1][0] == "retry" else 0
        ids = messages["decision_id"]
        return pa.table(
            [ids, pa.array([a[0] for a in answers], pa.string()), pa.array([a[1] for a in answers], pa.string())],
            schema=RECEIPT,
        )

    def _check_url(self) -> None:
        parts = urlsplit(self.url)
        if not self.url or not parts.hostname:
            raise ConfigError("The webhook has no url. Set channels.webhook.url in nextbest.toml.")
        own = parts.hostname.casefold() in {h.casefold() for h in self.allow_hosts}
        if parts.scheme != "https" and not (own and parts.scheme == "http"):
            raise ConfigError("The webhook's url must start with https://.")
        if parts.username or parts.password:
            raise ConfigError("The webhook's url must not hold a name or password; the signature proves who sends.")

    def _pool(self) -> httpcore2.ConnectionPool:
        backend = GuardedBackend(seconds=self.seconds, allow_hosts=self.allow_hosts)
        # A connection per message: the deadline and the check of the address are properties of a connection.
        return httpcore2.ConnectionPool(ssl_context=_tls(), network_backend=backend, max_keepalive_connections=0)

    def _post(self, pool: httpcore2.ConnectionPool, message: Mapping[str, Any], key: bytes) -> tuple[str, str]:
        """Give status and detail of one attempt."""
        body = msgspec.json.encode({"type": "decision", "data": message})
        if len(body) > MOST_BYTES:
            return "failed", f"the message has {len(body):,} bytes; {MOST_BYTES:,} are allowed"
        signature = signed(key, str(message["decision_id"]), int(time.time()), body)
        headers = [("content-type", "application/json"), ("user-agent", "nextbest"), *signature.items()]
        limits = dict.fromkeys(("connect", "read", "write", "pool"), self.seconds)
        try:
            with pool.stream(
                "POST", self.url, headers=headers, content=body, extensions={"timeout": limits}
            ) as response:
                return judged(response.status, dict(response.headers))
        except ChannelError as error:
            return "failed", str(error)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError, OSError) as error:
            return "retry", f"no answer: {type(error).__name__}"


@functools.cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def signing_key(secret: str) -> bytes:
    """Give the bytes to sign with; raises `ConfigError` that never shows the secret."""
    text = _fetched(secret)
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX).strip(), validate=True)
    except binascii.Error as error:
        raise ConfigError(
            "The webhook's secret is not base64. It looks like whsec_ and 32 to 88 characters."
        ) from error
    if not key:
        raise ConfigError(
            "The webhook has no secret. Set channels.webhook.secret, for example to 'env:WEBHOOK_SECRET'."
        )
    return key


def _fetched(secret: str) -> str:
    kind, _, name = secret.partition(":")
    if kind == "env":
        return os.environ.get(name, "")
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"The webhook's secret cannot be read from {name}: {error.strerror}.") from error
    return secret


def signed(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Give the three headers of a signed message."""
    content = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.digest(key, content, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}


def judged(status: int, headers: Mapping[bytes, bytes]) -> tuple[str, str]:
    """Give what a status means: sent, later, or never again."""
    if _FIRST_GOOD <= status < _FIRST_REDIRECT:
        return "sent", f"status {status}"
    if status in _LATER or status >= _FIRST_SERVER_ERROR:
        after = {k.lower(): v for k, v in headers.items()}.get(b"retry-after", b"").decode("ascii", "replace")
        return "retry", f"status {status}" + (f", retry after {int(after)} s" if after.isdigit() else "")
    if status < _FIRST_CLIENT_ERROR:
        return "failed", f"status {status}: redirects are not followed"
    return "failed", f"status {status}"
