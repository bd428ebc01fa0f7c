"""Files and functions stay small enough to be read."""

from __future__ import annotations

import ast
import io
import statistics
import tokenize

from tests.house.conftest import Source

FILE_MOST, FILE_NEVER = 400, 600
FUNCTION_MOST, FUNCTION_NEVER, FUNCTION_MEDIAN = 40, 80, 10
MOST = 0.95
IGNORED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def code_lines(text: str) -> set[int]:
    """Give the numbers of the lines that hold code: no comments, no blank lines."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return {n for t in tokens if t.type not in IGNORED for n in range(t.start[0], t.end[0] + 1)}


def function_lengths(source: Source) -> dict[str, int]:
    """Give code lines per function, without its docstring and its inner functions' docstrings."""
    lines = code_lines(source.text)
    functions = [node for node in ast.walk(source.tree) if isinstance(node, Function)]
    for node in functions:
        if ast.get_docstring(node, clean=False) is not None:
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return {
        f"{source.path}:{f.lineno} {f.name}": len(lines & set(range(f.lineno, f.end_lineno + 1))) for f in functions
    }


def test_code_lines_leave_out_comments_blanks_and_docstrings() -> None:
    """A function of a signature and one statement counts two lines, whatever is written between them."""
    text = 'def f():\n    """Say.\n\n    More.\n    """\n\n    # why\n    return 1  # here\n'
    assert list(function_lengths(Source(path="x.py", text=text, tree=ast.parse(text))).values()) == [2]


def test_files_are_short(sources: list[Source], tests: list[Source]) -> None:
    """No file is over 600 lines, and 95% of the product's and of the tests' are at most 400."""
    for group in (sources, tests):
        lengths = {s.path: s.text.count("\n") for s in group}
        assert [p for p, n in lengths.items() if n > FILE_NEVER] == []
        long = {p: n for p, n in lengths.items() if n > FILE_MOST}
        assert len(long) <= (1 - MOST) * len(lengths), long


def test_functions_are_short(sources: list[Source], tests: list[Source]) -> None:
    """No function has over 80 lines of code, 95% have at most 40, and the median of the product is under 10."""
    for group in (sources, tests):
        lengths = {name: n for s in group for name, n in function_lengths(s).items()}
        assert {name: n for name, n in lengths.items() if n > FUNCTION_NEVER} == {}
        long = {name: n for name, n in lengths.items() if n > FUNCTION_MOST}
        assert len(long) <= (1 - MOST) * len(lengths), long
    assert statistics.median(n for s in sources for n in function_lengths(s).values()) < FUNCTION_MEDIAN


def test_inheritance_is_shallow(sources: list[Source]) -> None:
    """No class has more than two ancestors in a row that are our own."""
    bases = {
        node.name: [b.id if isinstance(b, ast.Name) else getattr(b, "attr", "") for b in node.bases]
        for s in sources
        for node in ast.walk(s.tree)
        if isinstance(node, ast.ClassDef)
    }

    def depth(name: str) -> int:
        return max((1 + depth(b) for b in bases.get(name, []) if b in bases and b != name), default=0)

    assert {name: depth(name) for name in bases if depth(name) > 2} == {}
