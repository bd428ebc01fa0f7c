"""The kinds of facts the ledger keeps: columns, types, units, what is personal, what is known only afterwards.

The kinds themselves are data, in `kinds.toml`. Event kinds share `COMMON`; tables of nouns (subjects, items, links,
identities, consent, outcomes) have their own columns. Times are UTC microseconds; `ts_offset_min` keeps the offset.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from nextbest.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

ColumnType = Literal["text", "number", "integer", "boolean", "timestamp"]

ARROW: dict[ColumnType, pa.DataType] = {
    "text": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: `personal` is erased and never a feature; `afterwards` is known only after an outcome."""

    name: str
    type: ColumnType = "text"
    unit: str = ""
    required: bool = False
    personal: bool = False
    afterwards: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fact: what one row means, its columns, and the columns that identify a row."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    event: bool = True

    def column(self, name: str) -> Column:
        """Give the column of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise unknown(f"column of kind '{self.name}'", name, [c.name for c in self.columns])

    def schema(self) -> pa.Schema:
        """Give the Arrow schema of a stored row."""
        return pa.schema([pa.field(c.name, ARROW[c.type]) for c in self.columns])


COMMON: tuple[Column, ...] = (
    Column(name="event_id", required=True),
    Column(name="subject_id", required=True),
    Column(name="subject_type"),
    Column(name="ts", type="timestamp", required=True),
    Column(name="ts_offset_min", type="integer", unit="minutes"),
    Column(name="received_ts", type="timestamp", required=True),
    Column(name="source"),
)


def _columns(said: dict[str, Any]) -> Iterator[Column]:
    """Give the columns of one kind in the order text, integer, boolean, timestamp, number."""
    units: dict[str, str] = said.get("number", {})
    types: list[tuple[ColumnType, Any]] = [(t, said.get(t, ())) for t in ("text", "integer", "boolean", "timestamp")]
    for type_, names in [*types, ("number", units)]:
        for name in names:
            yield Column(
                name=name,
                type=type_,
                unit=units.get(name, ""),
                **{mark: name in said.get(mark, ()) for mark in ("required", "personal", "afterwards")},
            )


def _read() -> dict[str, Kind]:
    """Give the kinds written in `kinds.toml`."""
    said = tomllib.loads(files("nextbest.ledger").joinpath("kinds.toml").read_text(encoding="utf-8"))
    return {name: _kind(name, entry) for name, entry in said.items()}


def _kind(name: str, said: dict[str, Any]) -> Kind:
    event = said.get("event", True)
    columns = (*(COMMON if event else ()), *_columns(said))
    return Kind(name=name, meaning=said["meaning"], columns=columns, key=tuple(said.get("key", ())), event=event)


KINDS: dict[str, Kind] = _read()
EVENTS: tuple[str, ...] = tuple(k.name for k in KINDS.values() if k.event)


def kind(name: str) -> Kind:
    """Give the kind of that name; raises `UnknownNameError` with the nearest known one."""
    if name not in KINDS:
        raise unknown("kind", name, KINDS)
    return KINDS[name]
