"""The tests say what they prove."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.house.conftest import Source


def test_every_test_says_its_property_in_one_sentence(tests: list[Source]) -> None:
    """The docstring of every test begins with a capital, is one paragraph and ends in a full stop."""
    missing = []
    for source in tests:
        for node in ast.walk(source.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                said = (ast.get_docstring(node) or "").strip()
                if not said.endswith(".") or "\n\n" in said or said[0].islower():
                    missing.append(f"{source.path}:{node.lineno} {node.name}")
    assert missing == []


def test_every_expected_error_is_matched(tests: list[Source]) -> None:
    """Every pytest.raises and pytest.warns names the message it expects."""
    bare = [
        f"{source.path}:{node.lineno}"
        for source in tests
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"raises", "warns"}
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "pytest"
        and not any(k.arg == "match" for k in node.keywords)
    ]
    assert bare == []
