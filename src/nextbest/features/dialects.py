"""What differs between SQL engines, built per engine as expressions; never transpiled from another's text.

Every time is microseconds since 1970 UTC as an integer, so that a difference is elapsed time on every engine, and
never a count of midnights. Every amount is summed as an integer number of millionths, so that a sum does not depend
on the order of its rows: the same bytes with any number of threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.errors import UsageError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable

MILLION = 1_000_000
DAY_US = 86_400 * MILLION
LARGEST_AMOUNT = 1e20


def _call(name: str) -> Callable[..., exp.Expr]:
    return lambda *arguments: exp.Anonymous(this=name, expressions=list(arguments))


def number(value: float) -> exp.Expr:
    """Give a literal number as a double, exactly as Python holds it."""
    return exp.cast(exp.Literal.string(repr(float(value))), "DOUBLE")


def whole(value: int) -> exp.Expr:
    """Give a literal integer."""
    return exp.Literal.number(value)


def double(expression: exp.Expr) -> exp.Expr:
    """Give an expression as a double."""
    return exp.cast(expression, "DOUBLE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One engine: how it reads times, how it knows infinity, how it sums exactly, what it takes the last of."""

    name: str
    micros: Callable[[exp.Expr], exp.Expr]
    not_numbers: tuple[str, ...]
    exact: str
    latest: Callable[[exp.Expr, exp.Expr], exp.Expr] | None = None
    earliest: Callable[[exp.Expr, exp.Expr], exp.Expr] | None = None
    tested: bool = False

    def finite(self, value: exp.Expr) -> exp.Expr:
        """Give the number, or null when it is not finite."""
        for word in self.not_numbers:
            value = exp.func("NULLIF", value, exp.cast(exp.Literal.string(word), "DOUBLE"))
        return value

    def millionths(self, value: exp.Expr) -> exp.Expr:
        """Give a finite number as an exact integer of millionths; null beyond what can be summed exactly."""
        scaled = exp.func("ROUND", exp.Mul(this=value, expression=number(MILLION)))
        small = exp.LTE(this=exp.func("ABS", value.copy()), expression=number(LARGEST_AMOUNT))
        return exp.Case().when(small, exp.cast(scaled, self.exact))

    def ordered(self, which: str) -> Callable[[exp.Expr, exp.Expr], exp.Expr]:
        """Give the aggregate for the `latest` or `earliest` value by time; raises where the engine has none."""
        found: Callable[[exp.Expr, exp.Expr], exp.Expr] | None = getattr(self, which)
        if found is None:
            raise UsageError(f"The aggregates first, last and attribute are not compiled for {self.name} yet.")
        return found


def _by_moment(name: str) -> Callable[[exp.Expr, exp.Expr], exp.Expr]:
    """Give the value at the extreme moment; of several at that moment the extreme one, so that order never matters."""

    def build(value: exp.Expr, moment: exp.Expr) -> exp.Expr:
        order = exp.Anonymous(this="ROW", expressions=[moment, value.copy()])
        return exp.Anonymous(this=name, expressions=[value, order])

    return build


def _as_stored(ts: exp.Expr) -> exp.Expr:
    return ts


def _postgres_micros(ts: exp.Expr) -> exp.Expr:
    seconds = exp.Extract(this=exp.Var(this="EPOCH"), expression=ts)
    return exp.cast(exp.Mul(this=seconds, expression=whole(MILLION)), "BIGINT")


DIALECTS: dict[str, Dialect] = {
    d.name: d
    for d in (
        Dialect(
            name="duckdb",
            micros=_call("EPOCH_US"),
            not_numbers=("nan", "inf", "-inf"),
            exact="HUGEINT",
            latest=_by_moment("ARG_MAX"),
            earliest=_by_moment("ARG_MIN"),
            tested=True,
        ),
        # SQLite has no NaN and no timestamps: `ts` is stored as integer microseconds.
        Dialect(name="sqlite", micros=_as_stored, not_numbers=("9e999", "-9e999"), exact="BIGINT", tested=True),
        Dialect(
            name="postgres",
            micros=_postgres_micros,
            not_numbers=("NaN", "Infinity", "-Infinity"),
            exact="DECIMAL(38, 0)",
        ),
        Dialect(
            name="spark",
            micros=_call("UNIX_MICROS"),
            not_numbers=("NaN", "Infinity", "-Infinity"),
            exact="DECIMAL(38, 0)",
        ),
    )
}


def dialect_named(name: str) -> Dialect:
    """Give the dialect of that name; raises `UnknownNameError` with the nearest known one."""
    if name not in DIALECTS:
        raise unknown("SQL dialect", name, DIALECTS)
    return DIALECTS[name]
