"""The features that a workspace computes about its subjects: the default ones, and its own from `nextbest.toml`.

[features.shoes_share_365d]
aggregate = "ratio"
of = ["shoe_orders_365d", "orders_365d"]
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import msgspec

from nextbest.errors import ConfigError, nearest
from nextbest.features.defaults import default_features
from nextbest.features.language import Feature, distinct_names
from nextbest.ledger import analysis

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger.workspace import Ledger

_SETTINGS = tuple(f.name for f in fields(Feature) if f.name != "name")


def feature_set(ledger: Ledger) -> tuple[Feature, ...]:
    """Give the features of a workspace; one of its own takes the place of a default one of the same name."""
    defaults = {f.name: f for f in default_features(analysis.kinds_present(ledger))}
    own = own_features(ledger.config.features, defaults)
    kept = [f for f in defaults.values() if not any(p.name in own for p in (f, *f.parts()))]
    return distinct_names((*kept, *own.values()))


def own_features(settings: Mapping[str, Mapping[str, Any]], defaults: Mapping[str, Feature]) -> dict[str, Feature]:
    """Give the features of `[features]` by name; raises `ConfigError` naming the feature, the key, the near word.

    The `of` of a ratio names two features, of these or of the defaults.
    """
    made: dict[str, Feature] = {}
    for name in sorted(settings, key=lambda n: (settings[n].get("aggregate") == "ratio", n)):
        made[name] = _feature(name, settings[name], {**defaults, **made})
    return {name: made[name] for name in settings}


def _feature(name: str, setting: Mapping[str, Any], known: Mapping[str, Feature]) -> Feature:
    for key in setting:
        if key not in _SETTINGS:
            listed = ", ".join(_SETTINGS)
            raise ConfigError(f"features.{name} has no setting '{key}'.{nearest(key, _SETTINGS)} Known: {listed}.")
    plain = {k: v for k, v in setting.items() if k != "of"}
    of = tuple(_named(name, other, known) for other in setting.get("of", ()))
    try:
        checked = msgspec.convert({"name": name, **plain}, _Setting)
    except msgspec.ValidationError as error:
        raise ConfigError(f"features.{name}: {error}.") from error
    return Feature(**{k: v for k, v in msgspec.structs.asdict(checked).items() if v is not None}, of=of)  # type: ignore[arg-type]


def _named(name: str, other: object, known: Mapping[str, Feature]) -> Feature:
    if other not in known:
        near = nearest(str(other), known)
        raise ConfigError(f"features.{name}: there is no feature '{other}' to take a ratio of.{near}")
    return known[str(other)]


class _Setting(msgspec.Struct, kw_only=True):
    """The types of one table of settings; what is impossible otherwise `Feature` says."""

    name: str
    aggregate: str
    kind: str = ""
    column: str = ""
    window_days: int | None = None
    where: str = ""
    sentence: str = ""
