"""The names of the built-ins, and entry points for everyone else.

A name is a string in configuration and on the command line; its class is imported when it is asked for, and not before.
A stranger's package declares an entry point in the group `nextbest.policies` (or recipes, models, measures, channels)
and is found by its name, like a built-in. Built-ins win over a stranger's name.
"""

from __future__ import annotations

import importlib
from dataclasses import fields
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from nextbest.errors import ConfigError, nearest, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

BUILT_IN: dict[str, dict[str, str]] = {
    "recipes": {
        "churn": "nextbest.recipes.churn:Churn",
        "value": "nextbest.recipes.value:Value",
    },
    "models": {
        "boosting": "nextbest.models.boosting:Boosting",
        "bg_nbd": "nextbest.models.bg_nbd:BGNBD",
        "pareto_nbd": "nextbest.models.pareto_nbd:ParetoNBD",
        "gamma_gamma": "nextbest.models.gamma_gamma:GammaGamma",
        "spend_trees": "nextbest.models.spend_trees:SpendTrees",
    },
    "policies": {
        "rules": "nextbest.policies.rules:Rules",
        "greedy": "nextbest.policies.greedy:Greedy",
    },
    "measures": {
        "randomised": "nextbest.measures.randomised:Randomised",
    },
    "channels": {
        "csv": "nextbest.channels.csv:Csv",
        "webhook": "nextbest.channels.webhook:Webhook",
    },
}


def names(group: str) -> list[str]:
    """Give the names in a group (recipes, policies, models, measures, channels), sorted."""
    if group not in BUILT_IN:
        raise unknown("group of names", group, BUILT_IN)
    return sorted({*BUILT_IN[group], *(e.name for e in entry_points(group=f"nextbest.{group}"))})


def find(group: str, name: str) -> type[Any]:
    """Give the class behind a name, importing it now."""
    known = names(group)
    if name not in known:
        raise unknown(group.removesuffix("s").replace("policie", "policy"), name, known)
    if name in BUILT_IN[group]:
        module, _, attribute = BUILT_IN[group][name].partition(":")
        found: type[Any] = getattr(importlib.import_module(module), attribute)
        return found
    loaded: type[Any] = next(e for e in entry_points(group=f"nextbest.{group}") if e.name == name).load()
    return loaded


def make(group: str, name: str, settings: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 (one of four makers)
    """Construct the maker of that name from its settings; an unknown setting is refused with the nearest known one."""
    cls = find(group, name)
    given = dict(settings or {})
    known = [f.name for f in fields(cls) if f.init]
    for key in given:
        if key not in known:
            message = (
                f"'{name}' has no setting '{key}'.{nearest(key, known)} Known: {', '.join(sorted(known)) or 'none'}."
            )
            raise ConfigError(message)
    return cls(**given)
