from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.policies.conftest import NOW, subjects

from nextbest.errors import ConfigError, LedgerError, UsageError
from nextbest.ledger import analysis, archive, consent, decisions, lists, switches
from nextbest.policies.decide import Decided, decide_bulk
from nextbest.policies.run import prepare, ranked, settle

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.clocks import Clock

    from nextbest.ledger import Ledger


def run(ledger: Ledger, table: pa.Table | None = None, **settings: Any) -> Decided:
    """Decide the play for a table of subjects now."""
    table = subjects() if table is None else table
    return decide_bulk(ledger, ledger.config.plays["win_back"], table, as_of=NOW, **settings)


def removed(decided: Decided, action: str) -> set[str | None]:
    """Give the rules that removed an action, over all subjects."""
    return {c["removed_by"] for row in decided.table["candidates"].to_pylist() for c in row if c["action_id"] == action}


def test_every_row_is_whole(workspace: Callable[..., Ledger]) -> None:
    """Probabilities sum to one over what is eligible, the chosen one is above zero, and all of it is in the log."""
    ledger = workspace("holdout = 0.1\nrandom = 0.1")
    decided = run(ledger, model_versions={"churn": "m1"})
    for row in decided.table.to_pylist():
        open_actions = [c for c in row["candidates"] if c["removed_by"] is None]
        assert sum(c["choice_probability"] for c in open_actions) == pytest.approx(1.0)
        assert all(c["choice_probability"] > 0 for c in open_actions)
        assert all(c["choice_probability"] == 0 for c in row["candidates"] if c["removed_by"])
        chosen = next(c for c in open_actions if c["action_id"] == row["action_id"])
        assert chosen["choice_probability"] == row["choice_probability"]
        assert json.loads(row["features"])["churn_probability"] > 0
        assert json.loads(row["model_versions"])["churn"] == "m1"
        assert row["reason"]
    stored = analysis.table(ledger, "decisions").sort_by("decision_id")
    assert stored["decision_id"].to_pylist() == decided.table["decision_id"].to_pylist()
    one = decided.table.slice(3, 1).to_pylist()[0]
    assert decisions.get(ledger, one["decision_id"]).action_id == one["action_id"]


def test_the_summary_adds_up(workspace: Callable[..., Ledger]) -> None:
    """Counts by action and by arm sum to the decided, and the money is that of the list."""
    decided = run(workspace())
    assert decided.decided == sum(decided.by_action.values()) == sum(decided.by_arm.values()) == 400
    listing = decided.listing()
    assert pc.sum(listing["gain"]).as_py() == pytest.approx(decided.expected_value)
    assert listing.column_names[:8] == [
        "decision_id", "subject_id", "action_id", "choice_probability", "response_probability", "expected_value", "arm",
        "reason",
    ]  # fmt: skip
    assert set(decided.assumed) == {"mail", "call", "coupon", "banner", "task"}


