"""What is left of a play's limits today: read from what was logged, so that any number of workers agree."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import ConfigError
from nextbest.policies.gates import reaches
from nextbest.policies.limits import Left
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    import sqlite3

    from nextbest.policies.gates import Moment
    from nextbest.policies.limits import Positions


Used = tuple[Counter[str], float]


def left_today(moment: Moment, table: pa.Table, used: Used) -> Left:
    """Give the limits of a play less what its live decisions have used since midnight (of the workspace)."""
    play, (uses, cost) = moment.play, used
    acting = [a for a in moment.actions if a.id != NO_ACTION]
    return Left(
        places={a.id: max(0, a.max_per_day - uses[a.id]) for a in acting if a.max_per_day is not None},
        least={a.id: max(0, a.min_per_day - uses[a.id]) for a in acting if a.min_per_day},
        in_all=None if play.max_actions is None else max(0, play.max_actions - sum(uses.values())),
        budget=None if play.budget is None else max(0.0, play.budget - cost),
        group=_groups(play.name, play.group, table) if play.group else None,
        per_group=play.per_group,
        contacts=tuple(reaches(a) for a in moment.actions),
    )


def used_today(connection: sqlite3.Connection, moment: Moment) -> Used:
    """Give how often each action of the play was used today, and what that cost."""
    from nextbest.ledger import spent

    local = moment.now.astimezone(ZoneInfo(moment.config.timezone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = spent.slot_of(midnight + timedelta(days=1))
    uses: Counter[str] = Counter()
    cost = 0.0
    for (action_id, slot), (count, money) in spent.since(connection, moment.play.name, spent.slot_of(midnight)).items():
        if slot < tomorrow:  # a list may be made as of a day that is over
            uses[action_id] += count
            cost += money
    return uses, cost


def _groups(play: str, column: str, table: pa.Table) -> Positions:
    """Give the number of each subject's group, -1 where it has none."""
    if column not in table.column_names:
        known = ", ".join(sorted(table.column_names)[:12])
        raise ConfigError(f"Play '{play}' has group '{column}', which is not known of its subjects. Known: {known}.")
    coded = pc.dictionary_encode(table[column].combine_chunks())
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return np.asarray(codes, dtype=np.int64)
