"""All emits of a mapping over one file as SQL: which records are refused and why, and the facts of the others.

A record is refused when any emit that it matches refuses it. What one line decides alone (plain emits, the texts of
grouped ones) is one test in one scan; what several lines or nested elements decide is found in steps of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.ledger import parsing
from nextbest.ledger.intake import facts as one
from nextbest.ledger.intake import people
from nextbest.ledger.intake.facts import Facts, Reason
from nextbest.ledger.intake.scan import ROW, named
from nextbest.ledger.parsing import call, literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger.intake.context import Context
    from nextbest.ledger.mapping import Aggregate, Emit, FileMapping

PROBLEM, ELEMENT, REFUSED = "_problem", "_element", "_refused"
_UNMATCHED = "is kept by no rule of the mapping"


@dataclass(frozen=True, slots=True)
class Plan:
    """The compiled mapping: `plain` emits decide per record; `nested` and `grouped` ones need several.

    `checked` is the relation of its records with all their values, once these have been written down: every emit and
    every identity reads it, instead of working all of them out again.
    """

    facts: tuple[Facts, ...]
    reasons: tuple[Reason, ...]
    context: Context
    checked: exp.Expr | None = None

    @property
    def simple(self) -> bool:
        """Tell whether every record is decided alone, so that one scan of the file per emit is enough."""
        return not any(f.emit.group_by or f.emit.unnest for f in self.facts)


def plan(mapping: FileMapping, context: Context) -> Plan:
    """Compile a mapping for a file; raises `DataError` for a column that the file does not have."""
    made = tuple(_facts(emit, i, context) for i, emit in enumerate(mapping.emits))
    reasons: list[Reason] = []
    if not mapping.ignore_unmatched and all(f.match is not None for f in made):
        unmatched = exp.not_(exp.or_(*(f.match.copy() for f in made if f.match is not None)))
        reasons.append(Reason(unmatched, "", exp.null(), _UNMATCHED, "Add a rule for it, or ignore such lines."))
    for fact in made:
        reasons += _of_records(fact, context)
    return Plan(made, tuple(reasons), context)


def _facts(emit: Emit, index: int, context: Context) -> Facts:
    return one.facts(emit, index, context, element=exp.column(ELEMENT) if emit.unnest else None)


def _of_records(fact: Facts, context: Context) -> list[Reason]:
    """Give the reasons that one record decides alone, limited to the records that the emit matches."""
    if fact.emit.unnest:
        found = [_not_a_list(fact.emit, context)]
    elif fact.emit.group_by:
        found = fact.refusals
    else:
        found = [*fact.refusals, *fact.checks]
    if fact.match is None:
        return found
    return [replace(r, test=exp.and_(fact.match.copy(), r.test)) for r in found]


def _not_a_list(emit: Emit, context: Context) -> Reason:
    array = nested(emit, context)
    given = exp.not_(parsing.trimmed(array).is_(exp.null()))
    is_list = call("json_type", array).eq(literal("ARRAY"))
    fine = exp.case().when(call("json_valid", array), is_list).else_(exp.false())
    return Reason(exp.and_(given, exp.not_(fine)), emit.unnest, array, "is not a JSON list", "Correct the JSON text.")


def nested(emit: Emit, context: Context) -> exp.Expr:
    """Give the text of the nested list of an emit that unnests."""
    if context.has(emit.unnest):
        return context.column(emit.unnest)
    head, *path = emit.unnest.split(".")
    column = context.column(head)
    found = call("json_extract", column, literal(one.json_path(tuple(path))))
    return exp.case().when(call("json_valid", column), exp.cast(found, "VARCHAR"))


def to_fill(made: Plan) -> tuple[exp.Expr, list[str]] | None:
    """Give the group key and the columns that a line takes from its group when they are empty: who, and when."""
    keys = {f.emit.group_by for f in made.facts if f.emit.group_by}
    if len(keys) != 1 or all(f.emit.group_by for f in made.facts):
        return None
    key = [made.context.column(name) for name in next(iter(keys))]
    sources = {
        rule.source
        for fact in made.facts
        for rule in (*fact.emit.subject, *(r for r in fact.emit.columns if r.to == "ts"))
        if made.context.has(rule.source) and rule.source not in next(iter(keys))
    }
    columns = sorted(made.context.column(source).name for source in sources)
    return (key[0] if len(key) == 1 else call("concat_ws", literal("\x1f"), *key), columns) if columns else None


# --- relations ------------------------------------------------------------------------------------------------------


def records(made: Plan, relation: exp.Expr) -> exp.Select:
    """Give every record with the values of the emits and, as `_problem`, the number of the first reason against it."""
    if made.checked is not None:
        return exp.select("*").from_(made.checked)
    query = exp.select("*").from_(relation)
    for fact in made.facts:
        if not fact.emit.unnest:
            query = query.select(*_values(fact), copy=False)
    return exp.select("*", problem(made.reasons)).from_(query.subquery("r", copy=False), copy=False)


def problem(reasons: tuple[Reason, ...] | list[Reason]) -> exp.Expr:
    """Give the number (from 1) of the first reason that holds, or NULL."""
    case = exp.case()
    for number, reason in enumerate(reasons, 1):
        case = case.when(reason.test.copy(), exp.Literal.number(number), copy=False)
    return exp.alias_(case if reasons else exp.null(), PROBLEM, copy=False)


def elements(fact: Facts, made: Plan, relation: exp.Expr) -> exp.Select:
    """Give every element of an emit's nested list, with its values and `_problem` (a number within its own reasons)."""
    array = nested(fact.emit, made.context)
    good = exp.and_(call("json_valid", array), call("json_type", array).eq(literal("ARRAY")))
    listed = exp.case().when(good, call("json_transform", array, literal('["JSON"]')))
    query = exp.select("*", exp.alias_(call("unnest", listed), ELEMENT)).from_(relation)
    if fact.match is not None:
        query = query.where(fact.match.copy())
    texts = exp.Star(replace=[exp.alias_(exp.cast(exp.column(ELEMENT), "VARCHAR"), ELEMENT)])
    query = exp.select(texts).from_(query.subquery("u", copy=False), copy=False)
    query = exp.select("*", *_values(fact)).from_(query.subquery("t", copy=False), copy=False)
    return exp.select("*", problem([*fact.refusals, *fact.checks])).from_(query.subquery("r", copy=False), copy=False)


