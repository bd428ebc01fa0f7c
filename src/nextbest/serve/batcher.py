"""Many requests, one commit: while one group is being written, the next one gathers.

A commit syncs to disk, which takes about as long as ranking does; so what came meanwhile shares the next one. A group
wakes the event loop once. Nothing is answered before its commit.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nextbest.errors import LedgerError
from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

T = TypeVar("T")
_Entry = tuple[Any, "asyncio.Future[T]"]

_STUCK = "The journal takes too long to write."

GROUP = 128  # more in one transaction would make the first wait for the last
PATIENCE_S = 3.0  # longer than a writer waits for its turn; a disk that takes longer is as good as none
WAITING = 1024  # more than this would wait longer than any client does


class Batcher(Generic[T]):
    """Hands what one event loop gathers to `submit`, one group at a time, in the order of coming."""

    def __init__(
        self,
        submit: Callable[[Sequence[Any]], Future[list[T]]],
        *,
        waiting: int = WAITING,
        patience: float = PATIENCE_S,
        late: Callable[[Any, T], object] | None = None,
    ) -> None:
        self._submit = submit
        self._late = late
        self._most = waiting
        self._loop = asyncio.get_running_loop()
        self._next: list[_Entry[T]] = []
        self._patience = patience
        self._busy = False
        self._stuck = False

    @property
    def waiting(self) -> int:
        """How many wait for the next commit."""
        return len(self._next)

    def add(self, work: Any, *, due: float | None = None) -> asyncio.Future[T]:  # noqa: ANN401 (what `submit` takes)
        """Give the future of one piece of work; raises a refusal (429) when too many wait.

        From the time *due* on (of the loop's clock) it is an error (`LedgerError`) that the work is not done. Should
        it be done after all, `late` is called with the work and its result.
        """
        if self._stuck:
            raise LedgerError(_STUCK)
        if len(self._next) >= self._most:
            raise Refusal(429, "busy", "Too many requests wait.", Retry_After="1")
        future: asyncio.Future[T] = self._loop.create_future()
        self._next.append((work, future))
        if due is not None:
            timer = self._loop.call_at(due, _overdue, future)
            future.add_done_callback(lambda _: timer.cancel())
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._start)  # what this turn of the loop still brings comes along
        return future

    def _start(self) -> None:
        group, self._next = self._next[:GROUP], self._next[GROUP:]
        group = [(work, future) for work, future in group if not future.done()]  # whoever has gone is not decided for
        if not group:
            self._go_on()
            return
        timer = self._loop.call_later(self._patience, self._give_up, group)
        try:
            written = self._submit([work for work, _ in group])
        except Exception as error:  # noqa: BLE001 (it is told to all who wait for it)
            self._answer(group, timer, None, error)
        else:
            written.add_done_callback(lambda done: self._wake(group, timer, done))

    def _give_up(self, group: Sequence[_Entry[T]]) -> None:
        """Tell all who wait that nothing is being written; what is under way may still become durable, unanswered."""
        self._stuck = True
        waiting, self._next = self._next, []
        for _, future in (*group, *waiting):
            if not future.done():
                future.set_exception(LedgerError(_STUCK))

    def _wake(self, group: Sequence[_Entry[T]], timer: asyncio.TimerHandle, done: Future[list[T]]) -> None:
        """Run in the writer's thread: wake the loop once for the whole group."""
        error = done.exception()
        results = None if error is not None else done.result()
        try:
            self._loop.call_soon_threadsafe(self._answer, group, timer, results, error)
        except RuntimeError:  # the loop has ended: what is written stays written, and nobody waits any more
            return

    def _answer(
        self,
        group: Sequence[_Entry[T]],
        timer: asyncio.TimerHandle,
        results: list[T] | None,
        error: BaseException | None,
    ) -> None:
        timer.cancel()
        self._stuck = False
        self._go_on()
        for i, (work, future) in enumerate(group):
            if future.done():
                if self._late is not None and results is not None and not future.cancelled():
                    self._late(work, results[i])
            elif results is None:
                future.set_exception(error or RuntimeError("the group gave no results"))
            else:
                future.set_result(results[i])

    def _go_on(self) -> None:
        if self._next:
            self._start()
        else:
            self._busy = False


def _overdue(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(LedgerError(_STUCK))
