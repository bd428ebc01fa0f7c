"""Who calls: the key is looked up in every workspace of the server, and remembered for half a second.

A key belongs to one workspace and says by itself which. Every workspace is asked, also after one has answered, so that
the time of an answer tells nothing about where a key is known. What is remembered is the key's hash; a revocation ends
the key everywhere within the half second.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest import operations
from nextbest.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nextbest.doors import KeyInfo
    from nextbest.ledger import Ledger

FRESH_S = 0.5
KNOWN_S = 600.0
MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A key that may be used: in which of the workspaces, and what is known of it."""

    number: int
    info: KeyInfo
    at: float


class Callers:
    """Finds the workspace of a key."""

    def __init__(self, ledgers: Sequence[Ledger], *, now: Callable[[], float] = time.monotonic) -> None:
        self._ledgers = tuple(ledgers)
        self._now = now
        self._found: OrderedDict[bytes, Found] = OrderedDict()
        self._lock = threading.Lock()

    def remembered(self, key: str) -> Found | None:
        """Give what was found for a key less than half a second ago; costs no look-up."""
        found = self._found.get(_digest(key))
        if found is None or self._now() - found.at > FRESH_S:
            return None
        return found if found.info.valid(self._ledgers[found.number].clock()) else None

    def seen(self, key: str) -> bool:
        """Say whether a key was good within the last ten minutes: it may be asked for again, whoever else fails."""
        found = self._found.get(_digest(key))
        return found is not None and self._now() - found.at <= KNOWN_S

    def find(self, key: str) -> Found | None:
        """Ask every workspace for a key; None for one that may not be used.

        Raises `LedgerError` when a workspace cannot be read and no other knows the key.
        """
        at, digest = self._now(), _digest(key)
        found: list[Found] = []
        broken: list[LedgerError] = []
        for number, ledger in enumerate(self._ledgers):
            try:
                info = operations.find_key(ledger, key)
            except LedgerError as error:  # the keys of the other workspaces go on
                broken.append(error)
            else:
                found += [] if info is None else [Found(number=number, info=info, at=at)]
        if broken and not found:
            raise broken[0]
        self._remember(digest, found)
        return found[0] if found else None

    def _remember(self, digest: bytes, found: list[Found]) -> None:
        with self._lock:
            self._found.pop(digest, None)
            if found:
                self._found[digest] = found[0]
            if len(self._found) > MOST:
                self._found.popitem(last=False)


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogatepass")).digest()
