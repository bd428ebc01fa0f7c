"""What a verb is asked with, found: the play or the recipe of a name, the moment of a date."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nextbest import registry
from nextbest.errors import UsageError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger import Ledger
    from nextbest.types import Play, Recipe

When = datetime | str | None


def plays(ledger: Ledger) -> dict[str, Play]:
    """Give the plays of the workspace as far as they are rolled out; a default one when the configuration has none."""
    from nextbest.policies import rollout

    return rollout.plays(ledger)


def find_play(ledger: Ledger, name: str) -> Play:
    """Give the play of that name."""
    known = plays(ledger)
    if name not in known:
        raise unknown("play", name, known)
    return known[name]


def recipe_of(ledger: Ledger, recipe: Recipe | str, settings: Mapping[str, Any]) -> Recipe:
    """Give a recipe by its name, with the settings of the workspace and over them these; one that is made stays."""
    if not isinstance(recipe, str):
        return recipe
    made: Recipe = registry.make("recipes", recipe, {**ledger.config.recipes.get(recipe, {}), **settings})
    return made


def data_end(ledger: Ledger) -> datetime:
    """Give the first midnight (UTC) after the last order or event, at most the start of the day after now."""
    from nextbest.ledger.catalogue import last_event

    now = ledger.clock()
    last = last_event(ledger)
    end = min(now, last) if last else now
    return (end + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def moment_of(ledger: Ledger, as_of: When) -> datetime:
    """Give the moment that is meant: without one, the end of the data; without a zone, UTC."""
    if as_of is None:
        return data_end(ledger)
    try:
        moment = datetime.fromisoformat(as_of) if isinstance(as_of, str) else as_of
    except ValueError as error:
        raise UsageError(f"as_of must be a date such as 2026-01-31, got '{as_of}'.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
