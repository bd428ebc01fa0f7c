from __future__ import annotations

import pyarrow as pa
import pytest

from nextbest import registry
from nextbest.errors import ConfigError
from nextbest.policies.greedy import Greedy
from nextbest.policies.rules import Rules
from nextbest.testing import check_policy
from nextbest.types import NONE, Action

ACTIONS = (Action(id="mail"), Action(id="call"), NONE)


def worth(**values: list[float | None]) -> pa.Table:
    """Give a table of expected values."""
    return pa.table({f"expected_value:{name}": pa.array(v, pa.float64()) for name, v in values.items()})


@pytest.mark.parametrize(
    "policy",
    [
        Greedy(),
        Greedy(explore=0.0),
        Greedy(explore=1.0),
        Rules(),
        Rules(when=(("orders_30d > 1", "reminder"), ("", "coupon_10"))),
    ],
)
def test_policies_keep_the_contract(policy: object) -> None:
    """Every built-in policy passes the public contract suite."""
    check_policy(policy)  # type: ignore[arg-type]


def test_every_registered_policy_keeps_the_contract() -> None:
    """A policy that is named in the registry passes the suite with its defaults."""
    for name in registry.names("policies"):
        check_policy(registry.make("policies", name))


def test_greedy_takes_the_best_and_explores_evenly() -> None:
    """Nine in ten go to the best action, the tenth is spread over what is eligible."""
    got = Greedy(explore=0.1).probabilities(worth(mail=[2.0], call=[None], none=[1.0]), ACTIONS)
    assert got.to_pylist() == [{"mail": pytest.approx(0.95), "call": 0.0, "none": pytest.approx(0.05)}]


def test_greedy_does_nothing_on_a_tie() -> None:
    """An action that gains nothing over doing nothing is not taken."""
    got = Greedy(explore=0.0).probabilities(worth(mail=[1.0], call=[1.0], none=[1.0]), ACTIONS)
    assert got["none"].to_pylist() == [1.0]


def test_rules_take_the_first_that_applies_and_is_eligible() -> None:
    """A removed action makes room for the next rule; where no rule applies, nothing is done."""
    table = worth(mail=[1.0, 1.0, 1.0], call=[1.0, None, 1.0], none=[0.0, 0.0, 0.0])
    table = table.append_column("churn_probability", pa.array([0.9, 0.9, 0.1]))
    rules = Rules(when=(("churn_probability > 0.5", "call"), ("churn_probability > 0.5", "mail")))
    got = rules.probabilities(table, ACTIONS)
    assert [got[a].to_pylist() for a in ("call", "mail", "none")] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_settings_that_cannot_be_are_refused() -> None:
    """An exploration above one, a rule that is no pair and an unknown action are refused in words."""
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Greedy(explore=1.5)
    with pytest.raises(ConfigError, match="a rule is a pair"):
        Rules(when=(("mail",),))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="Did you mean 'mail'"):
        Rules(when=(("", "mial"),)).probabilities(worth(mail=[1.0], none=[0.0]), ACTIONS)
    with pytest.raises(ConfigError, match="Did you mean 'explore'"):
        registry.make("policies", "greedy", {"explor": 0.1})
