"""The types of an expression: found from its words, checked against the columns there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from nextbest.errors import ConfigError, nearest
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
    children,
    problem,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Type = Literal["number", "text", "boolean", "timestamp"]

_WORDS: dict[str, Type] = {
    "number": "number", "integer": "number", "float": "number", "int": "number",
    "text": "text", "str": "text", "boolean": "boolean", "bool": "boolean",
    "timestamp": "timestamp", "datetime": "timestamp", "date": "timestamp",
}  # fmt: skip
_ORDERED = ("number", "text", "timestamp")


def type_named(given: object) -> Type | None:
    """Give the type that a word ("integer"), a Python type or an Arrow type stands for; None when there is none."""
    if isinstance(given, pa.DataType):
        return _arrow_type(given)
    return _WORDS.get(given.__name__ if isinstance(given, type) else str(given))


def _arrow_type(given: pa.DataType) -> Type | None:
    types = pa.types
    value = given.value_type if types.is_dictionary(given) else given
    if types.is_integer(value) or types.is_floating(value) or types.is_decimal(value):
        return "number"
    if types.is_string(value) or types.is_large_string(value) or types.is_string_view(value):
        return "text"
    if types.is_boolean(value):
        return "boolean"
    return "timestamp" if types.is_timestamp(value) or types.is_date(value) else None


def known_types(text: str, root: Node, columns: Mapping[str, object]) -> dict[str, Type]:
    """Give the type of every column the tree names; raises for a column that is not there or has no usable type."""
    found: dict[str, Type] = {}
    for node in walk(root):
        if not isinstance(node, Name):
            continue
        if node.name not in columns:
            near = nearest(node.name, columns)
            raise problem(text, node.position, f"there is no column '{node.name}'.{near}")
        held = columns[node.name]
        given = type_named(held)
        if given is None:
            if held == pa.null():  # nothing is known of it, so it goes with everything
                continue
            raise problem(text, node.position, f"column '{node.name}' holds {held}, which has no use here.")
        found[node.name] = given
    return found


def resolve(
    text: str, root: Node, given: Mapping[str, Type], gives: Type | None
) -> tuple[dict[str, Type], Type | None]:
    """Give the types of the names, as far as their use tells, and that of the whole; raises where uses clash."""
    finder = _Finder(text, dict(given))
    while True:
        before = len(finder.names)
        whole = finder.expect(root, gives) if gives else finder.find(root)
        if before == len(finder.names):  # each round can only add names, so it ends
            return finder.names, whole


class _Finder:
    """What is known of the names of one expression."""

    def __init__(self, text: str, names: dict[str, Type]) -> None:
        self._text = text
        self.names = names

    def find(self, node: Node) -> Type | None:
        """Give the type of a node, None while it cannot be told."""
        match node:
            case Constant():
                return _constant_type(node)
            case Name():
                return self.names.get(node.name)
            case Arithmetic():
                self.expect(node.left, "number")
                return self.expect(node.right, "number")
            case Call() if node.function != "coalesce":
                for argument in node.arguments:
                    self.expect(argument, "number")
                return "number"
            case Call():
                return self._same(node.arguments)
            case _:
                self._condition(node)
                return "boolean"

    def _condition(self, node: Node) -> None:
        match node:
            case Comparison():
                self._comparison(node)
            case Membership():
                self._same((node.operand, *node.choices))
            case NullTest():
                self.find(node.operand)
            case Logic() | Not():
                for child in children(node):
                    self.expect(child, "boolean")

    def _comparison(self, node: Comparison) -> None:
        for side in (node.left, node.right):
            if isinstance(side, Constant) and side.value is None:
                raise problem(self._text, side.position, "nothing equals null; write `is null` or `is not null`.")
        both = self._same((node.left, node.right))
        if both == "boolean" and node.operator not in ("=", "!="):
            what = f"true and false have no order; '{node.operator}' needs numbers or texts."
            raise problem(self._text, node.position, what)

    def _same(self, nodes: Sequence[Node]) -> Type | None:
        """Give the one type of several nodes, the first known one setting it."""
        found = next((t for t in map(self.find, nodes) if t), None)
        if found:
            for node in nodes:
                self.expect(node, found)
        return found

    def expect(self, node: Node, wanted: Type) -> Type:
        """Note that a node has a type; raises when it has another."""
        if isinstance(node, Call) and node.function == "coalesce":
            for argument in node.arguments:
                self.expect(argument, wanted)
            return wanted
        found = self.find(node)
        if isinstance(node, Name) and found is None:
            self.names[node.name] = wanted
        elif found not in (None, wanted):
            raise problem(self._text, node.position, f"wanted a {wanted}, got {_described(node)}, a {found}.")
        return wanted


def _constant_type(node: Constant) -> Type | None:
    match node.value:
        case None:
            return None
        case bool():
            return "boolean"
        case str():
            return "text"
        case _:
            return "number"


def _described(node: Node) -> str:
    match node:
        case Name():
            return f"'{node.name}'"
        case Constant(value=str() as value):
            return f"'{value}'"
        case Constant(value=bool() as value):
            return str(value).lower()
        case Constant():
            return f"{node.value:g}"
        case Arithmetic():
            return "a sum or product"
        case Call():
            return f"{node.function}(...)"
        case _:
            return "a condition"


def wrong_result(text: str, wanted: Type, got: Type | None) -> ConfigError:
    """Give the error for an expression that gives another type than its place needs."""
    return ConfigError(f"Expression `{text}` gives a {got}; a {wanted} is needed here.")
