"""Text to a tree by recursive descent; every error names the position, the word and what was wanted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, cast

from nextbest.errors import ConfigError, nearest
from nextbest.features.syntax import (
    FUNCTIONS,
    Arithmetic,
    Call,
    Comparator,
    Comparison,
    Constant,
    Logic,
    Membership,
    Name,
    Node,
    Not,
    NullTest,
    Token,
    problem,
    tokens,
)

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 32
MOST_ARITHMETIC = 64
EXTREMES_DEEP = 3
_COMPARATORS = {"=": "=", "==": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_CONSTANTS = {"true": True, "false": False, "null": None}


def tree(text: str) -> Node:
    """Give the tree of an expression; an empty text is `true`: no condition."""
    parser = _Parser(text)
    return parser.whole() if text.strip() else Constant(value=True)


class _Parser:
    """One pass over the words of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._next = 0
        self._depth = 0
        self._arithmetic = 0
        self._extremes = 0

    @property
    def _here(self) -> Token:
        return self._tokens[self._next]

    def _take(self) -> Token:
        token = self._here
        self._next += token.kind != "end"
        return token

    def _off(self, wanted: str) -> ConfigError:
        token = self._here
        got = f"'{token.text}'" if token.kind != "end" else "the end"
        return problem(self._text, token.position, f"wanted {wanted}, got {got}.")

    def _sign(self, *signs: str) -> Token | None:
        return self._take() if self._here.kind == "sign" and self._here.text in signs else None

    def _word(self, *words: str) -> Token | None:
        return self._take() if self._here.kind == "keyword" and self._here.text.lower() in words else None

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise self._off(f"'{sign}'")

    def whole(self) -> Node:
        """Give the tree; nothing may follow it."""
        node = self._or()
        if self._here.kind == "end":
            return node
        if self._here.text in _COMPARATORS:
            raise self._off("`and` (a chain is written `a < b and b < c`)")
        if self._here.text == "(":
            raise self._off(f"one of the functions {', '.join(FUNCTIONS)} before it")
        raise self._off("`and`, `or` or an operator")

    def _or(self) -> Node:
        return self._logic("or", self._and)

    def _and(self) -> Node:
        return self._logic("and", self._not)

    def _logic(self, operator: Literal["and", "or"], part: Callable[[], Node]) -> Node:
        position = self._here.position
        operands = [part()]
        while self._word(operator):
            operands.append(part())
        return operands[0] if len(operands) == 1 else Logic(operator, tuple(operands), position)

    def _not(self) -> Node:
        token = self._word("not")
        if not token:
            return self._comparison()
        self._down(token)
        node = Not(self._not(), token.position)
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        left = self._sum()
        if sign := self._sign(*_COMPARATORS):
            return Comparison(cast("Comparator", _COMPARATORS[sign.text]), left, self._sum(), sign.position)
        if word := self._word("is"):
            negated = self._word("not") is not None
            if not self._word("null"):
                raise self._off("`null` after `is`")
            return NullTest(left, negated, word.position)
        if self._here.text.lower() in ("not", "in") and self._here.kind == "keyword":
            return self._membership(left)
        return left

    def _membership(self, left: Node) -> Node:
        position = self._here.position
        negated = self._word("not") is not None
        if not self._word("in"):
            raise self._off("`in` after `not`")
        self._need("[")
        choices = [self._choice()]
        while self._sign(","):
            choices.append(self._choice())
        self._need("]")
        return Membership(left, tuple(choices), negated, position)

    def _choice(self) -> Constant:
        position = self._here.position
        minus = self._sign("-") is not None
        if self._here.kind not in ("number", "text") or (minus and self._here.kind != "number"):
            raise self._off("a number or a 'text' in the list")
        constant = self._literal()
        if minus and isinstance(constant.value, float):
            return Constant(-constant.value, position)
        return constant

    def _sum(self) -> Node:
        node = self._product()
        while sign := self._sign("+", "-"):
            self._count(sign)
            node = Arithmetic(cast("Literal['+', '-']", sign.text), node, self._product(), sign.position)
        return node

    def _product(self) -> Node:
        node = self._unary()
        while sign := self._sign("*", "/"):
            self._count(sign)
            node = Arithmetic(cast("Literal['*', '/']", sign.text), node, self._unary(), sign.position)
        return node

    def _unary(self) -> Node:
        sign = self._sign("-")
        if not sign:
            return self._atom()
        self._down(sign)
        operand = self._unary()
        self._depth -= 1
        if isinstance(operand, Constant) and isinstance(operand.value, float):
            return Constant(-operand.value, sign.position)
        return Arithmetic("-", Constant(0.0, sign.position), operand, sign.position)

    def _atom(self) -> Node:
        token = self._here
        if token.kind in ("number", "text"):
            return self._literal()
        if word := self._word(*_CONSTANTS):
            return Constant(_CONSTANTS[word.text.lower()], word.position)
        if token.kind == "name":
            return self._name()
        if sign := self._sign("("):
            self._down(sign)
            node = self._or()
            self._need(")")
            self._depth -= 1
            return node
        raise self._off("a value")

    def _literal(self) -> Constant:
        token = self._take()
        if token.kind == "text":
            return Constant(token.text[1:-1].replace("''", "'"), token.position)
        number = float(token.text)
        if not math.isfinite(number):
            raise problem(self._text, token.position, f"{token.text} is too large a number.")
        return Constant(number, token.position)

    def _name(self) -> Node:
        token = self._take()
        bracket = self._sign("(")
        if not bracket:
            return Name(token.text, token.position)
        function = token.text.lower()
        if function not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            near = nearest(function, FUNCTIONS)
            raise problem(self._text, token.position, f"there is no function '{token.text}'.{near} Known: {known}.")
        extreme = function != "coalesce"
        self._down(bracket)
        self._extremes += extreme
        if self._extremes > EXTREMES_DEEP:
            raise problem(self._text, token.position, f"min and max stand at most {EXTREMES_DEEP} deep in each other.")
        arguments = [self._or()]
        while self._sign(","):
            arguments.append(self._or())
        self._need(")")
        self._extremes -= extreme
        self._depth -= 1
        return Call(function, tuple(arguments), token.position)

    def _count(self, token: Token) -> None:
        self._arithmetic += 1
        if self._arithmetic > MOST_ARITHMETIC:
            raise problem(self._text, token.position, f"more than {MOST_ARITHMETIC} sums and products.")

    def _down(self, token: Token) -> None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise problem(self._text, token.position, f"more than {DEEPEST} levels of brackets.")
