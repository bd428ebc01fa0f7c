"""Win probability, pipeline and forecast, on a pipeline whose hazards are known and on real exports."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from tests.recipes.pipelines import World, moment, world

from nextbest import verbs
from nextbest.ledger import archive, create
from nextbest.models import deal_features, deal_rates, stage_rates
from nextbest.models.deal_history import DAY, NEVER
from nextbest.recipes import deal_win_judged, sales_forecast_judged
from nextbest.recipes import deals as shared
from nextbest.recipes.deal_panel import Known
from nextbest.recipes.deal_periods import forecast
from nextbest.recipes.deal_win import DealWin
from nextbest.recipes.deal_win_judged import STAGE_RATE
from nextbest.recipes.judged import Judged
from nextbest.recipes.pipeline import Pipeline
from nextbest.recipes.sales_forecast import SalesForecast

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW, QUARTER = 730, 91
UTC_US = pa.timestamp("us", tz="UTC")


def before(rows: pa.Table, day: int) -> pa.Table:
    """Give the rows before a day."""
    return rows.filter(pc.less(rows["ts"], pa.scalar(moment(day), UTC_US)))


def ids_of(rows: pa.Table) -> pa.Array:
    """Give an id per row."""
    return pa.array([f"e{i}" for i in range(rows.num_rows)])


def known(made: World, day: int) -> Known:
    """Give what is known of a world as of a day."""
    deals = shared.read(before(made.rows, day), as_of=moment(day))
    none = np.zeros(0, np.int64)
    accounts = pa.table({"subject_id": pa.array([], pa.string())})
    return Known(deals=deals, done=deal_features.Activities(keys=none, deal=none, ts=none), accounts=accounts)


def share_held(worlds: range) -> float:
    """Give the share of worlds whose next quarter lies within its 80% interval."""
    held = []
    for seed in worlds:
        made = world(seed, days=NOW + QUARTER)
        deals = shared.read(before(made.rows, NOW), as_of=moment(NOW))
        facts = deal_rates.learn(deals, segment="product", period_days=QUARTER)
        paths, _ = forecast(facts, deals, [float(QUARTER)], paths=1000, seed=0)
        low, high = np.quantile(paths.total[0], [0.1, 0.9])
        held.append(low <= made.total(NOW, NOW + QUARTER) <= high)
    return float(np.mean(held))


@pytest.fixture(scope="module")
def made() -> World:
    """Give one world for the tests that only read it."""
    return world(1, days=NOW + QUARTER, per_day=2.0)


@pytest.fixture
def ledger(tmp_path: Path, made: World) -> Ledger:
    """Give a workspace that knows the world until now."""
    found = create(tmp_path / "acme")
    rows = before(made.rows, NOW)
    rows = rows.append_column("event_id", ids_of(rows))
    archive.append(found, "deal_stage", rows, source="made up")
    return found


# --- forecast ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_intervals_hold_the_quarter_of_known_hazards() -> None:
    """Of 40 quarters with known hazards, 80% intervals hold 65% to 95% (three standard errors of 40 draws are 19%)."""
    assert 0.65 <= share_held(range(1000, 1040)) <= 0.95


@pytest.mark.nightly
def test_intervals_hold_200_quarters_of_known_hazards() -> None:
    """Of 200 quarters with known hazards, 80% intervals hold 75% to 85%."""
    assert 0.75 <= share_held(range(200)) <= 0.85


def test_a_forecast_stands_beside_what_people_use(made: World) -> None:
    """The report has past periods out of time, baselines, and how often intervals held; rows have every level."""
    recipe = SalesForecast(period_days=QUARTER, periods=2)
    rows = before(made.rows, NOW)
    fitted = recipe.fit_deals(rows, as_of=moment(NOW))
    report = fitted.report
    assert report.status == "ok"
    assert {"last_period", "same_period_last_year", "weighted_pipeline"} <= set(report.baselines)
    assert report.metrics["periods"] >= 4
    json.dumps([report.details, fitted.extra], allow_nan=False)
    assert "rep 1" not in json.dumps(fitted.extra)
    found = recipe.predict_deals(rows, fitted, as_of=moment(NOW)).to_pylist()
    totals = [r for r in found if r["level"] == "total"]
    assert [r["period_start"] for r in totals] == [moment(NOW).date(), moment(NOW + QUARTER).date()]
    assert {r["level"] for r in found} == {"total", "rep", "segment"}
    for level in ("rep", "segment"):
        parts = sum(r["sales_forecast"] for r in found if r["level"] == level)
        assert parts == pytest.approx(sum(r["sales_forecast"] for r in totals), rel=1e-6)
    assert totals[0]["sales_forecast"] == pytest.approx(totals[0]["from_open_deals"] + totals[0]["from_new_deals"])
    assert recipe.predict_deals(rows, fitted, as_of=moment(NOW)).to_pylist() == found


def test_the_calendar_quarter_holds_what_was_won_in_it(made: World) -> None:
    """Within a quarter the forecast is what was won in it so far, and the rest of it."""
    recipe = SalesForecast()
    as_of = datetime(2024, 11, 15, tzinfo=UTC)
    rows = made.rows.filter(pc.less(made.rows["ts"], pa.scalar(as_of, UTC_US)))
    (row, *_) = recipe.predict_deals(rows, recipe.fit_deals(rows, as_of=as_of), as_of=as_of).to_pylist()
    start = (datetime(2024, 10, 1, tzinfo=UTC) - moment(0)).days
    assert (row["period_start"].isoformat(), row["period_end"].isoformat()) == ("2024-10-01", "2025-01-01")
    assert row["won_so_far"] == pytest.approx(made.total(start, (as_of - moment(0)).days))
    assert row["sales_forecast_low"] >= row["won_so_far"]


def test_ten_thousand_deals_are_quick(made: World) -> None:
    """10,000 open deals and 1,000 paths take under five seconds of processor time."""
    deals = shared.read(before(made.rows, NOW), as_of=moment(NOW))
    facts = deal_rates.learn(deals, segment="product", period_days=QUARTER)
    count = 10_000
    fresh = pa.table(
        {name: made.rows[name].take(pa.array(np.zeros(count, np.int64))) for name in made.rows.column_names}
    )
    ids = pa.array([f"n{i}" for i in range(count)])
    fresh = fresh.set_column(0, "subject_id", ids).set_column(1, "deal_id", ids)
    fresh = fresh.set_column(2, "ts", pa.array([moment(NOW - 5)] * count, UTC_US))
    many = shared.read(pa.concat_tables([before(made.rows, NOW), fresh]), as_of=moment(NOW))
    began = time.process_time()
    forecast(facts, many, [float(QUARTER)], paths=1000, seed=0)
    assert time.process_time() - began < 5


def test_a_few_periods_do_not_beat_anything() -> None:
    """Being nearer on average is no lead when its interval over the periods holds nought, and is not called one."""
    draw = np.random.default_rng(82)
    actual = draw.normal(100, 20, 6)
    periods = [{"actual": a, "forecast": a + e, "last_period": a + f, "weighted_pipeline": a + 60}
               for a, e, f in zip(actual, [9, -12, 3, 15, -8, 2], [12, -4, 16, 5, -14, 9], strict=True)]  # fmt: skip
    scores = {n: sales_forecast_judged._score(periods, n) for n in ("last_period", "weighted_pipeline")}
    said = sales_forecast_judged._against(sales_forecast_judged._score(periods, "forecast"), scores, periods)
    assert "It was nearer, not surely, than last period" in said
    assert "It beats weighted pipeline" in said


def test_quick_wins_do_not_pass_for_a_high_win_rate() -> None:
    """Where wins take 30 days and losses 120, the rate of deals that are over is too high, and that is said."""
    off, fair, said = [], [], []
    for seed in range(20):
        draw = np.random.default_rng([seed, 84])
        opened, won = draw.integers(0, 365, 730) * DAY, draw.random(730) < 0.3
        closed = opened + (np.where(won, draw.exponential(30, 730), draw.exponential(120, 730)) * DAY).astype(np.int64)
        over = closed < 365 * DAY
        deals = SimpleNamespace(
            now=365 * DAY, opened=opened, closed=np.where(over, closed, NEVER), won=won & over,
            over=lambda over=over: np.flatnonzero(over),
        )  # fmt: skip
        off.append(won[over].mean())
        fair.append(stage_rates.rate_of_all_begun(deals))  # type: ignore[arg-type]
        said += deal_win_judged._leaning(deals)  # type: ignore[arg-type]
    assert len(said) >= 15
    assert all("Probabilities lean high" in sentence for sentence in said)
    assert np.mean(off) > 0.35
    assert np.mean(fair) == pytest.approx(0.3, abs=0.02)


def test_beating_the_stage_rate_is_only_said_with_its_interval() -> None:
    """A log-loss that is lower by chance is not called better; a clearly lower one is."""
    draw = np.random.default_rng(83)
    chance = draw.uniform(0.1, 0.9, 400)
    actual = (draw.random(400) < chance).astype(np.float64)
    rate = np.full(400, float(actual.mean()))
    for rows, word in ((400, "It beats"), (12, "It does not surely beat")):
        found = Judged(actual=actual[:rows], ours=chance[:rows], baselines={STAGE_RATE: rate[:rows]})
        assert deal_win_judged._against(found, 0.5, chance[:rows]).startswith(word)


# --- win probability and pipeline -------------------------------------------------------------------------------------


def test_what_is_kept_is_not_worse_than_the_stage_rate(made: World) -> None:
    """Log-loss on the deals that ended last is at most that of the stage's historic rate; no name is in the model."""
    fitted = DealWin().fit_known(known(made, NOW), None, as_of=moment(NOW))
    assert fitted.report.status == "ok"
    assert fitted.report.metrics["log_loss"] <= fitted.report.baselines[STAGE_RATE]["log_loss"]
    assert "d000" not in json.dumps(dict(fitted.extra))
    assert "Qualify" not in json.dumps(dict(fitted.extra))


