"""What a service says of its workspace: whether it may serve, what to look at, what is waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import LedgerError

if TYPE_CHECKING:
    from nextbest.ledger import Ledger


def not_ready(ledger: Ledger) -> tuple[str, ...]:
    """Give why the workspace must not serve now: a restore under way, a journal or a model that cannot be trusted."""
    from nextbest.ledger import backup as archive
    from nextbest.ledger import chain
    from nextbest.models import store

    if (ledger.path / archive.RESTORING).exists():
        return ("A restore is not done yet.",)
    if ledger.journal.replaced:
        return ("The workspace was restored while this program ran. Start it again; until then nothing is written.",)
    try:
        chain.head(ledger)
    except LedgerError as error:
        return (str(error),)
    return tuple(store.verify(ledger))


def warnings(ledger: Ledger) -> tuple[str, ...]:
    """Give what an operator should know although the workspace can serve: a refused nextbest.toml, alarms."""
    from nextbest.ledger import alarms as ledger_alarms
    from nextbest.ledger import rereading

    refused = rereading.refused(ledger)
    with ledger.journal.read() as connection:
        standing = [a for a in ledger_alarms.newest(connection) if a.raised]
    told = [f"Alarm about '{a.play}' since {a.ts.isoformat()}, by {a.by}: {a.what}: {a.why}" for a in standing]
    return (*((refused,) if refused else ()), *told)


def gauges(ledger: Ledger) -> dict[str, int]:
    """Give what is waiting and stored now, and how many `warnings` there are."""
    from nextbest.ledger import catalogue

    stored = {"journal_queue": ledger.journal.waiting, "segments": len(catalogue.listing(ledger))}
    return {**stored, "warnings": len(warnings(ledger))}
