"""How text becomes a typed value, as SQL: each rule gives the value and the test that refuses the text.

    "1.234,50 €" as number with a decimal comma   1234.5
    "(12.00)"    as number                        -12.0
    "nan"        as number                        refused
    "13/02/2024" as date_mdy                      refused: there is no month 13

The quick way comes first and is enough for most rows; the patient way is tried only for what it refuses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sqlglot import exp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nextbest.ledger.mapping import Parse

TEXT_LIMIT = 65_536
_UNREADABLE = "is longer than 64 KB or holds a NUL character"
MISSING = ("NULL", "null", "\\N", "#N/A", "N/A", "n/a")
_MISSING_IDS = (*MISSING, "nan", "NaN", "None", "none", "NONE", "undefined")
_YES = ("true", "t", "yes", "y", "1", "1.0", "on", "subscribed", "opted_in", "wahr", "ja", "oui", "si", "sí")
_NO = (
    *("false", "f", "no", "n", "0", "0.0", "off", "unsubscribed", "opted_out", "never_subscribed", "not_subscribed"),
    *("falsch", "nein", "non"),
)
_CURRENCY = r"\p{Sc}|\b[A-Z]{3}\b|\b(?:kr|Fr)\b\.?|zł|Kč|(?:US|CA|AU|NZ|HK|R)\$"
_GAP = r"\s\x{00A0}\x{202F}\x{2009}"
_EMAIL = r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s.,;<>]+"
_PHONE = r"\+?[\d\s().\-/]{7,24}"
_TIMES = (
    "",
    " %H:%M:%S",
    " %H:%M",
    " %I:%M:%S %p",
    " %I:%M %p",
    ", %H:%M:%S",
    ", %H:%M",
    ", %I:%M %p",
    ", %I:%M:%S %p",
)
_WRITTEN = (
    *("%b %d, %Y", "%d %b %Y", "%B %d, %Y", "%d %B %Y", "%d-%b-%Y", "%a, %d %b %Y", "%Y.%m.%d", "%Y%m%d", "%Y-%m-%d"),
)
_DAY_FIRST = ("%d/%m/%y", "%d/%m/%Y")
_MONTH_FIRST = ("%m/%d/%y", "%m/%d/%Y")
_EPOCH_SCALE = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}
_EPOCH_LIMIT = 253_402_300_799_000_000  # the end of the year 9999, in microseconds


@dataclass(frozen=True, slots=True)
class Parsed:
    """A typed value, and what makes it fine (for plain text: size and no NUL); `why` says to people what is not."""

    value: exp.Expr
    why: str
    text: exp.Expr
    fine: Callable[[exp.Expr], exp.Expr] | None = None

    def refused(self, value: exp.Expr) -> exp.Expr:
        """Give the test of a row; *value* is where the value has been computed, so that it is not computed twice."""
        return _unreadable(self.text) if self.fine is None else _unless(self.text, self.fine(value))


def parsed(text: exp.Expr, parse: Parse, *, decimal: str = ".", scale: float = 1.0) -> Parsed:
    """Give the value of a text expression (NULL where missing) read as *parse* says."""
    if parse in _RULES:
        return _RULES[parse](text)
    factor = 0.01 if parse in {"minor_units", "percent"} and scale == 1.0 else scale
    if parse == "percent":
        return _percent(text, decimal, factor)
    return _number(text, decimal, factor, whole=parse == "integer")


def email(text: exp.Expr) -> exp.Expr:
    """Give the one spelling of an e-mail, or NULL when it is none: as `identities.normalise` has it."""
    spelt = call("lower", trimmed(text))
    return exp.case().when(matches(spelt, _EMAIL), spelt.copy())


def phone(text: exp.Expr) -> exp.Expr:
    """Give the one spelling of a telephone number, or NULL when it is none: as `identities.normalise` has it."""
    number = trimmed(call("ltrim", text.copy(), literal("'")))
    digits = call("regexp_replace", number.copy(), literal(r"\D"), literal(""), literal("g"))
    foreign = exp.or_(call("starts_with", number.copy(), literal("+")), call("starts_with", digits, literal("00")))
    spelt = (
        exp.case()
        .when(foreign, call("concat", literal("+"), call("ltrim", digits.copy(), literal("0"))))
        .else_(digits.copy())
    )
    return exp.case().when(matches(number.copy(), _PHONE), spelt)


def offset_minutes(text: exp.Expr) -> exp.Expr:
    """Give the minutes that a time's text lies ahead of UTC, or NULL when it does not say."""
    pattern = literal(r"([+-])(\d{2}):?(\d{2})$")
    sign, hours, minutes = (call("regexp_extract", text, pattern, exp.Literal.number(i)) for i in (1, 2, 3))
    signed_hours = try_cast(call("concat", sign, hours), "BIGINT")
    signed_minutes = try_cast(call("concat", sign, minutes), "BIGINT")
    sixty = exp.Mul(this=signed_hours, expression=exp.Literal.number(60))
    ahead = exp.Add(this=sixty, expression=signed_minutes)
    short = exp.LTE(this=call("strlen", text), expression=exp.Literal.number(len("2026-01-01 00:00:00")))
    utc = call("regexp_matches", text, literal(r"(Z|UTC|GMT)$"))
    return exp.case().when(short, exp.null()).when(utc, exp.Literal.number(0)).else_(ahead)


