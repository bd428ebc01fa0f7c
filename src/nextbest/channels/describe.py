"""A mapping as lines that a person can read, and repeat with --map."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

DOUBTFUL = 0.7


def describe(mapping: FileMapping) -> list[str]:
    """Give what the file gives, one line per kind and one per column; doubtful columns end in a question mark."""
    lines = [line for emit in mapping.emits for line in _emit(emit)]
    if mapping.columns_unused:
        lines.append(f"not used: {', '.join(mapping.columns_unused)}")
    return lines


def advice(mapping: FileMapping) -> tuple[str, ...]:
    """Give what to say when rows may be orders: somebody, a moment, and nothing that tells what happened."""
    if len(mapping.emits) != 1 or mapping.emits[0].kind != "custom":
        return ()
    name = mapping.emits[0].constants.get("name")
    if name is None:
        return ()
    return (f"Nothing says what happened in a row: each counts as an event '{name}'. If each is an order: --as order.",)


def _emit(emit: Emit) -> Iterator[str]:
    yield f"{emit.kind}: one row per {_row(emit)}{_conditions(emit)}"
    for rule in emit.subject:
        yield f"  {_source(rule)} = subject_id ({rule.parse}){_doubt(rule)}"
    for rule in emit.columns:
        yield f"  {_source(rule)} = {rule.to} ({rule.parse}){_doubt(rule)}"
    for name, value in emit.constants.items():
        yield f"  always {value!r} = {name}"


def _row(emit: Emit) -> str:
    if emit.unnest:
        return f"element of {emit.unnest}"
    return " and ".join(emit.group_by) or "line"


def _conditions(emit: Emit) -> str:
    said = [f"{name} is {' or '.join(values[:4])}" for name, values in emit.where.items()]
    return f", where {' and '.join(said)}" if said else ""


def _source(rule: ColumnRule) -> str:
    return ".".join([str(rule.source), *rule.path])


def _doubt(rule: ColumnRule) -> str:
    return "" if rule.confidence >= DOUBTFUL else f" {rule.confidence:.0%}?"
