"""Counters and latencies, in the text format of Prometheus. No label holds anything about a person.

Several workers of one service add up: each keeps its counts in a file of a shared folder, renewed within a second, and
whoever is asked adds the others' to its own. A worker that ended leaves its last file, so that no sum goes down.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_EVERY_S = 0.5
_log = logging.getLogger("nextbest")


class Tally(Protocol):
    """What counts decisions that fell back."""

    @property
    def by_failure(self) -> Mapping[str, int]:
        """How many for each failure."""
        ...

    @property
    def alarm(self) -> str:
        """What is alarming about the last minutes, or ''."""
        ...


class Metrics:
    """What has been counted since the process started; with a shared folder, since the service started."""

    def __init__(self, *, shared: Path | None = None) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._decisions: Counter[tuple[str, str]] = Counter()
        self._degraded = 0
        self._buckets = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0
        self._file = None if shared is None else shared / f"{os.getpid()}-{id(self):x}.json"
        self._kept = 0.0
        self.tally: Tally | None = None  # of the engine, once there is one
        self._failures: Counter[str] = Counter()
        self._alarms = 0

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answer; `route` is a path of the table, never what the caller typed."""
        with self._lock:
            self._requests[method, route, status] += 1
        self._keep_now_and_then()

    def decision(self, *, arm: str, mode: str, degraded: bool, seconds: float) -> None:
        """Count a decision and how long it took."""
        with self._lock:
            self._decisions[arm, mode] += 1
            self._degraded += degraded
            self._seconds += seconds
            self._buckets[bisect_left(BOUNDS, seconds)] += 1

    def text(self, gauges: Mapping[str, int]) -> str:
        """Give everything as text; `gauges` adds what is true now of this process."""
        whole = Metrics()
        for counts in (self._counts(), *self._others()):
            whole._add(counts)
        return "\n".join([*whole._lines(), *_gauges(gauges)]) + "\n"

    def keep(self) -> None:
        """Write the counts where the other workers find them."""
        if self._file is None:
            return
        beside = self._file.with_suffix(".new")
        try:
            beside.write_text(json.dumps(self._counts()), encoding="utf-8")
            beside.replace(self._file)
        except OSError as error:
            _log.error("metrics: %s", type(error).__name__)

    def _keep_now_and_then(self) -> None:
        now = time.monotonic()
        if self._file is not None and now - self._kept > _EVERY_S:
            self._kept = now
            later = threading.Timer(_EVERY_S, self.keep)  # what is counted until then comes along
            later.daemon = True
            later.start()

    def _counts(self) -> dict[str, Any]:
        tally = self.tally
        with self._lock:
            return {
                "requests": [[*key, n] for key, n in self._requests.items()],
                "decisions": [[*key, n] for key, n in self._decisions.items()],
                "degraded": self._degraded,
                "buckets": list(self._buckets),
                "seconds": self._seconds,
                "failures": {} if tally is None else dict(tally.by_failure),
                "alarms": int(tally is not None and bool(tally.alarm)),
            }

    def _others(self) -> Iterator[dict[str, Any]]:
        if self._file is None:
            return
        for file in sorted(self._file.parent.glob("*.json")):
            if file != self._file:
                yield json.loads(file.read_text(encoding="utf-8"))

    def _add(self, counts: Mapping[str, Any]) -> None:
        for method, route, status, n in counts["requests"]:
            self._requests[method, route, status] += n
        for arm, mode, n in counts["decisions"]:
            self._decisions[arm, mode] += n
        self._degraded += counts["degraded"]
        self._seconds += counts["seconds"]
        self._failures.update(counts["failures"])
        self._alarms += counts["alarms"]
        self._buckets = [a + b for a, b in zip(self._buckets, counts["buckets"], strict=True)]

    def _lines(self) -> Iterator[str]:
        yield "# HELP nextbest_requests_total Answers by method, route and status."
        yield "# TYPE nextbest_requests_total counter"
        for (method, route, status), n in sorted(self._requests.items()):
            yield f'nextbest_requests_total{{method="{method}",route="{route}",status="{status}"}} {n}'
        errors = sum(n for (_, _, status), n in self._requests.items() if status >= 500)
        yield from _one("errors_total", "counter", "Answers with a status of 500 or more.", errors)
        yield "# HELP nextbest_fallbacks_total Decisions that fell back, by what failed."
        yield "# TYPE nextbest_fallbacks_total counter"
        for failure, n in sorted(self._failures.items()):
            yield f'nextbest_fallbacks_total{{failure="{failure}"}} {n}'
        told = "Workers of whose decisions more than a hundredth fell back within five minutes."
        yield from _one("fallback_alarm", "gauge", told, self._alarms)
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
    about = {
        "journal_queue": "Writes that wait for the journal.",
        "segments": "Segments in the archive.",
        "warnings": "What an operator should look at: alarms, settings that are refused.",
    }
    for name, value in gauges.items():
        yield from _one(name, "gauge", about.get(name, name), value)


def _one(name: str, kind: str, about: str, value: int) -> tuple[str, ...]:
    return f"# HELP nextbest_{name} {about}", f"# TYPE nextbest_{name} {kind}", f"nextbest_{name} {value}"
