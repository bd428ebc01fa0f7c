"""Make, open, copy and bring back a workspace, and find out whether what it holds is right."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nextbest.ledger import Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Whether the audit chain, the segments and the models' signatures hold, and what does not."""

    ok: bool
    links: int
    head: str
    problems: tuple[str, ...] = field(default=())


def open(path: str | Path | None = None, *, clock: Callable[[], datetime] | None = None) -> Ledger:  # noqa: A001 (nb.open reads as it should)
    """Open the workspace at *path*, or the nearest one upwards from here, as git does."""
    from nextbest.ledger import open_ledger

    return open_ledger(path, clock=clock)


def create(
    path: str | Path = ".", *, config_text: str | None = None, clock: Callable[[], datetime] | None = None
) -> Ledger:
    """Make a workspace in a folder, with a commented `nextbest.toml`, and open it."""
    from nextbest import ledger

    return ledger.create(path, config_text=config_text, clock=clock)


def backup(ledger: Ledger, file: str | Path) -> dict[str, Any]:
    """Write the whole workspace to one file while it goes on working; gives what is in it."""
    from nextbest.ledger import backup as archive

    return dict(archive.backup(ledger, Path(file)))


def restore(file: str | Path, path: str | Path) -> Ledger:
    """Bring a backup back, replay later consent and erasures found at *path*, and open it."""
    from nextbest.ledger import backup as archive

    return archive.restore(Path(file), Path(path))


def check(ledger: Ledger) -> list[dict[str, Any]]:
    """Give the data's problems per table: missing, duplicates, inconsistent, suspicious, and what to do about each."""
    from nextbest.ledger import quality

    return [dict(table) for table in quality.check(ledger)]


def verify(ledger: Ledger) -> Verified:
    """Recompute the audit chain, the hashes of all segments and the signatures of all models."""
    from nextbest.ledger import archive, chain
    from nextbest.models import store

    verified = chain.verify(ledger)
    problems = [*verified.problems, *archive.verify(ledger), *store.verify(ledger)]
    return Verified(ok=not problems, links=verified.links, head=verified.head, problems=tuple(map(str, problems)))
