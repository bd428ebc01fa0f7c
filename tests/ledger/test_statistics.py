"""The sums of the log are those of a plain loop over decisions and what followed."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from tests.ledger.makers import NOW, decision

from nextbest.errors import UnknownNameError
from nextbest.ledger import Ledger, archive, decisions, identities, outcomes, replayed, statistics
from nextbest.types import Candidate, Outcome

if TYPE_CHECKING:
    from datetime import datetime

DAY = timedelta(days=1)
Order = tuple[str, "datetime", float]


def fill(ledger: Ledger, seed: int) -> tuple[list[tuple[str, str, str, datetime]], list[Order]]:
    """Put decisions and orders in; gives them as (subject, arm, action, ts) and (subject, ts, value)."""
    rng = random.Random(seed)
    made = [
        (
            f"c{rng.randrange(80)}",
            rng.choice(["policy", "policy", "holdout", "random"]),
            rng.choice(["coupon", "none"]),
            NOW - rng.randrange(1, 60 * 24) * timedelta(hours=1),
        )
        for _ in range(300)
    ]
    rows = [
        decision(i, subject_id=s, arm=arm, action=action, ts=ts, choice_probability=0.9 if action == "coupon" else 0.1)
        for i, (s, arm, action, ts) in enumerate(made)
    ]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))
    orders = [
        (f"c{rng.randrange(80)}", NOW - rng.randrange(60 * 24 * 60) * timedelta(minutes=1), float(rng.randrange(1, 90)))
        for _ in range(600)
    ]
    names = zip(("subject_id", "ts", "revenue"), zip(*orders, strict=True), strict=True)
    archive.append(ledger, "order", pa.table({name: list(values) for name, values in names}), source="file")
    return made, orders


def slow(
    made: list[tuple[str, str, str, datetime]], orders: list[Order], *, days: int, due: datetime, once: bool
) -> dict[tuple[str, str], tuple[int, float, float]]:
    """Give n, total and total of squares per arm and action by looking at everything."""
    sums: dict[tuple[str, str], list[float]] = defaultdict(list)
    for subject in {row[0] for row in made}:
        mine = sorted((row for row in made if row[0] == subject and row[3] <= due), key=lambda row: row[3])
        if mine:
            _, arm, action, ts = mine[0]
            followed = [v for s, t, v in orders if s == subject and ts <= t < ts + days * DAY]
            sums[arm, action].append(float(bool(followed)) if once else sum(followed))
    return {key: (len(v), sum(v), sum(x * x for x in v)) for key, v in sums.items()}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("outcome", "days", "once"), [("order", 10, True), ("revenue_14d", 14, False)])
def test_arms_are_the_sums_of_a_plain_loop(ledger: Ledger, seed: int, outcome: str, days: int, *, once: bool) -> None:
    """Each subject counts once, by its first decision whose window is over, with what followed within the window."""
    made, orders = fill(ledger, seed)
    happened = statistics.happened(ledger, outcome, days=10)
    assert (happened.days, happened.once) == (days, once)
    assert happened.end is not None
    found = statistics.arm_statistics(ledger, "win_back", happened, as_of=NOW)
    expected = slow(made, orders, days=days, due=min(NOW, happened.end) - days * DAY, once=once)
    assert found.keys() == expected.keys()
    for key, sums in found.items():
        assert (sums.n, sums.total, sums.total_squares) == pytest.approx(expected[key])
    late = sum(ts > NOW - days * DAY for *_, ts in made)
    assert late > 0  # decisions that are still pending were among them


def test_other_modes_and_plays_do_not_count(ledger: Ledger) -> None:
    """Shadow and replayed decisions, and those of other plays, are in no arm."""
    rows = [
        decision(1, ts=NOW - 20 * DAY),
        decision(2, ts=NOW - 20 * DAY, mode="shadow"),
        decision(3, ts=NOW - 20 * DAY, play="other"),
    ]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))
    archive.append(ledger, "order", pa.table({"subject_id": ["c1"], "ts": [NOW - DAY]}), source="file")
    happened = statistics.happened(ledger, "order", days=10)
    found = statistics.arm_statistics(ledger, "win_back", happened, as_of=NOW)
    assert {key: sums.n for key, sums in found.items()} == {("policy", "coupon"): 1}


def test_merged_subjects_count_once(ledger: Ledger) -> None:
    """Two ids of one person are one subject, and what either id did counts."""
    rows = [decision(1, ts=NOW - 20 * DAY), decision(2, ts=NOW - 19 * DAY)]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))
    archive.append(ledger, "order", pa.table({"subject_id": ["c2", "x"], "ts": [NOW - 15 * DAY, NOW]}), source="file")
    identities.merge(ledger, "c2", "c1", why="test")
    happened = statistics.happened(ledger, "order", days=10)
    (sums,) = statistics.arm_statistics(ledger, "win_back", happened, as_of=NOW).values()
    assert (sums.n, sums.total) == (1, 1.0)


def test_recorded_outcomes_count_by_their_name(ledger: Ledger) -> None:
    """An outcome that was recorded under a name counts with its value; an unknown name says the near word."""
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [decision(1, ts=NOW - 20 * DAY)]))
    outcomes.record(ledger, [
        Outcome(outcome_id="o1", subject_id="c1", ts=NOW - 18 * DAY, name="renewal", value=40.0),
        Outcome(outcome_id="o2", subject_id="c1", ts=NOW, name="other", value=1.0),
    ])  # fmt: skip
    happened = statistics.happened(ledger, "renewal", days=10)
    (sums,) = statistics.arm_statistics(ledger, "win_back", happened, as_of=NOW).values()
    assert (sums.n, sums.total, sums.total_squares) == (1, 40.0, 1600.0)
    with pytest.raises(UnknownNameError, match="Did you mean 'renewal'"):
        statistics.happened(ledger, "renewel", days=10)


def test_actions_are_weighted_by_one_over_their_probability(ledger: Ledger) -> None:
    """Those who got the action and those who got none weigh one over the probability with which that was drawn."""
    rows = [
        decision(1, ts=NOW - 20 * DAY, arm="random"),
        decision(2, ts=NOW - 20 * DAY, arm="random", action="none", choice_probability=0.1),
        decision(3, ts=NOW - 20 * DAY, arm="random", action="none", choice_probability=0.1),
    ]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))
    table = pa.table({"subject_id": ["c1", "c3", "x"], "ts": [NOW - 19 * DAY, NOW - 19 * DAY, NOW]})
    archive.append(ledger, "order", table, source="file")
    happened = statistics.happened(ledger, "order", days=10)
    found = {
        (r["action_id"], r["taken"]): r
        for r in statistics.action_sums(ledger, "win_back", happened, as_of=NOW).to_pylist()
    }
    taken, none = found["coupon", True], found["coupon", False]
    assert (taken["n"], taken["w"], taken["wy"]) == pytest.approx((1, 1 / 0.9, 1 / 0.9))
    assert (none["n"], none["w"], none["wy"], none["ww"]) == pytest.approx((2, 20.0, 10.0, 200.0))


def test_a_window_holds_its_first_moment_and_not_its_last(ledger: Ledger) -> None:
    """An order dated by the day, on the very midnight of the list, is an answer; a window later it is not."""
    # Features end before the decision; were the window to begin after it, such orders would count nowhere.
    midnight = (NOW - 20 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    rows = [decision(i, subject_id=f"c{i}", ts=midnight) for i in (1, 2)]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, rows))
    times = [midnight, midnight + 10 * DAY, NOW]
    archive.append(ledger, "order", pa.table({"subject_id": ["c1", "c2", "x"], "ts": times}), source="file")
    happened = statistics.happened(ledger, "order", days=10)
    (sums,) = statistics.arm_statistics(ledger, "win_back", happened, as_of=NOW).values()
    assert (sums.n, sums.total, sums.answered) == (2, 1.0, 1)


@pytest.mark.parametrize(
    ("seconds", "named", "taken"), [(5, "d1", 1.0), (6, "d1", 0.0), (1, None, 0.0), (1, "d2", 0.0)]
)
def test_an_outcome_that_names_its_decision_may_seem_early(
    ledger: Ledger, seconds: int, named: str | None, taken: float
) -> None:
    """An outcome up to five seconds before the decision it names is measured and replayed as its outcome."""
    made = [
        decision(1, ts=NOW - 3 * DAY, choice_probability=0.5),
        decision(2, ts=NOW - 6 * DAY, choice_probability=0.5),
    ]
    made = [replace(d, decision_id=f"d{i}", subject_id=f"s{i}") for i, d in enumerate(made, 1)]
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, made))
    ts = NOW - 3 * DAY - timedelta(seconds=seconds)
    outcomes.record(ledger, [Outcome(outcome_id="o", subject_id="s1", ts=ts, name="click", decision_id=named)])
    outcomes.record(ledger, [Outcome(outcome_id="later", subject_id="s9", ts=NOW, name="click")])
    found = statistics.happened(ledger, "click", days=1)
    sums = statistics.arm_statistics(ledger, made[0].play, found, as_of=NOW)
    assert sum(s.total for s in sums.values()) == taken
    rows = replayed.logged(ledger, made[0].play, found, as_of=NOW).rows
    assert sum(rows["reward"].to_pylist()) == taken


def test_orders_that_stopped_coming_in_leave_decisions_pending(ledger: Ledger) -> None:
    """Page views that go on do not turn an unseen month of orders into a month without orders."""
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [decision(1, ts=NOW - 20 * DAY)]))
    archive.append(ledger, "order", pa.table({"subject_id": ["x"], "ts": [NOW - 15 * DAY]}), source="file")
    archive.append(ledger, "page_view", pa.table({"subject_id": ["x"], "ts": [NOW]}), source="file")
    happened = statistics.happened(ledger, "order", days=10)
    assert statistics.arm_statistics(ledger, "win_back", happened, as_of=NOW) == {}


def test_one_answer_is_evidence_once(ledger: Ledger) -> None:
    """Of a subject decided for daily only the first decision with a choice teaches: an order answers one."""
    none = Candidate(action_id="none", response_probability=0.1, choice_probability=0.1)
    both = (none, Candidate(action_id="coupon", choice_probability=0.9))
    shut = (replace(none, choice_probability=1.0), Candidate(action_id="coupon", removed_by="consent:denied"))
    days = [decision(i, subject_id="c1", ts=NOW - (40 - i) * DAY, candidates=both) for i in range(5)]
    days[0] = replace(days[0], action_id="none", candidates=shut, choice_probability=1.0)
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, days))
    table = pa.table({"subject_id": ["c1", "x"], "ts": [NOW - 34 * DAY, NOW]})
    archive.append(ledger, "order", table, source="file")
    happened = statistics.happened(ledger, "order", days=10)
    found = statistics.responses(ledger, "win_back", happened, as_of=NOW).to_pylist()
    assert [(r["decision_id"], r["could"], r["responded"]) for r in found] == [(days[1].decision_id, ["coupon"], True)]
    sums = statistics.action_sums(ledger, "win_back", happened, as_of=NOW).to_pylist()
    assert [(r["action_id"], r["taken"], r["n"]) for r in sums] == [("coupon", True, 1)]


def test_decisions_taken_in_hindsight_teach_nothing(ledger: Ledger) -> None:
    """A decision dated before events that were already known was never carried out: its lift is not evidence."""
    late = replace(decision(1, ts=NOW - 20 * DAY), context={"hindsight": True})
    ledger.journal.write(lambda connection: decisions.log(connection, ledger, [late]))
    archive.append(ledger, "order", pa.table({"subject_id": ["c1"], "ts": [NOW]}), source="file")
    happened = statistics.happened(ledger, "order", days=10)
    assert statistics.responses(ledger, "win_back", happened, as_of=NOW).num_rows == 0
    assert statistics.in_hindsight(ledger, "win_back", happened, as_of=NOW) == 1
