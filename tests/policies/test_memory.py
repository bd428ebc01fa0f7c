"""What a service knows of a subject: exact to the last event, and missing rather than old."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from tests.policies.conftest import NOW

from nextbest.features.build import vector
from nextbest.features.sets import feature_set
from nextbest.ledger import events, identities, published, tail, workspace
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.known import at_a_glance, known, said
from nextbest.policies.live.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clocks import Clock

    from nextbest.ledger.workspace import Ledger

TOML = """
[consent]
regime = "opt_out"
[plays.banner]
audience = "page_views_7d >= 2 and decisions_1d < 2 and contacts_7d < 1"
holdout = 0.0
value = "1"
response = "0.5"
policy = { name = "greedy", explore = 0.0 }
actions = [
  { id = "hello", class = "content", assumed_log_odds = 1.0 },
  { id = "mail", class = "outbound", channel = "email", assumed_log_odds = 0.1, eligibility = "orders_30d > 0" },
]
[plays.offer]
holdout = 0.0
value = "predicted_clv"
response = "0.5"
actions = [{ id = "hello", class = "content" }]
"""


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Give a workspace with a play on a page."""
    with workspace.create(tmp_path / "acme", config_text=TOML, clock=clock) as ledger:
        yield ledger


def view(ledger: Ledger, number: int, subject: str = "v1") -> None:
    """Store a page view."""
    ts = (NOW - timedelta(minutes=number + 1)).isoformat()
    row = {"kind": "page_view", "message_id": f"{subject}{number}", "subject_id": subject, "ts": ts}
    assert events.ingest(ledger, [row], source="web")[0].status == "stored"


def test_an_event_opens_the_audience_at_once(ledger: Ledger) -> None:
    """The second page view lets the visitor in; what is logged as served is what training would compute."""
    engine = Engine(ledger, know=Memory(ledger))
    view(ledger, 0)
    assert engine.decide(Ask(play="banner", subject_id="v1"))[0].action_id == "none"
    view(ledger, 1)
    made = engine.decide(Ask(play="banner", subject_id="v1"))[0]
    assert made.action_id == "hello"
    wanted = vector(ledger, feature_set(ledger), "v1", as_of=NOW)
    assert made.features["page_views_7d"] == wanted["page_views_7d"] == 2.0


def test_decisions_taken_are_counted(ledger: Ledger) -> None:
    """After two decisions within a day the third is outside the audience."""
    engine = Engine(ledger, know=Memory(ledger))
    view(ledger, 0)
    view(ledger, 1)
    said = [engine.decide(Ask(play="banner", subject_id="v1"))[0] for _ in range(3)]
    assert [d.action_id for d in said] == ["hello", "hello", "none"]
    assert [d.features["decisions_1d"] for d in said] == [0.0, 1.0, 2.0]


def test_a_visitor_who_logs_in_brings_what_was_seen(ledger: Ledger) -> None:
    """Events of the anonymous id and of the person add up once both are known to be one."""
    engine = Engine(ledger, know=Memory(ledger))
    view(ledger, 0, "anonymous")
    view(ledger, 1, "person")
    assert engine.decide(Ask(play="banner", subject_id="person"))[0].action_id == "none"
    identities.merge(ledger, "anonymous", "person", why="logged in")
    made = engine.decide(Ask(play="banner", subject_id="anonymous"))[0]
    assert (made.subject_id, made.action_id, made.features["page_views_7d"]) == ("person", "hello", 2.0)


@pytest.mark.parametrize("remembering", [True, False])
def test_old_predictions_are_missing(ledger: Ledger, clock: Clock, remembering: bool) -> None:  # noqa: FBT001
    """What was published longer ago than the limit is named as stale and not served, by a service or without one."""
    know = Memory(ledger) if remembering else known
    table = pa.table({"subject_id": ["v1"], "churn_probability": [0.25]})
    published.publish(ledger, "churn", "m1", NOW, table)
    assert know(ledger, "v1", (), {}).features["churn_probability"] == 0.25
    clock.now = NOW + timedelta(days=8, seconds=1)
    late = know(ledger, "v1", (), {})
    assert (late.stale, "churn_probability" in late.features) == (("churn_probability",), False)


