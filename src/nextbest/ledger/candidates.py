"""The candidates of one decision as its row keeps them: the names once, then the numbers as they were computed.

    JSON [ids, costs] newline JSON {rule: [positions it removed]} newline response, worth, probability (float64 each)

The standard deviations of the worths follow as a fourth column where one of them is not 0. Numbers are little endian
and by candidate; what is missing is NaN. An empty second line says that no rule removed anything. Rows of older
journals hold a JSON list of objects instead; both are read.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.types import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ENCODE = msgspec.json.Encoder().encode
_HEAD = msgspec.json.Decoder(tuple[tuple[str, ...], tuple[float, ...]])
_RULES = msgspec.json.Decoder(dict[str, list[int]])
_OLDER = msgspec.json.Decoder(tuple[Candidate, ...])
# A candidate as JSON tells it: what is None is left out.
_Told = msgspec.defstruct(
    "_Told",
    [(f.name, Any, msgspec.NODEFAULT if f.default is MISSING else f.default) for f in fields(Candidate)],
    omit_defaults=True,
    gc=False,
)


def head(ids: Sequence[str], costs: Sequence[float]) -> bytes:
    """Give the first line, which is the same for all requests with the same candidates."""
    return _ENCODE((ids, costs)) + b"\n"


def packed(first: bytes, removed: Sequence[str | None], *columns: bytes) -> bytes:
    """Give the stored form: `head`, the rule that removed each candidate, and the columns of `little` bytes."""
    if removed.count(None) == len(removed):
        return b"%b\n%b" % (first, b"".join(columns))
    rules: dict[str, list[int]] = {}
    for at, rule in enumerate(removed):
        if rule is not None:
            rules.setdefault(rule, []).append(at)
    return b"%b%b\n%b" % (first, _ENCODE(rules), b"".join(columns))


def little(values: Iterable[float | None]) -> bytes:
    """Give numbers as float64, little endian."""
    flat = array("d", [float("nan") if v is None else v for v in values])
    if sys.byteorder == "big":
        flat.byteswap()
    return flat.tobytes()


def unpacked(stored: bytes | str) -> tuple[Candidate, ...]:
    """Give the candidates that a row keeps."""
    if isinstance(stored, str):
        return _OLDER.decode(stored)
    return tuple(
        Candidate(
            action_id=i,
            removed_by=rule,
            response_probability=r,
            expected_value=w,
            cost=c,
            choice_probability=p,
            spread=s,
        )
        for i, rule, r, w, c, p, s in _columns(stored)
    )


def as_json(stored: bytes | str) -> str:
    """Give the candidates that a row keeps as a JSON list of objects."""
    return stored if isinstance(stored, str) else _ENCODE([_Told(*cells) for cells in _columns(stored)]).decode()


def _columns(stored: bytes) -> Iterable[tuple[str, str | None, float | None, float | None, float, float, float]]:
    first, second, numbers = stored.split(b"\n", 2)
    ids, costs = _HEAD.decode(first)
    flat, k = array("d", numbers), len(ids)
    if sys.byteorder == "big":
        flat.byteswap()
    rules: list[str | None] = [None] * k
    for rule, places in (_RULES.decode(second) if second else {}).items():
        for at in places:
            rules[at] = rule
    response, worth = ([None if v != v else v for v in flat[i * k : (i + 1) * k]] for i in range(2))  # noqa: PLR0124
    spread = flat[3 * k :] if len(flat) > 3 * k else array("d", bytes(8 * k))
    return zip(ids, rules, response, worth, costs, flat[2 * k : 3 * k], spread, strict=True)