def guess_date_order(values: Iterable[str]) -> Parse | None:
    """Give `date_dmy` or `date_mdy` when the values decide it (a 13 in one place), else None: ask."""
    firsts, seconds = 0, 0
    for value in values:
        found = re.match(r"\s*(\d{1,2})[./-](\d{1,2})[./-]\d{2,4}", value)
        if found:
            firsts, seconds = max(firsts, int(found[1])), max(seconds, int(found[2]))
    if firsts > 12 >= seconds:
        return "date_dmy"
    if seconds > 12 >= firsts:
        return "date_mdy"
    return None


# --- the rules ------------------------------------------------------------------------------------------------------


def _text(text: exp.Expr) -> Parsed:
    odd = exp.or_(text.copy() < literal("!"), call("ends_with", text, literal(" ")))
    return Parsed(exp.case().when(odd, trimmed(text)).else_(text.copy()), _UNREADABLE, text)


def _id(text: exp.Expr) -> Parsed:
    """Keep an id as it is ('007'), but for spaces and the apostrophe that some exports put before it."""
    plain = trimmed(call("ltrim", trimmed(text), literal("'")))
    careful = exp.case().when(one_of(plain, _MISSING_IDS), exp.null()).else_(plain.copy())
    odd = exp.or_(text.copy() < literal("("), call("ends_with", text, literal(" ")))
    value = exp.case().when(odd, careful).when(one_of(text, _MISSING_IDS), exp.null()).else_(text.copy())
    return Parsed(value, _UNREADABLE, text)


def _email(text: exp.Expr) -> Parsed:
    return Parsed(call("lower", _text(text).value), _UNREADABLE, text)


def _phone(text: exp.Expr) -> Parsed:
    return Parsed(trimmed(call("ltrim", trimmed(text), literal("'"))), _UNREADABLE, text)


def _json(text: exp.Expr) -> Parsed:
    return Parsed(trimmed(text), "is not valid JSON", text, partial(call, "json_valid"))


def _number(text: exp.Expr, decimal: str, scale: float, *, whole: bool = False) -> Parsed:
    value: exp.Expr = call("coalesce", _quick_number(text, decimal), _patient_number(text, decimal))
    if scale != 1.0:
        value = exp.Mul(this=value, expression=exp.Literal.number(scale))
    return Parsed(value, f"is not a {'whole' if whole else 'finite'} number", text, _whole if whole else _finite)


