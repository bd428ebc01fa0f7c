"""Commands on data: load, check, record."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from nextbest.cli import render
from nextbest.cli.app import COMMON, Common, app, workspace
from nextbest.errors import UsageError


@app.command(sort_key=4)
def load(
    *files: Path,
    as_: Annotated[str | None, Parameter(name="--as", help="What one row is: order, subjects, page_view ...")] = None,
    map_: Annotated[
        tuple[str, ...],
        Parameter(name="--map", negative="", help="column=field,...; a position from 0 where columns have no name."),
    ] = (),
    play: Annotated[str | None, Parameter(help="With --as decisions: the play that the log is of.")] = None,
    dry_run: Annotated[bool, Parameter(negative="", help="Say what would be loaded; keep nothing.")] = False,
    common: Common = COMMON,
) -> None:
    """Bring files or folders into the ledger: CSV, TSV, JSON Lines, Parquet, XLSX, also gzip and zip.

    Example: nextbest load exports/orders.csv
    Example: nextbest load sales.csv --as order --map "Kunde=subject_id,Datum=ts,Betrag=revenue"
    Example: nextbest load eppo_bandit_log.csv --as decisions --play home_banner
    """
    from nextbest import verbs

    if not files:
        raise UsageError("Say which files to load: nextbest load FILE...")
    with workspace(common) as ledger, render.progress("load") as progress:
        report = verbs.load(
            ledger, *files, kind=as_, columns=pairs(map_), play=play, dry_run=dry_run, progress=progress
        )  # fmt: skip
    render.show(report, as_json=common.json, story="load")


@app.command(sort_key=5)
def check(*, common: Common = COMMON) -> None:
    """Report data quality: missing, duplicates, inconsistent, suspicious, rejected, and what to do about each.

    Example: nextbest check --json
    """
    from nextbest import operations

    with workspace(common) as ledger:
        tables = operations.check(ledger)
    render.show({"tables": tables}, as_json=common.json, story="check")


@app.command(sort_key=11)
def record(file: Path, *, name: str, common: Common = COMMON) -> None:
    """Store outcomes from a file: a decision_id or subject_id, a time, and a value.

    Example: nextbest record redeemed.csv --name coupon_redeemed
    """
    from nextbest import verbs

    with workspace(common) as ledger:
        new = verbs.record(ledger, file, name=name)
    render.show({"name": name, "new": new}, as_json=common.json)


def pairs(given: tuple[str, ...]) -> dict[str, str]:
    """Give {column: field} from 'column=field,...' texts."""
    found = {}
    for part in (p for text in given for p in text.split(",") if p.strip()):
        column, sign, field = part.rpartition("=")
        if not sign or not column.strip() or not field.strip():
            raise UsageError(f"--map takes column=field,..., got '{part}'.")
        found[column.strip()] = field.strip()
    return found
