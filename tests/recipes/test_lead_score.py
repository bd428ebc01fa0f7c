"""Lead score and sales readiness: on simulated leads of known chances, on a table, and where there is too little."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nextbest import verbs
from nextbest.errors import UnknownNameError, UsageError
from nextbest.ledger import analysis, archive, create
from nextbest.recipes import capacity, lead_parts, leads
from nextbest.recipes.lead_score import LeadScore
from nextbest.recipes.sales_ready import SalesReady

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 420
_REASONS = (
    "the chance is below what a call costs", "what it did speaks against it rather than for it",
    "others come first within the capacity",
)  # fmt: skip
_UTC = pa.timestamp("us", tz="UTC")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace."""
    with create(tmp_path / "w") as made:
        yield made


def _moments(days: Any) -> pa.Array:
    start = AS_OF - timedelta(days=DAYS)
    return pa.array([start + timedelta(days=float(d)) for d in days], _UTC)


@pytest.fixture(scope="module")
def crm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ledger, Fitted]]:
    """Give a workspace of simulated leads, for reading only, and what was learnt from it."""
    with create(tmp_path_factory.mktemp("leads") / "w") as made:
        _crm(made)
        yield made, LeadScore(horizon_days=60).fit(made, as_of=AS_OF)


def _crm(ledger: Ledger, *, leads: int = 700, seed: int = 0, rate: float = 0.004) -> None:
    """Write leads who come all year; a good source and a busy last month make them convert sooner."""
    draw = np.random.default_rng([seed, 1])
    created = draw.uniform(0, DAYS, leads)
    source = draw.choice(["webinar", "list", "referral"], leads)
    busy = draw.gamma(1.0, 0.08, leads)
    who, when = [], []
    converted_who, converted_when = [], []
    days = np.arange(DAYS)
    for i in range(leads):
        acts = created[i] + np.sort(draw.uniform(0, DAYS - created[i], draw.poisson(busy[i] * (DAYS - created[i]))))
        recent = np.searchsorted(acts, days) - np.searchsorted(acts, days - 30)
        chance = rate * (3.0 if source[i] == "referral" else 0.7) * np.minimum(0.2 + recent, 6.0) / 2
        hit = np.flatnonzero((draw.random(DAYS) < chance) & (days > created[i]))
        if len(hit):
            converted_who.append(f"l{i}")
            converted_when.append(hit[0])
            acts = acts[acts < hit[0]]
        who += [f"l{i}"] * len(acts)
        when += list(acts)
    archive.append(
        ledger,
        "subjects",
        pa.table({
            "subject_id": [f"l{i}" for i in range(leads)], "subject_type": ["lead"] * leads,
            "created_ts": _moments(created), "lead_source": source.tolist(), "received_ts": _moments(created),
        }),
        source="made up",
    )  # fmt: skip
    activity = {
        "event_id": [f"a{i}" for i in range(len(who))], "subject_id": who, "ts": _moments(when),
        "activity_type": ["call"] * len(who),
    }  # fmt: skip
    archive.append(ledger, "activity", pa.table(activity), source="made up")
    label = {
        "event_id": [f"c{i}" for i in range(len(converted_who))], "subject_id": converted_who,
        "ts": _moments(converted_when), "name": ["converted"] * len(converted_who),
    }  # fmt: skip
    archive.append(ledger, "label", pa.table(label), source="made up")


def _table(rows: int = 1500, seed: int = 0, base: float = -1.0) -> pa.Table:
    draw = np.random.default_rng([seed, 2])
    visits, source = draw.poisson(3.0, rows), draw.choice(["ad", "referral"], rows)
    odds = base + 0.5 * (visits - 3) + 1.5 * (source == "referral")
    yes = draw.random(rows) < 1 / (1 + np.exp(-odds))
    return pa.table({
        "lead": [f"l{i}" for i in range(rows)], "total_visits": visits, "source": source.tolist(),
        "converted": np.where(yes, "yes", "no").tolist(),
    })  # fmt: skip


def _flat(table: pa.Table, **more: Any) -> LeadScore:
    return LeadScore(table=table, id="lead", label="converted", **more)