def _finite(value: exp.Expr) -> exp.Expr:
    return call("isfinite", value)


def _whole(value: exp.Expr) -> exp.Expr:
    return exp.and_(_finite(value), exp.EQ(this=value.copy(), expression=call("floor", value)))


def _quick_number(text: exp.Expr, decimal: str) -> exp.Expr:
    if decimal == ".":
        return try_cast(text.copy(), "DOUBLE")
    commas = call("replace", text, literal(","), literal("."))
    return exp.case().when(exp.not_(call("contains", text, literal("."))), try_cast(commas, "DOUBLE"))


def _patient_number(text: exp.Expr, decimal: str) -> exp.Expr:
    """Understand currency signs, thousands in groups, parentheses and a minus behind; refuse what is ambiguous."""
    bare = trimmed(replaced(replaced(text, _CURRENCY, ""), r"[\x{2212}\x{2012}\x{2013}]", "-"))
    bare = replaced(replaced(bare, r"^\(\s*(.*?)\s*\)$", r"-\1"), r"^(.*\d)\s*-$", r"-\1")
    bare = replaced(bare, rf"^([+-])[{_GAP}]+|[{_GAP}]+$", r"\1")
    other = "," if decimal == "." else "."
    mark, group = re.escape(decimal), rf"[{re.escape(other)}'\x{{2019}}{_GAP}]"
    grouped = rf"[+-]?\d{{1,3}}(?:{group}\d{{2,3}})*{group}\d{{3}}(?:{mark}\d*)?"
    plain = rf"[+-]?(?:\d+{mark}?\d*|{mark}\d+)"
    foreign = rf"[+-]?\d+{re.escape(other)}\d{{1,2}}"  # 12,5 in a file of decimal points can only be 12.5
    digits = call("replace", replaced(bare, group, ""), literal(decimal), literal("."))
    swapped = call("replace", bare, literal(other), literal("."))
    return (
        exp.case()
        .when(matches(bare, f"{plain}|{grouped}"), try_cast(digits, "DOUBLE"))
        .when(matches(bare, foreign), try_cast(swapped, "DOUBLE"))
    )


def _percent(text: exp.Expr, decimal: str, scale: float) -> Parsed:
    found = _number(call("rtrim", text, literal("% ")), decimal, scale)
    return Parsed(found.value, found.why, text, found.fine)


def _boolean(text: exp.Expr) -> Parsed:
    spelt = call("lower", call("trim", text))
    value = exp.case().when(one_of(spelt, _YES), exp.true()).when(one_of(spelt, _NO), exp.false())
    return Parsed(value, "is neither yes nor no", text, _present)


def _timestamp(text: exp.Expr) -> Parsed:
    offset = replaced(trimmed(text), r"\s*([+-]\d{2}):?(\d{2})$", r"\1:\2")
    formats = [d + t for d in _WRITTEN for t in _TIMES]
    value = call("coalesce", _iso(text), _iso(offset), _strptime(trimmed(text), formats))
    return Parsed(value, "is not a date or time", text, _present)


def _date(text: exp.Expr, *, days: tuple[str, ...]) -> Parsed:
    plain = trimmed(text)
    slashes = replaced(plain, r"^(\d{1,2})[.\-](\d{1,2})[.\-](\d{2,4})", r"\1/\2/\3")
    formats = [d + t for t in _TIMES for d in days]
    value = call("coalesce", _strptime(plain, formats), _strptime(slashes, formats), _iso(plain))
    order = "day/month/year" if days is _DAY_FIRST else "month/day/year"
    return Parsed(value, f"is not a date ({order})", text, _present)


def _yyyymmdd(text: exp.Expr) -> Parsed:
    value = call("coalesce", _strptime(trimmed(text), ["%Y%m%d"]), _iso(text))
    return Parsed(value, "is not a date (YYYYMMDD)", text, _present)


