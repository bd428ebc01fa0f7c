"""Settings become makers: checked by type, also when they come as text."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from nextbest import registry
from nextbest.errors import ConfigError
from nextbest.recipes.churn import Churn


def test_a_list_from_a_file_becomes_a_tuple() -> None:
    """A list, as TOML and JSON have it, fills a setting that holds a tuple."""
    assert registry.make("recipes", "churn", {"keep": ["reason"]}).keep == ("reason",)


def test_a_setting_of_another_type_is_refused() -> None:
    """A number written in quotes is refused, and the message names the setting and the value."""
    with pytest.raises(ConfigError, match=r"'explore' of 'greedy' cannot be '0\.1'"):
        registry.make("policies", "greedy", {"explore": "0.1"})


def test_a_wrong_setting_is_told_in_plain_words() -> None:
    """The kind of value that is wanted is said; a horizon of no or negative days is refused for every recipe."""
    with pytest.raises(ConfigError, match="cannot be 'abc': it has to be a whole number"):
        registry.make("recipes", "churn", {"horizon_days": "abc"})
    for recipe in ("churn", "propensity", "value", "next_order_date"):
        with pytest.raises(ConfigError, match="a number of days from 1 up"):
            registry.make("recipes", recipe, {"horizon_days": -5})


def test_texts_become_what_the_setting_holds() -> None:
    """Numbers, yes and no, lists and words are read from text by the type of the setting."""
    read = registry.from_text("policies", "greedy", {"explore": "0.25"})
    assert read == {"explore": 0.25}
    read = registry.from_text("recipes", "churn", {"horizon_days": "90", "keep": "a, b", "label": "left"})
    made = registry.make("recipes", "churn", read)
    assert isinstance(made, Churn)
    assert (made.horizon_days, made.keep, made.label) == (90, ("a", "b"), "left")


def test_a_table_of_settings_is_read_from_text() -> None:
    """Pairs with an equals sign fill a setting that holds a table."""
    assert registry._from_text(Mapping[str, str], "price=up,tenure=down") == {"price": "up", "tenure": "down"}