def groups(fact: Facts, made: Plan, relation: exp.Expr) -> exp.Select:
    """Give every group of an emit, from the lines that are not refused, with its values, lines and `_problem`."""
    lines = records(made, relation).subquery("l")
    query = exp.select(exp.alias_(call("min", exp.column(ROW)), ROW)).from_(lines).where(_open(fact))
    keys = [fact.value(n) for n in fact.values if n.startswith("key")]
    query = query.select(*(k.copy() for k in keys)).group_by(*keys)
    for name in fact.values:
        if not name.startswith("key"):
            query = query.select(exp.alias_(_aggregate(fact, name), f"{fact.prefix}{name}"), copy=False)
    return exp.select("*", problem(fact.checks)).from_(query.subquery("g", copy=False), copy=False)


def lines_of(fact: Facts, made: Plan, relation: exp.Expr) -> exp.Select:
    """Give the lines of the groups that are refused, with the reason: `_row`, `_problem`."""
    keys = [n for n in fact.values if n.startswith("key")]
    bad = groups(fact, made, relation).subquery("g")
    lines = records(made, relation).subquery("l")
    same = exp.and_(
        *(exp.column(f"{fact.prefix}{k}", table="b").eq(exp.column(f"{fact.prefix}{k}", table="n")) for k in keys)
    )
    refused = exp.select("*").from_(bad).where(exp.not_(exp.column(PROBLEM).is_(exp.null())))
    usable = exp.select("*").from_(lines).where(_open(fact))
    return (
        exp.select(exp.column(ROW, table="n"), exp.column(PROBLEM, table="b"))
        .from_(usable.subquery("n", copy=False), copy=False)
        .join(refused.subquery("b"), on=same)
    )


