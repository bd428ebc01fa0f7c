"""The fixed SQL of the ledger and the code that runs it name the same statements."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.house.conftest import Source

NAME = re.compile(r"^-- name: *(\w+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Says:
    """What a module says of statements.

    `words` are its strings, `forms` what its f-strings can become, with a group for each part that is filled in.
    `imported` are the modules it imports from; `passes_on` says that it loads by a name which its callers give.
    `loads` are the files and names that it loads by.
    """

    path: str
    words: frozenset[str]
    forms: tuple[re.Pattern[str], ...]
    imported: frozenset[str]
    passes_on: bool
    loads: tuple[tuple[str, str], ...]

    @property
    def module(self) -> str:
        """The name under which it is imported."""
        return self.path.removeprefix("src/").removesuffix(".py").replace("/", ".")


def read(source: Source) -> Says:
    """Give what a module says."""
    nodes = list(ast.walk(source.tree))
    calls = [n.args for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name) and n.func.id == "load"]
    froms = [n for n in nodes if isinstance(n, ast.ImportFrom)]
    return Says(
        path=source.path,
        words=frozenset(n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)),
        forms=tuple(form(n) for n in nodes if isinstance(n, ast.JoinedStr) and len(n.values) > 1),
        imported=frozenset(f"{n.module}.{a.name}" for n in froms for a in n.names) | {str(n.module) for n in froms},
        passes_on=any(isinstance(c[-1], ast.Name) for c in calls),
        loads=tuple(loaded(calls, constants(source.tree))),
    )


def form(node: ast.JoinedStr) -> re.Pattern[str]:
    """Give what an f-string can become."""
    parts = [re.escape(str(v.value)) if isinstance(v, ast.Constant) else r"(\w+)" for v in node.values]
    return re.compile("".join(parts))


def constants(tree: ast.Module) -> dict[str, object]:
    """Give the constants of a module by name."""
    return {
        n.targets[0].id: n.value.value
        for n in tree.body
        if isinstance(n, ast.Assign) and isinstance(n.value, ast.Constant) and isinstance(n.targets[0], ast.Name)
    }


def loaded(calls: list[list[ast.expr]], known: dict[str, object]) -> Iterator[tuple[str, str]]:
    """Give the file and the name of each call that spells out both, the file perhaps as a constant of its module."""
    for call in calls:
        match call:
            case [ast.Name(file), ast.Constant(name)]:
                yield str(known.get(file)), name
            case [ast.Constant(file), ast.Constant(name)]:
                yield file, name


@pytest.fixture(scope="module")
def said(sources: list[Source]) -> list[Says]:
    """Give what every module says."""
    return [read(source) for source in sources]


@pytest.fixture(scope="module")
def named(repository: Path) -> dict[str, set[str]]:
    """Give the names of the statements in each file."""
    folder = repository / "src" / "nextbest" / "ledger" / "sql"
    return {file.name: set(NAME.findall(file.read_text(encoding="utf-8"))) for file in folder.glob("*.sql")}


def can_be_made(name: str, forms: list[re.Pattern[str]], words: frozenset[str]) -> bool:
    """Say whether one of the f-strings becomes this name when words are filled in."""
    made = (form.fullmatch(name) for form in forms)
    return any(m is not None and words.issuperset(m.groups()) for m in made)


def test_every_statement_is_run_somewhere(said: list[Says], named: dict[str, set[str]]) -> None:
    """Each is named by a module that knows its file, or by one that gives such a module the name."""
    every = frozenset().union(*(one.words for one in said))
    unused = []
    for file, names in sorted(named.items()):
        own = [one for one in said if file in one.words]
        handing = {one.module for one in own if one.passes_on}
        able = [one for one in said if one in own or one.imported & handing]
        words = frozenset().union(*(one.words for one in able))
        made = [f for one in own for f in one.forms]
        unused += [f"{file}: {name}" for name in sorted(names - words) if not can_be_made(name, made, every)]
    assert unused == []


def test_every_statement_that_code_names_exists(said: list[Says], named: dict[str, set[str]]) -> None:
    """What is loaded by file and name is in that file."""
    loads = [(one.path, *load) for one in said for load in one.loads if load[0].endswith(".sql")]
    assert [load for load in loads if load[2] not in named.get(load[1], ())] == []
    assert len(loads) > 100
