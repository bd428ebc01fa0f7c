"""One emit as SQL: values from texts, the reasons to refuse a row, and the columns of the ledger.

record  SELECT *, <values e0_...> FROM <file>            one row per record; what cannot be read is refused here
group   SELECT <aggregates of values> ... GROUP BY keys  only for `group_by`
fact    SELECT <columns of the kind> FROM record         required columns, dates and subject are checked here
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.ledger import parsing
from nextbest.ledger.intake import people
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.parsing import call, literal, parsed

if TYPE_CHECKING:
    from nextbest.ledger.intake.context import Context
    from nextbest.ledger.kinds import Column, Kind
    from nextbest.ledger.mapping import ColumnRule, Emit, Parse

SKIPPED_WHEN_EMPTY = {"links": "to_subject_id", "consent": "allowed", "identities": "identity"}
_SQL_TYPE = {
    "text": "VARCHAR",
    "number": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMPTZ",
}
_TEXTUAL = frozenset({"text", "id", "email", "phone", "json"})
_PARSE_OF: dict[str, Parse] = {"number": "number", "integer": "integer", "boolean": "boolean", "timestamp": "timestamp"}
_MOMENTS = frozenset({"timestamp", "date_dmy", "date_mdy", "yyyymmdd", "epoch_s", "epoch_ms", "epoch_us"})
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a row is refused: the test, the column and text it is about, what is wrong, and what to do."""

    test: exp.Expr
    column: str
    text: exp.Expr
    why: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Facts:
    """The SQL of one emit; aliases carry the emit's prefix, so that several emits share one scan."""

    emit: Emit
    kind: Kind
    prefix: str
    match: exp.Expr | None
    values: dict[str, exp.Expr]
    texts: dict[str, exp.Expr]
    refusals: list[Reason]
    checks: list[Reason] = field(default_factory=list)
    outputs: list[exp.Expr] = field(default_factory=list)
    skip: exp.Expr | None = None

    def value(self, name: str) -> exp.Column:
        """Give the column that holds a value."""
        return exp.column(f"{self.prefix}{name}")


def facts(emit: Emit, index: int, context: Context, *, element: exp.Expr | None = None) -> Facts:
    """Give the SQL of one emit; `element` is the nested value that its rules read from when it unnests."""
    kind = find_kind(emit.kind)
    made = Facts(emit, kind, f"e{index}_", _match(emit, context), {}, {}, [])
    for rule in emit.columns:
        if rule.required or context.has(rule.source) or is_nested(emit, rule):
            _add(made, rule, rule.to, context, element)
    for position, rule in enumerate(emit.subject):
        if context.has(rule.source) or is_nested(emit, rule):
            _add(made, rule, f"subject{position}", context, element)
    _group_keys(made, context)
    _finish(made, context)
    return made


def _add(made: Facts, rule: ColumnRule, name: str, context: Context, element: exp.Expr | None) -> None:
    """Add the value of one rule and the reasons why its text may be refused."""
    base = element if element is not None and is_nested(made.emit, rule) else context.column(rule.source)
    text, column = _text(rule, base), context.header(rule.source)
    if rule.path and base is not element:
        bad = exp.and_(_given(base), exp.not_(call("json_valid", base)))
        made.refusals.append(Reason(bad, column, base, "is not valid JSON", "Correct the JSON text."))
    known = made.kind.column(name) if not name.startswith("subject") or name in _names(made.kind) else None
    parse = _effective(rule, known)
    reading = parsed(text, parse, decimal=context.decimal, scale=rule.scale)
    value = reading.value
    if known is not None and known.type == "text" and parse not in _TEXTUAL:
        value = exp.cast(value, "VARCHAR")
    made.values[name], made.texts[name] = value, text
    test = reading.refused(reading.value if value is not reading.value else made.value(name))
    made.refusals.append(Reason(test, column, text, reading.why, _REMEDIES.get(parse, "Correct the value.")))
    if name == "ts" and parse == "timestamp":
        made.values["ts_offset_min"] = parsing.offset_minutes(text)


