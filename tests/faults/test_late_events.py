"""T14 of reliability.md: in which order late events come in, and how often, changes nothing that is decided."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nextbest import deciding, verbs
from nextbest.ledger import create
from nextbest.policies.live.ask import Ask

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.types import Decision

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
CONFIG = """
[consent]
regime = "opt_out"
[plays.p]
holdout = 0.1
random = 0.2
value = "coalesce(revenue_365d, 0)"
response = "0.1 + 0.01 * orders_ever"
audience = "orders_ever > 0"
policy = { name = "greedy", explore = 0.3 }
actions = [
  { id = "mail", channel = "email", assumed_log_odds = 1.0, eligibility = "orders_30d < 3" },
  { id = "banner", class = "content", assumed_log_odds = 0.5, eligibility = "days_since_last_order > 2" },
]
"""
EVENT = st.tuples(st.integers(0, 60), st.sampled_from([5.0, 20.0, 80.0]), st.sampled_from(["order", "page_view"]))


def event(number: int, days: int, revenue: float, kind: str) -> dict[str, Any]:
    """Give one event of c1 so many days ago."""
    more = {"order_id": f"o{number}", "revenue": revenue} if kind == "order" else {}
    ts = NOW - timedelta(days=days, minutes=number)
    return {"kind": kind, "message_id": f"m{number}", "subject_id": "c1", "ts": ts, **more}


def workspace(stack: ExitStack) -> Ledger:
    """Give a workspace whose draws are the same each time."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "w"
    folder.mkdir()
    (folder / ".secret").write_bytes(bytes(32))
    return stack.enter_context(create(folder, config_text=CONFIG, clock=lambda: NOW))


def told(made: Decision) -> Any:
    """Give what a decision says, without its own id and how long it took."""
    return made.action_id, made.choice_probability, made.candidates, made.degraded, made.reason


def both(events: list[tuple[int, float, str]], order: list[int], asked_between: int) -> tuple[Any, Any]:
    """Give what is decided on events in their order, and on the same in another order and with repeats."""
    rows = [event(i, *e) for i, e in enumerate(events)]
    with ExitStack() as stack:
        straight, shuffled = workspace(stack), workspace(stack)
        verbs.ingest(straight, rows)
        engine = deciding.engine(shuffled)
        for at, i in enumerate([*order, *order[:2]]):
            verbs.ingest(shuffled, [rows[i]])
            if at == asked_between:  # what is kept in memory of a subject must take late events in, too
                engine.decide(Ask(play="p", subject_id="c1", request_id="early"))
        ask = Ask(play="p", subject_id="c1", request_id="r1")
        one, other = deciding.engine(straight).decide(ask)[0], engine.decide(ask)[0]
        return told(one), told(other)


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[tuple[int, float, str]], list[int], int]:
    """Give events, another order of them, and after which one something is asked."""
    events = draw(st.lists(EVENT, min_size=1, max_size=6))
    return events, draw(st.permutations(range(len(events)))), draw(st.integers(0, len(events)))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_the_order_of_late_events_changes_no_decision(
    case: tuple[list[tuple[int, float, str]], list[int], int],
) -> None:
    """Events in any order, some of them twice, with a decision in between, lead to the same decision."""
    straight, shuffled = both(*case)
    assert straight == shuffled


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=cases())
def test_the_order_of_late_events_changes_no_decision_at_night(
    case: tuple[list[tuple[int, float, str]], list[int], int],
) -> None:
    """The same for five hundred sequences."""
    straight, shuffled = both(*case)
    assert straight == shuffled
