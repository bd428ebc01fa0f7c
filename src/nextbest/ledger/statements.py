"""The fixed SQL statements of the ledger, by file and name: `load("consent.sql", "latest")`.

A file's first comment says what one row means; each statement follows a line `-- name: <its name>`.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib.resources import files
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_AT_ONCE = 128  # rows; of more than a service gathers, each has its own step, which is quicker on the whole
_SQL = files("nextbest.ledger").joinpath("sql")
_NAME = "-- name:"


@cache
def load(file: str, name: str) -> str:
    """Give the statement of that name in a file under `ledger/sql/`; KeyError when there is none."""
    return _named(file)[name]


def insert(connection: sqlite3.Connection, file: str, name: str, rows: Iterable[Sequence[Any]]) -> None:
    """Run the insertion of one row for many, in as few steps as powers of two allow.

    Between two steps another thread of the program may run, and this one waits for it: `executemany` takes a step per
    row. Powers of two, because SQLite prepares every number of rows by itself, and keeps few.
    """
    left = iter(rows)
    some = list(islice(left, MOST_AT_ONCE + 1))
    if len(some) > MOST_AT_ONCE:
        connection.executemany(load(file, name), chain(some, left))
        return
    begin = 0
    while begin < len(some):
        end = begin + (1 << (len(some) - begin).bit_length() - 1)
        connection.execute(_repeated(file, name, end - begin), tuple(chain.from_iterable(some[begin:end])))
        begin = end


@cache
def _repeated(file: str, name: str, times: int) -> str:
    head, values, rest = load(file, name).partition("VALUES ")
    row, end, tail = rest.partition(")")  # what follows is what to do with a row that is there already
    return head + values + ", ".join([row + end] * times) + tail


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
