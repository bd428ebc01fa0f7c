"""The source as the house rules see it."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Source:
    """One Python file: its path from the root, its text and its tree."""

    path: str
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The folder under src/nextbest, or '' for the top."""
        parts = self.path.split("/")
        return parts[2] if len(parts) > 3 else ""


def _read(root: Path, folder: str) -> list[Source]:
    files = sorted((root / folder).rglob("*.py"))
    texts = [(str(f.relative_to(root)), f.read_text(encoding="utf-8")) for f in files]
    return [Source(path=path, text=text, tree=ast.parse(text)) for path, text in texts]


@pytest.fixture(scope="session")
def sources(repository: Path) -> list[Source]:
    """Give every Python file of the product."""
    return _read(repository, "src/nextbest")


@pytest.fixture(scope="session")
def tests(repository: Path) -> list[Source]:
    """Give every Python file of the tests."""
    return _read(repository, "tests")


@pytest.fixture(scope="session")
def tracked(repository: Path) -> list[Path]:
    """Give every file that is, or would be, in the repository."""
    command = ["git", "-C", str(repository), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return [repository / name for name in names if name and (repository / name).is_file()]
