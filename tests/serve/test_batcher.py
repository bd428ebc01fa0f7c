"""What comes while a group is written goes into the next one, and every caller gets his own answer."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from nextbest.errors import LedgerError
from nextbest.serve.batcher import GROUP, Batcher
from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Writer:
    """A journal that writes when it is told to, and notes the groups."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.go = threading.Event()
        self._threads = ThreadPoolExecutor(1)

    def submit(self, gather: Callable[[], Sequence[Any]]) -> Future[list[str]]:
        return self._threads.submit(self._write, gather)

    def _write(self, gather: Callable[[], Sequence[Any]]) -> list[str]:
        group = list(gather())
        if group:
            self.groups.append(group)
        assert self.go.wait(10)
        if "bad" in group:
            raise LedgerError("The disk is full.")
        return [f"done {work}" for work in group]


def test_what_comes_meanwhile_shares_a_commit() -> None:
    """One turn of the loop is one group, what comes while it is written is the next, and answers keep order."""
    writer = Writer()

    async def run() -> list[str]:
        batcher: Batcher[str] = Batcher(writer.submit)
        first = [batcher.add(i) for i in range(3)]
        await asyncio.sleep(0.01)
        rest = [batcher.add(i) for i in range(3, 3 + GROUP + 5)]
        await asyncio.sleep(0.01)
        assert batcher.waiting == len(rest)
        writer.go.set()
        return list(await asyncio.gather(*first, *rest))

    assert asyncio.run(run()) == [f"done {i}" for i in range(3 + GROUP + 5)]
    assert [len(g) for g in writer.groups] == [3, GROUP, 5]


def test_who_comes_before_the_turn_is_in_the_group() -> None:
    """What a group is made of is settled when its turn has come, not when it asked for one."""
    writer = Writer()
    turn = threading.Event()

    def submit(gather: Callable[[], Sequence[Any]]) -> Future[list[str]]:
        return writer.submit(lambda: gather() if turn.wait(10) else ())

    async def run() -> list[str]:
        batcher: Batcher[str] = Batcher(submit)
        early = batcher.add("early")
        await asyncio.sleep(0.01)
        late = batcher.add("late")
        turn.set()
        writer.go.set()
        return list(await asyncio.gather(early, late))

    assert asyncio.run(run()) == ["done early", "done late"]
    assert writer.groups == [["early", "late"]]


def test_a_writer_that_refuses_fails_those_who_wait() -> None:
    """When nothing can be handed to the writer, or the turn never comes, all who wait are told, and nobody hangs."""

    def refuse(gather: Callable[[], Sequence[Any]]) -> Future[list[str]]:
        raise LedgerError("The journal is closed.")

    def fail(gather: Callable[[], Sequence[Any]]) -> Future[list[str]]:
        failed: Future[list[str]] = Future()
        failed.set_exception(LedgerError("The turn never came."))
        return failed

    async def run(submit: Callable[[Callable[[], Sequence[Any]]], Future[list[str]]]) -> list[Any]:
        batcher: Batcher[str] = Batcher(submit)
        return await asyncio.gather(*(batcher.add(i) for i in range(GROUP + 2)), return_exceptions=True)

    assert {str(told) for told in asyncio.run(run(refuse))} == {"The journal is closed."}
    assert {str(told) for told in asyncio.run(run(fail))} == {"The turn never came."}


def test_a_failed_group_fails_alone() -> None:
    """Everybody of a group that could not be written gets its error; the next group is written."""
    writer = Writer()
    writer.go.set()

    async def run() -> list[Any]:
        batcher: Batcher[str] = Batcher(writer.submit)
        bad = [batcher.add("a"), batcher.add("bad")]
        first = await asyncio.gather(*bad, return_exceptions=True)
        return [*first, await batcher.add("b")]

    one, other, after = asyncio.run(run())
    assert isinstance(one, LedgerError)
    assert isinstance(other, LedgerError)
    assert after == "done b"


def test_who_has_gone_is_not_written() -> None:
    """A caller who gives up before his group starts is left out of it, and the others are answered."""
    writer = Writer()

    async def run() -> list[str]:
        batcher: Batcher[str] = Batcher(writer.submit)
        kept, gone = batcher.add("kept"), batcher.add("gone")
        gone.cancel()
        writer.go.set()
        return [await kept]

    assert asyncio.run(run()) == ["done kept"]
    assert writer.groups == [["kept"]]


def test_too_many_are_refused() -> None:
    """When as many wait as may, the next is refused with 429 and when to come again; those who wait are answered."""
    writer = Writer()

    async def run() -> None:
        batcher: Batcher[str] = Batcher(writer.submit, waiting=2)
        first = batcher.add("first")
        await asyncio.sleep(0.01)
        rest = [batcher.add("x"), batcher.add("y")]
        with pytest.raises(Refusal, match="Too many") as refused:
            batcher.add("z")
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        writer.go.set()
        await asyncio.gather(first, *rest)

    asyncio.run(run())


def test_a_disk_that_hangs_keeps_nobody_waiting() -> None:
    """When a group takes too long, all who wait and whoever comes are told; once it is written, the next is served."""
    writer = Writer()

    async def run() -> str:
        batcher: Batcher[str] = Batcher(writer.submit, patience=0.05)
        first = batcher.add("a")
        await asyncio.sleep(0.01)
        told = await asyncio.gather(first, batcher.add("b"), return_exceptions=True)
        assert [type(t) for t in told] == [LedgerError, LedgerError]
        with pytest.raises(LedgerError, match="too long"):
            batcher.add("c")
        writer.go.set()
        await asyncio.sleep(0.1)
        return await batcher.add("d")

    assert asyncio.run(run()) == "done d"
    assert writer.groups == [["a"], ["d"]]


def test_what_is_overdue_is_an_error_and_its_result_is_handed_on() -> None:
    """Who is due before the group is written gets an error; what was done for him all the same is told to `late`."""
    writer, told = Writer(), list[Any]()

    async def run() -> None:
        batcher: Batcher[str] = Batcher(writer.submit, late=lambda work, result: told.append((work, result)))
        now = asyncio.get_running_loop().time()
        hasty, calm = batcher.add("hasty", due=now + 0.05), batcher.add("calm")
        await asyncio.sleep(0.02)
        never = batcher.add("never", due=now + 0.05)  # still waits for its group
        got = await asyncio.gather(hasty, never, return_exceptions=True)
        assert [type(g) for g in got] == [LedgerError, LedgerError]
        writer.go.set()
        assert await calm == "done calm"

    asyncio.run(run())
    assert (writer.groups, told) == ([["hasty", "calm"]], [("hasty", "done hasty")])
