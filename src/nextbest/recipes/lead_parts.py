"""Who they are and what they did: the two parts of a lead's score, which add up in log-odds.

    logit(lead) = logit(fit) + logit(engagement) - logit(base)

The fit part is the chance that the attributes alone would give, were the behaviour neither good nor bad; the engagement
part is the chance that the behaviour alone would give. Columns belong to one of them by their names, or as told.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from nextbest.errors import unknown
from nextbest.models import contributions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from nextbest.types import Model

    Vector = NDArray[np.float64]

# Words of what somebody did, and of how long ago. A word counts whole (plural too), so that "age" is not found in
# "page". Words that as often name a channel, a wish or a trait are left out: "call" (do not call), "search" (came by
# search), "time" (time zone), "last" (last name), "form" (legal form); counts of them are in.
_DID = frozenset({
    "visit", "session", "page", "pageview", "view", "click", "open", "opened", "clicked", "spent", "activity",
    "activities", "engagement", "event", "calls", "meeting", "demo", "download", "webinar", "submission", "searches",
    "chat", "reply", "replied", "message", "touch", "touches", "cart", "trial", "login", "usage", "used", "response",
    "recency", "frequency", "since", "recent", "ago", "interaction", "attended", "viewed", "visited", "submitted",
    "downloaded", "order", "revenue",
})  # fmt: skip
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def engaged(columns: Sequence[str], told: Sequence[str] = ()) -> tuple[str, ...]:
    """Give the columns that hold behaviour: those that are *told*, else those whose names speak of it."""
    for name in told:
        if name not in columns:
            raise unknown("column of engagement", name, columns)
    return tuple(told) or tuple(name for name in columns if _speaks_of_doing(name))


def parts(model: Model, rows: pa.Table, engagement: Sequence[str]) -> tuple[Vector, Vector, float]:
    """Give per row what attributes and what behaviour add to the log-odds, and the base; before any curve."""
    names, shares = contributions.contributions(model, rows)
    did = np.array([name in engagement for name in names], dtype=bool)
    base = float(shares[0, -1]) if len(shares) else 0.0
    return shares[:, :-1][:, ~did].sum(axis=1), shares[:, :-1][:, did].sum(axis=1), base


def percent(log_odds: Vector) -> Vector:
    """Give log-odds as 0 to 100."""
    found: Vector = 100 / (1 + np.exp(-np.clip(log_odds, -35, 35)))
    return found


def _speaks_of_doing(name: str) -> bool:
    words = [w.lower() for w in _WORD.findall(name)]
    return any(w in _DID or w.removesuffix("s") in _DID for w in words)
