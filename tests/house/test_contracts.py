"""Every built-in maker keeps its contract, picked up by its name in the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nextbest import registry
from nextbest.testing import check_channel, check_measure, check_model, check_policy

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", registry.BUILT_IN["models"])
def test_built_in_models_keep_the_contract(name: str) -> None:
    """A model with its default settings passes the suite."""
    check_model(registry.make("models", name))


@pytest.mark.parametrize("name", registry.BUILT_IN["policies"])
def test_built_in_policies_keep_the_contract(name: str) -> None:
    """A policy with its default settings passes the suite."""
    check_policy(registry.make("policies", name))


@pytest.mark.parametrize("name", registry.BUILT_IN["measures"])
def test_built_in_measures_keep_the_contract(name: str) -> None:
    """A measure with its default settings passes the suite."""
    check_measure(registry.make("measures", name))


def test_the_file_channel_keeps_the_contract(tmp_path: Path) -> None:
    """The channel to CSV passes the suite, and no formula gets into its files."""
    check_channel(registry.make("channels", "csv", {"path": str(tmp_path / "out.csv")}), written=tmp_path)
