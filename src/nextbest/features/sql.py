"""An expression as a sqlglot tree."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

from sqlglot import exp

from nextbest.features.dialects import Dialect, double, number
from nextbest.features.syntax import (
    Arithmetic,
    Call,
    Comparison,
    Constant,
    Logic,
    Membership,
    Name,
    Node,
    Not,
    NullTest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.features.checking import Type

_COMPARE: dict[str, type[exp.Binary]] = {
    "=": exp.EQ, "!=": exp.NEQ, "<": exp.LT, "<=": exp.LTE, ">": exp.GT, ">=": exp.GTE,
}  # fmt: skip
_COMPUTE: dict[str, type[exp.Binary]] = {"+": exp.Add, "-": exp.Sub, "*": exp.Mul, "/": exp.Div}


def value(node: Node, types: Mapping[str, Type], dialect: Dialect) -> exp.Expr:
    """Give the SQL of a node's value."""
    match node:
        case Constant():
            return _constant(node)
        case Name():
            column = exp.column(exp.to_identifier(node.name, quoted=True))
            return dialect.finite(double(column)) if types.get(node.name) == "number" else column
        case Arithmetic():
            return _arithmetic(node, types, dialect)
        case Call():
            arguments = [value(a, types, dialect) for a in node.arguments]
            return exp.func("COALESCE", *arguments) if node.function == "coalesce" else _extreme(node, arguments)
        case _:
            return condition(node, types, dialect)


def condition(node: Node, types: Mapping[str, Type], dialect: Dialect) -> exp.Expr:
    """Give the SQL of a condition that is never null."""
    match node:
        case Comparison():
            left, right = value(node.left, types, dialect), value(node.right, types, dialect)
            return _false(_COMPARE[node.operator](this=left, expression=right))
        case Membership():
            within = exp.In(this=value(node.operand, types, dialect), expressions=[_constant(c) for c in node.choices])
            return _false(exp.Not(this=within) if node.negated else within)
        case NullTest():
            missing = exp.Is(this=value(node.operand, types, dialect), expression=exp.Null())
            return exp.paren(exp.Not(this=missing) if node.negated else missing)
        case Logic():
            kind: type[exp.Connector] = exp.And if node.operator == "and" else exp.Or
            parts = [condition(o, types, dialect) for o in node.operands]
            return exp.paren(reduce(lambda a, b: kind(this=a, expression=b), parts))
        case Not():
            return exp.paren(exp.Not(this=condition(node.operand, types, dialect)))
        case _:
            return _false(value(node, types, dialect))


def _false(condition_: exp.Expr) -> exp.Expr:
    return exp.func("COALESCE", condition_, exp.false())


def _constant(node: Constant) -> exp.Expr:
    match node.value:
        case None:
            return exp.Null()
        case bool():
            return exp.Boolean(this=node.value)
        case str():
            return exp.Literal.string(node.value)
        case _:
            return number(node.value)


def _arithmetic(node: Arithmetic, types: Mapping[str, Type], dialect: Dialect) -> exp.Expr:
    left, right = _double(node.left, types, dialect), _double(node.right, types, dialect)
    if node.operator == "/":
        right = exp.func("NULLIF", right, number(0.0))
    return dialect.finite(exp.paren(_COMPUTE[node.operator](this=left, expression=right)))


def _double(node: Node, types: Mapping[str, Type], dialect: Dialect) -> exp.Expr:
    """Give a number's SQL as a double; only `null` and what holds it have another type."""
    found = value(node, types, dialect)
    return double(found) if isinstance(node, Call) or node == Constant(None) else found


def _extreme(node: Call, arguments: list[exp.Expr]) -> exp.Expr:
    """Give the least or greatest, null when any is null: engines' own functions disagree about null."""
    kind = exp.LTE if node.function == "min" else exp.GTE
    result = arguments[0]
    for other in arguments[1:]:
        first = kind(this=result.copy(), expression=other.copy())
        second = exp.Not(this=exp.paren(first.copy()))
        result = exp.Case().when(first, result).when(second, other)
    return result