# --- from the ledger --------------------------------------------------------------------------------------------------


def test_leads_are_ranked_out_of_time_beside_first_come(crm: tuple[Ledger, Fitted]) -> None:
    """On simulated leads the score beats the age of a lead and first come, and says what converting means."""
    ledger, fitted = crm
    report = fitted.report
    assert report.status == "ok", report.why
    assert report.why.startswith("Converting means: the lead was marked as converted.")
    assert report.intervals["auc minus age of the lead alone"][0] > 0
    assert report.metrics[capacity.CAPTURED] > report.baselines[capacity.FIRST_COME][capacity.CAPTURED]
    assert report.details["capacity"]["share"] == 0.2
    assert {"activities_30d", "lead_source"} <= {f["feature"] for f in report.top_features}
    said = LeadScore(horizon_days=60).predict(ledger, fitted, as_of=AS_OF)
    assert said.num_rows == len(set(said["subject_id"].to_pylist()))
    low, mid, high = (said[f"lead_score{e}"].to_numpy() for e in ("_low", "", "_high"))
    assert np.all((low >= 0) & (low <= mid) & (mid <= high) & (high <= 100))
    converted = {"l" + str(i) for i in range(700)} - set(said["subject_id"].to_pylist())
    assert len(converted) >= 100  # who has converted is no lead any more


def test_the_two_parts_add_up_in_log_odds(crm: tuple[Ledger, Fitted]) -> None:
    """The log-odds of fit and engagement minus the base are those of the probability, lead by lead."""
    ledger, fitted = crm
    recipe = LeadScore(horizon_days=60)
    said = recipe.predict(ledger, fitted, as_of=AS_OF)
    assert set(fitted.extra["engagement"]) & {"lead_source"} == set()
    assert "activities_30d" in fitted.extra["engagement"]
    odds = {n: _logit(said[n].to_numpy() / 100) for n in ("lead_score", "fit_score", "engagement_score")}
    base = odds["fit_score"] + odds["engagement_score"] - odds["lead_score"]
    assert np.ptp(base) < 1e-6
    referral = pc.equal(recipe.seen(ledger, fitted, as_of=AS_OF)["lead_source"], "referral").to_numpy()
    fit_score = said["fit_score"].to_numpy()
    assert fit_score[referral].mean() > fit_score[~referral].mean() + 1


def test_an_event_moves_the_score_of_the_next_prediction(ledger: Ledger, crm: tuple[Ledger, Fitted]) -> None:
    """After ten activities of one lead its engagement and score are higher, its fit and everyone else are as before."""
    _crm(ledger)
    recipe, fitted = LeadScore(horizon_days=60), crm[1]
    before = recipe.predict(ledger, fitted, as_of=AS_OF)
    quiet = before["subject_id"][int(np.argmin(before["lead_score"].to_numpy()))].as_py()
    events = [
        {"kind": "activity", "message_id": f"new{i}", "subject_id": quiet, "activity_type": "call",
         "ts": (AS_OF - timedelta(hours=i + 1)).isoformat()}
        for i in range(10)
    ]  # fmt: skip
    assert [r.why for r in verbs.ingest(ledger, events)] == [""] * 10
    after = recipe.predict(ledger, fitted, as_of=AS_OF)
    mine = pc.equal(after["subject_id"], quiet)
    was, now = (t.filter(pc.equal(t["subject_id"], quiet)).to_pylist()[0] for t in (before, after))
    assert now["lead_score"] > 2 * was["lead_score"]
    assert now["engagement_score"] > was["engagement_score"]
    assert now["fit_score"] == pytest.approx(was["fit_score"], rel=0.5)
    others = [t.filter(pc.invert(mine)) for t in (before, after)]
    assert others[0].equals(others[1])


