"""Many requests, one commit: while one group is being written, the next one gathers.

A commit syncs to disk, which takes about as long as ranking does; so what came meanwhile shares the next one. What a
group is made of is settled when its turn to be written has come, not before: nobody waits for the commit after the
next. A group wakes the event loop once. Nothing is answered before its commit.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
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


class _Group(Generic[T]):
    """What is written together; `taken` once its turn has come, and with that what it is made of."""

    def __init__(self) -> None:
        self.entries: list[_Entry[T]] = []
        self.taken = False


class Batcher(Generic[T]):
    """Has what one event loop gathers written by `submit`, in the order of coming.

    `submit` is given a function that gives the group, to be called when its turn has come, in whatever thread writes.
    """

    def __init__(
        self,
        submit: Callable[[Callable[[], Sequence[Any]]], Future[list[T]]],
        *,
        waiting: int = WAITING,
        patience: float = PATIENCE_S,
        late: Callable[[Any, T], object] | None = None,
    ) -> None:
        self._submit = submit
        self._late = late
        self._most = waiting
        self._loop = asyncio.get_running_loop()
        self._next: deque[_Entry[T]] = deque()
        self._patience = patience
        self._asked = False
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
        if not self._asked:
            self._asked = True
            self._loop.call_soon(self._ask)  # what this turn of the loop still brings comes along
        return future

    def _ask(self) -> None:
        """Ask for a turn to write."""
        group: _Group[T] = _Group()
        timer = self._loop.call_later(self._patience, self._give_up, group)
        try:
            written = self._submit(partial(self._gathered, group))
        except Exception as error:  # noqa: BLE001 (it is told to all who wait for it)
            self._answer(group, timer, None, error)
        else:
            written.add_done_callback(lambda done: self._wake(group, timer, done))

    def _gathered(self, group: _Group[T]) -> list[Any]:
        """Give what waits, up to a group; whoever comes from now on asks for a turn of his own."""
        group.taken, self._asked = True, False
        while self._next and len(group.entries) < GROUP:
            entry = self._next.popleft()
            if not entry[1].done():  # whoever has gone is not decided for
                group.entries.append(entry)
        return [work for work, _ in group.entries]

    def _give_up(self, group: _Group[T]) -> None:
        """Tell all who wait that nothing is being written; what is under way may still become durable, unanswered."""
        self._stuck = True
        waiting = [*group.entries, *self._next]
        self._next.clear()
        for _, future in waiting:
            if not future.done():
                future.set_exception(LedgerError(_STUCK))

    def _wake(self, group: _Group[T], timer: asyncio.TimerHandle, done: Future[list[T]]) -> None:
        """Run in the writer's thread: wake the loop once for the whole group."""
        error = done.exception()
        results = None if error is not None else done.result()
        try:
            self._loop.call_soon_threadsafe(self._answer, group, timer, results, error)
        except RuntimeError:  # the loop has ended: what is written stays written, and nobody waits any more
            return

    def _answer(
        self,
        group: _Group[T],
        timer: asyncio.TimerHandle,
        results: list[T] | None,
        error: BaseException | None,
    ) -> None:
        timer.cancel()
        self._stuck = False
        if not group.taken:  # its turn never came
            self._gathered(group)
        for i, (work, future) in enumerate(group.entries):
            if future.done():
                if self._late is not None and results is not None and not future.cancelled():
                    self._late(work, results[i])
            elif results is None:
                future.set_exception(error or RuntimeError("the group gave no results"))
            else:
                future.set_result(results[i])
        if self._next and not self._asked:  # more than a group
            self._asked = True
            self._ask()


def _overdue(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(LedgerError(_STUCK))
