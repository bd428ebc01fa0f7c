"""A log as columns of text, with the line of every row; lines that cannot be read are rejects from the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nextbest.channels.files.parquet import as_text
from nextbest.channels.logs.seen import Read, RefusedError
from nextbest.errors import DataError
from nextbest.ledger.intake.exact import records
from nextbest.ledger.rejects import Reject

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextbest.channels.files import Opened
    from nextbest.channels.logs.seen import Came, Seen

_BROKEN = "Correct the line: as many values as there are columns, and quotes in pairs."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """A table of text: `columns` by header, all of one length; `lines` where each row stands; `broken` the rejects."""

    name: str
    columns: Mapping[str, Sequence[str | None]]
    lines: Sequence[int]
    broken: tuple[Reject, ...] = ()

    @property
    def rows_read(self) -> int:
        """All records of the file, the broken ones too."""
        return len(self.lines) + len(self.broken)

    def column(self, header: str | None) -> Sequence[str | None]:
        """Give a column, or one of nothing where the file has no such header."""
        return self.columns[header] if header else [None] * len(self.lines)


def sheet(opened: Opened) -> Sheet:
    """Give all rows of an opened table as text."""
    if opened.text is None:
        if opened.table is None:
            raise DataError(f"{opened.name} has nothing to read.")
        table = as_text(opened.table().read_all())
        columns = {name: table[name].to_pylist() for name in table.column_names}
        return Sheet(name=opened.name, columns=columns, lines=range(1, table.num_rows + 1))
    lines, rows, broken = [], [], []
    for record in records(opened.text):
        if record.problem:
            text = opened.text.delimiter.join(record.fields)
            broken.append(Reject(record.line, "", text, record.problem, _BROKEN))
        else:
            lines.append(record.line)
            rows.append(record.fields)
    values = list(zip(*rows, strict=True)) if rows else [()] * len(opened.columns)
    texts = {name: [v or None for v in column] for name, column in zip(opened.columns, values, strict=True)}
    return Sheet(name=opened.name, columns=texts, lines=lines, broken=tuple(broken))


def each(given: Sheet, take: Callable[[int], tuple[Seen | None, Sequence[Came]]]) -> Read:
    """Give what *take* makes of every row by its place; a row that it refuses is a reject."""
    decisions: list[Seen] = []
    outcomes: list[Came] = []
    rejects: list[Reject] = []
    for row, line in enumerate(given.lines):
        try:
            seen, came = take(row)
        except RefusedError as refused:
            rejects.append(rejected(line, refused))
            continue
        if seen is not None:
            decisions.append(seen)
        outcomes += came
    return Read(decisions=decisions, outcomes=_placed(decisions, outcomes), rejects=rejects)


def rejected(line: int, refused: RefusedError) -> Reject:
    """Give the reject of a refused line."""
    column, value, reason, remedy = refused.args
    return Reject(line, column, value or "", reason, remedy)


def _placed(decisions: Sequence[Seen], outcomes: Sequence[Came]) -> list[Came]:
    """Give the outcomes with the places of their decisions: those of the same line."""
    from dataclasses import replace

    at = {seen.line: place for place, seen in enumerate(decisions)}
    return [o if o.decision is not None else replace(o, decision=at.get(o.line)) for o in outcomes]