@pytest.mark.slow
def test_a_factor_that_matters_is_found() -> None:
    """Where reps differ much, the model beats the stage's rate on 2,000 deals, and ranks them at the first day."""
    fitted = DealWin().fit_known(known(world(5, days=NOW, per_day=3.0, spread=1.5), NOW), None, as_of=moment(NOW))
    assert fitted.extra["weight"] > 0
    assert fitted.report.metrics["log_loss"] < fitted.report.baselines[STAGE_RATE]["log_loss"]
    assert fitted.report.intervals["auc_at_opening"][0] > 0.5


def test_the_pipeline_says_what_stands_still(made: World) -> None:
    """Limits of stalled deals are the 90th percentile of won deals, dates lie ahead, and stages have their rows."""
    there = known(made, NOW)
    fitted = Pipeline().fit_known(there, None, as_of=moment(NOW))
    found = Pipeline().predict_known(there, fitted)
    assert found.num_rows == len(there.deals.open_at(there.deals.now))
    for row in found.to_pylist():
        assert row["stalled"] == (row["days_in_stage"] > row["stalled_after_days"])
        assert row["win_probability_low"] <= row["win_probability"] <= row["win_probability_high"]
        assert row["next_stage_date"] is None or row["next_stage_date"] >= moment(NOW).date()
    rows = fitted.report.details["stages"]
    assert [r["stage"] for r in rows] == ["Qualify", "Demo", "Proposal", "Contract"]
    assert sum(r["share_of_time"] for r in rows) == pytest.approx(1, abs=0.001)
    assert rows[0]["bottleneck"] == "time, losses"  # as it was built: half of all deals end there
    assert fitted.report.details["closing_dates"]["deals"] == 0
    json.dumps(fitted.report.details, allow_nan=False)


