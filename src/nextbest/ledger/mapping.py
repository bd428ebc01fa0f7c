"""How the columns of a file become facts of the ledger: said once per table, by the dictionary or by the user.

Emit(kind="order", columns=(ColumnRule(to="ts", source="Created at", parse="timestamp", required=True), ...),
     group_by=("Name",))
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Parse = Literal[
    "text",
    "id",
    "number",
    "minor_units",
    "percent",
    "integer",
    "boolean",
    "email",
    "phone",
    "json",
    "timestamp",
    "date_dmy",
    "date_mdy",
    "yyyymmdd",
    "epoch_s",
    "epoch_ms",
    "epoch_us",
]
Aggregate = Literal["first", "last", "sum", "min", "max", "count"]
Confidence = float


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnRule:
    """Fill the ledger column `to` from the file's column `source` (a header, or a 0-based position), parsed as said.

    `scale` multiplies a number (minor units: 0.01). `path` reaches into a JSON value ("items", "0", "price").
    `aggregate` says how the lines of one group become one value. `values` renames values ("Won" -> "true"), whatever
    their capitals. `namespace` goes before a subject's id instead of the mapping's own ("" = before this id none).
    `percent` and `minor_units` divide by 100 unless `scale` says otherwise. Inside an emit that unnests, a rule whose
    `source` is the nested column reads the element, through `path`.
    """

    to: str
    source: str | int
    parse: Parse = "text"
    required: bool = False
    scale: float = 1.0
    path: tuple[str, ...] = ()
    aggregate: Aggregate = "first"
    values: Mapping[str, str] = field(default_factory=dict)
    confidence: Confidence = 1.0
    namespace: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Emit:
    """Rows of one kind that a file gives: one per line, per group of lines, or per element of a nested array.

    `subject` lists the columns that may identify the subject, best first (an id, else an e-mail, else a phone);
    `where` keeps the lines whose column has one of the values; a line kept by no emit is rejected or counted as
    understood-and-empty by `FileMapping.ignore_unmatched`. `unnest` names a column with a JSON array, or a path into
    one ("properties.products"). Where a file has emits with `group_by`, a line without subject or time of its own
    takes those of its group (Shopify fills them in on the first line of an order only). A link or a consent whose
    other end is empty is no row, and no reason to refuse the line.
    """

    kind: str
    columns: tuple[ColumnRule, ...]
    subject: tuple[ColumnRule, ...] = ()
    subject_type: str = "customer"
    constants: Mapping[str, Any] = field(default_factory=dict)
    group_by: tuple[str, ...] = ()
    unnest: str = ""
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMapping:
    """What a file is (system, table, with confidence) and the rows it gives."""

    system: str
    table: str
    confidence: Confidence
    emits: tuple[Emit, ...]
    columns_used: tuple[str, ...] = ()
    columns_unused: tuple[str, ...] = ()
    namespace: str = ""
    ignore_unmatched: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """A CSV-like file made ready to read: a plain UTF-8 (or gzip) file and its dialect, all columns text."""

    path: Path
    delimiter: str
    quote: str
    escape: str
    header: bool
    columns: tuple[str, ...]
    skip_lines: int = 0
    decimal: Literal[".", ","] = "."
    original: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What came of one file: accepted + rejected = read, always; `rows_new` facts were not there before.

    `rows_corrected` rows say something else of an event than the ledger, or than a line before them, and count instead.
    """

    file: str
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    rows_new: int
    rejected_file: str | None
    by_kind: Mapping[str, int]
    already_loaded: bool = False
    rows_corrected: int = 0
