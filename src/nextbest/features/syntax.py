"""The words and the grammar of expressions: text to a tree of nodes, each with its position.

expression = and { "or" and }
and        = not { "and" not }
not        = "not" not | comparison
comparison = sum [ ( "=" | "==" | "!=" | "<" | "<=" | ">" | ">=" ) sum
                 | "is" [ "not" ] "null" | [ "not" ] "in" "[" literal { "," literal } "]" ]
sum        = product { ( "+" | "-" ) product }
product    = unary { ( "*" | "/" ) unary }
unary      = "-" unary | atom
atom       = number | 'text' | "true" | "false" | "null" | name | function "(" expression { "," expression } ")"
           | "(" expression ")"
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from nextbest.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = ("min", "max", "coalesce")
KEYWORDS = ("and", "or", "not", "in", "is", "null", "true", "false")
LONGEST = 4000

Value = float | str | bool | None
Comparator = Literal["=", "!=", "<", "<=", ">", ">="]


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a text, true, false or null."""

    value: Value
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Name:
    """The value of a column."""

    name: str
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Two numbers to one: null when either is null, when dividing by zero, or when the result is not finite."""

    operator: Literal["+", "-", "*", "/"]
    left: Node
    right: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two values of one type to true or false: false when either is null."""

    operator: Comparator
    left: Node
    right: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Membership:
    """Whether a value is one of a list: false for null, also for `not in`."""

    operand: Node
    choices: tuple[Constant, ...]
    negated: bool
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class NullTest:
    """Whether a value is missing."""

    operand: Node
    negated: bool
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Logic:
    """All (`and`) or any (`or`) of several conditions."""

    operator: Literal["and", "or"]
    operands: tuple[Node, ...]
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The other truth value; a condition is never null."""

    operand: Node
    position: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Call:
    """`min`, `max` (null when any argument is) or `coalesce` (the first that is not null)."""

    function: str
    arguments: tuple[Node, ...]
    position: int = field(default=0, compare=False)


Node = Constant | Name | Arithmetic | Comparison | Membership | NullTest | Logic | Not | Call


def children(node: Node) -> tuple[Node, ...]:
    """Give the nodes directly below one."""
    match node:
        case Arithmetic() | Comparison():
            return (node.left, node.right)
        case Membership() | NullTest() | Not():
            return (node.operand,)
        case Logic():
            return node.operands
        case Call():
            return node.arguments
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """Give a node and all below it."""
    yield node
    for child in children(node):
        yield from walk(child)


# --- words ------------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*", re.ASCII)
_NUMBER = re.compile(r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_SIGN = re.compile(r"==|!=|<=|>=|[=<>+\-*/()\[\],]")
_HINTS = {
    '"': " Text stands in single quotes: 'like this'.",
    "'": " The text that starts here has no closing quote.",
    "&": " Write `and`.",
    "|": " Write `or`.",
    "!": " Write `not`, or `!=` between two values.",
    ";": " An expression is one condition, not a statement.",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind, its text and where it starts (from 0)."""

    kind: Literal["name", "keyword", "number", "text", "sign", "end"]
    text: str
    position: int


def tokens(text: str) -> list[Token]:
    """Give the words of an expression, the last of kind `end`."""
    if len(text) > LONGEST:
        raise ConfigError(f"An expression has {len(text)} characters; at most {LONGEST} are read.")
    found, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        token = _token(text, position)
        found.append(token)
        position += len(token.text)
    return [*found, Token("end", "", len(text))]


def _token(text: str, position: int) -> Token:
    if match := _NAME.match(text, position):
        word = match.group()
        return Token("keyword" if word.lower() in KEYWORDS else "name", word, position)
    if match := _NUMBER.match(text, position):
        return Token("number", match.group(), position)
    if match := _TEXT.match(text, position):
        return Token("text", match.group(), position)
    if match := _SIGN.match(text, position):
        return Token("sign", match.group(), position)
    raise problem(text, position, f"'{text[position]}' is not part of the language.{_HINTS.get(text[position], '')}")


def problem(text: str, position: int, what: str) -> ConfigError:
    """Give the error for something wrong at a position of an expression."""
    return ConfigError(f"Expression `{text}`, position {position + 1}: {what}")
