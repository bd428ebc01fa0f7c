"""Commands of duty: consent, erase, verify, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nextbest.cli import render
from nextbest.cli.app import COMMON, Common, app, workspace
from nextbest.errors import UsageError


@app.command(sort_key=20)
def consent(
    subject: str,
    *,
    purpose: str = "marketing",
    channel: Annotated[str, Parameter(help="A channel, or * for all.")] = "*",
    allow: Annotated[bool, Parameter(negative="")] = False,
    deny: Annotated[bool, Parameter(negative="")] = False,
    proof: Annotated[str, Parameter(help="Where and how it was said.")],
    common: Common = COMMON,
) -> None:
    """Store a yes or a no of a person (by id, e-mail or phone), with its proof; it binds the next decision.

    Example: nextbest consent c42 --purpose marketing --channel email --deny --proof "phone call, 2026-03-01"
    """
    from nextbest import operations

    if allow == deny:
        raise UsageError("Say --allow or --deny, one of the two.")
    with workspace(common) as ledger:
        version = operations.consent(ledger, subject, purpose=purpose, channel=channel, allow=allow, proof=proof)
    figures = {"subject_id": subject, "purpose": purpose, "channel": channel, "allowed": allow, "version": version}
    render.show(figures, as_json=common.json)


@app.command(sort_key=21)
def erase(
    subject: str,
    *,
    dry_run: Annotated[bool, Parameter(negative="", help="List what would go; remove nothing.")] = False,
    common: Common = COMMON,
) -> None:
    """Remove a person (by id, e-mail or phone) from everything the workspace keeps, with a receipt.

    Example: nextbest erase jane@example.com --dry-run
    """
    from nextbest import verbs

    with workspace(common) as ledger:
        render.show(verbs.erase(ledger, subject, dry_run=dry_run), as_json=common.json, story="erase")


@app.command(sort_key=22)
def verify(*, common: Common = COMMON) -> int:
    """Recompute the audit chain, the hashes of all data and the models' signatures; exit status 1 when one fails.

    Example: nextbest verify --json
    """
    from nextbest import operations

    with workspace(common) as ledger:
        verified = operations.verify(ledger)
    render.show(verified, as_json=common.json, story="verify")
    return 0 if verified.ok else 1


@app.command(sort_key=23)
def backup(file: Path, *, common: Common = COMMON) -> None:
    """Write the whole workspace to one file while it goes on working.

    Example: nextbest backup acme-2026-03-01.zip
    """
    from nextbest import operations

    with workspace(common) as ledger:
        render.show(operations.backup(ledger, file), as_json=common.json)


@app.command(sort_key=24)
def restore(file: Path, *, common: Common = COMMON) -> None:
    """Bring a backup back; later consent and erasures are replayed before anything is served.

    Example: nextbest restore acme-2026-03-01.zip -w acme
    """
    from nextbest import operations

    ledger = operations.restore(file, common.workspace or Path())
    render.show({"workspace": ledger.path}, as_json=common.json)
    ledger.close()
