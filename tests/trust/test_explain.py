from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import UnknownNameError
from nextbest.ledger import archive, consent, create, decisions
from nextbest.policies.decide import decide_bulk
from nextbest.recipes.churn import Churn
from nextbest.trust.explain import explain_decision, explain_latest_decision, runner_up
from nextbest.trust.prediction import explain_prediction
from nextbest.trust.rules import rule_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
TOML = """
currency = "EUR"
[consent]
regime = "opt_out"
[plays.p]
audience = "churn_probability > 0.2"
holdout = 0.0
policy = { name = "greedy", explore = 0.0 }
value = "predicted_clv"
actions = [
  { id = "mail", channel = "email", cost = 0.01, assumed_log_odds = 0.2 },
  { id = "call", channel = "phone", cost = 3.0, assumed_log_odds = 0.8 },
]
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace in which a play decided for three subjects, one of whom does not want calls."""
    made = create(tmp_path / "w", config_text=TOML, clock=lambda: NOW)
    consent.record(made, "ann", channel="phone", allow=False, proof="on the phone")
    table = pa.table(
        {
            "subject_id": ["ann", "bob", "cat"],
            "churn_probability": [0.5, 0.5, 0.3],
            "predicted_clv": [100.0, 100.0, 0.0],
        }
    )
    decide_bulk(made, made.config.plays["p"], table, as_of=NOW)
    yield made
    made.journal.close()


def test_a_decision_tells_its_rule_trail(ledger: Ledger) -> None:
    """The one ruled out is named with the reason in words, the runner-up with the margin, and what was known."""
    told = explain_latest_decision(ledger, "p", "ann")
    text = str(told)
    assert text.startswith("On 2026-03-02 'p' decided mail for ann.")
    assert "call was ruled out: the person said no." in text
    assert "Second was doing nothing, worth 4.97 EUR less." in text
    assert "What was known: 50% likely to stop ordering; 100.00 EUR expected from now on." in text
    assert told.details["removed_by"] == {"call": "consent:denied"}
    assert told.details["runner_up"] == "none"
    assert told.details["margin"] == pytest.approx(4.9734, abs=1e-4)


def test_the_runner_up_is_the_best_of_the_rest(ledger: Ledger) -> None:
    """Where a call is allowed it wins, and the mail is second; where nothing pays, nothing was done."""
    assert explain_latest_decision(ledger, "p", "bob").details["runner_up"] == "mail"
    cat = explain_latest_decision(ledger, "p", "cat")
    assert "decided none for cat" in cat.sentences[0]
    assert "no action that is allowed earns more than it costs" in str(cat)


def test_an_explanation_by_value_alone(ledger: Ledger) -> None:
    """A held-out decision says by how much another action would have won."""
    from dataclasses import replace

    newest = explain_latest_decision(ledger, "p", "bob").details["decision_id"]
    held = replace(decisions.get(ledger, newest), action_id="none", reason="Held out.", arm="holdout")
    assert runner_up(held) is not None
    assert "By value alone call would have won, by 16.00 EUR." in str(explain_decision(ledger, held))


def test_who_was_never_decided_is_said_so(ledger: Ledger) -> None:
    """A subject without a decision is refused with the command that makes one."""
    with pytest.raises(UnknownNameError, match="nextbest decide p"):
        explain_latest_decision(ledger, "p", "dan")


def test_rules_are_put_in_words() -> None:
    """Every rule has words; a cap keeps its numbers; an unknown rule is given as it is."""
    assert rule_in_words("cap:2 in 7 days by email").endswith("often enough: at most 2 in 7 days by email")
    assert rule_in_words("quiet_hours") == "it was too late or too early where the person is"
    assert rule_in_words("own_rule") == "own_rule"


@pytest.mark.slow
def test_a_prediction_tells_what_moved_it(ledger: Ledger) -> None:
    """The features that moved a churn probability stand in sentences, largest first, with their direction."""
    draw = np.random.default_rng(4)
    rows = []
    for i in range(400):
        every = draw.choice([10, 25, 60])
        last = 420 if draw.random() < 0.6 else draw.integers(60, 420)
        rows += [(f"s{i}", f"s{i}-{d}", NOW.timestamp() - 86400 * (425 - d)) for d in range(5, last, int(every))]
    orders = pa.table(
        {
            "event_id": [r[1] for r in rows],
            "order_id": [r[1] for r in rows],
            "subject_id": [r[0] for r in rows],
            "ts": pa.array([int(r[2] * 1e6) for r in rows]).cast(pa.timestamp("us", tz="UTC")),
            "received_ts": pa.array([int(r[2] * 1e6) for r in rows]).cast(pa.timestamp("us", tz="UTC")),
            "revenue": draw.gamma(2, 20, len(rows)),
        }
    )
    archive.append(ledger, "order", orders, source="test")
    fitted = Churn(horizon_days=40).fit(ledger, as_of=NOW)
    assert fitted.report.status == "ok", fitted.report.why
    told = explain_prediction(ledger, fitted, "s1", as_of=NOW)
    assert "likely to stop ordering" in told.sentences[0]
    weights = [abs(r["contribution"]) for r in told.details["reasons"]]
    assert weights == sorted(weights, reverse=True)
    assert len(weights) >= 3
    because = told.sentences[1 : 1 + len(weights)]
    assert all(s.endswith((": raises it.", ": lowers it.")) for s in because)
    assert (
        told.sentences[-1] == "That is what the model would say, not what the customer would do."
        or told.details["changes"].why
    )
    with pytest.raises(UnknownNameError, match="says nothing about 'nobody'"):
        explain_prediction(ledger, fitted, "nobody", as_of=NOW)
