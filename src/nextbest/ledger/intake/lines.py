"""Physical lines of a text, numbered from 1, that can be given back: what the careful reader reads from."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import IO

LINE_LIMIT = 1 << 20
QUOTED_LINES_LIMIT = 2_000


class Lines:
    """An iterator for the csv module that remembers which lines the present record has taken.

    A line longer than `LINE_LIMIT` characters is cut there: its record is refused anyway, and memory stays bounded.
    It ends early after `QUOTED_LINES_LIMIT` lines, so that an open quote cannot swallow a whole file.
    """

    def __init__(self, text: IO[str]) -> None:
        self._text = text
        self._back: deque[str] = deque()
        self.taken: list[str] = []
        self.number = 0

    def __iter__(self) -> Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) > QUOTED_LINES_LIMIT:
            raise StopIteration
        line = self._back.popleft() if self._back else self._read()
        if line == "":
            raise StopIteration
        self.number += 1
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """Forget the lines taken: a new record begins."""
        self.taken.clear()

    def give_back(self, keep: int) -> None:
        """Return all lines taken after the first *keep*; they come again."""
        surplus = self.taken[keep:]
        self._back.extendleft(reversed(surplus))
        self.number -= len(surplus)
        del self.taken[keep:]

    def _read(self) -> str:
        line = self._text.readline(LINE_LIMIT + 1)
        if self.number == 0:
            line = line.removeprefix("\ufeff")
        if len(line) > LINE_LIMIT:
            rest = line
            while rest and not rest.endswith(("\n", "\r")):
                rest = self._text.readline(LINE_LIMIT)
        return line
