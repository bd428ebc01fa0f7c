"""What is written for people: tables, model cards."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextbest.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    import pyarrow as pa

    from nextbest.ledger import Ledger


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """Give what is to be said about a table of predictions: values that the model could not read."""
    from nextbest.models import unread

    return unread.notes_of(table)


def write_table(table: pa.Table, file: str | Path) -> Path:
    """Write a table to CSV (through the one safe writer) or Parquet, by the file's ending."""
    from nextbest.channels import csv

    csv.write_table(Path(file), table)
    return Path(file)


def card(
    ledger: Ledger,
    recipe: str,
    *,
    as_of: datetime | str | None = None,
    table: pa.Table | str | Path | None = None,
) -> dict[str, Any]:
    """Give the card of a recipe's newest model as plain JSON values: data, figures, what moves it, limits.

    *table* stands in for the flat table that the recipe learnt from. Raises `UnknownNameError` when nothing was fitted.
    """
    from nextbest import verbs

    return dict(verbs.explain(ledger, recipe, as_of=as_of, table=table).details)


def card_page(card: Mapping[str, Any]) -> str:
    """Give a card as one HTML page that opens on its own."""
    from nextbest.trust import page

    return page.page(card)


def write_card(card: Mapping[str, Any], file: str | Path) -> Path:
    """Write a card as .html or .json, by the file's ending."""
    import json

    path = Path(file)
    if path.suffix.lower() not in {".html", ".htm", ".json"}:
        raise UsageError(f"A card is written as .html or .json. Got '{path.name}'.")
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        path.write_text(card_page(card), encoding="utf-8")
    return path
