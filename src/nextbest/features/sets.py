"""The features that a workspace computes about its subjects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.features.defaults import default_features
from nextbest.ledger import analysis

if TYPE_CHECKING:
    from nextbest.features.language import Feature
    from nextbest.ledger.workspace import Ledger


def feature_set(ledger: Ledger) -> tuple[Feature, ...]:
    """Give the default features of the kinds of events that the workspace holds."""
    return default_features(analysis.kinds_present(ledger))
