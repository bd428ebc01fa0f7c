"""Why one decision came about: what it was worth, what would have changed it, and whether it was choice or chance."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nextbest import operations, verbs
from nextbest.errors import UnknownNameError
from nextbest.ledger import create, decisions
from nextbest.trust.decision_changes import changes
from nextbest.trust.decision_reasons import moved
from nextbest.trust.decision_value import parts
from nextbest.trust.explain import explain_decision
from nextbest.types import Candidate, Decision

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
TOML = """
currency = "EUR"
[plays.p]
actions = [
  { id = "mail", channel = "email", cost = 0.5, text = "Send the spring mail" },
  { id = "call", channel = "phone", cost = 3.0 },
]
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace with one play."""
    made = create(tmp_path / "w", config_text=TOML, clock=lambda: NOW)
    yield made
    made.close()


def candidate(action_id: str, response: float, *, factor: float = 1.0, cost: float = 0.0, **more: Any) -> Candidate:
    """Give a candidate whose worth is by the formula: 2% respond to nothing, and a response is worth 100."""
    worth = (0.02 + (response - 0.02) * factor) * 100.0 - cost
    return Candidate(action_id=action_id, response_probability=response, expected_value=worth, cost=cost, **more)


def made(*candidates: Candidate, action_id: str, **more: Any) -> Decision:
    """Give a decision among these candidates and none."""
    given: dict[str, Any] = {
        "decision_id": "d_1", "play": "p", "subject_id": "ann", "ts": NOW, "choice_probability": 0.9,
        "candidates": (*candidates, candidate("none", 0.02)), "policy_version": "v1", "reason": "",
    }  # fmt: skip
    return Decision(**{**given, "action_id": action_id, **more})


def test_worth_is_taken_apart_as_it_was_put_together() -> None:
    """From the row alone follow the value of a response, the factor weight x lever, and the gain."""
    found = parts(made(candidate("mail", 0.06, factor=1.5, cost=0.5), action_id="mail"))["mail"]
    assert found.value == pytest.approx(100.0)
    assert found.factor == pytest.approx(1.5)
    assert found.gain == pytest.approx((0.06 - 0.02) * 1.5 * 100 - 0.5)


def test_the_response_that_would_have_won_would_have_won() -> None:
    """Put into the formula, the response that is named makes the rival worth as much as the choice."""
    decision = made(candidate("mail", 0.05, cost=0.5), candidate("call", 0.06, cost=3.0), action_id="mail")
    (rival, own) = changes(decision, currency="EUR")
    assert (rival.action_id, rival.what) == ("call", "response")
    assert candidate("call", float(rival.needed), cost=3.0).expected_value == pytest.approx(
        decision.chosen.expected_value
    )
    assert rival.sentence == "call would have been first had the response to it been 7.5% instead of 6.0%."
    assert own.sentence == "mail would not have been first had the response to it been 3.5% instead of 5.0%."


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("cap:1 in 7 days", "Without the cap of 1 in 7 days, call would have been first, worth 3.50 EUR more."),
        ("consent:unknown", "With permission on record, call would have been first, worth 3.50 EUR more."),
        ("quiet_hours", "At another time of day, call would have been first, worth 3.50 EUR more."),
    ],
)
def test_a_rule_in_the_way_is_named_with_what_it_cost(rule: str, words: str) -> None:
    """A removed candidate that was worth more says which rule it would have taken, and by how much it led."""
    decision = made(
        candidate("mail", 0.05, cost=0.5), candidate("call", 0.11, cost=3.0, removed_by=rule), action_id="mail"
    )
    assert changes(decision, currency="EUR")[0].sentence == words


def test_a_cost_is_named_where_no_response_can_make_up_for_it() -> None:
    """A rival that would have to answer more than always is told the cost at which it would have been first."""
    decision = made(candidate("mail", 0.9), candidate("call", 0.91, cost=20.0), action_id="mail")
    told = changes(decision, currency="EUR")[0]
    assert (told.what, told.needed) == ("cost", pytest.approx(1.0))


def test_a_removed_action_that_was_worth_less_changes_nothing() -> None:
    """A rule that removed what would have lost anyway is not among what would have changed the decision."""
    decision = made(
        candidate("mail", 0.05), candidate("call", 0.05, cost=3.0, removed_by="quiet_hours"), action_id="mail"
    )
    assert "rule" not in {c.what for c in changes(decision, currency="EUR")}


@pytest.mark.parametrize(
    ("more", "how", "words"),
    [
        ({}, "choice", "It was a choice"),
        ({"action_id": "call"}, "exploration", "the policy tries what is not first too"),
        ({"arm": "random"}, "random", "gets any allowed action"),
        ({"arm": "holdout", "action_id": "none"}, "holdout", "held out"),
        ({"arm": "business_as_usual"}, "business_as_usual", "what was done before"),
        ({"degraded": True, "choice_probability": None}, "fallback", "It was a fallback"),
        ({"policy_version": "log:eppo:v7"}, "imported", "as its log says"),
    ],
)
def test_chance_and_choice_are_told_apart(ledger: Ledger, more: Mapping[str, Any], how: str, words: str) -> None:
    """Every way in which a decision comes about has its name and its sentence, and only a choice can be changed."""
    decision = replace(
        made(candidate("mail", 0.06, cost=0.5), candidate("call", 0.03, cost=3.0), action_id="mail"), **more
    )
    told = explain_decision(ledger, decision)
    assert told.details["how"] == how
    assert words in str(told)
    assert bool(told.details["would_change"]) == (how in {"choice", "imported"})
    assert told.details["rep"].endswith(".")


def test_a_rep_gets_one_sentence(ledger: Ledger) -> None:
    """The sentence for the rep has the action's own text, whom it is for, and what it is worth."""
    decision = made(candidate("mail", 0.06, cost=0.5), candidate("call", 0.03, cost=3.0), action_id="mail")
    told = explain_decision(ledger, decision).details["rep"]
    assert told == "Send the spring mail for ann: worth 3.50 EUR more than doing nothing, the next best."
    nothing = made(candidate("mail", 0.06, cost=0.5, removed_by="consent:denied"), action_id="none")
    assert (
        explain_decision(ledger, nothing).details["rep"] == "Leave ann alone: mail was ruled out, the person said no."
    )


