"""From one live request straight to the matrix of a fitted model: what a table would give, byte for byte, sooner.

Each column of the model is one of three. What is known of the subject is encoded once and stands in every row. What
describes an offer (`action <name>`) is copied from the offers' numbers, or looked up by its mark (`colour=red`). What
depends on the offer's id (`action`, `action and <name>`) is looked up word by word. How a word is read is asked of the
encoder (`encode.read_column`), once for each.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nextbest.models import encode
from nextbest.recipes.action_rows import ACTION, ALSO, DESCRIBED, as_array, of_subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.policies.live.ask import Offers

    Matrix = NDArray[np.float64]
    Value = str | float | None

_MOST_WORDS, _MOST_TEXTS, _MOST_PLANS = 32_768, 256, 256  # kept per column (some 8 MB), and per model


class Reader:
    """One column of the model and where it stands in the matrix; keeps how the words that came by are read."""

    def __init__(self, column: encode.Column, salt: str, start: int) -> None:
        self.column = column
        self.place = slice(start, start + column.width)
        self.missing = (np.nan,) * column.width
        self._salt = salt
        self._words: dict[str, tuple[float, ...]] = {}
        self._together = lru_cache(_MOST_TEXTS)(self.read)

    def read(self, values: Sequence[Value]) -> Matrix:
        """Give a column of values as a table of them would be read."""
        return encode.read_column(self.column, as_array(values), self._salt)

    def apart(self, words: Sequence[str]) -> bool:
        """Tell whether each word is read by itself: a comma is read by the column's other words, as is a date."""
        form = self.column.form
        return form == "category" or (form == "number" and not any("," in word for word in words))

    def texts(self, words: tuple[str, ...]) -> Matrix:
        """Give a column of words."""
        if not self.apart(words):
            return self._together(words)
        found = [self._words.get(word) for word in words]
        if None in found:
            new = list(dict.fromkeys(word for word, known in zip(words, found, strict=True) if known is None))
            read = dict(zip(new, map(tuple, self.read(new).tolist()), strict=True))
            found = [read[word] if known is None else known for word, known in zip(words, found, strict=True)]
            if len(self._words) + len(read) > _MOST_WORDS:
                self._words.clear()
            self._words.update(read)
        return np.array(found, dtype=np.float64).reshape(len(words), len(self.missing))

    def one(self, value: Any) -> Sequence[float]:  # noqa: ANN401 (any value of a context)
        """Give one value; what is neither text nor number is missing, and what is not finite is for the caller."""
        if isinstance(value, str):
            return self.texts((value,))[0].tolist()  # type: ignore[no-any-return]
        if not isinstance(value, int | float):
            return self.missing
        return (float(value),) if self.column.form == "number" else self.read([value])[0].tolist()


class Plan(NamedTuple):
    """What the offers' names fill: numbers to copy, texts by their marks, and what only a whole column can tell."""

    copied: tuple[NDArray[np.intp], NDArray[np.intp]]
    marked: tuple[tuple[Reader, NDArray[np.intp], Matrix], ...]
    mixed: tuple[tuple[Reader, tuple[tuple[int, str | None], ...]], ...]


class Filler:
    """How a model's matrix is filled from a request; made once per model, thread-safe."""

    def __init__(self, encoder: encode.Encoder) -> None:
        starts = np.cumsum([0, *(c.width for c in encoder.columns)]).tolist()
        readers = [Reader(c, encoder.salt, at) for c, at in zip(encoder.columns, starts[:-1], strict=True)]
        self.width = starts[-1]
        self._subject = [(r, r.column.name if of_subject(r.column.name) else None) for r in readers]
        self._about = {r.column.name.removeprefix(DESCRIBED): r for r in readers if _is(r, DESCRIBED)}
        both = [(r, r.column.name.removeprefix(ALSO)) for r in readers if _is(r, ALSO)]
        self._both = [(r, name) for r, name in both if of_subject(name)]
        self._action = next((r for r in readers if r.column.name == ACTION), None)
        self._plans: dict[tuple[str, ...], Plan] = {}

    def matrix(self, known: Mapping[str, Any], offers: Offers) -> Matrix:
        """Give the matrix of one request: float64, a row per offer."""
        full = np.empty((len(offers.ids), self.width))
        full[:] = self._same(known)
        self._describe(full, offers)
        for reader, name in self._both:
            text = known.get(name)
            if isinstance(text, str):
                full[:, reader.place] = reader.texts(tuple([f"{name} {text}" for name in offers.ids]))
        if self._action is not None:
            full[:, self._action.place] = self._action.texts(offers.ids)
        return full

    def _same(self, known: Mapping[str, Any]) -> NDArray[np.float64]:
        """Give the row that all offers share."""
        row: list[float] = []
        for reader, name in self._subject:
            row += reader.missing if name is None else reader.one(known.get(name))
        found = np.array(row)
        found[~np.isfinite(found)] = np.nan
        return found

    def _describe(self, full: Matrix, offers: Offers) -> None:
        """Fill in what describes the offers."""
        plan = self._plans.get(offers.names)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[offers.names] = self._planned(offers.names)
        source, target = plan.copied
        if len(source):
            numbers = offers.values[:, source]
            full[:, target] = np.where(np.isfinite(numbers), numbers, np.nan)
        for reader, marks, table in plan.marked:
            holds = _holds(offers.values[:, marks])
            last = len(marks) - 1 - np.argmax(holds[:, ::-1], axis=1)
            full[:, reader.place] = table[np.where(holds.any(axis=1), last, -1)]
        for reader, parts in plan.mixed:
            full[:, reader.place] = reader.read(_in_words(offers.values, parts))

    def _planned(self, names: tuple[str, ...]) -> Plan:
        parts: dict[str, list[tuple[int, str | None]]] = {}
        for at, name in enumerate(names):
            feature, is_text, text = name.partition("=")
            if feature in self._about:
                parts.setdefault(feature, []).append((at, text if is_text else None))
        copied: list[tuple[int, int]] = []
        marked, mixed = [], []
        for feature, told in parts.items():
            reader, texts = self._about[feature], tuple(text for _, text in told if text is not None)
            if not texts and len(told) == 1 and reader.column.form == "number":
                copied.append((told[0][0], reader.place.start))
            elif len(texts) == len(told) and reader.apart(texts):
                table = np.vstack([reader.texts(texts), [reader.missing]])
                marked.append((reader, np.array([at for at, _ in told], dtype=np.intp), table))
            else:
                mixed.append((reader, tuple(told)))
        source, target = np.array(copied, dtype=np.intp).reshape(-1, 2).T
        return Plan((source, target), tuple(marked), tuple(mixed))


def _is(reader: Reader, prefix: str) -> bool:
    return reader.column.name.startswith(prefix)


def _holds(marks: Matrix) -> NDArray[np.bool_]:
    """Tell which marks are set."""
    found: NDArray[np.bool_] = (marks != 0.0) & ~np.isnan(marks)
    return found


def _in_words(values: Matrix, parts: Sequence[tuple[int, str | None]]) -> list[Value]:
    """Give what the columns of one feature say of each offer; a later column counts over an earlier one."""
    found: list[Value] = [None] * len(values)
    for at, text in parts:
        for i, value in enumerate(values[:, at].tolist()):
            if value == value and (text is None or value):  # noqa: PLR0124 (not a number is missing)
                found[i] = value if text is None else text
    return found
