"""What the user says about columns: `--map "Kunde=subject_id,Datum=ts"`, or by position: `0=subject_id`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nextbest.channels.headers import normalised
from nextbest.channels.used import completed
from nextbest.errors import UsageError, nearest
from nextbest.ledger.kinds import KINDS
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.mapping import ColumnRule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.ledger.mapping import Emit, FileMapping, Parse

_PARSES: dict[str, Parse] = {"subject_id": "id", "email": "email", "phone": "phone"}
NOTHING = "-"


def positions(columns: Sequence[str], said: Mapping[str, str]) -> dict[str, int]:
    """Give the position per field of what the user said; raises `UsageError` with the near word."""
    found: dict[str, int] = {}
    known = {c.name for k in KINDS.values() for c in k.columns} | {"subject_id", NOTHING}
    for column, field in said.items():
        if field not in known:
            raise UsageError(f"There is no field '{field}' to map '{column}' to.{nearest(field, known)}")
        if field in found:
            raise UsageError(f"Two columns are mapped to '{field}'; name one of them.")
        found[field] = _position(columns, column)
    return found


def override(mapping: FileMapping, columns: Sequence[str], said: Mapping[str, str]) -> FileMapping:
    """Give the mapping with what the user said in place of what was known, in every emit that has such a field."""
    told = positions(columns, said)
    names = {field: columns[at] for field, at in told.items()}
    nowhere = [f for f in names if not any(_has(e, f) for e in mapping.emits)]
    if nowhere:
        kinds = ", ".join(e.kind for e in mapping.emits)
        message = f"'{nowhere[0]}' is no field of {kinds}, which this file gives. Say --as KIND to load it as another."
        raise UsageError(message)
    emits = tuple(_overridden(e, names) for e in mapping.emits)
    return completed(replace(mapping, emits=emits, confidence=1.0), columns)


def _overridden(emit: Emit, names: Mapping[str, str]) -> Emit:
    subject = tuple(r for r in emit.subject if r.to not in names)
    said = [ColumnRule(to=f, source=names[f], parse=p) for f, p in _PARSES.items() if f in names]
    columns = [r for r in emit.columns if r.to not in names]
    fields = {c.name for c in find_kind(emit.kind).columns} - {"subject_id"}
    columns += [_rule(emit, f, names[f]) for f in names if f in fields]
    return replace(emit, subject=(*said, *subject), columns=tuple(columns))


def _rule(emit: Emit, field: str, source: str) -> ColumnRule:
    """Give the rule of a field: as it was read before, from its new column."""
    old = next((r for r in emit.columns if r.to == field), None)
    return replace(old, source=source, confidence=1.0) if old else ColumnRule(to=field, source=source)


def _has(emit: Emit, field: str) -> bool:
    return field in _PARSES or any(c.name == field for c in find_kind(emit.kind).columns)


def _position(columns: Sequence[str], column: str) -> int:
    """Give the position of a column by its header, its header without signs, or its number."""
    if column in columns:
        return list(columns).index(column)
    alike = [i for i, c in enumerate(columns) if normalised(c) == normalised(column)]
    if len(alike) == 1:
        return alike[0]
    if column.isdigit() and int(column) < len(columns):
        return int(column)
    raise UsageError(f"There is no column '{column}'.{nearest(column, columns)} There are: {', '.join(columns)}.")