def _epoch(text: exp.Expr, *, scale: int) -> Parsed:
    scaled = exp.Mul(this=try_cast(text.copy(), "DOUBLE"), expression=exp.Literal.number(scale))
    micros = try_cast(call("round", scaled), "BIGINT")
    sane = exp.Between(this=micros, low=exp.Literal.number(-_EPOCH_LIMIT), high=exp.Literal.number(_EPOCH_LIMIT))
    value = exp.case().when(sane, call("make_timestamptz", micros))
    return Parsed(value, "is not a time in epoch units", text, _present)


def _iso(text: exp.Expr) -> exp.Expr:
    """Read ISO 8601; 'epoch' and 'infinity' begin with no digit and are refused. No offset: the session's zone."""
    starts = exp.and_(text.copy() >= literal("0"), text.copy() < literal(":"))
    return exp.case().when(starts, try_cast(text.copy(), "TIMESTAMPTZ"))


def _strptime(text: exp.Expr, formats: list[str]) -> exp.Expr:
    """Try formats in turn; a text without a digit is refused: DuckDB takes 'epoch' for a time in any of them."""
    listed = call("string_split", literal("|".join(formats)), literal("|"))
    found = exp.cast(call("try_strptime", text, listed), "TIMESTAMPTZ")
    return exp.case().when(call("regexp_matches", text, literal(r"\d")), found)


_RULES: dict[str, Callable[[exp.Expr], Parsed]] = {
    "text": _text,
    "email": _email,
    "phone": _phone,
    "id": _id,
    "json": _json,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "date_dmy": partial(_date, days=_DAY_FIRST),
    "date_mdy": partial(_date, days=_MONTH_FIRST),
    "yyyymmdd": _yyyymmdd,
    **{name: partial(_epoch, scale=scale) for name, scale in _EPOCH_SCALE.items()},
}


def _present(value: exp.Expr) -> exp.Expr:
    return exp.not_(value.copy().is_(exp.null()))


def _unreadable(text: exp.Expr) -> exp.Expr:
    nul = call("contains", text, call("chr", exp.Literal.number(0)))
    return exp.or_(exp.GT(this=call("strlen", text), expression=exp.Literal.number(TEXT_LIMIT)), nul)


def _unless(text: exp.Expr, fine: exp.Expr) -> exp.Expr:
    """Refuse a text that is there, is no spelling of 'missing', and is not fine."""
    excused = one_of(call("trim", text), ("", *MISSING))
    empty = text.copy().is_(exp.null())
    return exp.case().when(empty, exp.false()).when(fine, exp.false()).else_(exp.not_(excused))


# --- small expressions ----------------------------------------------------------------------------------------------


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """Give a call of a DuckDB function under its own name."""
    return exp.Anonymous(this=name, expressions=[a.copy() for a in arguments])


def literal(text: str) -> exp.Literal:
    """Give a text literal."""
    return exp.Literal.string(text)


def try_cast(value: exp.Expr, kind: str) -> exp.Expr:
    """Give the value as another type, or NULL."""
    return exp.TryCast(this=value, to=exp.DataType.build(kind, dialect="duckdb"))


def trimmed(text: exp.Expr) -> exp.Expr:
    """Give the text without spaces around it, NULL when nothing is left."""
    return call("nullif", call("trim", text), literal(""))


def one_of(value: exp.Expr, texts: Iterable[str]) -> exp.Expr:
    """Tell whether a value is one of the texts."""
    return exp.In(this=value.copy(), expressions=[literal(t) for t in texts])


def matches(text: exp.Expr, pattern: str) -> exp.Expr:
    """Tell whether the whole text matches."""
    return call("regexp_full_match", text, literal(pattern))


def replaced(text: exp.Expr, pattern: str, by: str) -> exp.Expr:
    """Give the text with every match of the pattern replaced."""
    return call("regexp_replace", text, literal(pattern), literal(by), literal("g"))
