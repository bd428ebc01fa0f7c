"""What a deal's win probability and its state rest on, in sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import stage_rates
from nextbest.models.deal_history import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals
    from nextbest.types import Fitted

    Ints = NDArray[np.int64]


def win(fitted: Fitted, deals: Deals, deal: Ints, stage: Ints, *, level: float) -> tuple[str, ...]:
    """Give what the win probability of the one open deal rests on; *stage* is its place among the learnt stages."""
    rates, place = stage_rates.restore(fitted.extra["rates"]), int(stage[0])
    if place == UNKNOWN:
        came = "Its stage was not known when this was learnt: the rate of all deals counts,"
        won, over = rates.all_won, rates.all_over
    else:
        name = deals.stages[int(deals.row_stage[deals.rows_at(deal, np.full(1, deals.now))][0])]
        came = f"It is in '{name}'. Of deals that came there and are over,"
        won, over = float(rates.won[place]), float(rates.over[place])
    low, high = (float(end[0]) for end in rates.interval(stage, level))
    counted = f"{won:,.0f} of {over:,.0f} were won" if over else "none is known"
    said = f"{came} {counted}: {float(rates.rate(stage)[0]):.0%} ({low:.0%} to {high:.0%})."
    return said, _weighed(fitted)


def _weighed(fitted: Fitted) -> str:
    """Say how much a model adds to that rate, or why it adds nothing."""
    if "model" in fitted.parts:
        return f"The model counts for {fitted.extra['weight']:.0%} beside that rate."
    if not fitted.report.metrics:
        return "That rate is the answer: too few deals are over to learn more from."
    return "That rate is the answer: on deals that had not taught it, nothing else known of a deal clearly did better."


def health(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the state of an open deal from its row of the pipeline."""
    if row.get("days_in_stage") is None:
        return ()
    found = [f"It has been there for {_days(row['days_in_stage'])}."]
    if row["stalled"] is None:
        found.append("Too few deals that were won passed there to say when one is stalled.")
    else:
        after = f"Nine of ten deals that were won left it within {_days(row['stalled_after_days'])}"
        found.append(f"{after}: it is {'stalled' if row['stalled'] else 'not stalled'}.")
    if row["unusually_unlikely"]:
        found.append("Nine of ten deals that were won had a better chance at that stage: it is unusually unlikely.")
    if row["next_stage"] is not None and row["next_stage_date"] is not None:
        found.append(f"Most that go on go to '{row['next_stage']}', half of them by {row['next_stage_date']}.")
    return tuple(found)


def _days(count: float) -> str:
    return "1 day" if round(count) == 1 else f"{count:,.0f} days"