@pytest.mark.slow
def test_models_are_kept_and_say_the_same_again(ledger: Ledger) -> None:
    """All three recipes are saved, loaded and predict through the verbs, and the same fit has the same id."""
    as_of = moment(NOW)
    for name in ("deal_win", "pipeline", "sales_forecast"):
        fitted = verbs.fit(ledger, name, as_of=as_of)
        again = verbs.predict(ledger, name, as_of=as_of)
        assert verbs.predict(ledger, fitted, as_of=as_of, publish=False).equals(again)
        if name != "pipeline":  # it learns what the other two learn
            assert verbs.fit(ledger, name, as_of=as_of).model_id == fitted.model_id


@pytest.mark.slow
def test_a_win_probability_is_explained(tmp_path: Path) -> None:
    """Where a model counts, what moved the probability of a deal is said by name."""
    found = create(tmp_path / "acme")
    rows = before(world(5, days=NOW, per_day=3.0, spread=1.5).rows, NOW)
    archive.append(found, "deal_stage", rows.append_column("event_id", ids_of(rows)), source="made up")
    fitted = verbs.fit(found, "deal_win", as_of=moment(NOW))
    assert fitted.extra["weight"] > 0
    deal = verbs.predict(found, fitted, as_of=moment(NOW))["subject_id"][0].as_py()
    said = verbs.explain(found, "deal_win", deal, as_of=moment(NOW))
    read = DealWin().seen(found, fitted, as_of=moment(NOW), subject_ids=[deal])
    assert read is not None
    assert {r["feature"] for r in said.details["reasons"]} <= set(read.column_names)
    assert said.details["reasons"]


