"""Every example in the documentation runs, and every setting shown is one the product accepts."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

from nextbest import config

if TYPE_CHECKING:
    from sybil import Example

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    p for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))) if p.exists()
]
MODULES = [p for p in sorted((ROOT / "src").rglob("*.py")) if ">>>" in p.read_text(encoding="utf-8")]


def _accepts(example: Example) -> None:
    config.parse(example.parsed, where=f"{Path(example.path).name}:{example.line}")


def _examples(page: Path) -> list[Example]:
    parsers = [PythonCodeBlockParser(), CodeBlockParser(language="toml", evaluator=_accepts), SkipParser()]
    return list(Sybil(parsers=parsers, path=str(ROOT)).parse(page).examples())


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_example_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The Python blocks of a page run in order in one namespace, its TOML blocks are valid settings."""
    monkeypatch.chdir(tmp_path)
    examples = _examples(page)
    for example in examples:
        example.evaluate()  # raises where an example does not run
    assert ("```python" in page.read_text(encoding="utf-8")) <= bool(examples)


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(ROOT / "src")))
def test_every_example_of_a_docstring_runs(module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples in the docstrings of a module give the results that are written there."""
    monkeypatch.chdir(tmp_path)
    name = ".".join(module.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0