def test_a_score_can_be_explained(crm: tuple[Ledger, Fitted]) -> None:
    """The reasons of a lead's score come from the rows its model reads, attributes among them."""
    from nextbest.trust.prediction import explain_prediction

    ledger, fitted = crm
    lead = LeadScore(horizon_days=60).predict(ledger, fitted, as_of=AS_OF)["subject_id"][0].as_py()
    said = explain_prediction(ledger, fitted, lead, as_of=AS_OF)
    assert said.sentences[0].startswith("lead_score: ")
    assert len(said.sentences) > 1


def test_a_lead_is_judged_only_by_what_was_known(crm: tuple[Ledger, Fitted], tmp_path: Path) -> None:
    """A model as of a moment is the same whether or not later events are in the ledger."""
    earlier = AS_OF - timedelta(days=90)
    ledger = crm[0]
    whole = LeadScore(horizon_days=60).fit(ledger, as_of=earlier)
    with create(tmp_path / "cut") as cut:
        for kind in ("activity", "label"):
            rows = analysis.table(ledger, kind, before=earlier)
            columns = [c for c in rows.column_names if rows[c].null_count < rows.num_rows and c != "source"]
            archive.append(cut, kind, rows.select(columns), source="made up")
        states = analysis.table(ledger, "subjects")
        states = states.filter(pc.less(states["created_ts"], pa.scalar(earlier, _UTC)))
        archive.append(
            cut,
            "subjects",
            states.select(["subject_id", "subject_type", "created_ts", "lead_source"]),
            source="made up",
        )
        part = LeadScore(horizon_days=60).fit(cut, as_of=earlier)
    assert whole.report.status == "ok"
    assert whole.model_id == part.model_id


def test_without_conversions_or_leads_the_answer_says_so(ledger: Ledger) -> None:
    """An empty ledger, and one in which three leads converted, have too little, and the report says how much."""
    empty = LeadScore().fit(ledger, as_of=AS_OF).report
    assert empty.status == "not_enough_data"
    assert "Nobody is known to have converted" in empty.why
    _crm(ledger, leads=60, rate=0.0004)
    few = LeadScore(horizon_days=60).fit(ledger, as_of=AS_OF).report
    assert few.status == "not_enough_data"
    assert "at least 10 of either are needed" in few.why or "Nobody" in few.why
    with pytest.raises(UnknownNameError, match="won_deal"):
        LeadScore(goal="won_deals").fit(ledger, as_of=AS_OF)


def test_a_shop_without_leads_is_told_what_a_lead_is(ledger: Ledger) -> None:
    """Where everybody is first seen with an order there is no lead, which is said and not counted."""
    days = [AS_OF - timedelta(days=2 * n + 1) for n in range(200)]
    rows = pa.table({
        "event_id": [f"o{n}" for n in range(200)], "subject_id": [f"c{n}" for n in range(200)],
        "ts": pa.array(days, pa.timestamp("us", tz="UTC")), "received_ts": pa.array(days, pa.timestamp("us", tz="UTC")),
    })  # fmt: skip
    archive.append(ledger, "order", rows, source="test")
    report = LeadScore().fit(ledger, as_of=AS_OF).report
    assert report.status == "not_enough_data"
    assert report.why.startswith("No leads are known")


def test_a_deal_won_converts_the_people_tied_to_it(ledger: Ledger) -> None:
    """A won deal counts for its contacts at its closing, and an open or lost one for nobody."""
    day = [AS_OF - timedelta(days=d) for d in (50, 40, 30)]
    deals = {
        "event_id": ["1", "2", "3"], "subject_id": ["d1", "d2", "d1"], "subject_type": ["deal"] * 3,
        "deal_id": ["d1", "d2", "d1"], "ts": pa.array(day, _UTC), "stage": ["new", "lost", "won"],
        "won": [False, False, True], "closed_ts": pa.array([None, day[1], day[2] + timedelta(days=2)], _UTC),
    }  # fmt: skip
    archive.append(ledger, "deal_stage", pa.table(deals), source="made up")
    ties = pa.table({"subject_id": ["p1", "p2"], "to_subject_id": ["d1", "d2"], "link_type": ["contact_deal"] * 2})
    archive.append(ledger, "links", ties, source="made up")
    found = leads.goal(ledger, "", as_of=AS_OF)
    assert found is not None
    assert found.name == "won_deal"
    assert found.conversions() == 1
    assert found.happened.whom(-(2**62), 2**62).to_pylist() == ["p1"]
    at = found.happened.ts[found.happened.wanted]
    assert at.tolist() == [int((day[2] + timedelta(days=2)).timestamp() * 1e6)]


