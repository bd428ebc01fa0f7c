"""Requests that look like one that passed the gate a moment ago, for routes that are asked a thousand times a second.

A pass is named by the route, the address and every header that the gate reads, and lasts while a key is remembered. One
in use is looked up again before it ends, so that nobody waits for that; a key that has ended, or may do other things
than before, takes its passes along.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from nextbest.errors import LedgerError
from nextbest.serve.callers import FRESH_S

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from starlette.types import Scope

    from nextbest.serve.callers import Callers, Found
    from nextbest.serve.service import Who

MOST = 1024
_READ = frozenset({b"host", b"origin", b"referer", b"authorization", b"cookie", b"x-csrf-token", b"x-forwarded-for"})
_BEARER = b"bearer "


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """What the gate found out: in which workspace, who calls, and when the key was looked up."""

    number: int
    who: Who
    at: float


class Passes:
    """The passes of one gate; `who` makes a caller of a key that was found. Used by the event loop's thread."""

    def __init__(self, callers: Callers, routes: Collection[tuple[str, str]], *, who: Callable[[Found], Who]) -> None:
        self._callers = callers
        self._routes = frozenset(routes)
        self._who = who
        self._known: dict[tuple[Any, ...], Pass] = {}
        self._renewing: dict[tuple[Any, ...], asyncio.Future[None]] = {}

    def find(self, scope: Scope) -> Pass | None:
        """Give the pass of a request that need not be looked at again."""
        if (scope["method"], scope["path"]) not in self._routes:
            return None
        name = _name(scope)
        found = self._known.get(name)
        age = FRESH_S if found is None else time.monotonic() - found.at
        if found is None or age >= FRESH_S:
            return None
        if age > FRESH_S / 2 and name not in self._renewing:
            self._renewing[name] = asyncio.ensure_future(self._renew(name, _key(scope)))
        return found

    def remember(self, scope: Scope, who: Who) -> None:
        """Make a pass of a request that has passed with a key; only what is still remembered of the key is used."""
        key = _key(scope)
        found = self._callers.remembered(key) if key and (scope["method"], scope["path"]) in self._routes else None
        if found is not None and self._who(found) == who:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[_name(scope)] = Pass(number=found.number, who=who, at=found.at)

    async def _renew(self, name: tuple[Any, ...], key: str) -> None:
        try:
            found = await to_thread.run_sync(self._callers.find, key)
        except LedgerError:
            found = None
        finally:
            del self._renewing[name]
        old = self._known.pop(name, None)
        if old is not None and found is not None and (found.number, self._who(found)) == (old.number, old.who):
            self._known[name] = replace(old, at=found.at)


def _name(scope: Scope) -> tuple[Any, ...]:
    client = scope.get("client") or ("",)
    return (scope["method"], scope["path"], client[0], *(pair for pair in scope["headers"] if pair[0] in _READ))


def _key(scope: Scope) -> str:
    """Give the API key of a request that names exactly one."""
    given = [bytes(value) for name, value in scope["headers"] if name == b"authorization"]
    if len(given) != 1 or given[0][: len(_BEARER)].lower() != _BEARER:
        return ""
    return given[0][len(_BEARER) :].decode("latin-1").strip()
