"""What a command prints: one JSON document, or a few lines for a person; progress goes to standard error."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any


def plain(value: Any) -> Any:  # noqa: ANN401 (any result of a verb)
    """Give *value* as JSON-able types: dataclasses as objects, times as ISO 8601, not-a-number as null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value


def document(value: Any) -> None:  # noqa: ANN401
    """Print exactly one JSON document on standard output."""
    print(json.dumps(plain(value), indent=2, ensure_ascii=False))


def lines(value: Any, indent: str = "") -> Iterator[str]:  # noqa: ANN401
    """Give *value* as lines for a person: one `name: value` each, nested ones indented, empty ones left out."""
    for name, item in plain(value).items():
        label = f"{indent}{name.replace('_', ' ')}"
        if item in (None, "", [], {}):
            continue
        if isinstance(item, dict):
            yield f"{label}:"
            yield from lines(item, indent + "  ")
        elif isinstance(item, list):
            yield f"{label}:"
            yield from _rows(item, indent + "  ")
        else:
            yield f"{label}: {_number(item)}"


def _rows(items: list[Any], indent: str) -> Iterator[str]:
    for item in items:
        if isinstance(item, dict):
            parts = (f"{k.replace('_', ' ')} {_number(v)}" for k, v in item.items() if v not in (None, "", [], {}))
            yield f"{indent}- {', '.join(parts)}"
        else:
            yield f"{indent}- {_number(item)}"


def _number(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_number(v)}" for k, v in value.items())
    return str(value)


def show(value: Any, *, as_json: bool, story: str = "") -> None:  # noqa: ANN401
    """Print *value* as a document, or as lines for a person: its story where it has one."""
    if as_json:
        document(value)
    else:
        print("\n".join(told(value, story)))


def told(value: Any, story: str) -> list[str]:  # noqa: ANN401
    """Give what *value* says to a person."""
    from nextbest.cli.stories import STORIES

    plainly = plain(value)
    said = STORIES[story](plainly) if story in STORIES else lines(plainly)
    return [" ".join(line.splitlines()) for line in said]  # a name of a column may hold a line break


def say(text: str) -> None:
    """Print a line about the work on standard error."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def work_lines() -> Iterator[None]:
    """Print what long work says of its progress, line by line, on standard error."""
    import logging

    log, handler = logging.getLogger("nextbest.progress"), logging.StreamHandler()
    before = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before)


@contextmanager
def progress(label: str) -> Iterator[Callable[[float], None]]:
    """Give a function that takes the share done: a bar on a terminal, plain lines every tenth elsewhere."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=1.0)
            yield lambda share: bar.update(task, completed=share)
        return
    said = [0]

    def line(share: float) -> None:
        tenth = int(share * 10)
        if tenth > said[0]:
            said[0] = tenth
            say(f"{label}: {tenth * 10}%")

    yield line