# --- too little, and real data ----------------------------------------------------------------------------------------


def few(count: int) -> pa.Table:
    """Give deals that are over, half of them won."""
    made = world(3, days=400)
    over = np.flatnonzero(made.won_day >= 0)[: count // 2]
    lost = pc.filter(made.rows["subject_id"], pc.equal(made.rows["stage"], "Closed lost")).to_pylist()[
        : count - len(over)
    ]
    wanted = [f"d{d:06d}" for d in over] + lost
    return made.rows.filter(pc.is_in(made.rows["subject_id"], pa.array(wanted)))


@pytest.mark.parametrize("recipe", [DealWin(), Pipeline(), SalesForecast()])
@pytest.mark.parametrize("count", [0, 12])
def test_too_few_deals_are_an_answer(recipe: DealWin | Pipeline | SalesForecast, count: int, tmp_path: Path) -> None:
    """With no deals, or twelve that are over, the answer says how many there are and what is missing."""
    ledger = create(tmp_path / "acme")
    if count:
        rows = few(count)
        rows = rows.append_column("event_id", ids_of(rows))
        archive.append(ledger, "deal_stage", rows, source="made up")
    fitted = recipe.fit(ledger, as_of=moment(400))
    assert fitted.report.status == "not_enough_data"
    assert ("6 won and 6 lost" if count else "no deals") in fitted.report.why
    recipe.predict(ledger, fitted, as_of=moment(400))


def test_between_the_answer_is_cautious() -> None:
    """With 40 deals the answer is the stage's rate with a wide interval, and says that it could not be judged."""
    rows = few(40)
    deals = shared.read(rows, as_of=moment(400))
    there = Known(
        deals=deals, done=known(world(3, days=9), 9).done, accounts=pa.table({"subject_id": pa.array([], pa.string())})
    )
    fitted = DealWin().fit_known(there, None, as_of=moment(400))
    assert fitted.report.status == "ok"
    assert "takes 30 of either" in fitted.report.why
    forecasted = SalesForecast(period_days=QUARTER).fit_deals(rows, as_of=moment(400))
    assert forecasted.report.status == "ok"
    assert any("past periods" in c for c in forecasted.report.details["cautions"])


def test_a_flat_table_says_how_well_it_predicts() -> None:
    """Results drawn by lot are hardly predicted, which the report of a flat table says in words."""
    draw = np.random.default_rng(np.random.SeedSequence([81]))
    deals = pa.table({"deal": [f"d{i}" for i in range(3000)], "size": draw.normal(size=3000).round(3),
                      "result": np.where(draw.random(3000) < 0.4, "Won", "Lost")})  # fmt: skip
    recipe = DealWin(table=deals, id="deal", label="result", positive="Won")
    fitted = recipe.fit(None, as_of=moment(0))
    assert "hardly predicts winning" in fitted.report.why
    assert recipe.predict(None, fitted, as_of=moment(0)).column_names[1] == "win_probability"


@pytest.mark.slow
def test_an_export_without_history_says_so(tmp_path: Path, shared_data: Path) -> None:
    """On pipeline-maven-crm engagement hardly predicts winning, which is said, and the rate is not done worse than."""
    ledger = create(tmp_path / "maven")
    verbs.load(ledger, shared_data / "pipeline-maven-crm" / "sales_pipeline.csv")
    as_of = datetime(2018, 1, 1, tzinfo=UTC)
    fitted = verbs.fit(ledger, "deal_win", as_of=as_of)
    report = fitted.report
    assert report.metrics["log_loss"] <= report.baselines[STAGE_RATE]["log_loss"]
    assert "hardly predicts winning" in report.why
    assert "no history of stages" in report.details["cautions"][0]
    assert verbs.predict(ledger, fitted, as_of=as_of).num_rows == 1589
    forecasted = verbs.fit(ledger, "sales_forecast", as_of=as_of)
    total = verbs.predict(ledger, forecasted, as_of=as_of).to_pylist()[0]
    assert total["sales_forecast_low"] < total["sales_forecast"] < total["sales_forecast_high"]
    assert as_of - timedelta(days=1) < datetime.fromisoformat(forecasted.as_of)
