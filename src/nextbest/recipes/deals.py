"""What the recipes about deals share: the deals of a ledger as of a moment, and whether there are enough of them."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import deal_features, deal_history
from nextbest.models.deal_history import DAY, NEVER, Deals
from nextbest.recipes.deal_panel import Known
from nextbest.recipes.fitting import model_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from nextbest.types import Model

EXPORT_ONLY = (
    "There is no history of stages, only the deals as they stood when they were exported: stage, amount and closing"
    " date of a deal that is over are known from afterwards and are not learnt from. A history of stages tells more."
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rows(ledger: Any, *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (a ledger)
    """Give the rows of `deal_stage` before a moment."""
    from nextbest.ledger import analysis

    found: pa.Table = analysis.table(ledger, "deal_stage", columns=deal_history.COLUMNS, before=as_of)
    return found


def read(table: pa.Table, *, as_of: datetime, won_stages: Sequence[str] = (), lost_stages: Sequence[str] = ()) -> Deals:
    """Give the deals told by rows of `deal_stage`, as of a moment.

    What is known ends with the day of the last thing that happened, however late the moment is: after it deals do not
    stand still, they are unseen.
    """
    moment = int((as_of - _EPOCH) / timedelta(seconds=1))
    if table.num_rows:
        last = deal_history.seconds(table["ts"])
        ended = deal_history.seconds(table["closed_ts"])
        known = np.concatenate([last, ended[ended < moment]])
        moment = min(moment, (int(known.max()) // DAY + 1) * DAY)
    return deal_history.read(table, now=moment, won_stages=won_stages, lost_stages=lost_stages)


def known(
    ledger: Any,  # noqa: ANN401 (a ledger)
    *,
    as_of: datetime,
    won_stages: Sequence[str] = (),
    lost_stages: Sequence[str] = (),
) -> Known:
    """Give deals, what was done about them, and accounts, all as of a moment."""
    from nextbest.ledger import analysis

    deals = read(rows(ledger, as_of=as_of), as_of=as_of, won_stages=won_stages, lost_stages=lost_stages)
    done = analysis.table(ledger, "activity", columns=("deal_id", "ts"), before=as_of)
    accounts = analysis.table(ledger, "subjects", columns=("subject_id", *deal_features.ACCOUNT), before=as_of)
    return Known(deals=deals, done=deal_features.activities(done, deals), accounts=accounts)


def too_few(deals: Deals, needed: int) -> str:
    """Say how many won and lost deals there are when there are fewer than needed, or ''."""
    if not len(deals.ids):
        return "There are no deals before this moment. Load deals first: an export, or better the history of stages."
    over = deals.closed < NEVER
    won, lost = int((deals.won & over).sum()), int((~deals.won & over).sum())
    if min(won, lost) >= needed:
        return ""
    unclear = f" Of {deals.unclear} more nobody says whether they were won." if deals.unclear else ""
    stages = ", ".join(f"'{s}'" for s in deals.stages[-6:])
    hint = f" Stages that are taken to be open: {stages}; set won_stages or lost_stages if one is not." * deals.history
    return (
        f"{won + lost} deals are over: {won} won and {lost} lost; at least {needed} of either are needed.{unclear}"
        f" Load more closed deals.{hint}"
    )


def facts_id(recipe: str, facts: Mapping[str, Any], as_of: str, parts: Mapping[str, Model] | None = None) -> str:
    """Give an id that follows from what was learnt and when."""
    written = json.dumps(facts, sort_keys=True, separators=(",", ":"))
    written += model_id(recipe, parts, as_of) if parts else ""
    return f"{recipe}-{hashlib.sha256(f'{as_of}/{written}'.encode()).hexdigest()[:16]}"


def moment_of(second: int) -> datetime:
    """Give a moment from seconds since 1970."""
    return _EPOCH + timedelta(seconds=int(second))


def day_of(second: int) -> str:
    """Give the day of a moment as text."""
    return moment_of(second).date().isoformat()
