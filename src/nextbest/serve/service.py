"""What every answer may use: the workspace, the counters, and what was asked by whom."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nextbest.serve.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.doors import Also
    from nextbest.ledger import Ledger
    from nextbest.serve.routes import Route

SCOPES = frozenset({"decide", "ingest", "read", "admin"})  # what a session of the page may do


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """Who calls: a key or a session of the page, and what it may do.

    `csrf` is set for sessions only, `rate` for keys with their own, `kinds` and `origins` for keys of web pages: which
    events they may hand in, and which pages.
    """

    name: str
    scopes: frozenset[str]
    csrf: str = ""
    rate: float | None = None
    kinds: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()

    def may(self, scope: str) -> bool:
        """Say whether this caller may use routes of a scope; `admin` may use all."""
        return scope == "open" or scope in self.scopes or "admin" in self.scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One workspace as it is served; `others` are those of the same server, of which nothing is told."""

    ledger: Ledger
    routes: Sequence[Route]
    others: Sequence[Ledger] = ()
    metrics: Metrics = field(default_factory=Metrics)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, read and checked."""

    who: Who
    body: Any = None
    parameter: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    keep: Callable[[Callable[[Any], Any]], Also] | None = None

    def once(self, word: Callable[[Any], Any]) -> Also | None:
        """Give what keeps the reply in the transaction of its effect; None for a request without an idempotency key.

        `word` makes the reply of what the transaction gave.
        """
        return None if self.keep is None else self.keep(word)


class Refusal(Exception):  # noqa: N818 (an answer, not an error of the program)
    """The request is answered with a status and a reason, and nothing was done."""

    def __init__(self, status: int, code: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
