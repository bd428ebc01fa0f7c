"""Going live by steps, and going back: rollout, alarms, which model serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import UsageError

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.models.serving import Version
    from nextbest.watching.rollout import Rolled


def rollout(ledger: Ledger, play: str, *, to: str | None = None, force: bool = False, why: str = "") -> Rolled:
    """Give where a play stands and the evidence for its next step; with *to*, take a step.

    Steps: observe, shadow, 1%, 10%, 50%, 100%. Back always; forward one at a time, with the evidence of the present
    one, else `missing` says what lacks; *force* with *why* takes any.
    """
    from nextbest.watching import rollout as rolled

    if to is None:
        return rolled.standing(ledger, play)
    return rolled.take(ledger, play, to, force=force, why=why)


def raise_alarm(ledger: Ledger, *, play: str = "*", why: str, by: str) -> None:
    """Put a play ('*' for all) under alarm: what was learnt before goes on without exploring, money stays as it is."""
    _by_hand(ledger, play, why, by, on=True)


def lift_alarm(ledger: Ledger, *, play: str = "*", why: str, by: str) -> None:
    """Lift every alarm about a play, also those that `watch` raised; it raises these again only after a week."""
    _by_hand(ledger, play, why, by, on=False)


def alarms(ledger: Ledger) -> list[dict[str, str]]:
    """Give the alarms that stand: play, what, why, by whom and since when."""
    from nextbest.ledger import alarms as ledger_alarms

    with ledger.journal.read() as connection:
        found = [a for a in ledger_alarms.newest(connection) if a.raised]
    return [{"play": a.play, "what": a.what, "why": a.why, "by": a.by, "since": a.ts.isoformat()} for a in found]


def models(ledger: Ledger, recipe: str | None = None) -> list[Version]:
    """Give the versions that are kept, of all recipes or one, oldest first, with which one serves, since when and why.

    Raises `UnknownNameError` for a recipe of which nothing is kept.
    """
    from nextbest.models import serving

    return serving.versions(ledger, recipe)


def rollback(ledger: Ledger, recipe: str, *, to: str | None = None, why: str) -> Version:
    """Bring the previous model of a recipe back, or the one named, once it is verified; binds within a second."""
    from nextbest.models import serving

    return serving.rollback(ledger, recipe, to=to, why=why)


def _by_hand(ledger: Ledger, play: str, why: str, by: str, *, on: bool) -> None:
    from nextbest import verbs
    from nextbest.ledger import alarms as ledger_alarms

    if not (why.strip() and by.strip()):
        raise UsageError("An alarm needs a reason and the name of who gives it: set `why` and `by`.")
    if play != ledger_alarms.ANY:
        verbs.find_play(ledger, play)
    ledger_alarms.by_hand(ledger, play, why=why, by=by, on=on)
