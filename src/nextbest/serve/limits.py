"""How much a caller may ask: a bucket of tokens per name, filled at a steady rate. Memory is bounded.

A bucket holds `seconds` of its rate, so that calls that belong together may come at once. It starts full. With several
workers each has its own buckets at its share of the rate: the system spreads connections over the workers, so a caller
with many connections gets the whole rate, and one with a single connection a worker's share.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 10_000  # names remembered; about 2 MB
BURST_S = 2.0
FAILURES_S = 10.0
PAGE = 5.0  # what one visitor of a page may say a second: more than anybody clicks
PAGE_S = 10.0
_WHOLE = 1.0 - 1e-9  # a token that was waited for is not refused for the last bit of a sum


class Buckets:
    """One bucket of tokens per name; the name that asked longest ago is forgotten first, and starts full again."""

    def __init__(
        self,
        rate: float,
        *,
        seconds: float = BURST_S,
        workers: int = 1,
        most: int = MOST,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate / workers
        self._seconds = seconds
        self._workers = workers
        self._most = most
        self._now = now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        """How many names are remembered."""
        return len(self._left)

    def take(self, name: str, *, rate: float | None = None) -> int:
        """Take a token: 0 when there was one, else after how many whole seconds there will be. A rate of 0: no limit.

        `rate` is per second over all workers, and stands in for that of all names.
        """
        per_second = self._rate if rate is None else rate / self._workers
        if per_second <= 0:
            return 0
        left = self._filled(name, per_second)
        self._left[name] = (max(0.0, left - 1) if left >= _WHOLE else left, self._now())
        self._left.move_to_end(name)
        if len(self._left) > self._most:
            self._left.popitem(last=False)
        return 0 if left >= _WHOLE else math.ceil((1 - left) / per_second)

    def empty(self, name: str) -> bool:
        """Say whether a name has no token left now, without taking one."""
        return self._rate > 0 and name in self._left and self._filled(name, self._rate) < _WHOLE

    def _filled(self, name: str, per_second: float) -> float:
        most = max(1.0, per_second * self._seconds)
        left, since = self._left.get(name, (most, 0.0))
        return min(most, left + (self._now() - since) * per_second)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The buckets of one worker: per key, per address that comes with wrong keys, per visitor of a page."""

    callers: Buckets
    failures: Buckets
    pages: Buckets
