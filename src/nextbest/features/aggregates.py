"""Each aggregate of the feature language as SQL over the rows of one subject before a moment.

The rows have `happened_us` (the moment of the event), `as_of`, and the columns that `inner_columns` gives: one per
different filter and one per different value. Rows of gap scans have `gap_us`, the time since the row before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.features.dialects import DAY_US, MILLION, Dialect, double, number, whole
from nextbest.features.expression import compile_sql
from nextbest.features.language import Feature, usable
from nextbest.ledger.kinds import kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = "happened_us"
GAP = "gap_us"

_EXACT = ("sum", "mean")
_MILLISECOND_US = 1_000
_MILLISECONDS_PER_DAY = DAY_US // _MILLISECOND_US


def is_gap(feature: Feature) -> bool:
    """Tell whether a feature needs the rows in order of time."""
    return feature.aggregate in ("gap_mean", "gap_deviation")


# --- the columns of the inner rows ------------------------------------------------------------------------------------


def inner_columns(features: Sequence[Feature], dialect: Dialect) -> list[exp.Expr]:
    """Give the named columns that the aggregates of these features read, each different one once."""
    columns: dict[str, exp.Expr] = {}
    for feature in features:
        if feature.where:
            columns.setdefault(_filter_name(feature), condition_of(feature, dialect))
        if feature.column:
            columns.setdefault(_value_name(feature), _value_of(feature, dialect))
    return [value.as_(name, quoted=True) for name, value in columns.items()]


def condition_of(feature: Feature, dialect: Dialect) -> exp.Expr:
    """Give the filter of a feature, true or false for every row."""
    return compile_sql(feature.condition, usable(kind(feature.kind)), dialect=dialect.name)


def _value_of(feature: Feature, dialect: Dialect) -> exp.Expr:
    if _is_moment(feature):
        return dialect.micros(exp.column(exp.to_identifier(feature.column, quoted=True), table="event"))
    value = compile_sql(feature.value, usable(kind(feature.kind)), dialect=dialect.name)
    if feature.aggregate == "distinct":
        return value
    return dialect.millionths(double(value)) if feature.aggregate in _EXACT else double(value)


def _is_moment(feature: Feature) -> bool:
    columns = {c.name: c.type for c in kind(feature.kind).columns}
    return feature.aggregate in ("open", "attribute") and columns.get(feature.column) == "timestamp"


def _filter_name(feature: Feature) -> str:
    return f"if {feature.where}"


def _value_name(feature: Feature) -> str:
    way = "exact" if feature.aggregate in _EXACT else "moment" if _is_moment(feature) else "plain"
    return f"{way} {feature.column}"


def _column(name: str) -> exp.Expr:
    return exp.column(exp.to_identifier(name, quoted=True))


# --- the aggregates ---------------------------------------------------------------------------------------------------


def aggregate(feature: Feature, dialect: Dialect) -> exp.Expr:
    """Give the double that a feature is for the rows of one subject; null where nothing can be said."""
    return _AGGREGATES[feature.aggregate](feature, dialect)


def _as_of() -> exp.Expr:
    return exp.func("MAX", exp.column("as_of"))


def _since(days_us: int) -> exp.Expr:
    start = exp.Sub(this=exp.column("as_of"), expression=whole(days_us))
    return exp.GTE(this=exp.column(T), expression=start)


def _filtered(feature: Feature, what: exp.Expr, *extra: exp.Expr) -> exp.Expr:
    """Give an aggregate over the rows that pass the filter, the window and anything extra."""
    conditions = list(extra)
    if feature.where:
        conditions.append(_column(_filter_name(feature)))
    if feature.window_days:
        conditions.append(_since(feature.window_days * DAY_US))
    if not conditions:
        return what
    return exp.Filter(this=what, expression=exp.Where(this=exp.and_(*conditions)))


def _days(microseconds: exp.Expr) -> exp.Expr:
    """Give elapsed days as a double."""
    return exp.Div(this=double(microseconds), expression=number(DAY_US))


def _amount(millionths: exp.Expr) -> exp.Expr:
    return exp.Div(this=double(millionths), expression=number(MILLION))


def _not_zero(value: exp.Expr) -> exp.Expr:
    return exp.func("NULLIF", double(value), number(0.0))


def _count(feature: Feature, _: Dialect) -> exp.Expr:
    return double(_filtered(feature, exp.Count(this=exp.Star())))


def _distinct(feature: Feature, _: Dialect) -> exp.Expr:
    values = exp.Distinct(expressions=[_column(_value_name(feature))])
    return double(_filtered(feature, exp.Count(this=values)))


def _sum(feature: Feature, _: Dialect) -> exp.Expr:
    return _amount(_filtered(feature, exp.Sum(this=_column(_value_name(feature)))))


def _extreme(feature: Feature, _: Dialect) -> exp.Expr:
    return _filtered(feature, exp.func(feature.aggregate.upper(), _column(_value_name(feature))))


def _elapsed(feature: Feature, _: Dialect) -> exp.Expr:
    edge = exp.func("MAX" if feature.aggregate == "recency" else "MIN", exp.column(T))
    return _days(exp.Sub(this=_as_of(), expression=_filtered(feature, edge)))


def _mean(feature: Feature, _: Dialect) -> exp.Expr:
    column = _column(_value_name(feature))
    total = _amount(_filtered(feature, exp.Sum(this=column)))
    count = _filtered(feature, exp.Count(this=column.copy()))
    return exp.Div(this=total, expression=_not_zero(count))


def _by_time(feature: Feature, dialect: Dialect) -> exp.Expr:
    """Give the value at the first or last moment that has one."""
    column = _column(_value_name(feature))
    build = dialect.ordered("earliest" if feature.aggregate == "first" else "latest")
    known = exp.Not(this=exp.Is(this=column.copy(), expression=exp.Null()))
    value = _filtered(feature, build(column, exp.column(T)), known)
    if not _is_moment(feature):
        return value
    passed = exp.LT(this=value, expression=_as_of())
    return exp.Case().when(passed, _days(exp.Sub(this=_as_of(), expression=value.copy())))


def _open(feature: Feature, _: Dialect) -> exp.Expr:
    """Count what was not closed yet: the one way in which a column known later may be read, as it stood then."""
    closing = _column(_value_name(feature))
    missing = exp.Is(this=closing, expression=exp.Null())
    later = exp.GTE(this=closing.copy(), expression=exp.column("as_of"))
    return double(_filtered(feature, exp.Count(this=exp.Star()), exp.paren(exp.or_(missing, later))))


def _trend(feature: Feature, _: Dialect) -> exp.Expr:
    """Give (recent - earlier) / (recent + earlier), counting rows in the two halves of the window."""
    half = _since((feature.window_days or 0) * DAY_US // 2)
    recent = _filtered(feature, exp.Count(this=exp.Star()), half)
    both = _filtered(feature, exp.Count(this=exp.Star()))
    twice = exp.Mul(this=whole(2), expression=recent)
    return exp.Div(this=double(exp.Sub(this=twice, expression=both)), expression=_not_zero(both.copy()))


# --- gaps: rows in order of time --------------------------------------------------------------------------------------


def _real(what: exp.Expr) -> exp.Expr:
    """Give an aggregate over the gaps between different moments."""
    return exp.Filter(this=what, expression=exp.Where(this=exp.GT(this=exp.column(GAP), expression=whole(0))))


def _span() -> exp.Expr:
    return exp.Sub(this=exp.func("MAX", exp.column(T)), expression=exp.func("MIN", exp.column(T)))


def _gaps() -> exp.Expr:
    return _not_zero(_real(exp.Count(this=exp.Star())))


def _gap_mean(_feature: Feature, _: Dialect) -> exp.Expr:
    return exp.Div(this=_days(_span()), expression=_gaps())


def _gap_deviation(_: Feature, dialect: Dialect) -> exp.Expr:
    """Give sqrt((n * sum(gap^2) - sum(gap)^2) / (n * (n - 1))), exact but for the division; gaps in whole ms."""
    gap = exp.cast(exp.IntDiv(this=exp.column(GAP), expression=whole(_MILLISECOND_US)), dialect.exact)
    total = _real(exp.Sum(this=gap))
    squares = _real(exp.Sum(this=exp.Mul(this=gap.copy(), expression=gap.copy())))
    count = exp.cast(_real(exp.Count(this=exp.Star())), dialect.exact)
    less = exp.Sub(this=count, expression=whole(1))
    above = exp.Sub(
        this=exp.Mul(this=count.copy(), expression=squares),
        expression=exp.Mul(this=total, expression=total.copy()),
    )
    below = _not_zero(exp.Mul(this=count.copy(), expression=exp.paren(less)))
    variance = exp.Div(this=double(above), expression=below)
    enough = exp.GT(this=count.copy(), expression=whole(1))
    deviation = exp.Div(this=exp.func("SQRT", variance), expression=number(_MILLISECONDS_PER_DAY))
    return exp.Case().when(enough, deviation)


_AGGREGATES: dict[str, Callable[[Feature, Dialect], exp.Expr]] = {
    "count": _count,
    "sum": _sum,
    "mean": _mean,
    "min": _extreme,
    "max": _extreme,
    "first": _by_time,
    "last": _by_time,
    "attribute": _by_time,
    "distinct": _distinct,
    "recency": _elapsed,
    "tenure": _elapsed,
    "trend": _trend,
    "open": _open,
    "gap_mean": _gap_mean,
    "gap_deviation": _gap_deviation,
}
