"""What the rows of one file have in common: its columns by header, its decimal mark, the bounds of its dates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.errors import DataError, nearest
from nextbest.ledger.parsing import literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

EARLIEST = "1900-01-01 00:00:00+00"
FAR = "2200-01-01 00:00:00+00"  # for dates that may lie ahead: an expected close, the end of a subscription
AHEAD = frozenset({"expected_close_ts", "ended_ts", "cancelled_ts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The columns c0, c1 ... of a file by header, and what its rows are read with."""

    columns: Sequence[str]
    decimal: str
    namespace: str
    source: str
    received: datetime
    latest: datetime

    def has(self, source: str | int) -> bool:
        """Tell whether the file has this column."""
        return 0 <= source < len(self.columns) if isinstance(source, int) else source in self.columns

    def column(self, source: str | int) -> exp.Column:
        """Give the column of a header or position; raises `DataError` with the near word."""
        if not self.has(source):
            near = nearest(str(source), self.columns)
            message = f"{self.source} has no column '{source}'.{near} It has: {', '.join(self.columns)}."
            raise DataError(message)
        position = source if isinstance(source, int) else list(self.columns).index(source)
        return exp.column(f"c{position}")

    def header(self, source: str | int) -> str:
        """Give the name of a column to people."""
        return self.columns[source] if isinstance(source, int) and self.has(source) else str(source)

    def bounds(self, column: str) -> tuple[exp.Expr, exp.Expr]:
        """Give the first and last moment that a column of times may hold."""
        return moment(EARLIEST), moment(FAR if column in AHEAD else self.latest.isoformat())


def moment(text: str) -> exp.Expr:
    """Give a moment as SQL."""
    return exp.cast(literal(text), "TIMESTAMPTZ")
