"""Decisions that the engine really makes, explained: slates, arms, shadow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from nextbest import verbs
from nextbest.ledger import create
from nextbest.policies.live.ask import Ask, Offer
from nextbest.policies.live.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
BANNERS = """actions = [
  { id = "shoes", class = "content", assumed_log_odds = 0.6 },
  { id = "coats", class = "content", assumed_log_odds = 0.3, lever = 1.5 },
  { id = "hats", class = "content", assumed_log_odds = 0.1, eligibility = "age >= 30" },
]
value = "100"
response = "0.1"
places = 3
goal = "click"
policy = { name = "greedy", explore = 0.0 }
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Callable[[str], Ledger]]:
    """Give a maker of workspaces with one play of banners; its further lines are the argument."""
    opened: list[Ledger] = []

    def make(lines: str) -> Ledger:
        text = f"[plays.banner]\n{lines}\n{BANNERS}"
        opened.append(create(tmp_path / f"w{len(opened)}", config_text=text, clock=lambda: NOW))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def decided(ledger: Ledger, **asked: object) -> list[str]:
    """Give the ids of what the engine decides for one request."""
    found = Engine(ledger).decide(Ask(play="banner", subject_id="ann", context={"age": 20.0}, **asked))  # type: ignore[arg-type]
    return [d.decision_id for d in found]


def test_a_live_choice_is_taken_apart_and_its_rule_named(workspace: Callable[[str], Ledger]) -> None:
    """Of a decision of the engine: the factor is the lever, the rule is in words, and the change really changes it."""
    ledger = workspace("holdout = 0.0")
    (name,) = decided(ledger)
    told = verbs.explain(ledger, name)
    assert told.details["how"] == "choice"
    assert told.details["parts"]["coats"]["factor"] == pytest.approx(1.5)
    assert told.details["parts"]["coats"]["value"] == pytest.approx(100.0)
    assert "hats was ruled out: its own condition does not hold." in told.sentences
    change = next(c for c in told.details["would_change"] if c["what"] == "response" and c["action_id"] == "coats")
    added = (change["needed"] - 0.1) * 1.5 * 100 + 0.1 * 100
    assert added == pytest.approx(told.details["parts"]["shoes"]["expected_value"])


def test_every_place_of_a_live_slate_is_explained(workspace: Callable[[str], Ledger]) -> None:
    """Two places of one request: the second says what stands above it."""
    ledger = workspace("holdout = 0.0")
    first, second = decided(ledger, count=2)
    above = verbs.explain(ledger, first).details["action_id"]
    told = verbs.explain(ledger, second)
    assert f"It stands at place 2 of the list, below {above}." in told.sentences
    assert told.details["position"] == 2


@pytest.mark.parametrize(
    ("lines", "asked", "how"),
    [
        ("holdout = 0.99", {}, "holdout"),
        ("holdout = 0.0\nrandom = 0.999", {}, "random"),
        ("holdout = 0.0\nbusiness_as_usual = 0.999", {"chosen": "coats"}, "business_as_usual"),
    ],
)
def test_live_arms_are_explained(
    workspace: Callable[[str], Ledger], lines: str, asked: dict[str, str], how: str
) -> None:
    """A held-out subject, one of the random arm, and one that gets what the caller does are told apart."""
    ledger = workspace(lines)
    told = verbs.explain(ledger, decided(ledger, **asked)[0])
    assert told.details["how"] == how
    assert told.details["would_change"] == []


def test_a_live_shadow_names_what_was_served(workspace: Callable[[str], Ledger]) -> None:
    """In shadow the caller's own choice was served, and the explanation says which."""
    ledger = workspace('holdout = 0.0\nmode = "shadow"')
    told = verbs.explain(ledger, decided(ledger, chosen="hats", candidates=(Offer(action_id="shoes"),))[0])
    assert "It was not served: the play is in shadow, and the caller did hats." in told.sentences