def rows(fact: Facts, made: Plan, relation: exp.Expr, *, drawn: exp.Expr | None = None) -> exp.Select:
    """Give the rows of an emit as its kind stores them, from the records that are not refused.

    `drawn` (false, with a side effect) is evaluated once for every refused record: it counts them in the same scan.
    """
    query = exp.select(*(o.copy() for o in fact.outputs))
    return query.from_(accepted(fact, made, relation, drawn=drawn).subquery("f", copy=False), copy=False)


def accepted(fact: Facts, made: Plan, relation: exp.Expr, *, drawn: exp.Expr | None = None) -> exp.Select:
    """Give the values of an emit for the records that are not refused."""
    if fact.emit.unnest:
        return (
            exp.select("*")
            .from_(elements(fact, made, relation).subquery("e", copy=False), copy=False)
            .where(_not_refused(), copy=False)
        )
    if fact.emit.group_by:
        return exp.select("*").from_(groups(fact, made, relation).subquery("e", copy=False), copy=False)
    wanted = _open(fact, refused=not made.simple)
    needed = one.SKIPPED_WHEN_EMPTY.get(fact.kind.name, "")
    if needed in fact.values:
        wanted = exp.and_(wanted, exp.not_(fact.value(needed).is_(exp.null())))
    if drawn is not None:
        wanted = exp.case().when(exp.not_(exp.column(PROBLEM).is_(exp.null())), drawn).else_(wanted)
    return (
        exp.select("*").from_(records(made, relation).subquery("e", copy=False), copy=False).where(wanted, copy=False)
    )


def identities(made: Plan, relation: exp.Expr) -> Iterator[exp.Select]:
    """Give, per identifier, the distinct rows of kind `identities` of the records that are not refused."""
    for fact in made.facts:
        if fact.kind.name in {"consent", "links", "items"}:
            continue
        for identity_type, subject, identity in people.identities(fact, made.context):
            row = accepted(fact, made, relation).subquery("f")
            typed = exp.alias_(literal(identity_type), "identity_type")
            query = exp.select(exp.alias_(subject.copy(), "subject_id"), typed, exp.alias_(identity.copy(), "identity"))
            found = query.from_(row).distinct().subquery("i")
            yield exp.select("*").from_(found).where(exp.not_(exp.column("identity").is_(exp.null())))


def _values(fact: Facts) -> list[exp.Expr]:
    return [exp.alias_(v, f"{fact.prefix}{n}") for n, v in fact.values.items()]


def _open(fact: Facts, *, refused: bool = True) -> exp.Expr:
    """Tell whether a record is matched by the emit, has no problem of its own, and is not refused for another."""
    tests: list[exp.Expr] = [exp.column(PROBLEM).is_(exp.null())]
    if fact.match is not None:
        tests.append(fact.match.copy())
    if refused:
        tests.append(_not_refused())
    return exp.and_(*tests)


def _not_refused() -> exp.Expr:
    refused = exp.select(ROW).from_(named(REFUSED))
    return exp.not_(exp.In(this=exp.column(ROW), query=refused.subquery()))


def _aggregate(fact: Facts, name: str) -> exp.Expr:
    rule = next((r for r in fact.emit.columns if r.to == name), None)
    how: Aggregate = rule.aggregate if rule is not None else "first"
    value = fact.value(name)
    if how in {"sum", "min", "max", "count"}:
        return call(how, value)
    return call("arg_min" if how == "first" else "arg_max", value, exp.column(ROW))
