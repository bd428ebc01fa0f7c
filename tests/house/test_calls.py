"""Some things are never done, and SQL is done in two rooms only."""

from __future__ import annotations

import ast
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.house.conftest import Source

BANNED_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "joblib", "cloudpickle", "pandas"}
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "yaml.load", "os.system", "os.popen"}
RUNS_SQL = {"execute", "executemany", "executescript", "sql", "query", "from_query"}
SQL_ROOMS = {"ledger", "features"}
SQL_TEXT = re.compile(
    r"""^\s*(
        select\b.+\bfrom\b | insert\s+(or\s+\w+\s+)?into\b | update\s+\w+\s+set\b | delete\s+from\s+\w+\s*(where|;|$)
        | create\s+(or\s+replace\s+)?(temp\w*\s+)?(unique\s+)?(table|view|index|macro|trigger)\b | drop\s+(table|view)\b
        | alter\s+table\b | with\s+\w+\s+as\s*\( | copy\s.+\s(to|from)\s | attach\s+(database\s+)?' | pragma\s+\w+
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def _name(node: ast.expr) -> str:
    """Give 'a.b' for a dotted name, 'b' for anything else with an attribute b."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}".lstrip(".")
    return ""


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name.split(".")[0] for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.split(".")[0]


def _is_built(node: ast.expr) -> bool:
    """Tell whether a string is put together from parts that are not known when it is written."""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        texts = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
        return bool(texts) and not all(isinstance(n, ast.Constant) for n in (node.left, node.right))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr in {"format", "format_map"} or (
            node.func.attr in {"join", "replace"} and any(isinstance(n, ast.Constant) for n in ast.walk(node.func))
        )
    return False


def built_sql(tree: ast.AST) -> list[int]:
    """Give the lines where a put-together string goes to a call that runs SQL, directly or by one local name."""
    found = []
    for scope in ast.walk(tree):
        if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
            continue
        assigned = [n for n in ast.walk(scope) if isinstance(n, ast.Assign)]
        built = {_name(t) for n in assigned if _is_built(n.value) for t in n.targets}
        for call in (n for n in ast.walk(scope) if isinstance(n, ast.Call)):
            runs = isinstance(call.func, ast.Attribute) and call.func.attr in RUNS_SQL
            if runs and any(_is_built(a) or _name(a) in built - {""} for a in call.args[:1]):
                found.append(call.lineno)
    return sorted(set(found))


def sql_texts(tree: ast.AST) -> list[int]:
    """Give the lines of string constants, docstrings aside, that are SQL statements."""
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    constants = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and id(n) not in docs]
    return [n.lineno for n in constants if isinstance(n.value, str) and SQL_TEXT.match(n.value)]


def test_nothing_is_imported_that_runs_code_when_it_reads(sources: list[Source]) -> None:
    """No pickle in any of its forms, and no pandas, is imported anywhere in the product."""
    assert [(s.path, m) for s in sources for m in _imports(s.tree) if m in BANNED_MODULES] == []


def test_no_room_imports_from_the_facade(sources: list[Source], repository: Path) -> None:
    """Only the surfaces import names of `nextbest` itself; a room imports modules, or the version."""
    package = repository / "src/nextbest"
    modules = {p.stem for p in package.iterdir() if p.suffix == ".py" or p.is_dir()} | {"__version__"}
    found = [
        f"{s.path}:{node.lineno} {alias.name}"
        for s in sources
        if s.room not in {"cli", "serve", ""}
        for node in ast.walk(s.tree)
        if isinstance(node, ast.ImportFrom) and node.module == "nextbest"
        for alias in node.names
        if alias.name not in modules
    ]
    assert found == []


def test_nothing_evaluates_text(sources: list[Source]) -> None:
    """Neither eval nor exec nor yaml.load nor a shell is called anywhere in the product."""
    calls = [(s, n) for s in sources for n in ast.walk(s.tree) if isinstance(n, ast.Call)]
    assert [f"{s.path}:{n.lineno} {_name(n.func)}" for s, n in calls if _name(n.func) in BANNED_CALLS] == []


def test_sql_is_never_put_together_from_strings(sources: list[Source]) -> None:
    """What goes to execute, sql or query is a fixed text or a sqlglot expression."""
    assert [f"{s.path}:{line}" for s in sources for line in built_sql(s.tree)] == []


def test_sql_stands_in_ledger_and_features_only(sources: list[Source], repository: Path) -> None:
    """No other room holds the text of an SQL statement, in Python or in a file."""
    assert [f"{s.path}:{line}" for s in sources if s.room not in SQL_ROOMS for line in sql_texts(s.tree)] == []
    files = [PurePosixPath(f.relative_to(repository / "src/nextbest")) for f in (repository / "src").rglob("*.sql")]
    assert [str(f) for f in files if f.parts[0] not in SQL_ROOMS] == []


def test_every_sql_file_says_what_one_row_means(repository: Path) -> None:
    """The first line of every .sql file is a comment."""
    files = sorted((repository / "src").rglob("*.sql"))
    assert [f.name for f in files if not re.match(r"--\s*\w+", f.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    "line",
    [
        'c.execute(f"select {x} from t")',
        'c.execute("select " + x)',
        'c.sql("select %s" % x)',
        'c.query("select {}".format(x))',
        'q = f"select {x}"; c.execute(q)',
        'c.executemany("a, ".join(x), y)',
    ],
)
def test_the_rule_finds_built_sql(line: str) -> None:
    """Each way of putting SQL together is found, also through a local name."""
    assert built_sql(ast.parse(line)) == [1]


@pytest.mark.parametrize("line", ['c.execute("select 1", [x])', "c.execute(TEXT)", 'c.execute("a " "b")'])
def test_the_rule_lets_fixed_sql_pass(line: str) -> None:
    """A fixed statement with bound parameters is let through."""
    assert built_sql(ast.parse(line)) == []


def test_the_rule_tells_sql_from_prose() -> None:
    """Statements are found, sentences that begin like one are not."""
    tree = ast.parse('a = "SELECT x FROM t"\nb = "Select a recipe."\nc = "Delete from the list what you know."\n')
    assert sql_texts(tree) == [1]
