"""When they leave, from a table of durations: figures on real data, truth of simulators, honesty on little."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import DataError, UnknownNameError, UsageError
from nextbest.ledger import create
from nextbest.models import store
from nextbest.recipes.churn import Churn

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.types import Fitted

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def _members(rows: int = 1_500, seed: int = 0) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Give members of a club who leave at a steady rate of their own, that rate per month, and their whole stay."""
    draw = np.random.default_rng([seed, 3])
    plan, visits = draw.integers(0, 2, rows), draw.gamma(2.0, 2.0, rows)
    rate = 0.05 * np.exp(0.9 * plan - 0.15 * visits)
    stay, seen = draw.exponential(1 / rate), draw.uniform(0.5, 30, rows)
    months = np.minimum(stay, seen).round(2)
    return (
        pa.table({
            "member": [f"m{i:05d}" for i in range(rows)],
            "tenure_months": months,
            "plan": np.where(plan == 1, "trial", "full"),
            "visits": visits.round(2),
            "paid_in_all": (months * np.where(plan == 1, 12.0, 30.0)).round(2),
            "left": np.where(stay <= seen, "yes", "no"),
        }),
        rate,
        stay,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _fitted() -> Fitted:
    return _asked(_members()[0]).fit(None, as_of=AS_OF)


def _asked(table: pa.Table, **settings: object) -> Churn:
    plain = {"id": "member", "label": "left", "duration": "tenure_months"}
    return Churn(table=table, **{**plain, **settings})  # type: ignore[arg-type]


@pytest.mark.slow
def test_telco_when_reaches_the_target_with_the_leak_found(shared_data: Path) -> None:
    """On churn-telco C >= 0.865 by 5 folds, tenure x price is left out, and two months from now are calibrated."""
    file = str(shared_data / "churn-telco" / "Telco-Customer-Churn.csv")
    report = (
        Churn(table=file, id="customerID", label="Churn", duration="tenure", unit="months")
        .fit(None, as_of=AS_OF)
        .report
    )
    assert report.metrics["concordance"] >= 0.865
    assert [x["column"] for x in report.left_out if "time" in x["why"]] == ["TotalCharges"]
    assert max(abs(p["predicted"] - p["observed"]) for p in report.details["calibration"]) <= 0.03
    assert report.intervals["log_loss minus logistic hazard alone"][1] < 0


def test_a_report_of_when_says_how_good_it_is_and_by_what() -> None:
    """The report names the way, the horizon, four figures for us and both baselines, and what gives the time away."""
    report = _fitted().report
    assert report.status == "ok"
    assert report.details["by"] == "duration"
    assert report.details["unit"] == "months"
    assert report.details["horizon"] == pytest.approx(60 / (365.25 / 12))
    assert set(report.baselines) == {"Kaplan-Meier for all", "logistic hazard alone"}
    for figures in (report.metrics, *report.baselines.values()):
        assert set(figures) == {"concordance", "integrated_brier", "log_loss", "calibration_gap"}
    assert report.baselines["Kaplan-Meier for all"]["concordance"] == 0.5
    assert report.metrics["integrated_brier"] < report.baselines["Kaplan-Meier for all"]["integrated_brier"]
    assert [x["column"] for x in report.left_out if "time" in x["why"]] == ["paid_in_all"]


def test_what_is_said_of_those_who_are_still_there_is_true() -> None:
    """Of 4,000 new members the probability to leave within 60 days is right in every fifth, and its interval holds."""
    table, rate, _ = _members(4_000, 9)
    said = _asked(table).predict(None, _fitted(), as_of=AS_OF)
    there = said["churn_probability"].is_valid().to_numpy()
    ours, low, high = (np.array(said[f"churn_probability{end}"].drop_null()) for end in ("", "_low", "_high"))
    true = 1 - np.exp(-rate[there] * 60 / (365.25 / 12))
    for part in np.array_split(np.argsort(ours), 5):
        assert ours[part].mean() == pytest.approx(true[part].mean(), abs=0.025)
    inside = [
        low[part].mean() <= true[part].mean() <= high[part].mean() for part in np.array_split(np.argsort(ours), 5)
    ]
    assert sum(inside) >= 4
    assert (low <= ours).all()
    assert (ours <= high).all()


def test_the_interval_of_the_time_left_holds() -> None:
    """Of members who are still there, 80 to 98% leave within the 90% interval of their remaining time."""
    table, _, stay = _members(4_000, 10)
    said = _asked(table).predict(None, _fitted(), as_of=AS_OF)
    there = said["churn_probability"].is_valid().to_numpy()
    left = (stay - np.array(table["tenure_months"]))[there]
    low, high = (
        np.array(said[f"remaining_median{end}"].filter(pa.array(there)).fill_null(fill)) for end, fill in
        (("_low", 0.0), ("_high", np.inf))
    )  # fmt: skip
    assert 0.8 <= ((low <= left) & (left <= high)).mean() <= 0.98


def test_those_who_are_gone_are_said_nothing_of() -> None:
    """Every prediction is null for who has left; the others have a falling curve and a date that fits it."""
    table, _, _ = _members()
    said = _asked(table).predict(None, _fitted(), as_of=AS_OF)
    gone = np.array(table["left"]) == "yes"
    assert (said["churn_probability"].is_null().to_numpy() == gone).all()
    names = [n for n in said.column_names if n.startswith("survival_")]
    assert names == ["survival_1_97_months", "survival_3_94_months", "survival_7_89_months"]
    curve = np.column_stack([np.array(said[n].drop_null()) for n in names])
    assert (np.diff(curve, axis=1) <= 0).all()
    first = next(r for r in said.to_pylist() if r["expected_churn_date"])
    days = (first["expected_churn_date"] - date(2026, 1, 1)).days
    assert days == pytest.approx(first["remaining_median"] * 365.25 / 12, abs=1)


def test_without_a_unit_there_is_no_date_and_it_is_said() -> None:
    """A duration whose unit nobody told gets a horizon of a tenth of the longest, no date, and a caution."""
    table, _, _ = _members(400)
    asked = _asked(table.rename_columns([n.replace("_months", "") for n in table.column_names]), duration="tenure")
    fitted = asked.fit(None, as_of=AS_OF)
    assert fitted.report.details["horizon"] == pytest.approx(3.0, abs=0.1)
    assert "Set unit" in fitted.report.details["cautions"][0]
    assert not [n for n in asked.predict(None, fitted, as_of=AS_OF).column_names if "date" in n]


def test_columns_that_change_are_learnt_as_of_their_time() -> None:
    """With several rows per subject the latest state decides: it stays in 85 of 100 months, and one leaves more."""
    draw = np.random.default_rng(21)
    rows = []
    for who in range(700):
        unhappy = bool(draw.random() < 0.5)
        for month in range(int(draw.integers(1, 16))):
            unhappy = unhappy if draw.random() < 0.85 else not unhappy
            left = bool(draw.random() < (0.25 if unhappy else 0.03))
            rows.append(
                {"who": f"w{who}", "from": month, "to": month + 1, "unhappy": unhappy, "left": "yes" if left else "no"}
            )
            if left:
                break
    asked = Churn(
        table=pa.Table.from_pylist(rows), id="who", label="left", duration="to", start="from", unit="months",
        horizon_periods=1,
    )  # fmt: skip
    fitted = asked.fit(None, as_of=AS_OF)
    assert fitted.report.rows == 700
    new = pa.table({"who": ["a", "a", "b", "b"], "from": [0, 1, 0, 1], "to": [1, 2, 1, 2],
                    "unhappy": [True, False, False, True]})  # fmt: skip
    said = Churn(table=new, id="who", label="left", duration="to", start="from").predict(None, fitted, as_of=AS_OF)
    assert said["subject_id"].to_pylist() == ["a", "b"]
    happy, unhappy_now = 0.85 * 0.03 + 0.15 * 0.25, 0.85 * 0.25 + 0.15 * 0.03
    assert said["churn_probability"].to_pylist() == pytest.approx([happy, unhappy_now], abs=0.05)
    assert fitted.report.intervals["concordance"][0] > 0.55


def test_too_little_is_said_and_not_predicted() -> None:
    """With three leavers the answer is `not_enough_data`, how many there are, and null for everybody."""
    table, _, _ = _members(200)
    few = table.set_column(5, "left", pa.array(["yes"] * 3 + ["no"] * 197))
    fitted = _asked(few).fit(None, as_of=AS_OF)
    assert fitted.report.status == "not_enough_data"
    assert "3 left" in fitted.report.why
    assert _asked(few).predict(None, fitted, as_of=AS_OF)["churn_probability"].null_count == 200


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"label": None}, UsageError, "Which column says who left"),
        ({"duration": "plan"}, DataError, "holds no numbers"),
        ({"unit": "month"}, UnknownNameError, "Did you mean 'months'"),
        ({"by": "table", "duration": None, "label": "lef"}, UsageError, "Did you mean 'left'"),
        ({"by": "tables"}, UnknownNameError, "Did you mean 'table'"),
        ({"by": "duration", "duration": None}, UsageError, "how long everyone was there"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, str | None], error: type[Exception], match: str) -> None:
    """A setting that cannot be meant is told with what to do."""
    with pytest.raises(error, match=match):
        _asked(_members(100)[0], **settings).fit(None, as_of=AS_OF)


@pytest.mark.slow
def test_a_kept_model_predicts_the_same(tmp_path: Path) -> None:
    """Saved, loaded and asked again, the model gives the same table; its files hold no value of a category."""
    table, _, _ = _members(300)
    with create(tmp_path / "w") as ledger:
        fitted = _asked(table).fit(ledger, as_of=AS_OF)
        store.save(ledger, fitted)
        loaded = store.load(ledger, fitted.model_id)
        assert (
            _asked(table)
            .predict(ledger, loaded, as_of=AS_OF)
            .equals(_asked(table).predict(ledger, fitted, as_of=AS_OF))
        )
    assert all(b"trial" not in data for data in fitted.parts["model"].files.values())
    assert _asked(table).fit(None, as_of=AS_OF).model_id == fitted.model_id
