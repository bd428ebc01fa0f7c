"""Ranking within a deadline: who is not proved to be fast, or was late just now, runs beside and may be left behind.

A thread per request would cost more than ranking does. So a ranker runs in the caller's thread once it has been fast
`PROOF` times; after it was late, it runs beside again for `FIRST_S` seconds, and for twice as long each time it is late
again, up to `DISTRUST_S`: on a busy machine anything is late once, and a thread per request makes that worse. A ranker
that hangs keeps its thread; after `MOST_LEFT_BEHIND` of them it is not asked any more until one comes back.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

PROOF = 5  # calls in a row: enough to have loaded what is loaded once
FIRST_S = 1.0  # a hiccup of the machine is over by then
DISTRUST_S = 30.0  # long enough that a ranker that is slow again and again delays few
FORGIVEN = 1_000  # calls in a row, after which earlier lateness is forgotten
MOST_LEFT_BEHIND = 4


@dataclass(slots=True)
class _Trust:
    """What is known of one ranker: fast and late calls in a row, until when it is distrusted, and how many hang."""

    fast: int = 0
    late: int = 0
    distrusted_until: float = 0.0
    left_behind: int = 0


class Guard:
    """Runs rankers, each under a name; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._trust: dict[str, _Trust] = {}
        self._idle: SimpleQueue[_Helper] = SimpleQueue()

    def run(self, name: str, seconds: float, rank: Callable[[], T]) -> T | None:
        """Give what *rank* gives, None when that is not there within *seconds*; its own errors come through."""
        trust = self._trust.get(name) or self._trust.setdefault(name, _Trust())
        started = self._clock()
        if trust.fast < PROOF or started < trust.distrusted_until:
            result = self._beside(trust, seconds, rank)
        else:
            result = rank()
        if self._clock() - started > seconds:
            self._distrust(trust)
            return None
        trust.fast += 1
        if trust.late and trust.fast >= FORGIVEN:
            trust.late = 0
        return result

    def _beside(self, trust: _Trust, seconds: float, rank: Callable[[], T]) -> T | None:
        if trust.left_behind >= MOST_LEFT_BEHIND:
            return None
        helper = _Helper() if self._idle.empty() else self._idle.get()
        future: Future[T] = helper.start(rank)
        try:
            result = future.result(timeout=seconds)
        except TimeoutError as error:
            if future.done() and future.exception() is error:  # the ranker's own
                self._idle.put(helper)
                raise
            self._leave(trust, helper, future)
            return None
        self._idle.put(helper)
        return result

    def _leave(self, trust: _Trust, helper: _Helper, future: Future[Any]) -> None:
        """Let a late ranker run on; whatever it gives is thrown away, and its thread is used again."""
        self._distrust(trust)
        trust.left_behind += 1

        def back(_: Future[Any]) -> None:
            trust.left_behind -= 1
            self._idle.put(helper)

        future.add_done_callback(back)

    def _distrust(self, trust: _Trust) -> None:
        pause = min(DISTRUST_S, FIRST_S * 2.0 ** min(trust.late, 10))
        trust.fast, trust.late, trust.distrusted_until = 0, trust.late + 1, self._clock() + pause


class _Helper:
    """One thread that does one thing after another; it does not keep the process from ending."""

    def __init__(self) -> None:
        self._work: SimpleQueue[tuple[Callable[[], Any], Future[Any]]] = SimpleQueue()
        threading.Thread(target=self._serve, name="nextbest-ranker", daemon=True).start()

    def start(self, fn: Callable[[], T]) -> Future[T]:
        """Begin; the future has the result or the error."""
        future: Future[T] = Future()
        self._work.put((fn, future))
        return future

    def _serve(self) -> None:
        while True:
            fn, future = self._work.get()
            try:
                future.set_result(fn())
            except BaseException as error:  # noqa: BLE001 (it belongs to the caller, who waits for it)
                future.set_exception(error)
