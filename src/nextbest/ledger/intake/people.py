"""Whom a row is about: the subject's id, and the identifiers that are found beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.ledger import parsing
from nextbest.ledger.intake.scan import keyed_hash
from nextbest.ledger.parsing import call, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger.intake.context import Context
    from nextbest.ledger.intake.facts import Facts
    from nextbest.ledger.mapping import ColumnRule

PSEUDONYM_DIGITS = 20
_SPELLING = {"email": parsing.email, "phone": parsing.phone}


def subject_id(made: Facts, context: Context) -> exp.Expr | None:
    """Give the id of the subject: the first identifier that the row has; None when the emit names none."""
    found = [_one(made, rule, f"subject{i}", context) for i, rule in enumerate(made.emit.subject)]
    present = [f for f in found if f is not None]
    if not present:
        return exp.null() if made.emit.subject else None
    return present[0] if len(present) == 1 else call("coalesce", *present)


def _one(made: Facts, rule: ColumnRule, name: str, context: Context) -> exp.Expr | None:
    if name not in made.values:
        return None
    if rule.parse in _SPELLING:
        spelt = _SPELLING[rule.parse](made.value(name))
        pseudonym = call("left", keyed_hash(spelt), exp.Literal.number(PSEUDONYM_DIGITS))
        return exp.case().when(exp.not_(spelt.copy().is_(exp.null())), call("concat", literal("p_"), pseudonym))
    return spaced(made.value(name), rule, context)


def spaced(value: exp.Expr, rule: ColumnRule, context: Context) -> exp.Expr:
    """Give an id under its system's name: 'shopify:901'; a file without one gives the bare id."""
    space = context.namespace if rule.namespace is None else rule.namespace
    if not space:
        return value
    return exp.case().when(exp.not_(value.copy().is_(exp.null())), call("concat", literal(f"{space}:"), value))


def identities(made: Facts, context: Context) -> Iterator[tuple[str, exp.Expr, exp.Expr]]:
    """Give (identity type, subject id, identity) for every identifier that an emit's rows show beside the subject."""
    subject = subject_id(made, context)
    if subject is None:
        return
    seen: set[tuple[str | int, str, tuple[str, ...]]] = set()
    named = [(f"subject{i}", rule) for i, rule in enumerate(made.emit.subject)]
    for position, (name, rule) in enumerate([*named, *((r.to, r) for r in made.emit.columns)]):
        key = (rule.source, rule.parse, rule.path)
        if name not in made.values or key in seen or rule.source == made.emit.unnest:
            continue
        seen.add(key)
        if rule.parse in _SPELLING:
            yield rule.parse, subject, _SPELLING[rule.parse](made.value(name))
        elif 0 < position < len(named):
            yield "external_id", subject, spaced(made.value(name), rule, context)