def test_held_out_subjects_get_nothing_and_stay_held_out(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """The holdout arm gets `none`, and the same subjects are held out a week later."""
    ledger = workspace("holdout = 0.3")
    first = run(ledger, mode="shadow").table
    clock.now += timedelta(days=7)
    later = decide_bulk(ledger, ledger.config.plays["win_back"], subjects(), as_of=clock.now, mode="shadow").table
    held = pc.equal(first["arm"], "holdout")
    assert held.equals(pc.equal(later["arm"], "holdout"))
    assert set(first.filter(held)["action_id"].to_pylist()) == {"none"}
    assert not first["action_id"].equals(later["action_id"])  # exploration is drawn anew every day


def test_the_same_salt_gives_the_same_choices(workspace: Callable[..., Ledger]) -> None:
    """Two runs of a day agree, and another salt draws otherwise."""
    ledger = workspace('policy = { name = "greedy", explore = 0.5 }')
    first, again, other = (run(ledger, mode="replay", salt=s).table["action_id"] for s in ("a", "a", "b"))
    assert first.equals(again)
    assert not first.equals(other)


def test_a_batch_decides_as_its_rows_one_by_one(workspace: Callable[..., Ledger]) -> None:
    """Without a limit on places nobody's decision depends on who else is in the table."""
    ledger = workspace("random = 0.2")
    whole = run(ledger, mode="replay").table
    for i in range(0, 400, 37):
        alone = run(ledger, subjects().slice(i, 1), mode="replay").table
        for name in ("action_id", "choice_probability", "arm", "candidates", "reason", "features", "seed"):
            assert alone[name][0] == whole[name][i]


def test_a_list_in_blocks_is_the_list(workspace: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows, reasons, draws and log are the same, whether a list is made whole or by blocks of 64 rows."""
    play = "random = 0.2\nbudget = 300.0\nmax_actions = 200\npolicy = { name = 'greedy', explore = 0.3 }"
    ours = ["action_id", "arm", "candidates", "choice_probability", "features", "reason", "seed", "subject_id"]
    made = []
    for block in (1 << 16, 64):
        monkeypatch.setattr("nextbest.policies.run.BLOCK", block)
        ledger = workspace(play)
        decided = run(ledger, salt="s")
        logged = analysis.table(ledger, "decisions").sort_by("decision_id")
        assert decided.table["decision_id"].to_pylist() == logged["decision_id"].to_pylist()
        assert decided.listing()["reason"].to_pylist() == logged["reason"].to_pylist()
        made += [decided.table.select(ours), logged.select(ours)]
        assert len(archive_files(ledger)) == 1
    assert all(other.combine_chunks().equals(made[0].combine_chunks()) for other in made)


def archive_files(ledger: Ledger) -> list[Path]:
    """Give the segments of decisions."""
    return list((ledger.path / "archive" / "decision").glob("*.parquet"))


def test_unknown_permission_is_no_where_it_is_opt_in(workspace: Callable[..., Ledger]) -> None:
    """Outbound and money need a yes; content and internal actions do not."""
    ledger = workspace(regime="opt_in")
    consent.record(ledger, "s0000003", channel="email", allow=True, proof="form")
    decided = run(ledger)
    assert removed(decided, "call") == {"consent:unknown"}
    assert removed(decided, "banner") == removed(decided, "task") == {None}
    mail = [r["candidates"][0]["removed_by"] for r in decided.table.to_pylist()]
    assert [i for i, rule in enumerate(mail) if rule is None] == [3]


def test_denied_and_suppressed_are_told_apart(workspace: Callable[..., Ledger]) -> None:
    """A no on record and a suppressed id remove with rules of their own."""
    ledger = workspace()
    consent.record(ledger, "s0000001", allow=False, proof="phone call")
    consent.suppress(ledger, "s0000002", reason="complaint")
    rows = run(ledger).table.to_pylist()
    assert rows[1]["candidates"][0]["removed_by"] == "consent:denied"
    assert rows[2]["candidates"][0]["removed_by"] == "suppressed"
    assert rows[1]["action_id"] in {"banner", "task", "none"}


def test_the_stop_switch_comes_first(workspace: Callable[..., Ledger]) -> None:
    """A stopped action is removed for everyone before consent is asked; a stopped play leaves only `none`."""
    ledger = workspace(regime="opt_in")
    switches.stop(ledger, action="mail", why="wrong text")
    assert removed(run(ledger), "mail") == {"kill_switch"}
    switches.stop(ledger, play="win_back", why="all of it")
    assert run(ledger).by_action == {"none": 400}
    (ledger.path / "stop").touch()
    switches.start(ledger, play="win_back", why="but the file still lies there")
    assert run(ledger).by_action == {"none": 400}


def test_audience_and_eligibility(workspace: Callable[..., Ledger]) -> None:
    """Outside the audience nobody is decided; where its condition fails, an action is removed by `eligibility`."""
    table = subjects()
    decided = run(workspace('audience = "churn_probability > 0.5"'), table)
    inside = table.filter(pc.greater(table["churn_probability"], 0.5))
    assert decided.table["subject_id"].to_pylist() == inside["subject_id"].to_pylist()
    assert decided.outside_audience == 400 - inside.num_rows
    few = {r["subject_id"] for r in table.to_pylist() if r["orders_365d"] < 2}
    for row in decided.table.to_pylist():
        assert (row["candidates"][2]["removed_by"] == "eligibility") == (row["subject_id"] in few)


def test_caps_count_what_was_logged(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """Who was contacted within the days of the cap is not contacted again; content and tasks are no contacts."""
    ledger = workspace("caps = [{ count = 1, days = 7 }]")
    contacted = {r["subject_id"] for r in run(ledger).table.to_pylist() if r["action_id"] in {"mail", "call", "coupon"}}
    assert len(contacted) > 100
    clock.now += timedelta(days=3)
    for row in run_at(ledger, clock).to_pylist():
        rule = row["candidates"][0]["removed_by"]
        assert rule == ("cap:1 in 7 days" if row["subject_id"] in contacted else None)
        assert row["candidates"][3]["removed_by"] is None
    clock.now += timedelta(days=12)
    assert {r["candidates"][0]["removed_by"] for r in run_at(ledger, clock).to_pylist()} == {None}


def run_at(ledger: Ledger, clock: Clock) -> pa.Table:
    """Decide at the clock's time."""
    return decide_bulk(ledger, ledger.config.plays["win_back"], subjects(), as_of=clock.now).table


def test_shadow_and_replay_contact_nobody(workspace: Callable[..., Ledger]) -> None:
    """A shadow run is logged and uses up no cap; a replay is not logged at all."""
    ledger = workspace("caps = [{ count = 1, days = 7 }]")
    run(ledger, mode="replay")
    assert analysis.table(ledger, "decisions").num_rows == 0
    run(ledger, mode="shadow")
    assert analysis.table(ledger, "decisions").num_rows == 400
    assert removed(run(ledger), "mail") == {None}


def test_places_of_a_day_are_kept_over_runs(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """Thirty calls a day stay thirty in all, however often the play is decided, and come back the next day."""
    actions = '[{ id = "call", channel = "phone", cost = 0.0, assumed_log_odds = 0.8, max_per_day = 30 }]'
    ledger = workspace('holdout = 0.1\npolicy = { name = "greedy", explore = 0.0 }', actions=actions)
    first = run(ledger)
    assert 15 < first.by_action["call"] <= 30
    second = run(ledger)
    assert first.by_action["call"] + second.by_action.get("call", 0) <= 30
    assert second.removed_by["max_per_day"] >= 370
    clock.now += timedelta(days=1)
    assert pc.sum(pc.equal(run_at(ledger, clock)["action_id"], "call")).as_py() > 15


def test_a_limit_on_the_play_keeps_the_most_valuable(workspace: Callable[..., Ledger]) -> None:
    """With ten places, nobody outside the ten highest gains gets anything."""
    ledger = workspace('max_actions = 10\nholdout = 0.01\npolicy = { name = "greedy", explore = 0.0 }')
    decided = run(ledger, salt="same")  # the same people are held out in both
    acted = decided.table.filter(pc.not_equal(decided.table["action_id"], "none"))
    assert 0 < acted.num_rows <= 10
    ledger.journal.close()
    free = workspace('holdout = 0.01\npolicy = { name = "greedy", explore = 0.0 }')
    listing = run(free, salt="same").listing().sort_by([("gain", "descending")]).slice(0, 14)
    assert set(acted["subject_id"].to_pylist()) <= set(listing["subject_id"].to_pylist())


def test_missing_predictions_fail_soft(workspace: Callable[..., Ledger]) -> None:
    """Without a churn probability a subject is degraded: no exploration, no money, and it is said."""
    table = subjects()
    churn = pc.if_else(pa.array([i % 2 == 0 for i in range(400)]), table["churn_probability"], None)
    decided = run(workspace("holdout = 0.0\nrandom = 0.5"), table.set_column(1, "churn_probability", churn))
    assert decided.degraded == 200
    for i, row in enumerate(decided.table.to_pylist()):
        assert row["degraded"] == (i % 2 == 1)
        if row["degraded"]:
            assert row["choice_probability"] == pytest.approx(1.0)
            assert row["candidates"][2]["removed_by"] in {"degraded", "eligibility"}
            assert "Predictions were missing" in row["reason"]


def test_a_broken_policy_fails_soft(workspace: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that raises, gives NaN or too few rows is replaced by the best action, without chance or money."""
    ledger = workspace("holdout = 0.0")
    from nextbest.policies.greedy import Greedy

    def broken(kind: str) -> Callable[..., pa.Table]:
        def probabilities(self: Greedy, predictions: pa.Table, actions: Any) -> pa.Table:
            if kind == "raises":
                raise ValueError(kind)
            rows = predictions.num_rows - (kind == "short")
            return pa.table({a.id: np.full(rows, np.nan if kind == "nan" else 1.0) for a in actions})

        return probabilities

    monkeypatch.setattr(Greedy, "weigh", None)  # a stranger's policy answers by tables
    for kind in ("raises", "nan", "short"):
        monkeypatch.setattr(Greedy, "probabilities", broken(kind))
        got = run(ledger, mode="replay")
        assert got.degraded == 400
        assert set(got.by_action) <= {"mail", "call", "banner", "task", "none"}
        assert pc.min(got.table["choice_probability"]).as_py() == 1.0


def test_permissions_that_move_are_read_again(
    workspace: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An opt-out between reading and logging binds; when permissions never rest, nothing is logged."""
    ledger = workspace()
    log, calls = lists.log_table, []

    def opted_out_meanwhile(*args: Any, **kw: Any) -> str | None:
        if not calls:
            consent.record(ledger, "s0000000", allow=False, proof="just now")
        calls.append(1)
        return log(*args, **kw)

    monkeypatch.setattr(lists, "log_table", opted_out_meanwhile)
    rows = run(ledger).table.to_pylist()
    assert len(calls) == 2
    assert rows[0]["candidates"][0]["removed_by"] == "consent:denied"
    monkeypatch.setattr(lists, "log_table", lambda *_, **__: None)
    with pytest.raises(LedgerError, match="Nothing was logged; try again"):
        run(ledger)


def test_a_typing_error_in_an_expression_is_refused(workspace: Callable[..., Ledger]) -> None:
    """An unknown column in an audience is refused with the near word, also a declared one, before any decision."""
    with pytest.raises(ConfigError, match="Did you mean 'churn_probability'"):
        run(workspace('audience = "churn_probabilty > 0.5"'))
    declared = '[recipes.buys_shoes]\nrecipe = "propensity"\nevent = "order_line"'
    with pytest.raises(ConfigError, match="Did you mean 'buys_shoes_probability'"):
        run(workspace('audience = "buys_shos_probability > 0.5"', head=declared))


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ('policy = { name = "gredy" }', "Did you mean 'greedy'"),
        ('policy = { name = "greedy", explor = 0.1 }', "Did you mean 'explore'"),
        ('policy = { name = "greedy", explore = 2.0 }', "a share between 0 and 1"),
        ('quiet_hours = { start = "25:00", end = "08:00" }', "got '25:00'"),
        ('quiet_hours = { start = "21:00", end = "08:00", timezone = "Mars/X" }', "time zone 'Mars/X'"),
        ("caps = [{ count = 0, days = 7 }]", "a cap of 0 in 7 days"),
        ("max_actions = -1", "max_actions -1"),
        ("goal_days = 0", "goal_days 0"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(workspace: Callable[..., Ledger], setting: str, said: str) -> None:
    """A play with a misspelt policy or an impossible limit decides nothing; it does not run without them."""
    ledger = workspace(setting)
    with pytest.raises(UsageError, match=said):
        run(ledger)
    assert decisions_of(ledger) == 0


def decisions_of(ledger: Ledger) -> int:
    """Give how many decisions the log holds."""
    return int(analysis.table(ledger, "decisions").num_rows)


def test_what_makes_a_play_do_less_is_noted(workspace: Callable[..., Ledger]) -> None:
    """A prediction that no model gives yet, and a play without any action, are told in the answer."""
    known = subjects(50).drop_columns(["churn_probability"])
    (note,) = run(workspace('audience = "churn_probability > 0.5"\nresponse = "0.2"'), known).notes
    assert "asks for churn_probability, which no model says yet" in note
    (note,) = run(workspace('response = "0.2"', actions="[]")).notes
    assert "has no action" in note


def test_nobody_is_a_list_too(workspace: Callable[..., Ledger]) -> None:
    """An empty audience gives an empty list and logs nothing."""
    decided = run(workspace('audience = "churn_probability > 2"'))
    assert decided.decided == 0
    assert decided.listing().num_rows == 0
    assert decided.expected_value == 0.0


def test_a_play_without_holdout_is_told_so(workspace: Callable[..., Ledger]) -> None:
    """A holdout of nothing is honoured, and noted in the answer."""
    decided = run(workspace("holdout = 0.0"))
    assert "holdout" not in decided.by_arm
    assert "nobody can say later what it earned" in decided.notes[0]


def share_errors(ledger: Ledger, n: int) -> dict[str, float]:
    """Give by how many standard errors each action is drawn more or less often than logged."""
    play = ledger.config.plays["win_back"]
    plan = prepare(ledger, play, now=NOW, salt="audit", quiet=False)
    known = ranked(plan, subjects(n))
    with ledger.journal.read() as connection:
        choice = settle(ledger, connection, plan, known).choice
    errors = {}
    for j, action in enumerate(plan.actions):
        p = choice.probability[:, j]
        drawn, expected = (choice.action == j).sum(), p.sum()
        errors[action.id] = abs(drawn - expected) / np.sqrt((p * (1 - p)).sum())
    return errors


def test_logged_and_drawn_shares_agree(workspace: Callable[..., Ledger]) -> None:
    """Over 50,000 decisions every action is drawn as often as logged, within three standard errors."""
    ledger = workspace('holdout = 0.1\nrandom = 0.1\npolicy = { name = "greedy", explore = 0.2 }')
    assert max(share_errors(ledger, 50_000).values()) <= 3


@pytest.mark.nightly
def test_logged_and_drawn_shares_agree_over_a_million(workspace: Callable[..., Ledger]) -> None:
    """The same over 1,000,000 decisions."""
    ledger = workspace('holdout = 0.1\nrandom = 0.1\npolicy = { name = "greedy", explore = 0.2 }')
    assert max(share_errors(ledger, 1_000_000).values()) <= 3


def test_a_list_made_after_the_fact_says_so(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """A decision dated before events that are known is marked hindsight; one of today is not, nor by dates to come."""
    ledger = workspace()
    orders = {"subject_id": ["c0", "c0"], "ts": [NOW + timedelta(days=9), NOW + timedelta(days=30)]}
    archive.append(ledger, "order", pa.table(orders), source="file")
    assert set(run(ledger, mode="shadow").table["context"].to_pylist()) == {"{}"}
    clock.now = NOW + timedelta(days=10)
    assert set(run(ledger, mode="shadow").table["context"].to_pylist()) == {'{"hindsight": true}'}


SHORT = """[
  { id = "mail", channel = "email", cost = 0.1, assumed_log_odds = 0.2 },
  { id = "call", channel = "phone", cost = 3.0, assumed_log_odds = 0.8, max_per_day = 40, min_per_day = 10 },
]"""


def test_a_budget_is_never_exceeded_and_its_plan_is_on_record(workspace: Callable[..., Ledger]) -> None:
    """A list spends at most its budget, says how good its plan is, and logs the prices that led to it."""
    ledger = workspace("budget = 60.0\nholdout = 0.05\nrandom = 0.05", actions=SHORT)
    decided = run(ledger)
    found = decided.allocation
    assert 30 < found["spent"] <= found["planned_spend"] <= found["budget"] == 60
    assert found["value"] <= found["bound"] + 1e-6
    assert found["gap"] < 0.02
    assert found["prices"]["budget"] > 0
    context = json.loads(decided.table["context"][0].as_py())
    assert context["prices"] == found["prices"]
    assert decided.removed_by["limit:budget"] > 0
    for row in decided.table.to_pylist():
        open_actions = [c["choice_probability"] for c in row["candidates"] if c["removed_by"] is None]
        assert sum(open_actions) == pytest.approx(1.0)
        assert min(open_actions) > 0


def test_a_budget_of_a_day_is_kept_over_lists(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """However often a play is decided, its live lists of one day spend at most the day's budget."""
    ledger = workspace("budget = 60.0", actions=SHORT)
    spent = [run(ledger).allocation["spent"] for _ in range(3)]
    assert round(sum(spent), 6) <= 60
    assert sum(spent) > 50  # what the draw left over is used by the next list
    clock.now += timedelta(days=1)
    decide_bulk(ledger, ledger.config.plays["win_back"], subjects(), as_of=clock.now)
    assert run(ledger, mode="shadow").allocation["spent"] >= 0


def test_prices_decide_who_gets_what_is_short(workspace: Callable[..., Ledger]) -> None:
    """Without exploration and holdout the list is its plan: uses, spending and value are those of the allocation."""
    play = 'budget = 60.0\nholdout = 0.0\npolicy = { name = "greedy", explore = 0.0 }'
    decided = run(workspace(play, actions=SHORT))
    found = decided.allocation
    assert {a: n for a, n in decided.by_action.items() if a != "none"} == found["uses"]
    assert decided.expected_value == pytest.approx(found["value"], rel=1e-5)
    assert found["spent"] == pytest.approx(found["planned_spend"])


def test_one_member_of_a_household_is_contacted(workspace: Callable[..., Ledger]) -> None:
    """With a group, a list contacts at most one member of each, whatever is drawn."""
    table = subjects().append_column("household", pa.array([f"h{i // 4}" for i in range(400)]))
    decided = run(workspace('group = "household"\nrandom = 0.3', actions=SHORT), table)
    acted = decided.table.filter(pc.not_equal(decided.table["action_id"], "none"))
    homes = [int(subject[1:]) // 4 for subject in acted["subject_id"].to_pylist()]
    assert len(homes) == len(set(homes)) > 40
    with pytest.raises(ConfigError, match="group 'firm', which is not known"):
        run(workspace('group = "firm"', actions=SHORT), table)


def test_least_uses_that_cannot_be_given_are_said(workspace: Callable[..., Ledger]) -> None:
    """Asking for more uses than there are subjects who may have them is a note with both numbers."""
    actions = '[{ id = "call", channel = "phone", min_per_day = 50, eligibility = "orders_365d >= 6" }]'
    decided = run(workspace(actions=actions))
    (note,) = [n for n in decided.notes if "at least 50 uses of 'call'" in n]
    assert "subjects may have it" in note
