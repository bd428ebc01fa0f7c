"""The commands, and what happens around each: find the workspace, print one document, turn errors into exit status."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, CycloptsError, Parameter

from nextbest import __version__
from nextbest.cli import render
from nextbest.errors import NextbestError, UsageError

if TYPE_CHECKING:
    from nextbest.ledger import Ledger

app = App(
    name="nextbest",
    help="The next best action for every customer, lead and deal, from the data you already have.",
    help_epilogue="Start with: nextbest up exports/   or see it on real data: nextbest demo",
    help_format="plaintext",
    version=__version__,
    result_action="return_value",
    exit_on_error=False,
    print_error=False,
)

MODULES = ("start", "data", "learn", "act", "trust", "operate")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """What every command takes."""

    workspace: Annotated[
        Path | None, Parameter(name=["--workspace", "-w"], help="Workspace folder; else the nearest one upwards.")
    ] = None
    json: Annotated[bool, Parameter(name="--json", negative="", help="Print one JSON document.")] = False


COMMON = Common()


@contextmanager
def workspace(common: Common) -> Iterator[Ledger]:
    """Open the workspace for the length of a command."""
    from nextbest import operations

    ledger = operations.open(common.workspace)
    try:
        with render.work_lines():
            yield ledger
    finally:
        ledger.close()


def run(arguments: list[str]) -> int:
    """Run one command line; gives the exit status: 0 done, 1 failed or drifted, 2 usage."""
    for module in MODULES:
        importlib.import_module(f"nextbest.cli.{module}")
    try:
        status = app(arguments)
    except CycloptsError as error:
        return _fail(arguments, "usage", f"{error}\nSee: nextbest --help", 2)
    except UsageError as error:
        return _fail(arguments, error.code, str(error), 2)
    except NextbestError as error:
        return _fail(arguments, error.code, str(error), 1)
    except KeyboardInterrupt:
        render.say("Stopped. Nothing half-done was kept.")
        return 1
    return status if isinstance(status, int) else 0


def _fail(arguments: list[str], code: str, message: str, status: int) -> int:
    if "--json" in arguments:
        render.document({"error": {"code": code, "message": message}})
    else:
        render.say(f"nextbest: {message}")
    return status
