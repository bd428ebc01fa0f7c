"""Look up what can be used here, and what is known and was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nextbest import registry
from nextbest.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.ledger import Ledger
    from nextbest.ledger.profile import Profile
    from nextbest.trust.today import Today
    from nextbest.types import Decision


def names(group: str) -> list[str]:
    """Give the names of recipes, policies, models, measures or channels that can be used here."""
    return registry.names(group)


def settings_of(ledger: Ledger, recipe: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Give a recipe's settings from texts such as "horizon_days=90"; raises `UsageError` for what has no '='.

    A recipe that is declared in nextbest.toml under a name of its own has those of the recipe behind it.
    """
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set takes name=value, such as --set horizon_days=90. Got '{pair}'.")
    if not pairs:
        return {}
    behind = str(ledger.config.recipes.get(recipe, {}).get("recipe", recipe))
    return registry.from_text("recipes", behind, dict(pair.split("=", 1) for pair in pairs))


def kinds(ledger: Ledger) -> frozenset[str]:
    """Give the kinds of facts of which the workspace holds any."""
    from nextbest.ledger import analysis

    return frozenset(analysis.kinds_present(ledger))


def subject(ledger: Ledger, subject_id: str) -> Profile:
    """Give what the workspace knows about one subject: attributes, predictions, consent, decisions, events per kind."""
    from nextbest.ledger import identities, profile

    return profile.profile(ledger, identities.resolve(ledger, subject_id))


def predictions(ledger: Ledger, subject_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Give a subject's published predictions by name, and the model behind each recipe; empty for someone unknown."""
    from nextbest.ledger import identities, published

    try:
        known = identities.resolve(ledger, subject_id)
    except UnknownNameError:
        return {}, {}
    with ledger.journal.read() as connection:
        values, versions = published.published(connection, known)
    return values, {recipe: version for recipe, version in versions.items() if version}


def decision(ledger: Ledger, decision_id: str) -> Decision:
    """Give one row of the decision log, whole."""
    from nextbest.ledger import decisions

    return decisions.get(ledger, decision_id)


def today(ledger: Ledger, *, limit: int = 100) -> Today:
    """Give the newest list: one line per decided action other than none, best money first, and its totals."""
    from nextbest import verbs
    from nextbest.trust import today as listing

    return listing.today(ledger, verbs.plays(ledger), limit=limit)


def rule_in_words(rule: str) -> str:
    """Give what a rule of the log means, as the end of a sentence."""
    from nextbest.trust import rules

    return rules.rule_in_words(rule)
