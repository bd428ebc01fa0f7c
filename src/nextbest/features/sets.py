"""The features of a workspace: the default ones for the kinds it holds, and those of its configuration."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from nextbest.errors import ConfigError, nearest
from nextbest.features.defaults import default_features
from nextbest.features.language import Feature, distinct_names
from nextbest.ledger import analysis

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from nextbest.ledger import Ledger


def feature_set(ledger: Ledger) -> tuple[Feature, ...]:
    """Give every feature of the workspace; raises `ConfigError` where a configured one is impossible."""
    own = (_configured(name, settings) for name, settings in ledger.config.features.items())
    return distinct_names([*default_features(analysis.kinds_present(ledger)), *own])


def _configured(name: str, settings: Mapping[str, Any]) -> Feature:
    known = [f.name for f in fields(Feature) if f.name not in ("name", "of")]
    for key in settings:
        if key not in known:
            where = f"nextbest.toml, features.{name}"
            raise ConfigError(f"{where} has no setting '{key}'.{nearest(key, known)} Known: {', '.join(known)}.")
    return Feature(name=name, **settings)
