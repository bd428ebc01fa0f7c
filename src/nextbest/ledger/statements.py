"""The fixed SQL statements of the ledger, by file and name: `load("consent.sql", "latest")`.

A file's first comment says what one row means; each statement follows a line `-- name: <its name>`.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib.resources import files

_SQL = files("nextbest.ledger").joinpath("sql")
_NAME = "-- name:"


@cache
def load(file: str, name: str) -> str:
    """Give the statement of that name in a file under `ledger/sql/`; KeyError when there is none."""
    return _named(file)[name]


@cache
def _named(file: str) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in _SQL.joinpath(file).read_text(encoding="utf-8").splitlines():
        if line.startswith(_NAME):
            lines = found[line.removeprefix(_NAME).strip()] = []
        else:
            lines.append(line)
    return {name: "\n".join(text).strip().rstrip(";") for name, text in found.items()}


def script(file: str) -> tuple[str, ...]:
    """Give the statements of an unnamed script in order, to be run inside the caller's transaction."""
    given: list[str] = []
    text = ""
    for line in _SQL.joinpath(file).read_text(encoding="utf-8").splitlines():
        text += line + "\n"
        if sqlite3.complete_statement(text):
            given.append(text)
            text = ""
    return tuple(given)
