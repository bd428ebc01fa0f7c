"""The chance of a response per action from a play's own log: known truth, judged out of time, served and taken back."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nextbest import deciding, operations, traffic, verbs
from nextbest.errors import ModelError, UnknownNameError, UsageError
from nextbest.ledger import create
from nextbest.models import serving
from nextbest.policies.live.ask import Offers
from nextbest.recipes import action_live, action_rows
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted

NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)
NAME = "action_value_home_banner"
BANNERS = ("weekly_offers", "recipe_box", "fresh_bakery", "wine_evening")
TOML = """
[consent]
regime = "opt_out"
[plays.home_banner]
goal = "click"
goal_days = 0.02
response = "0.05"
value = "1"
holdout = 0.05
random = 0.9
policy = { name = "greedy", explore = 0.2 }
learner = { name = "boosted" }
actions = [
    { id = "weekly_offers", class = "content" }, { id = "recipe_box", class = "content" },
    { id = "fresh_bakery", class = "content" }, { id = "wine_evening", class = "content", features = { warm = 1 } },
]
"""


def clock() -> datetime:
    """Give the moment of the tests."""
    return NOW


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a log by the stated simulator and the lifts, and a fitted model that serves."""
    folder = tmp_path_factory.mktemp("action_value") / "w"
    folder.mkdir()
    (folder / ".secret").write_bytes(bytes(32))  # draws are keyed by it: the same log in every run
    with create(folder, config_text=TOML.replace('"boosted"', '"lift"'), clock=clock) as ledger:
        traffic.simulate(ledger, visits=3_000)
        assert verbs.fit(ledger, "action_value", play="home_banner").report.status == "ok"
    (folder / "nextbest.toml").write_text(TOML)
    return folder


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Iterator[Ledger]:
    """Give a copy, open."""
    with operations.open(shutil.copytree(made, tmp_path / "w"), clock=clock) as opened:
        yield opened


@pytest.fixture
def fitted(ledger: Ledger) -> Fitted:
    """Give the model that serves."""
    return verbs.newest(ledger, NAME)


def _ask(subject: str, device: str) -> deciding.Ask:
    return deciding.Ask(
        play="home_banner", subject_id=subject, context={"device": device}, request_id=f"{subject}{device}"
    )


def test_it_learns_who_responds_to_what(ledger: Ledger) -> None:
    """The engine's chances follow the simulator's stated rates: recipes on phones, wine on desktops."""
    engine = deciding.engine(ledger)
    for device, liked in (("phone", "recipe_box"), ("desktop", "wine_evening")):
        decision = engine.decide(_ask("new", device))[0]
        assert not decision.degraded, decision.reason
        chances = {c.action_id: c.response_probability for c in decision.candidates}
        assert max(chances, key=lambda name: chances[name] or 0.0) == liked
        for banner in BANNERS:
            assert chances[banner] == pytest.approx(traffic.CLICKS[device][banner], abs=0.08)


def test_it_is_judged_out_of_time_beside_the_lifts(fitted: Fitted) -> None:
    """The report stands beside base rate, halves and lifts, and beats the lifts where responses differ by device."""
    report = fitted.report
    assert fitted.recipe == NAME
    assert set(report.baselines) == {"majority", "logistic alone", "boosting alone", "lift of each action alone"}
    assert "out of time" in report.evaluation
    low, _ = report.intervals["auc minus lift of each action alone"]
    assert low > 0
    assert report.metrics["ece"] < 0.05
    assert fitted.extra["spread"] == report.metrics["ece"]


def test_too_little_is_an_answer(tmp_path: Path) -> None:
    """Without outcomes, and with few, the status is not_enough_data and says how many are missing."""
    with create(tmp_path / "w", config_text=TOML.replace('"boosted"', '"lift"'), clock=clock) as ledger:
        none = verbs.fit(ledger, "action_value", play="home_banner").report
        assert (none.status, none.why) == ("not_enough_data", "No 'click' has been recorded yet.")
        traffic.simulate(ledger, visits=60)
        few = verbs.fit(ledger, "action_value", play="home_banner").report
        assert few.status == "not_enough_data"
        assert "at least 30 of either" in few.why
        with pytest.raises(UsageError, match="--set play=home_banner"):
            verbs.fit(ledger, "action_value")
        with pytest.raises(UnknownNameError, match="home_banner"):
            verbs.fit(ledger, "action_value", play="home_baner")


def test_only_due_decisions_of_the_policy_or_of_chance_teach(ledger: Ledger) -> None:
    """A pending decision is no row, a click counts for the decision it names, and only within its time."""
    play = ledger.config.plays["home_banner"]
    rows = action_rows.read(ledger, play, as_of=NOW)
    assert len(rows.seen) == 3_000
    assert np.all(np.diff(rows.ts) >= 0)
    early = NOW - timedelta(minutes=100)
    some = action_rows.read(ledger, play, as_of=early)
    assert 0 < len(some.seen) < 3_000
    assert max(some.ts) <= (early - timedelta(days=play.goal_days)).timestamp() + 1e-3
    silent = next(i for i, yes in enumerate(rows.actual) if not yes)
    d = rows.seen[silent]
    when = datetime.fromtimestamp(rows.ts[silent], UTC)
    late = Outcome(
        outcome_id="late",
        subject_id=d.subject_id,
        ts=when + timedelta(hours=1),
        name="click",
        decision_id=d.decision_id,
    )
    verbs.record(ledger, [late])
    assert action_rows.read(ledger, play, as_of=NOW).actual[silent] == 0.0
    in_time = Outcome(outcome_id="soon", subject_id=d.subject_id, ts=when + timedelta(minutes=5), name="click")
    verbs.record(ledger, [in_time])
    assert action_rows.read(ledger, play, as_of=NOW).actual[silent] == 1.0


