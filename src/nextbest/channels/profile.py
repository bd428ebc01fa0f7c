"""What the values of a column look like, from a sample: numbers, dates and their order, addresses, yes and no."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.ledger.parsing import guess_date_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from nextbest.ledger.mapping import Parse

MOST = 0.9
_NUMBER = re.compile(
    r"[-+(]?\s*(?:[$€£]|[A-Z]{3})?\s*\d[\d.,' ]*\s*(?:[$€£%)]|[A-Z]{3})?|[-+]?\d*\.\d+(?:[eE][-+]?\d+)?"
)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?")
_SLASHED = re.compile(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}([ ,T].*)?")
_WRITTEN = re.compile(r"(\d{1,2}[ -])?[A-Z][a-z]{2,8}[ -]\d{1,2}.*|\d{1,2}[ -][A-Z][a-z]{2,8}[ -]\d{2,4}.*")
_DAY = re.compile(r"(19|20)\d{2}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_PHONE = re.compile(r"'?\+?[\d\s().\-/]{7,24}")
_YES_NO = frozenset({"true", "false", "yes", "no", "y", "n", "t", "f", "ja", "nein", "0", "1"})
_EPOCHS: tuple[tuple[int, Parse], ...] = ((10, "epoch_s"), (13, "epoch_ms"), (16, "epoch_us"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A column: its header and position, how many values are there and different, and what most of them are.

    `moment` says how its values would be read as times, "" when they are none; `sure` is False when the order of day
    and month had to be guessed.
    """

    name: str
    position: int
    filled: int
    distinct: int
    number: bool
    boolean: bool
    email: bool
    phone: bool
    moment: Parse | None
    sure: bool = True

    @property
    def unique(self) -> bool:
        """Tell whether hardly any value comes twice."""
        return self.filled > 0 and self.distinct >= 0.98 * self.filled


def profiles(sample: pa.Table, *, european: bool = False) -> tuple[Profile, ...]:
    """Give the profile of every column of a sample; *european* decides dates whose order cannot be seen."""
    return tuple(_profile(name, i, sample[i], european=european) for i, name in enumerate(sample.column_names))


def moment(values: Sequence[str], *, european: bool = False) -> tuple[Parse | None, bool]:
    """Give how values are read as times, or None, and whether that is sure."""
    for digits, parse in _EPOCHS:
        if _share(values, re.compile(rf"[1-9]\d{{{digits - 1}}}(\.\d+)?")) >= MOST:
            return parse, True
    if _share(values, _DAY) >= MOST:
        return "yyyymmdd", True
    if _share(values, _ISO) >= MOST or _share(values, _WRITTEN) >= MOST:
        return "timestamp", True
    if _share(values, _SLASHED) >= MOST:
        order = guess_date_order(values)
        if order:
            return order, True
        dotted = sum("." in v for v in values) > len(values) / 2
        return ("date_dmy" if european or dotted else "date_mdy"), False
    return None, True


def _profile(name: str, position: int, column: pa.ChunkedArray, *, european: bool) -> Profile:
    values = [v.strip() for v in column.to_pylist() if v and v.strip()]
    read, sure = moment(values, european=european)
    return Profile(
        name=name,
        position=position,
        filled=len(values),
        distinct=len(set(values)),
        number=_share(values, _NUMBER) >= MOST,
        boolean=bool(values) and {v.lower() for v in values} <= _YES_NO,
        email=_share(values, _EMAIL) >= MOST,
        phone=_share(values, _PHONE) >= MOST and read is None,
        moment=read,
        sure=sure,
    )


def _share(values: Sequence[str], pattern: re.Pattern[str]) -> float:
    return sum(pattern.fullmatch(v) is not None for v in values) / len(values) if values else 0.0