def _effective(rule: ColumnRule, column: Column | None) -> Parse:
    """Give the rule's parse, or the one that the column's type asks for when the rule says no more than 'text'."""
    if column is not None and rule.parse == "text" and column.type != "text":
        return _PARSE_OF[column.type]
    return rule.parse


def _text(rule: ColumnRule, base: exp.Expr) -> exp.Expr:
    text = base
    if rule.path:
        name = "json_extract" if rule.parse == "json" else "json_extract_string"
        found = exp.cast(call(name, base, literal(json_path(rule.path))), "VARCHAR")
        text = exp.case().when(call("json_valid", base), found)
    if rule.values:
        spelt = call("lower", call("trim", text))
        renamed = exp.case()
        for old, new in rule.values.items():
            renamed = renamed.when(spelt.copy().eq(literal(old.strip().lower())), literal(new))
        text = renamed.else_(text.copy())
    return text


def json_path(path: tuple[str, ...]) -> str:
    """Give a path for DuckDB's JSON functions: names quoted, digits as positions."""
    escaped = (p.replace("\\", "\\\\").replace('"', '\\"') for p in path)
    return "$" + "".join(f"[{p}]" if p.isdigit() else f'."{p}"' for p in escaped)


def is_nested(emit: Emit, rule: ColumnRule) -> bool:
    """Tell whether a rule reads the elements of the list that its emit unnests."""
    return bool(emit.unnest) and rule.source == emit.unnest


def _match(emit: Emit, context: Context) -> exp.Expr | None:
    tests = [
        parsing.one_of(call("lower", call("trim", context.column(name))), [v.strip().lower() for v in values])
        for name, values in emit.where.items()
    ]
    return call("coalesce", exp.and_(*tests), exp.false()) if tests else None


def _group_keys(made: Facts, context: Context) -> None:
    for position, header in enumerate(made.emit.group_by):
        key = context.column(header)
        made.values[f"key{position}"] = parsing.trimmed(key)
        reason = "is empty, so that the line belongs to no group"
        made.refusals.append(Reason(exp.not_(_given(key)), header, key, reason, "Fill in the column."))


def _finish(made: Facts, context: Context) -> None:
    """Add what is checked and given per fact, once its values are known."""
    subject = people.subject_id(made, context)
    needed = SKIPPED_WHEN_EMPTY.get(made.kind.name)
    for column in made.kind.columns:
        value = _output(made, column, context, subject)
        if column.type == "timestamp" and column.name in made.values:
            made.checks.append(_in_bounds(made, column, context))
        if column.name == needed and column.name in made.values:
            continue
        if column.required and column.name not in _PROVIDED:
            made.checks.append(_required(made, column, value))
    for rule in made.emit.columns:
        if rule.required and rule.to in made.values and not made.kind.column(rule.to).required:
            made.checks.append(_required(made, made.kind.column(rule.to), made.value(rule.to)))


def _output(made: Facts, column: Column, context: Context, subject: exp.Expr | None) -> exp.Expr:
    value = _given_value(made, column, context, subject)
    typed = exp.cast(value, _SQL_TYPE[column.type])
    made.outputs.append(exp.alias_(typed, column.name, quoted=True))
    return value


def _given_value(made: Facts, column: Column, context: Context, subject: exp.Expr | None) -> exp.Expr:
    """Give where a column's value comes from: the subject, a rule, a constant, what intake knows, or nowhere."""
    name = column.name
    if name == "subject_id" and subject is not None:
        return subject
    if name in {"subject_id", "to_subject_id"} and name in made.values:
        return people.spaced(made.value(name), next(r for r in made.emit.columns if r.to == name), context)
    known = {
        "subject_type": literal(made.emit.subject_type),
        "received_ts": exp.cast(literal(context.received.isoformat()), "TIMESTAMPTZ"),
        "source": literal(context.source),
    }
    if made.kind.name == "consent":
        known |= {"ts": known["received_ts"], "proof": literal(f"imported from {context.source}")}
    fallback = _constant(made.emit.constants[name]) if name in made.emit.constants else known.get(name)
    if name == "event_id" and name not in made.values:
        return event_id(made, context)
    if name not in made.values:
        return fallback if fallback is not None else exp.null()
    return made.value(name) if fallback is None else call("coalesce", made.value(name), fallback)