# --- from a table -----------------------------------------------------------------------------------------------------


def test_a_table_of_leads_is_judged_at_capacity() -> None:
    """Captured at capacity equals the slow count over the judged rows, with its interval and first come beside it."""
    report = _flat(_table(), capacity=300).fit(None, as_of=AS_OF).report
    said = report.details["capacity"]
    assert said["rows"] == 300
    assert said["captured"] == report.metrics[capacity.CAPTURED]
    low, high = report.intervals[capacity.CAPTURED]
    assert low < said["captured"] < high
    first = np.array(_table()["converted"].to_pylist()) == "yes"
    assert said["first_come"] == pytest.approx(first[:300].sum() / first.sum(), abs=1e-4)
    assert report.baselines[capacity.RANDOM][capacity.CAPTURED] == 0.2
    assert "first to come" in report.why


def test_fit_and_engagement_of_a_table_are_told_by_name_or_by_the_user() -> None:
    """Names of columns decide what is behaviour; columns that the user names take their place; a wrong name is told."""
    recipe = _flat(_table())
    fitted = recipe.fit(None, as_of=AS_OF)
    assert fitted.extra["engagement"] == ["total_visits"]
    said = recipe.predict(None, fitted, as_of=AS_OF)
    visits = np.array(_table()["total_visits"].to_pylist())
    assert np.corrcoef(visits, said["engagement_score"].to_numpy())[0, 1] > 0.9
    assert abs(np.corrcoef(visits, said["fit_score"].to_numpy())[0, 1]) < 0.3
    other = _flat(_table(), engagement=("source",)).fit(None, as_of=AS_OF)
    assert other.extra["engagement"] == ["source"]
    with pytest.raises(UnknownNameError, match="source"):
        _flat(_table(), engagement=("sorce",)).fit(None, as_of=AS_OF)


@pytest.mark.parametrize(
    ("name", "engaged"),
    [
        ("Total Time Spent on Website", True), ("Page Views Per Visit", True), ("Last Activity", True),
        ("days_since_last_order", True), ("TotalVisits", True), ("hs_email_open", True), ("age", False),
        ("Lead Source", False), ("Country", False), ("employees", False), ("pagers_owned", False),
        ("Do Not Call", False), ("Search", False), ("calls_90d", True), ("time_zone", False),
    ],
)  # fmt: skip
def test_names_say_what_somebody_did(name: str, engaged: bool) -> None:  # noqa: FBT001 (a parameter)
    """A column that counts or dates behaviour is engagement, any other says who they are."""
    assert lead_parts.engaged([name]) == ((name,) if engaged else ())


