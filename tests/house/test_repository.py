"""What is checked in belongs to everyone: no machine, no mirror, no stray index."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# put together here so that this file does not find itself
_FOLDERS = ("work", "root", "opt/pypi", "tmp/brief")
_HOSTS = ("pypi.", "pythonhosted.", "npmjs.", "conda.anaconda.")
MACHINE_PATHS = re.compile("|".join(rf"(?<![\w.])/{folder}/" for folder in _FOLDERS))
HOSTS = re.compile("|".join(re.escape(host) + "(?:org|com)" for host in _HOSTS))
BINARY = {".png", ".jpg", ".ico", ".woff2", ".parquet", ".gz", ".zip", ".xlsx", ".sqlite"}


def test_no_file_names_a_machine_or_a_registry(tracked: list[Path], repository: Path) -> None:
    """Neither a path of the machine it was written on nor the host of a package registry is checked in."""
    found = []
    for file in (f for f in tracked if f.suffix not in BINARY):
        for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if MACHINE_PATHS.search(line) or HOSTS.search(line):
                found.append(f"{file.relative_to(repository)}:{number}")
    assert found == []


def test_no_lock_of_the_tool_is_checked_in(tracked: list[Path]) -> None:
    """The lock is the hashed requirements file; uv.lock would name an index."""
    assert [f for f in tracked if f.name == "uv.lock"] == []


@pytest.mark.parametrize("name", ["dev.txt", "uv.txt"])
def test_requirements_are_hashed_and_name_no_index(name: str, repository: Path) -> None:
    """Every line is a pinned requirement or its hash, and every requirement has one."""
    text = (repository / "requirements" / name).read_text(encoding="utf-8")
    entries = [e.strip() for e in text.replace("\\\n", " ").splitlines() if e.strip()]
    pinned = re.compile(r"[A-Za-z0-9._-]+==[^\s;]+(\s*;[^#]+?)?(\s+--hash=sha256:[0-9a-f]{64})+")
    assert [e[:60] for e in entries if not pinned.fullmatch(e)] == []


def test_requirements_cover_what_the_package_asks_for(repository: Path) -> None:
    """Every dependency of the base, the demo and the tools is in the hashed file, at a version it allows."""
    from packaging.requirements import Requirement

    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    text = (repository / "requirements/dev.txt").read_text(encoding="utf-8")
    locked: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==([^\s;]+)", text, flags=re.MULTILINE):
        locked.setdefault(name, []).append(version)
    asked = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["demo"],
        *project["dependency-groups"]["dev"],
    ]
    for requirement in map(Requirement, asked):
        versions = locked.get(requirement.name.lower(), [])
        assert versions, f"{requirement.name} is not in requirements/dev.txt; run `make lock`"
        assert all(requirement.specifier.contains(v) for v in versions), requirement


def test_base_has_few_direct_dependencies(repository: Path) -> None:
    """The base names at most 17 packages; a new one is a decision, not an accident."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    assert len(project["project"]["dependencies"]) <= 17
