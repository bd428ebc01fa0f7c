"""The dictionary: what the tables of known systems are called, have as headers, and give. Data, in `dictionary/`.

headers   every column; a list names the spellings of one column: ["Email", "email", "property_email"]
emits     what the table gives; a column is named by the first of its spellings:
          "ts": ["Created at", "timestamp"]      or {"source": ..., "parse": ..., "path": ["items", "0"], ...}
drop      columns that are never stored (card numbers), whatever else is said
fill_down lines of one group take over what only the group's first line says
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nextbest.channels.headers import normalised

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STAR = "*"
NAMES = ("ga4", "hubspot", "klaviyo", "salesforce", "segment", "shopify", "stripe")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table of one system; `headers` lists the spellings of each column, the canonical one first."""

    system: str
    name: str
    namespace: str
    headers: tuple[tuple[str, ...], ...]
    emits: tuple[Mapping[str, Any], ...]
    drop: tuple[str, ...] = ()
    fill_down: Mapping[str, Any] = field(default_factory=dict)
    file_names: tuple[str, ...] = ()
    empty: str = ""

    def spellings(self) -> Iterator[tuple[str, str]]:
        """Give (normalised spelling, canonical header) of every column."""
        for spelt in self.headers:
            for spelling in spelt:
                if not spelling.endswith(STAR):
                    yield normalised(spelling), spelt[0]

    def starred(self) -> Iterator[tuple[str, str]]:
        """Give (normalised beginning, canonical header) of the headers that stand for many columns."""
        for spelt in self.headers:
            for spelling in spelt:
                if spelling.endswith(STAR):
                    yield normalised(spelling), spelt[0]


@cache
def tables() -> tuple[Table, ...]:
    """Give every table of every system, sorted by system and name."""
    return tuple(table for name in NAMES for table in _tables(name))


def table(system: str, name: str) -> Table | None:
    """Give one table, or None where there is none of that name."""
    return next((t for t in tables() if (t.system, t.name) == (system, name)), None)


def _tables(system: str) -> Iterator[Table]:
    text = files("nextbest.channels").joinpath(f"dictionary/{system}.json").read_text(encoding="utf-8")
    said: dict[str, Any] = json.loads(text)
    for name, entry in sorted(said["tables"].items()):
        prefixes = entry.get("prefixes", [])
        yield Table(
            system=system,
            name=name,
            namespace=entry.get("namespace", said["namespace"]),
            headers=tuple(_spellings(h, prefixes) for h in entry["headers"]),
            emits=tuple(entry["emits"]),
            drop=tuple(entry.get("drop", ())),
            fill_down=entry.get("fill_down", {}),
            file_names=tuple(entry.get("file_names", ())),
            empty=entry.get("empty", ""),
        )


def _spellings(said: str | list[str], prefixes: list[str]) -> tuple[str, ...]:
    listed = [said] if isinstance(said, str) else said
    return (*listed, *(f"{prefix}{spelling}" for prefix in prefixes for spelling in listed))
