"""An expression over whole Arrow columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

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

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": pc.equal, "!=": pc.not_equal, "<": pc.less, "<=": pc.less_equal, ">": pc.greater, ">=": pc.greater_equal,
}  # fmt: skip
_COMPUTE: dict[str, Callable[[Any, Any], Any]] = {
    "+": pc.add, "-": pc.subtract, "*": pc.multiply, "/": pc.divide,
}  # fmt: skip
_ARROW: dict[Type, pa.DataType] = {"number": pa.float64(), "text": pa.string(), "boolean": pa.bool_()}


def array(node: Node, table: pa.Table, types: Mapping[str, Type]) -> pa.Array:
    """Give the value of a node for every row."""
    match node:
        case Constant():
            return _constant(node, table.num_rows)
        case Name():
            return _column(node.name, table, types.get(node.name))
        case Arithmetic():
            return _arithmetic(node, array(node.left, table, types), array(node.right, table, types))
        case Call():
            arguments = [array(a, table, types) for a in node.arguments]
            return pc.coalesce(*_one_type(arguments)) if node.function == "coalesce" else _extreme(node, arguments)
        case _:
            return condition(node, table, types)


def condition(node: Node, table: pa.Table, types: Mapping[str, Type]) -> pa.Array:
    """Give true or false for every row; null counts as false."""
    match node:
        case Comparison():
            left, right = array(node.left, table, types), array(node.right, table, types)
            return _false(_COMPARE[node.operator](*_one_type([left, right])))
        case Membership():
            return _membership(node, array(node.operand, table, types))
        case NullTest():
            missing = pc.is_null(array(node.operand, table, types))
            return pc.invert(missing) if node.negated else missing
        case Logic():
            combine = pc.and_ if node.operator == "and" else pc.or_
            result = condition(node.operands[0], table, types)
            for operand in node.operands[1:]:
                result = combine(result, condition(operand, table, types))
            return result
        case Not():
            return pc.invert(condition(node.operand, table, types))
        case _:
            raw = array(node, table, types)
            return _false(raw.cast(pa.bool_()) if pa.types.is_null(raw.type) else raw)


def _constant(node: Constant, rows: int) -> pa.Array:
    return pa.nulls(rows) if node.value is None else pa.repeat(node.value, rows)


def _column(name: str, table: pa.Table, kind: Type | None) -> pa.Array:
    column = table.column(name).combine_chunks()
    if kind is None or kind == "timestamp":
        return column
    values = column.cast(_ARROW[kind], safe=False)
    return _finite(values) if kind == "number" else values


def _finite(values: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _false(values: pa.Array) -> pa.Array:
    return pc.fill_null(values, fill_value=False)


def _one_type(arrays: list[pa.Array]) -> list[pa.Array]:
    known = next((a.type for a in arrays if not pa.types.is_null(a.type)), None)
    return [a.cast(known) if known and pa.types.is_null(a.type) else a for a in arrays]


def _numbers(values: pa.Array) -> pa.Array:
    return values.cast(pa.float64())


def _arithmetic(node: Arithmetic, left: pa.Array, right: pa.Array) -> pa.Array:
    right = _numbers(right)
    if node.operator == "/":
        right = pc.if_else(pc.equal(right, 0.0), pa.scalar(None, pa.float64()), right)
    return _finite(_COMPUTE[node.operator](_numbers(left), right))


def _extreme(node: Call, arguments: list[pa.Array]) -> pa.Array:
    pick = pc.min_element_wise if node.function == "min" else pc.max_element_wise
    return pick(*[_numbers(a) for a in arguments], skip_nulls=False)


def _membership(node: Membership, operand: pa.Array) -> pa.Array:
    if pa.types.is_null(operand.type):
        return pa.repeat(pa.scalar(value=False), len(operand))
    found = pc.is_in(operand, value_set=pa.array([c.value for c in node.choices], operand.type))
    wanted = pc.invert(found) if node.negated else found
    return pc.and_(wanted, pc.is_valid(operand))
