"""Which columns of a file a mapping uses, and which it leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextbest.ledger.mapping import Emit, FileMapping


def completed(mapping: FileMapping, columns: Sequence[str]) -> FileMapping:
    """Give the mapping with `columns_used` and `columns_unused` as they follow from its emits."""
    used = {name for emit in mapping.emits for name in _sources(emit, columns)}
    return replace(
        mapping,
        columns_used=tuple(c for c in columns if c in used),
        columns_unused=tuple(c for c in columns if c not in used),
    )


def _sources(emit: Emit, columns: Sequence[str]) -> Iterator[str]:
    for rule in (*emit.columns, *emit.subject):
        if isinstance(rule.source, str):
            yield rule.source
        elif 0 <= rule.source < len(columns):
            yield columns[rule.source]
    yield from emit.group_by
    yield from emit.where
    if emit.unnest:
        yield emit.unnest if emit.unnest in columns else emit.unnest.split(".", 1)[0]
