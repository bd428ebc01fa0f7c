"""Commands of the first five minutes: demo, up, init, serve."""

from __future__ import annotations

import importlib
import secrets
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from nextbest.cli import render
from nextbest.cli.app import COMMON, Common, app
from nextbest.errors import UsageError

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.up import Stage

DEMO = Path("nextbest-demo")


@app.command(sort_key=1)
def demo(
    *,
    serve: Annotated[bool, Parameter(help="Open the service and its page afterwards.")] = True,
    port: int = 8000,
    common: Common = COMMON,
) -> int:
    """Run the whole loop on real retail data, then serve today's list.

    Example: nextbest demo --no-serve --json
    """
    from nextbest import demo as demonstration
    from nextbest import traffic

    folder = common.workspace or DEMO
    with render.progress("load") as progress:
        stages = _follow(demonstration.demo(folder, progress=progress), as_json=common.json)
    if common.json:
        render.document({"workspace": folder, "seconds": _seconds(stages), "stages": _by_name(stages)})
    program = sys.argv[0] if Path(sys.argv[0]).stem == "nextbest" else "nextbest"
    again = "" if serve else f" Start it: {program} serve -w {folder}"
    render.say(
        f"\nThe play {traffic.PLAY} is live while the service runs.{again}\nPaste into another terminal, here:\n"
    )
    render.say(traffic.commands(folder, port=port, program=program))
    if serve:
        return _serve(demonstration.workspace(folder), port=port)
    return 0


@app.command(sort_key=2)
def up(
    *paths: Path,
    serve: Annotated[bool, Parameter(help="Open the service and its page afterwards.")] = True,
    port: int = 8000,
    common: Common = COMMON,
) -> int:
    """Recognise, load, check, fit what the data supports, predict, decide, and serve today's list.

    Example: nextbest up exports/ --no-serve
    """
    from nextbest import up as first_minutes

    ledger = _open_or_create(common.workspace or Path())
    try:
        with render.progress("load") as progress:
            stages = _follow(first_minutes.up(ledger, paths, progress=progress), as_json=common.json)
        if common.json:
            render.document({"workspace": ledger.path, "seconds": _seconds(stages), "stages": _by_name(stages)})
    finally:
        ledger.close()
    return _serve(_open_or_create(common.workspace or Path()), port=port) if serve else 0


@app.command(sort_key=3)
def init(folder: Path = Path(), *, common: Common = COMMON) -> None:
    """Make a workspace: a folder with a commented nextbest.toml.

    Example: nextbest init acme
    """
    from nextbest import operations

    ledger = operations.create(common.workspace or folder)
    render.show({"workspace": ledger.path, "next": "nextbest load FILE..."}, as_json=common.json)
    ledger.close()


@app.command(name="serve", sort_key=30)
def serve_command(
    *,
    port: int = 8000,
    host: Annotated[str, Parameter(help="Anything but loopback needs --behind-proxy.")] = "127.0.0.1",
    behind_proxy: Annotated[
        bool, Parameter(negative="", help="A proxy in front speaks TLS; listen beyond loopback.")
    ] = False,
    workers: Annotated[int, Parameter(help="Processes that share the port; one per core is enough.")] = 1,
    workspaces: Annotated[
        tuple[Path, ...],
        Parameter(name=["--workspace", "-w"], help="Workspace folder; several are served side by side."),
    ] = (),
) -> int:
    """Answer decisions over HTTP, and show today's list.

    Example: nextbest serve --port 8000
    Example: nextbest serve -w north -w south
    """
    ledgers = _all_workspaces(workspaces)
    return _serve(*ledgers, port=port, host=host, behind_proxy=behind_proxy, workers=workers)


def _all_workspaces(folders: Iterable[Path]) -> list[Ledger]:
    """Open the workspaces that are named, or the nearest one, and those that its `[server] workspaces` adds."""
    from nextbest import operations

    ledgers = [operations.open(folder) for folder in folders] or [operations.open()]
    opened = {ledger.path for ledger in ledgers}
    if len(opened) < len(ledgers):
        raise UsageError("A workspace is named twice. Name each one once.")
    for name in ledgers[0].config.server.workspaces:
        ledger = operations.open(ledgers[0].path / name)
        if ledger.path in opened:
            ledger.close()
        else:
            opened.add(ledger.path)
            ledgers.append(ledger)
    return ledgers


def _open_or_create(folder: Path) -> Ledger:
    from nextbest import operations

    return operations.open(folder) if (folder / "nextbest.toml").exists() else operations.create(folder)


def _follow(stages: Iterable[Stage], *, as_json: bool) -> list[Stage]:
    """Tell each stage as it is done: on standard output for a person, on standard error beside a document."""
    done = []
    for stage in stages:
        done.append(stage)
        if as_json:
            render.say(f"{stage.name}: {stage.seconds} s")
        else:
            print(f"\n{stage.name} ({stage.seconds} s)")
            print("\n".join(f"  {line}" for line in render.told(stage.figures, stage.name.partition(" ")[0])))
    return done


def _seconds(stages: list[Stage]) -> float:
    return round(sum(s.seconds for s in stages), 2)


def _by_name(stages: list[Stage]) -> dict[str, Any]:
    return {s.name: {"seconds": s.seconds, **s.figures} for s in stages}


def _serve(*ledgers: Ledger, port: int, host: str = "127.0.0.1", behind_proxy: bool = False, workers: int = 1) -> int:
    service = importlib.import_module("nextbest.serve")  # a sibling room: met by its name, at run time only
    tokens = [secrets.token_urlsafe(24) for _ in ledgers]
    links = [
        f"Today's list{f' of {ledger.config.name}' if len(ledgers) > 1 else ''}: http://{host}:{port}/?token={token}"
        for ledger, token in zip(ledgers, tokens, strict=True)
    ]
    told = "\n".join(["", *links, "The link holds a first-run token. Stop with Ctrl+C."])
    where = {"host": host, "port": port, "behind_proxy": behind_proxy, "announce": lambda: render.say(told)}
    if workers == 1:
        service.run(*ledgers, token=tokens, **where)
    else:
        for ledger in ledgers:
            ledger.close()  # each worker opens it for itself
        service.run_workers([ledger.path for ledger in ledgers], workers=workers, tokens=tokens, **where)
    return 0