def test_three_conversions_are_too_few_and_thirty_give_a_cautious_ranking() -> None:
    """Of 200 leads with 3 conversions nothing is learnt; with 30 the intervals are wide."""
    table = _table(200)
    place = np.arange(200)
    for yes, status in ((3, "not_enough_data"), (30, "ok")):
        label = np.where(place % (200 // yes) == 0, "yes", "no")[:200]
        label[np.flatnonzero(label == "yes")[yes:]] = "no"
        fresh = table.set_column(3, "converted", pa.array(label.tolist()))
        recipe = _flat(fresh)
        fitted = recipe.fit(None, as_of=AS_OF)
        assert fitted.report.status == status, fitted.report.why
        said = recipe.predict(None, fitted, as_of=AS_OF)
        if status == "ok":
            width = said["lead_score_high"].to_numpy() - said["lead_score_low"].to_numpy()
            assert width.mean() > 5
        else:
            assert said["lead_score"].null_count == said["fit_score"].null_count == 200
            assert "3 of 200" in fitted.report.why


def test_capacity_is_a_share_or_a_number() -> None:
    """Up to 1 it is a share of the leads, above their number, at most all; nothing else is accepted."""
    assert capacity.share_of(0.25, 100) == 0.25
    assert capacity.share_of(30, 120) == 0.25
    assert capacity.share_of(300, 120) == 1.0
    with pytest.raises(UsageError, match="Got 0"):
        capacity.share_of(0, 100)


def _logit(p: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.log(p) - np.log1p(-p)


# --- ready for sales --------------------------------------------------------------------------------------------------


def test_ready_leads_convert_more_often_out_of_sample() -> None:
    """Above the line the rate of conversion is clearly higher than below, and no more than the capacity is ready."""
    recipe = SalesReady(table=_table(3000), id="lead", label="converted", capacity=0.2)
    fitted = recipe.fit(None, as_of=AS_OF)
    report = fitted.report
    assert report.intervals["rate_ready"][0] > report.intervals["rate_not_ready"][1]
    said = recipe.predict(None, fitted, as_of=AS_OF)
    ready = said["sales_ready"].to_numpy(zero_copy_only=False)
    assert 0.1 < ready.mean() < 0.25
    assert said["conversion_probability"].to_numpy()[ready].min() >= fitted.extra["line"]
    assert set(said["reason"].to_pylist()) == {"ready", *(r for r in _REASONS if r in said["reason"].to_pylist())}


def test_behaviour_can_be_asked_for() -> None:
    """With a gate nobody is ready whose behaviour speaks against them, and the reason says so."""
    table = _table(3000)
    recipe = SalesReady(table=table, id="lead", label="converted", capacity=1.0, least_engagement=0.0)
    fitted = recipe.fit(None, as_of=AS_OF)
    said = recipe.predict(None, fitted, as_of=AS_OF)
    ready = said["sales_ready"].to_numpy(zero_copy_only=False)
    visits = table["total_visits"].to_numpy()
    assert visits[ready].min() >= visits[~ready].max()
    assert set(said["reason"].to_pylist()) == {"ready", _REASONS[1]}


def test_a_call_has_to_pay() -> None:
    """With a call that costs half a win nobody below one half is ready, and what it earns stands in the report."""
    dear = SalesReady(
        table=_table(3000), id="lead", label="converted", capacity=1.0, cost_per_call=50.0, value_per_win=100.0
    )
    fitted = dear.fit(None, as_of=AS_OF)
    said = dear.predict(None, fitted, as_of=AS_OF)
    ready = said["sales_ready"].to_numpy(zero_copy_only=False)
    assert fitted.extra["line"] == 0.5
    assert said["conversion_probability"].to_numpy()[ready].min() >= 0.5
    assert _REASONS[0] in said["reason"].to_pylist()
    everybody = fitted.report.baselines["calling everybody"]["earned_per_lead"]
    assert fitted.report.metrics["earned_per_lead"] > everybody
    with pytest.raises(UsageError, match="given together"):
        SalesReady(table=_table(), id="lead", label="converted", cost_per_call=5.0).fit(None, as_of=AS_OF)


def test_readiness_from_the_ledger_and_from_too_little(crm: tuple[Ledger, Fitted]) -> None:
    """Leads of the ledger are told ready or not; with three conversions nobody is."""
    ledger = crm[0]
    recipe = SalesReady(horizon_days=60, capacity=40)
    fitted = recipe.fit(ledger, as_of=AS_OF)
    assert fitted.report.status == "ok"
    assert fitted.report.metrics["rate_ready"] > fitted.report.metrics["rate_not_ready"]
    said = recipe.predict(ledger, fitted, as_of=AS_OF)
    assert 0 < said["sales_ready"].to_numpy(zero_copy_only=False).sum() < said.num_rows / 2
    table = _table(200)
    few = table.set_column(3, "converted", pa.array(["yes"] * 3 + ["no"] * 197))
    poor = SalesReady(table=few, id="lead", label="converted")
    nothing = poor.fit(None, as_of=AS_OF)
    assert nothing.report.status == "not_enough_data"
    assert poor.predict(None, nothing, as_of=AS_OF)["sales_ready"].null_count == 200
