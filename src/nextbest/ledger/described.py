"""What described the candidates of a decision, as its row keeps it: a table of numbers by candidate and name.

    JSON [ids, names, digits, size] newline numbers

Most numbers that people and shops send are decimals of few digits. Those are kept as whole numbers of `size` 1, 2 or 4
bytes, to be divided by 10 to the power of `digits`: that gives the same double back, because the quotient of two whole
numbers is rounded to the nearest double, as a decimal is when it is read. All others are kept as float64 (`size` 8).
Numbers are little endian and by candidate; what is missing is the smallest whole number, or NaN. A zero has no sign.
Rows from before have no `digits` and no `size` in their head, and doubles after it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Numbers = np.ndarray[Any, np.dtype[np.float64]]

_ENCODE = msgspec.json.Encoder().encode
_DIGITS = (0, 1, 2, 3, 4, 6, 9)
_WHOLE = {1: "<i1", 2: "<i2", 4: "<i4"}
_MOST = {size: float(2 ** (8 * size - 1) - 1) for size in _WHOLE}  # the smallest of all stands for what is missing
_FLOAT = 8
_MOST_KNOWN = 256
_AGAIN = 256  # tables after which the fewest digits are tried again: one odd number is not to cost bytes for ever


@dataclass(slots=True)
class _Tried:
    """What was enough for the last table of some names: a place in `_DIGITS`, or its length where none was."""

    at: int = 0
    left: int = _AGAIN


_known: dict[tuple[str, ...], _Tried] = {}


class _Head(msgspec.Struct, array_like=True, frozen=True):
    ids: tuple[str, ...]
    names: tuple[str, ...]
    digits: int = 0
    size: int = _FLOAT


_HEAD = msgspec.json.Decoder(_Head)


class Described(NamedTuple):
    """What described candidates, packed; `numbers` are by id and name."""

    ids: tuple[str, ...]
    names: tuple[str, ...]
    digits: int
    size: int
    numbers: bytes

    def values(self) -> Numbers:
        """Give the numbers as they were: float64 of shape (ids, names), NaN where missing."""
        shape = len(self.ids), len(self.names)
        if self.size == _FLOAT:
            return np.frombuffer(self.numbers, "<f8").astype(np.float64).reshape(shape)
        whole = np.frombuffer(self.numbers, _WHOLE[self.size]).reshape(shape)
        return np.where(whole < -_MOST[self.size], np.nan, whole / 10.0**self.digits)


def pack(ids: tuple[str, ...], names: tuple[str, ...], values: Numbers) -> Described:
    """Give a table, packed without loss; `values` is float64 of shape (ids, names), NaN where missing."""
    tried = _known.get(names)
    if tried is None or tried.left <= 0:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        tried = _known[names] = _Tried()
    tried.left -= 1
    begin = tried.at  # read once: other threads pack too
    if begin < len(_DIGITS):
        at, size, whole = _fewest(values, begin)
        if at != begin:
            tried.at = at
        if whole is not None:
            return Described(ids, names, _DIGITS[at], size, whole.tobytes())
    return Described(ids, names, 0, _FLOAT, np.asarray(values, "<f8").tobytes())


def _fewest(values: Numbers, begin: int) -> tuple[int, int, np.ndarray[Any, Any] | None]:
    """Give the place of the fewest digits that are enough, from *begin* on, the size, and the numbers as whole ones.

    Where none are enough, the place is behind the last and there are no whole numbers.
    """
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    missing, given = None, values
    if low != low:  # noqa: PLR0124 (NaN: something is missing)
        missing = np.isnan(values)
        given = np.where(missing, 0.0, values)
        low, high = float(given.min()), float(given.max())
    for at in range(begin, len(_DIGITS)):
        found = _whole(given, max(-low, high), _DIGITS[at])
        if found is not None:
            size, whole = found
            if missing is not None:
                whole[missing] = -_MOST[size] - 1
            return at, size, whole
    return len(_DIGITS), _FLOAT, None


def _whole(values: Numbers, far: float, digits: int) -> tuple[int, np.ndarray[Any, Any]] | None:
    """Give the size and the numbers as whole ones, the largest being *far*; None where that would lose anything."""
    power = 10.0**digits
    size = next((size for size, most in _MOST.items() if far * power <= most), _FLOAT)
    if size == _FLOAT:
        return None
    whole = np.rint(values * power).astype(_WHOLE[size])
    return (size, whole) if (whole / power == values).all() else None


def of_features(features: Mapping[str, Mapping[str, Any]]) -> Described | None:
    """Give the features of actions as a table; a text is a name of its own (`colour=red`), as in a request."""
    if not features:
        return None
    names: dict[str, int] = {}
    cells = [
        (
            i,
            names.setdefault(f"{n}={v}" if isinstance(v, str) else n, len(names)),
            1.0 if isinstance(v, str) else float(v),
        )
        for i, values in enumerate(features.values())
        for n, v in values.items()
        if v is not None
    ]
    table = np.full((len(features), len(names)), np.nan)
    for i, column, number in cells:
        table[i, column] = number
    return pack(tuple(features), tuple(names), table)


def by_action(table: Described | None) -> dict[str, dict[str, float]]:
    """Give a table as numbers by action and name, without what is missing."""
    if table is None:
        return {}
    rows = table.values().tolist()
    return {
        action: {n: v for n, v in zip(table.names, row, strict=True) if v == v}  # noqa: PLR0124 (NaN: missing)
        for action, row in zip(table.ids, rows, strict=True)
    }


def stored(table: Described | None) -> bytes | None:
    """Give what a row holds; None where nothing described the candidates."""
    if table is None or not table.names:
        return None
    return _head(*table[:4]) + table.numbers


def read(held: bytes | None) -> Described | None:
    """Give the table that a row holds, None where it holds none."""
    if held is None:
        return None
    head, _, numbers = held.partition(b"\n")
    known = _HEAD.decode(head)
    return Described(known.ids, known.names, known.digits, known.size, numbers)


@lru_cache(maxsize=64)  # a page asks for the same items again and again
def _head(ids: Sequence[str], names: Sequence[str], digits: int, size: int) -> bytes:
    return _ENCODE((ids, names, digits, size)) + b"\n"
