"""The small typed language of audiences, eligibility, limits and values: parsed once, run three ways that agree.

    churn_probability > 0.5 and orders_365d >= 2 and country in ['DE', 'AT']

Conditions are true or false, never null: a comparison with null is false (`!=` and `not in` too), and `not` gives the
other truth value. Arithmetic with null is null, and so are a division by zero and a result that is not finite; a
number that is not finite counts as null. `min` and `max` of anything null are null; `coalesce` gives the first value
that is not. Numbers are doubles; texts are compared by code point.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nextbest.errors import DataError
from nextbest.features import closures, sql, vectorised
from nextbest.features.checking import Type, known_types, resolve, wrong_result
from nextbest.features.dialects import dialect_named
from nextbest.features.parser import tree
from nextbest.features.syntax import Name, Node, Value, walk

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlglot import exp

Closure = Callable[[Mapping[str, Any]], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A parsed expression: its text, its tree, the columns it reads and, as far as its words tell, its type."""

    text: str
    root: Node
    columns: frozenset[str]
    type: Type | None = None
    gives: Type | None = None


@lru_cache(maxsize=4096)
def parse(text: str, *, gives: Type | None = None) -> Expression:
    """Give the parsed *text* ('' is `true`); `gives` demands a type of the whole.

    Raises `ConfigError` with the position, the word and what was wanted.
    """
    root = tree(text)
    columns = frozenset(n.name for n in walk(root) if isinstance(n, Name))
    _, found = resolve(text, root, {}, gives)
    return Expression(text=text, root=root, columns=columns, type=found, gives=gives)


def check(expression: Expression, columns: Mapping[str, object], *, gives: Type | None = None) -> Type | None:
    """Give the type of the whole; raises `ConfigError` for an unknown column (with the near word) or a wrong type.

    `columns` gives each column's type: a word ("number", "text", "boolean", "timestamp"), a Python or an Arrow type.
    """
    wanted = gives or expression.gives
    given = known_types(expression.text, expression.root, columns)
    _, found = resolve(expression.text, expression.root, given, None)
    if wanted and found and found != wanted:
        raise wrong_result(expression.text, wanted, found)
    return found


def compile_sql(
    expression: Expression, columns: Mapping[str, object] | None = None, *, dialect: str = "duckdb"
) -> exp.Expr:
    """Give the sqlglot tree, columns quoted; `columns` gives types where the words of the expression do not."""
    types, found = _types(expression, columns)
    build = sql.condition if found == "boolean" else sql.value
    return build(expression.root, types, dialect_named(dialect))


def compile_closure(expression: Expression, columns: Mapping[str, object] | None = None) -> Closure:
    """Give a function from one row to the value; a key that is not there is null.

    The function raises `DataError` when a value is not of the type the expression needs.
    """
    types, found = _types(expression, columns)
    run = (closures.condition if found == "boolean" else closures.closure)(expression.root, types)

    def evaluate_row(row: Mapping[str, Any]) -> Value:
        try:
            return run(row)  # type: ignore[no-any-return]
        except (TypeError, ValueError) as error:
            got = {name: row.get(name) for name in sorted(expression.columns)}
            raise DataError(f"Expression `{expression.text}` cannot be answered for {_types_of(got)}.") from error

    return evaluate_row


def evaluate(expression: Expression, table: pa.Table) -> pa.Array:
    """Give the value for every row of a table, an Arrow array as long as the table."""
    columns = dict(zip(table.schema.names, table.schema.types, strict=True))
    types, found = _types(expression, columns)
    build = vectorised.condition if found == "boolean" else vectorised.array
    return build(expression.root, table, types)


def _types(expression: Expression, columns: Mapping[str, object] | None) -> tuple[dict[str, Type], Type | None]:
    given = {} if columns is None else known_types(expression.text, expression.root, columns)
    return resolve(expression.text, expression.root, given, expression.gives)


def _types_of(row: Mapping[str, Any]) -> str:
    """Describe a row by its types only: the values may be personal."""
    return ", ".join(f"{name}: {type(value).__name__}" for name, value in row.items())
