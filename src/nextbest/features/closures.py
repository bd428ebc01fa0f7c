"""An expression as nested Python closures, for one subject at a time: no `eval`, about a microsecond per condition."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

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
    from collections.abc import Callable, Mapping

    from nextbest.features.checking import Type

    Row = Mapping[str, Any]
    Closure = Callable[[Row], Any]

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_COMPUTE: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv,
}  # fmt: skip
_INFINITY = math.inf


def closure(node: Node, types: Mapping[str, Type]) -> Closure:
    """Give the function from a row to the value of a node; a missing key is null."""
    match node:
        case Constant():
            value = node.value
            return lambda _row: value
        case Name():
            return _name(node.name, types.get(node.name))
        case Arithmetic():
            return _arithmetic(node, closure(node.left, types), closure(node.right, types))
        case Call():
            arguments = [closure(a, types) for a in node.arguments]
            return _coalesce(arguments) if node.function == "coalesce" else _extreme(node.function, arguments)
        case _:
            return condition(node, types)


def condition(node: Node, types: Mapping[str, Type]) -> Closure:
    """Give the function from a row to true or false; null counts as false."""
    match node:
        case Comparison():
            return _comparison(node, types)
        case Membership():
            return _membership(node, closure(node.operand, types))
        case NullTest():
            operand, negated = closure(node.operand, types), node.negated
            return lambda row: (operand(row) is None) is not negated
        case Logic():
            return _logic(node, [condition(o, types) for o in node.operands])
        case Not():
            inner = condition(node.operand, types)
            return lambda row: not inner(row)
        case _:
            raw = closure(node, types)
            return lambda row: raw(row) is True


def _name(name: str, kind: Type | None) -> Closure:
    if kind != "number":
        return lambda row: row.get(name)

    def number(row: Row) -> Any:  # noqa: ANN401 (a column's value)
        value = row.get(name)
        return value if value is None or -_INFINITY < value < _INFINITY else None

    return number


def _comparison(node: Comparison, types: Mapping[str, Type]) -> Closure:
    compare, left = _COMPARE[node.operator], closure(node.left, types)
    if isinstance(node.right, Constant):
        constant = node.right.value

        def with_constant(row: Row) -> bool:
            a = left(row)
            return a is not None and compare(a, constant)

        return with_constant
    right = closure(node.right, types)

    def with_value(row: Row) -> bool:
        a = left(row)
        if a is None:
            return False
        b = right(row)
        return b is not None and compare(a, b)

    return with_value


def _membership(node: Membership, operand: Closure) -> Closure:
    choices, negated = frozenset(c.value for c in node.choices), node.negated

    def member(row: Row) -> bool:
        value = operand(row)
        return value is not None and (value in choices) is not negated

    return member


def _logic(node: Logic, operands: list[Callable[[Row], bool]]) -> Closure:
    stops = node.operator == "or"

    def logic(row: Row) -> bool:
        for operand in operands:  # `any` would build a generator per call
            if operand(row) is stops:
                return stops
        return not stops

    return logic


def _arithmetic(node: Arithmetic, left: Closure, right: Closure) -> Closure:
    compute, divides = _COMPUTE[node.operator], node.operator == "/"

    def arithmetic(row: Row) -> float | None:
        a, b = left(row), right(row)
        if a is None or b is None or (divides and b == 0):
            return None
        result = compute(float(a), float(b))
        return result if -_INFINITY < result < _INFINITY else None

    return arithmetic


def _extreme(function: str, arguments: list[Closure]) -> Closure:
    pick: Callable[[list[Any]], Any] = min if function == "min" else max

    def extreme(row: Row) -> float | None:
        values = [a(row) for a in arguments]
        return None if None in values else pick(values)

    return extreme


def _coalesce(arguments: list[Closure]) -> Closure:
    def coalesce(row: Row) -> Any:  # noqa: ANN401 (a column's value)
        for argument in arguments:
            value = argument(row)
            if value is not None:
                return value
        return None

    return coalesce
