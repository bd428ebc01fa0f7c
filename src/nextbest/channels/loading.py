"""Files and folders into the ledger, one after another: exports of the world, or logs of other decision engines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.channels.files import discover
from nextbest.channels.reading import load_file
from nextbest.errors import DataError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nextbest.channels.reading import LoadedFile
    from nextbest.ledger import Ledger

    Progress = Callable[[float], None]

DECISIONS = "decisions"  # the kind of a file that is a log of another engine


def load_files(
    ledger: Ledger,
    paths: Sequence[str | Path],
    *,
    kind: str | None = None,
    overrides: Mapping[str, str] | None = None,
    play: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> tuple[tuple[LoadedFile, ...], tuple[str, ...]]:
    """Give what became of every file, and notes on those that were left out.

    A file that cannot be understood raises `DataError` when it is the only one.
    """
    if play is not None and kind != DECISIONS:
        raise UsageError("`play` names the play of another engine's log: load it with kind='decisions'.")
    found = discover(paths)
    files: list[LoadedFile] = []
    notes = list(found.notes)
    for done, path in enumerate(found.files):
        report = None if progress is None else _part(progress, done, len(found.files))
        try:
            if kind == DECISIONS:
                from nextbest.channels.logs import load_log

                files += load_log(ledger, path, play=play, overrides=overrides, dry_run=dry_run)
            else:
                files += load_file(ledger, path, kind=kind, overrides=overrides, dry_run=dry_run, progress=report)
        except DataError as error:
            if len(found.files) == 1:
                raise
            notes.append(f"{path.name} was left out: {error}")
    return tuple(files), tuple(notes)


def _part(progress: Progress, done: int, total: int) -> Progress:
    return lambda share: progress((done + share) / total)