def test_a_slate_says_where_in_the_list(ledger: Ledger) -> None:
    """A later position names what stands above it, and its chance is given that."""
    above = replace(candidate("call", 0.2), removed_by="chosen_above")
    told = explain_decision(ledger, made(candidate("mail", 0.06), above, action_id="mail", position=2))
    assert "It stands at place 2 of the list, below call." in str(told)
    assert "given what stands above it" in str(told)
    assert "call was ruled out" not in str(told)


def test_a_shadow_and_a_queue_say_what_was_done_instead(ledger: Ledger) -> None:
    """A shadow decision names the caller's own choice; one that waits for a person names what is to be decided."""
    shadow = made(candidate("mail", 0.06), action_id="mail", mode="shadow", context={"chosen": "call"})
    assert "It was not served: the play is in shadow, and the caller did call." in str(explain_decision(ledger, shadow))
    queue = made(candidate("mail", 0.06), action_id="none", degraded=True, context={"queued": ["call"]})
    assert "A person is to decide about: call." in str(explain_decision(ledger, queue))


def test_a_logged_decision_is_explained_by_its_id_and_an_erased_one_is_not(ledger: Ledger) -> None:
    """`explain d_...` gives sentences and data; once the person is erased, it says that the decision is not there."""
    verbs.ingest(ledger, [{"kind": "page_view", "message_id": "m1", "subject_id": "ann", "ts": NOW.isoformat()}])
    row = made(candidate("mail", 0.06, cost=0.5, choice_probability=0.9), action_id="mail")
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [row]))
    told = verbs.explain(ledger, "d_1")
    assert told.details["decision_id"] == "d_1"
    assert told.details["parts"]["mail"]["gain"] == pytest.approx(3.5)
    operations.verify(ledger)
    verbs.erase(ledger, "ann")
    with pytest.raises(UnknownNameError, match="There is no decision 'd_1'; it may have been erased"):
        verbs.explain(ledger, "d_1")


def test_what_moved_a_learner_is_what_its_answer_loses_without_it() -> None:
    """Left out one by one, features are ranked by how far the response moves; what moves nothing is not named."""

    class Known:
        """A learner by formula: half a point a year of age, five points for gold, two for a discount."""

        version = "v"

        def response(self, row: Mapping[str, Any], offers: Any) -> tuple[Any, Any]:
            """Give the response to the one offer."""
            names = dict(zip(offers.names, offers.values[0], strict=True))
            mean = 0.005 * row.get("age", 0) + 0.05 * (row.get("tier") == "gold") + 0.02 * names.get("discount", 0.0)
            return [mean], [0.0]

    decision = made(
        candidate("mail", 0.06), action_id="mail", features={"age": 40.0, "noise": 3.0}, context={"tier": "gold"},
        action_features={"mail": {"discount": 1.0}},
    )  # fmt: skip
    found = moved(Known(), decision)
    assert [name for name, _, _ in found] == ["age", "tier", "discount"]
    assert [effect for _, _, effect in found] == pytest.approx([0.2, 0.05, 0.02])
