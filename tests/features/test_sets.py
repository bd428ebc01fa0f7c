"""A workspace's own features stand beside the default ones."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.features.conftest import AS_OF, table

from nextbest.errors import ConfigError
from nextbest.features.build import build
from nextbest.features.defaults import default_features
from nextbest.features.sets import feature_set, own_features
from nextbest.ledger import archive, workspace

if TYPE_CHECKING:
    from pathlib import Path

TOML = """
[features.german_orders]
kind = "order"
aggregate = "count"
where = "country == 'DE'"

[features.german_share]
aggregate = "ratio"
of = ["german_orders", "orders_ever"]
"""


def test_own_features_are_computed(tmp_path: Path) -> None:
    """Features of `nextbest.toml` are computed with the default ones, ratios of both included."""
    past = AS_OF - timedelta(days=3)
    rows = [
        {"event_id": c, "subject_id": "a", "ts": past, "received_ts": past, "revenue": 1.0, "country": c}
        for c in ("DE", "AT")
    ]
    with workspace.create(tmp_path / "acme", config_text=TOML, clock=lambda: AS_OF) as ledger:
        archive.append(ledger, "order", table("order", rows), source="file")
        found = build(ledger, feature_set(ledger), as_of=AS_OF).to_pylist()[0]
    assert {k: found[k] for k in ("orders_ever", "german_orders", "german_share")} == {
        "orders_ever": 2.0,
        "german_orders": 1.0,
        "german_share": 0.5,
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "order", "agregate": "count"}, r"features.x has no setting 'agregate'\. Did you mean 'aggregate'"),
        ({"kind": "order"}, r"features.x: .*missing required field `aggregate`"),
        ({"kind": "order", "aggregate": "count", "window_days": "30"}, r"features.x: Expected `int \| null`"),
        (
            {"aggregate": "ratio", "of": ["orders_30", "orders_ever"]},
            r"no feature 'orders_30' .*mean 'orders_30d'",
        ),
        ({"kind": "order", "aggregate": "count", "where": "countr = 'DE'"}, r"Did you mean 'country'"),
    ],
)
def test_mistakes_in_settings_are_named(setting: dict[str, Any], message: str) -> None:
    """A mistake in a feature's settings names the feature or the expression, and the near word."""
    with pytest.raises(ConfigError, match=message):
        own_features({"x": setting}, {f.name: f for f in default_features({"order"})})