@pytest.mark.parametrize("remembering", [True, False])
def test_a_decision_on_old_predictions_is_degraded(ledger: Ledger, clock: Clock, remembering: bool) -> None:  # noqa: FBT001
    """A play that asks for a prediction decides as usual while it is fresh, and degraded once it is too old."""
    engine = Engine(ledger, know=Memory(ledger) if remembering else known)
    table = pa.table({"subject_id": ["v1"], "predicted_clv": [20.0]})
    published.publish(ledger, "value", "m1", NOW, table)
    fresh = engine.decide(Ask(play="offer", subject_id="v1"))[0]
    clock.now = NOW + timedelta(days=9)
    old = engine.decide(Ask(play="offer", subject_id="v1"))[0]
    assert (fresh.degraded, old.degraded) == (False, True)
    assert "predicted_clv" not in old.features


def test_what_a_recipe_would_say_is_taken_from_the_features_until_it_does(ledger: Ledger) -> None:
    """A name that is both a feature and a prediction has the feature's value until the recipe has published."""
    memory = Memory(ledger)
    ts = (NOW - timedelta(days=3)).isoformat()
    row = {"kind": "order", "message_id": "o1", "subject_id": "v1", "ts": ts, "order_id": "o1", "revenue": 40.0}
    assert events.ingest(ledger, [row], source="shop")[0].status == "stored"
    wanted = ("average_order_value",)
    assert memory(ledger, "v1", wanted, {}).features["average_order_value"] == 40.0
    published.publish(ledger, "value", "m1", NOW, pa.table({"subject_id": ["v1"], "average_order_value": [35.0]}))
    assert memory(ledger, "v1", wanted, {}).features["average_order_value"] == 35.0


def test_someone_new_is_served_what_was_published_and_is_exact_from_then_on(ledger: Ledger) -> None:
    """The first request takes the published feature; soon after the subject is in memory and counted exactly."""
    memory = Memory(ledger)
    view(ledger, 0)
    published.publish(ledger, "features", "", NOW, pa.table({"subject_id": ["v1"], "page_views_7d": [7.0]}))
    assert memory(ledger, "v1", ("page_views_7d",), {}).features["page_views_7d"] == 7.0
    until = time.monotonic() + 20
    while not memory.histories.has("v1", ("page_views_7d",)) and time.monotonic() < until:
        time.sleep(0.01)
    assert memory(ledger, "v1", ("page_views_7d",), {}).features["page_views_7d"] == 1.0


def test_what_is_kept_of_predictions_is_what_was_published_last(ledger: Ledger) -> None:
    """A new publication, and the joining of two ids, are served from the next request on, ever so often."""
    memory = Memory(ledger)
    for value in (0.25, 0.75):
        table = pa.table({"subject_id": ["v1"], "churn_probability": [value]})
        published.publish(ledger, "churn", f"m{value}", NOW, table)
        said = [memory(ledger, "v1", (), {}) for _ in range(3)]
        assert [s.features["churn_probability"] for s in said] == [value] * 3
        assert said[0].versions == {"churn": f"m{value}"}
    identities.merge(ledger, "v1", "v2", why="logged in")
    assert memory(ledger, "v1", (), {}).subject_id == "v2"


def test_another_process_is_heard_within_a_moment(ledger: Ledger) -> None:
    """What another process publishes is served a moment later."""
    memory = Memory(ledger)
    published.publish(ledger, "churn", "m1", NOW, pa.table({"subject_id": ["v1"], "churn_probability": [0.25]}))
    assert memory(ledger, "v1", (), {}).features["churn_probability"] == 0.25
    with workspace.open_ledger(ledger.path, clock=ledger.clock) as other:
        published.publish(other, "churn", "m2", NOW, pa.table({"subject_id": ["v1"], "churn_probability": [0.5]}))
    time.sleep(2 * tail.LOOK_S)
    assert memory(ledger, "v1", (), {}).features["churn_probability"] == 0.5


def test_a_glance_says_what_a_long_look_says(ledger: Ledger) -> None:
    """Of who has predictions under its own id the glance says all; of who was merged, or has none, it says nothing."""
    table = pa.table({"subject_id": ["v1", "v3"], "churn_probability": [0.25, 0.5], "note": ['a "quoted" ü', None]})
    published.publish(ledger, "churn", "m1", NOW, table)
    published.publish(ledger, "features", "", NOW, pa.table({"subject_id": ["v1"], "page_views_7d": [7.0]}))
    identities.merge(ledger, "v3", "v2", why="logged in")
    for now in (NOW, NOW + timedelta(days=9)):
        with ledger.journal.read() as connection:
            stamp = tail.publications(connection)
            wanted = {one: said(connection, ledger, one, now) for one in ("v1", "v3", "nobody")}
            found = {one: at_a_glance(connection, ledger, one, now) for one in wanted}
        assert found == {"v1": (stamp, wanted["v1"]), "v3": (stamp, None), "nobody": (stamp, None)}
        assert wanted["v3"][0] == "v2"
