"""What can be watched, one after another: fitted recipes, and plays that decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.models import store
from nextbest.watching.decisions import watch_play
from nextbest.watching.drift import drift

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Play
    from nextbest.watching.decisions import Watched
    from nextbest.watching.drift import Drift


def watch_every(
    ledger: Ledger, plays: Mapping[str, Play], what: str | None, *, as_of: datetime, until: datetime | None
) -> tuple[Drift | Watched, ...]:
    """Give the drift of recipes as of a moment, and the checks of plays until one (default: now): all, or one.

    Plays that have decided nothing for five weeks are left out when not named.
    """
    if what is not None and what in plays:
        return (watch_play(ledger, plays[what], as_of=until),)
    fitted = [store.latest(ledger, what)] if what else store.newest(ledger)
    found = [drift(ledger, f, as_of=as_of) for f in fitted]
    checked = [] if what else [watch_play(ledger, play, as_of=until) for play in plays.values()]
    return (*found, *(w for w in checked if w.decisions))
