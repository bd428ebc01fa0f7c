"""The names of the built-ins, and entry points for everyone else.

A name is a string in configuration and on the command line; its class is imported when it is asked for, and not before.
A stranger's package declares an entry point in the group `nextbest.policies` (or recipes, models, measures, channels)
and is found by its name, like a built-in. Built-ins win over a stranger's name.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from importlib.metadata import entry_points
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from nextbest.errors import ConfigError, nearest, unknown

BUILT_IN: dict[str, dict[str, str]] = {
    "recipes": {
        "action_value": "nextbest.recipes.action_value:ActionValue",
        "audience": "nextbest.recipes.audience:Audience",
        "churn": "nextbest.recipes.churn:Churn",
        "deal_win": "nextbest.recipes.deal_win:DealWin",
        "demand": "nextbest.recipes.demand:Demand",
        "restock": "nextbest.recipes.restock:Restock",
        "pipeline": "nextbest.recipes.pipeline:Pipeline",
        "sales_forecast": "nextbest.recipes.sales_forecast:SalesForecast",
        "rep_capacity": "nextbest.recipes.rep_capacity:RepCapacity",
        "rep_performance": "nextbest.recipes.rep_performance:RepPerformance",
        "segments": "nextbest.recipes.segments:Segments",
        "lead_score": "nextbest.recipes.lead_score:LeadScore",
        "sales_ready": "nextbest.recipes.sales_ready:SalesReady",
        "next_order_date": "nextbest.recipes.next_order_date:NextOrderDate",
        "propensity": "nextbest.recipes.propensity:Propensity",
        "value": "nextbest.recipes.value:Value",
    },
    "models": {
        "boosting": "nextbest.models.boosting:Boosting",
        "scorecard": "nextbest.models.scorecard:Scorecard",
        "kmeans": "nextbest.models.kmeans:KMeans",
        "bg_nbd": "nextbest.models.bg_nbd:BGNBD",
        "pareto_nbd": "nextbest.models.pareto_nbd:ParetoNBD",
        "gamma_gamma": "nextbest.models.gamma_gamma:GammaGamma",
        "spend_trees": "nextbest.models.spend_trees:SpendTrees",
        "shifted_beta_geometric": "nextbest.models.sbg:ShiftedBetaGeometric",
    },
    "policies": {
        "rules": "nextbest.policies.rules:Rules",
        "greedy": "nextbest.policies.greedy:Greedy",
        "squarecb": "nextbest.policies.squarecb:SquareCB",
        "linucb": "nextbest.policies.linucb:LinUCB",
        "thompson": "nextbest.policies.thompson:Thompson",
        "top_two": "nextbest.policies.top_two:TopTwo",
        "uplift_cut": "nextbest.policies.uplift:UpliftCut",
        "pacing": "nextbest.policies.pacing:Pacing",
    },
    "learners": {
        "lift": "nextbest.policies.learners.lifts:LiftLearner",
        "linear": "nextbest.policies.learners.linear:Linear",
        "boosted": "nextbest.policies.learners.boosted:Boosted",
    },
    "measures": {
        "randomised": "nextbest.measures.randomised:Randomised",
    },
    "channels": {
        "csv": "nextbest.channels.csv:Csv",
        "webhook": "nextbest.channels.webhook:Webhook",
    },
}


_HORIZON = "horizon_days"  # looking backwards, or nowhere, is never meant
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


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
    """Construct the maker of that name from its settings; an unknown setting is refused with the nearest known one.

    A recipe may be declared under a name of its own: the setting `recipe` then says which one it is.
    """
    given = dict(settings or {})
    if group == "recipes" and "recipe" in given:
        return make(group, given.pop("recipe"), {**given, "name": _own(name)})
    cls = find(group, name)
    known = [f.name for f in fields(cls) if f.init]
    for key in given:
        if key not in known:
            message = (
                f"'{name}' has no setting '{key}'.{nearest(key, known)} Known: {', '.join(sorted(known)) or 'none'}."
            )
            raise ConfigError(message)
    hints = _hints(cls)
    return cls(**{key: _checked(name, key, value, hints.get(key, Any)) for key, value in given.items()})


def _own(name: str) -> str:
    """Give the name that a declared recipe goes by; raises when a built-in or installed one is called so."""
    if name in names("recipes"):
        raise ConfigError(f"A recipe cannot be declared as '{name}': there is one of that name. Choose another name.")
    return name


def from_text(group: str, name: str, pairs: Mapping[str, str]) -> dict[str, Any]:
    """Give the settings of a maker from texts, as on a command line: "60", "true", "a,b", "price=up,tenure=down"."""
    hints = _hints(find(group, name))
    return {key: _from_text(hints.get(key, str), text) for key, text in pairs.items()}


def _hints(cls: type[Any]) -> dict[str, Any]:
    """Give the types of a class's settings; none where a type is only known to the type checker."""
    try:
        return get_type_hints(cls)
    except NameError:
        return {}


def _checked(name: str, key: str, value: Any, hint: Any) -> Any:  # noqa: ANN401 (any setting of any maker)
    try:
        found = msgspec.convert(value, hint)
    except TypeError:  # a type that is checked by the maker itself, such as a table
        return value
    except msgspec.ValidationError as error:
        said = _wanted(hint) or f"{error}."
        raise ConfigError(f"The setting '{key}' of '{name}' cannot be {value!r}: {said}") from error
    if key == _HORIZON and isinstance(found, int | float) and not found > 0:
        raise ConfigError(f"The setting '{key}' of '{name}' cannot be {value!r}: it is a number of days from 1 up.")
    return found


def _wanted(hint: Any) -> str:  # noqa: ANN401 (any annotation)
    """Say what a setting has to be, where that is one plain thing; '' for anything else."""
    kinds = [_WORDS[k] for k in (hint, *get_args(hint)) if isinstance(k, type) and k in _WORDS]
    return f"it has to be {kinds[0]}." if len(kinds) == 1 else ""


def _from_text(hint: Any, text: str) -> Any:  # noqa: ANN401 (any setting of any maker)
    kinds = {get_origin(k) or k for k in (hint, *get_args(hint))}
    if Mapping in kinds or dict in kinds:
        return dict(part.strip().split("=", 1) for part in text.split(",") if "=" in part)
    if tuple in kinds:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    if NoneType in kinds and text.lower() == "none":
        return None
    for kind, read in ((bool, _yes_or_no), (int, int), (float, float)):
        if kind in kinds:
            try:
                return read(text)
            except ValueError:
                continue
    return text


def _yes_or_no(text: str) -> bool:
    if text.lower() not in {"true", "false", "yes", "no"}:
        raise ValueError(text)
    return text.lower() in {"true", "yes"}