def event_id(made: Facts, context: Context) -> exp.Expr:
    """Give the id of an event: its kind's key where the row has it, else a hash of what the row says."""
    content = [call("coalesce", exp.cast(made.value(n), "VARCHAR"), literal("")) for n in _contents(made)]
    hashed = call("md5", call("concat_ws", literal(_SEPARATOR), literal(context.namespace), *content))
    if not is_keyed(made):
        return hashed
    keys = [_keyed_value(made, k) for k in made.kind.key]
    parts = [literal(context.namespace), *keys] if context.namespace else keys
    key = parts[0] if len(parts) == 1 else call("concat_ws", literal(":"), *parts)
    if all(r.required for r in made.emit.columns if r.to in made.kind.key):
        return key
    known = exp.and_(*(exp.not_(k.copy().is_(exp.null())) for k in keys))
    return exp.case().when(known, key).else_(hashed)


def is_keyed(made: Facts) -> bool:
    """Tell whether the emit maps the columns that identify a row of its kind."""
    given = set(made.values) | set(made.emit.constants)
    return made.kind.event and bool(made.kind.key) and given.issuperset(made.kind.key)


def _keyed_value(made: Facts, name: str) -> exp.Expr:
    value = made.value(name) if name in made.values else _constant(made.emit.constants[name])
    return exp.cast(value, "VARCHAR")


def _contents(made: Facts) -> list[str]:
    if made.emit.group_by:
        return [n for n in made.values if n.startswith("key")]
    return [n for n in made.values if n != "ts_offset_min"]


def _constant(value: object) -> exp.Expr:
    return exp.convert(value)


def _names(kind: Kind) -> set[str]:
    return {c.name for c in kind.columns}


def _given(text: exp.Expr) -> exp.Expr:
    return exp.not_(parsing.trimmed(text).is_(exp.null()))


def _required(made: Facts, column: Column, value: exp.Expr) -> Reason:
    rule = next((r for r in made.emit.columns if r.to == column.name), None)
    source = column.name if rule is None else str(rule.source)
    text = made.texts.get(column.name, exp.null())
    if column.name == "subject_id":
        source = ", ".join(str(r.source) for r in made.emit.subject) or source
        why, remedy = "is empty, so that nobody knows whom the row is about", "Give an id, an e-mail or a phone."
    else:
        why, remedy = "is required and empty", "Fill in the column."
    return Reason(value.copy().is_(exp.null()), source, text, why, remedy)


def _in_bounds(made: Facts, column: Column, context: Context) -> Reason:
    low, high = context.bounds(column.name)
    value = made.value(column.name)
    test = exp.or_(value < low, value.copy() > high)
    rule = next(r for r in made.emit.columns if r.to == column.name)
    why = "is before 1900 or lies in the future"
    return Reason(test, context.header(rule.source), made.texts[column.name], why, "Correct the date.")


_PROVIDED = frozenset({"event_id", "received_ts"})
_REMEDIES: dict[Parse, str] = {
    "number": "Write a number such as 1234.50; nan, inf and ambiguous marks are not stored.",
    "integer": "Write a whole number.",
    "boolean": "Write true or false.",
    "timestamp": "Write the date as 2026-03-31 or 2026-03-31T12:00:00+02:00, or map the column as a date.",
    "date_dmy": "Write day/month/year, or map the column as date_mdy if the month comes first.",
    "date_mdy": "Write month/day/year, or map the column as date_dmy if the day comes first.",
    "text": "Shorten the text to 64 KB and remove NUL characters.",
    "json": "Correct the JSON text.",
}
