"""How often decisions fell back, by failure: a silent fallback is an outage that nobody sees."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

WINDOW_S = 300.0
ALARM = 0.01  # of the decisions of the last five minutes
_STEP_S = 10.0
_LEAST = 100  # below this one decision alone would be more than a hundredth


class Tally:
    """Counts of one process since its start, and the degraded share of the last five minutes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._by_failure: Counter[str] = Counter()
        self._steps: deque[list[float]] = deque()  # [begin, decisions, degraded]

    def add(self, decisions: int, failures: Iterable[str] = (), *, degraded: int | None = None) -> None:
        """Count decisions made together, and the failures of those that fell back (one name per decision)."""
        names = list(failures)
        now = self._clock()
        with self._lock:
            self._by_failure.update(names)
            if not self._steps or now - self._steps[-1][0] >= _STEP_S:
                self._steps.append([now, 0, 0])
            self._steps[-1][1] += decisions
            self._steps[-1][2] += len(names) if degraded is None else degraded
            while now - self._steps[0][0] > WINDOW_S:
                self._steps.popleft()

    @property
    def by_failure(self) -> Mapping[str, int]:
        """How many decisions fell back for each failure since the start."""
        with self._lock:
            return dict(self._by_failure)

    @property
    def share(self) -> float:
        """The degraded share of the last five minutes."""
        decisions, degraded = self._recent()
        return degraded / decisions if decisions else 0.0

    @property
    def alarm(self) -> str:
        """Say that more than a hundredth of the last five minutes' decisions fell back, or give ''."""
        decisions, degraded = self._recent()
        if decisions < _LEAST or degraded <= ALARM * decisions:
            return ""
        return (
            f"{degraded:.0f} of the last {decisions:.0f} decisions fell back ({degraded / decisions:.1%} in 5 minutes)."
        )

    def _recent(self) -> tuple[float, float]:
        now = self._clock()
        with self._lock:
            recent = [step for step in self._steps if now - step[0] <= WINDOW_S]
        return sum(step[1] for step in recent), sum(step[2] for step in recent)
