"""Where a test may make a part fail: named points in the code that do nothing until something is hung on them.

    with faults.injected("score", lambda worth: worth * math.nan): ...

A point passes a value through; what hangs on it may give another one, wait, or raise what the part itself could raise.
The points are listed here, so that a misspelt one is noticed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from nextbest.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

POINTS: dict[str, str] = {
    "model": "before a learner's state or a fitted model is asked; passes it through",
    "score": "after the actions are ranked; passes the array of expected values through",
    "features": "before what is known of a subject is read",
    "consent": "before permissions are read in the transaction",
    "caps": "before contacts are counted in the transaction",
    "log": "before decisions are written in the transaction",
    "commit": "before a group of the journal is committed",
    "outbox": "before a message is put in the outbox",
    "publish": "before each write, rename and commit of a model's publication",
}
_hung: dict[str, Callable[[Any], Any]] = {}


def at(point: str, value: T) -> T:
    """Give the value, or what a test has hung on this point makes of it."""
    if not _hung or point not in _hung:
        return value
    given: T = _hung[point](value)
    return given


@contextmanager
def injected(point: str, fault: Callable[[Any], Any]) -> Iterator[None]:
    """Hang a fault on a point of this process while the block lasts; raises `UnknownNameError` for no such point."""
    if point not in POINTS:
        raise unknown("fault point", point, POINTS)
    before = _hung.get(point)
    _hung[point] = fault
    try:
        yield
    finally:
        if before is None:
            del _hung[point]
        else:
            _hung[point] = before
