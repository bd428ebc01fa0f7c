"""Counters and latencies of this process, in the text format of Prometheus. No label holds anything about a person."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """What has been counted since the process started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._decisions: Counter[tuple[str, str]] = Counter()
        self._degraded = 0
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answer; `route` is a path of the table, never what the caller typed."""
        with self._lock:
            self._requests[method, route, status] += 1

    def decision(self, *, arm: str, mode: str, degraded: bool, seconds: float) -> None:
        """Count a decision and how long it took."""
        with self._lock:
            self._decisions[arm, mode] += 1
            self._degraded += degraded
            self._seconds += seconds
            self._buckets[sum(seconds > bound for bound in BOUNDS)] += 1

    def text(self, gauges: Mapping[str, int]) -> str:
        """Give everything as text; `gauges` adds what is true now."""
        with self._lock:
            lines = [*self._lines(), *_gauges(gauges)]
        return "\n".join(lines) + "\n"

    def _lines(self) -> Iterator[str]:
        yield "# HELP nextbest_requests_total Answers by method, route and status."
        yield "# TYPE nextbest_requests_total counter"
        for (method, route, status), n in sorted(self._requests.items()):
            yield f'nextbest_requests_total{{method="{method}",route="{route}",status="{status}"}} {n}'
        errors = sum(n for (_, _, status), n in self._requests.items() if status >= 500)
        yield from _one("errors_total", "counter", "Answers with a status of 500 or more.", errors)
        yield "# HELP nextbest_decisions_total Decisions by arm and mode."
        yield "# TYPE nextbest_decisions_total counter"
        for (arm, mode), n in sorted(self._decisions.items()):
            yield f'nextbest_decisions_total{{arm="{arm}",mode="{mode}"}} {n}'
        yield from _one("degraded_total", "counter", "Decisions for which something was missing.", self._degraded)
        yield from self._histogram()

    def _histogram(self) -> Iterator[str]:
        yield "# HELP nextbest_decide_seconds How long a decision took, its durable log included."
        yield "# TYPE nextbest_decide_seconds histogram"
        so_far = 0
        for bound, n in zip([*map(str, BOUNDS), "+Inf"], self._buckets, strict=True):
            so_far += n
            yield f'nextbest_decide_seconds_bucket{{le="{bound}"}} {so_far}'
        yield f"nextbest_decide_seconds_sum {self._seconds:.6f}"
        yield f"nextbest_decide_seconds_count {so_far}"


def _gauges(gauges: Mapping[str, int]) -> Iterator[str]:
    about = {"journal_queue": "Writes that wait for the journal.", "segments": "Segments in the archive."}
    for name, value in gauges.items():
        yield from _one(name, "gauge", about.get(name, name), value)


def _one(name: str, kind: str, about: str, value: int) -> tuple[str, ...]:
    return f"# HELP nextbest_{name} {about}", f"# TYPE nextbest_{name} {kind}", f"nextbest_{name} {value}"
