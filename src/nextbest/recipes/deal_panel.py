"""Deals as they were seen: each at its opening, and all that were open at regular moments of the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import deal_features
from nextbest.models.deal_history import DAY, NEVER, UNKNOWN

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.models.deal_features import Activities
    from nextbest.models.deal_history import Deals

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

MOST_ROWS = 20_000  # looks at one deal say much the same: more of them cost time and teach little
LOOKS = 4  # at a deal of the usual length
_SHORTEST, _LONGEST = 3, 91  # days between two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known as of a moment: the deals, what was done about them, and the accounts."""

    deals: Deals
    done: Activities
    accounts: pa.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One row per deal and moment: which, when, what was known then, and 1 if the deal was won in the end."""

    deal: Ints
    moment: Ints
    features: pa.Table
    actual: Floats


def panel(known: Known, *, since: int = 0, before: int = NEVER, once: bool = False) -> Panel:
    """Give the looks from `since` on at deals that were over before a moment; `once`: the first look of each."""
    deal, moment = looks(known.deals)
    use = (moment >= since) & (known.deals.closed[deal] < min(before, known.deals.now))
    deal, moment = deal[use], moment[use]
    if once:
        order = np.lexsort((moment, deal))
        deal, moment = deal[order], moment[order]
        first = np.ones(len(deal), np.bool_)
        first[1:] = deal[1:] != deal[:-1]
        deal, moment = deal[first], moment[first]
    return at(known, deal, moment)


def at(known: Known, deal: Ints, moment: Ints) -> Panel:
    """Give the rows of these deals at these moments."""
    features = deal_features.features(known.deals, deal, moment, done=known.done, accounts=known.accounts)
    return Panel(deal=deal, moment=moment, features=features, actual=known.deals.won[deal].astype(np.float64))


def looks(deals: Deals) -> tuple[Ints, Ints]:
    """Give (deal, moment) of every look at a deal that is over: at its opening, and at moments a step apart."""
    over = deals.over()
    lived = (deals.closed[over] - deals.opened[over]) / DAY
    step = int(np.clip(np.median(lived) / LOOKS if len(lived) else _LONGEST, _SHORTEST, _LONGEST)) * DAY
    most = max(1, MOST_ROWS // max(1, len(over)))
    pairs = [(over, deals.opened[over])]
    for back in range(1, (deals.now - int(deals.opened.min(initial=deals.now))) // step + 1):
        cut = deals.now - back * step
        there = over[(deals.opened[over] < cut) & (deals.closed[over] > cut)]
        pairs.append((there, np.full(len(there), cut)))
        if sum(len(d) for d, _ in pairs) > most * len(over):
            break
    deal, moment = (np.concatenate(column) for column in zip(*pairs, strict=True))
    known = deals.row_stage[deals.rows_at(deal, moment)] != UNKNOWN
    return deal[known], moment[known]