def test_what_is_served_is_what_was_learnt(ledger: Ledger, fitted: Fitted) -> None:
    """The state's answers for offers equal the model's predictions for the same rows of the log."""
    play = ledger.config.plays["home_banner"]
    fits = action_live.Fits(ledger, plays=ledger.config.plays)
    assert fits.tick() == 1
    state = fits.state(play)
    seen = action_rows.read(ledger, play, as_of=NOW).seen[:40]
    wanted = np.asarray(fitted.parts["model"].predict(action_rows.table(seen))["prediction"])
    for i, d in enumerate(seen):
        warm = np.array([[float(d.action_features.get("warm", np.nan))]])
        mean, spread = state.response(d.context, Offers(ids=(d.action_id,), names=("warm",), values=warm))
        assert mean[0] == pytest.approx(wanted[i], abs=1e-9)
        assert spread[0] == fitted.extra["spread"]


@pytest.mark.slow
def test_a_running_engine_takes_over_what_serves_and_what_is_brought_back(ledger: Ledger, fitted: Fitted) -> None:
    """Publishing another model and rolling back change the engine's model within a second each, without a restart."""
    engine = deciding.engine(ledger)
    first = engine.decide(_ask("a", "phone"))[0].model_versions["learner"]
    assert fitted.model_id.endswith(first)
    again = verbs.fit(ledger, "action_value", play="home_banner", seed=1)
    assert _within(1.5, lambda: engine.decide(_ask("b", "phone"))[0].model_versions["learner"], again.model_id)
    operations.rollback(ledger, NAME, why="test")
    assert _within(1.5, lambda: engine.decide(_ask("c", "phone"))[0].model_versions["learner"], fitted.model_id)
    assert operations.verify(ledger).ok


def _within(seconds: float, look: object, wanted: str) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if wanted.endswith(look()):  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
def test_a_damaged_model_is_not_taken_over(ledger: Ledger, fitted: Fitted) -> None:
    """When the files of what should serve are damaged, the model in memory goes on; a fresh process is degraded."""
    play = ledger.config.plays["home_banner"]
    fits = action_live.Fits(ledger, plays=ledger.config.plays)
    fits.tick()
    state = fits.state(play)
    other = verbs.fit(ledger, "action_value", play="home_banner", seed=1)
    file = next((ledger.path / "models" / other.model_id / "model").iterdir())
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ModelError, match=other.model_id):
        fits.tick()
    assert fits.state(play) is state
    assert state.version == fitted.model_id.rpartition("-")[2]
    fresh = deciding.engine(ledger).decide(_ask("d", "phone"))[0]
    assert fresh.degraded
    operations.rollback(ledger, NAME, why="damaged")
    assert fits.tick() == 0
    assert fits.state(play).version == state.version


def test_a_model_of_another_recipe_is_not_taken_over(ledger: Ledger, fitted: Fitted) -> None:
    """A play that names a model of another kind is told so; nothing else may stop the thread that looks for models."""
    play = ledger.config.plays["home_banner"]
    serving.publish(ledger, replace(fitted, model_id="other-1", recipe="other", extra={}), why="test")
    named = replace(play, learner={"name": "boosted", "model": "other-1"})
    with pytest.raises(ModelError, match="other-1 of play 'home_banner' is not of the recipe action_value"):
        action_live.Fits(ledger, plays={play.name: named}).tick()


def test_without_a_model_decisions_are_degraded_and_say_what_to_fit(tmp_path: Path) -> None:
    """A play whose learner has no model falls back to the lifts, marked degraded; the error names the command."""
    with create(tmp_path / "w", config_text=TOML, clock=clock) as ledger:
        with pytest.raises(ModelError, match="nextbest fit action_value --set play=home_banner"):
            action_live.Fits(ledger, plays=ledger.config.plays).state(ledger.config.plays["home_banner"])
        made = deciding.engine(ledger).decide(_ask("a", "phone"))[0]
        assert made.degraded
        assert serving.versions(ledger) == []


def test_the_thread_ends_with_its_ledger(made: Path, tmp_path: Path) -> None:
    """A closed workspace leaves no thread behind that looks for models."""
    before = {t.ident for t in threading.enumerate()}
    with operations.open(shutil.copytree(made, tmp_path / "w"), clock=clock) as opened:
        deciding.engine(opened)
    until = time.monotonic() + 10
    while any(t.name == "nextbest-models" for t in threading.enumerate() if t.ident not in before):
        assert time.monotonic() < until
        time.sleep(0.05)
