from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pytest
from scipy import stats

from nextbest.errors import DataError, UsageError
from nextbest.measures.table import measure_table

if TYPE_CHECKING:
    from pathlib import Path


def test_mail_trial_has_its_known_differences(shared_data: Path) -> None:
    """Hillstrom's e-mail trial: visits 18.28% (men's) and 15.14% (women's) against 10.62%, as published in 2008."""
    table = arrow_csv.read_csv(shared_data / "uplift-hillstrom" / "hillstrom.csv.gz")
    effect = measure_table(table, outcome="visit", treatment="segment")
    arms = effect.details["arms"]
    assert effect.baseline == "No E-Mail"
    assert effect.n == 64_000
    assert arms["Mens E-Mail"]["estimate"] == pytest.approx(0.0766, abs=5e-5)
    assert arms["Womens E-Mail"]["estimate"] == pytest.approx(0.0452, abs=5e-5)
    spend = measure_table(table, outcome="spend", treatment="segment").details["arms"]
    assert spend["Mens E-Mail"]["estimate"] == pytest.approx(0.770, abs=5e-4)


def test_game_trial_agrees_with_scipy(shared_data: Path) -> None:
    """Cookie Cats: the gate at 40 costs 0.82 points of 7-day retention; the interval is scipy's Welch."""
    table = arrow_csv.read_csv(shared_data / "abtest-cookie-cats" / "cookie_cats.csv.gz")
    effect = measure_table(table, outcome="retention_7", treatment="test_version", control="gate_30")
    kept = np.asarray(table["retention_7"].cast(pa.int8()), dtype=float)
    late = np.asarray(table["test_version"]) == "gate_40"
    want = stats.ttest_ind(kept[late], kept[~late], equal_var=False).confidence_interval()
    assert effect.estimate == pytest.approx(-0.0082, abs=5e-5)
    assert (effect.low, effect.high) == pytest.approx((want.low, want.high))
    assert effect.details["sample_ratio_p"] == pytest.approx(0.0086, abs=1e-4)  # known: 44,700 against 45,489


def trial(**columns: list[object]) -> pa.Table:
    """Give a table of 200 subjects."""
    return pa.table({name: (values * 200)[:200] for name, values in columns.items()})


def test_yes_and_no_are_outcomes() -> None:
    """A text column of yes and no counts as 1 and 0, with empty cells left out."""
    table = trial(arm=["control", "new"], bought=["Yes", "no", "no", "yes", None, "NO"])
    effect = measure_table(table, outcome="bought", treatment="arm")
    assert effect.status == "ok"
    assert effect.n == 167


def test_the_control_is_named_or_asked_for() -> None:
    """Arms without a name that says control are asked about; a wrong name gets the near word."""
    table = trial(arm=["blue", "green"], y=[1, 2, 3])
    with pytest.raises(UsageError, match="Which value of 'arm' is the control"):
        measure_table(table, outcome="y", treatment="arm")
    with pytest.raises(UsageError, match="Did you mean 'green'"):
        measure_table(table, outcome="y", treatment="arm", control="gren")
    assert measure_table(table, outcome="y", treatment="arm", control="green").baseline == "green"


def test_tables_that_are_no_trial_are_refused() -> None:
    """A missing column, an outcome of words and a treatment of one value are refused in words."""
    table = trial(arm=["a", "b"], y=["red", "blue"], one=["x"])
    with pytest.raises(UsageError, match=r"no column 'arn' for the treatment\. Did you mean 'arm'"):
        measure_table(table, outcome="y", treatment="arn")
    with pytest.raises(DataError, match="'y' is no outcome"):
        measure_table(table, outcome="y", treatment="arm")
    with pytest.raises(DataError, match="has 1 different values"):
        measure_table(trial(one=["x"], y=[1, 2]), outcome="y", treatment="one")


def test_stated_shares_that_are_not_met_hide_the_result() -> None:
    """When the design says half and half and the arms are 3 to 1, nothing can be told."""
    table = pa.table({"arm": ["control", "new", "new", "new"] * 500, "y": [0.0, 1.0, 0.0, 1.0] * 500})
    effect = measure_table(table, outcome="y", treatment="arm", shares={"control": 0.5, "new": 0.5})
    assert (effect.status, effect.estimate) == ("cannot_tell", None)
    assert "lost unevenly" in effect.why


def test_amounts_beyond_what_can_be_summed_are_answered() -> None:
    """Outcomes whose squares are not finite numbers give 'not enough data' and a reason, not a crash."""
    effect = measure_table(trial(arm=["control", "new"], y=[1e300, 2e300, 0.0, -1e300]), outcome="y", treatment="arm")
    assert effect.status == "not_enough_data"
    assert "too large" in effect.why


def test_rows_that_do_not_count_are_told() -> None:
    """Rows without an outcome or a treatment are left out, and the answer says how many and of how many."""
    effect = measure_table(
        trial(arm=["control", "new"], y=[1.0, 2.0, None, 0.0, math.nan]), outcome="y", treatment="arm"
    )
    assert effect.n == 120
    assert effect.details["rows_left_out"] == 80
    assert "80 of 200 rows have no outcome or no treatment" in effect.why
    assert measure_table(trial(arm=["control", "new"], y=[1.0, 2.0, 3.0]), outcome="y", treatment="arm").why == ""


def test_decimal_commas_are_numbers() -> None:
    """Amounts written as 1,5 are read as they are meant; what is no number is named."""
    whole = measure_table(trial(arm=["control", "new"], y=["1,5", "2,5", "0,5"]), outcome="y", treatment="arm")
    point = measure_table(trial(arm=["control", "new"], y=["1.5", "2.5", "0.5"]), outcome="y", treatment="arm")
    assert whole == point
    with pytest.raises(DataError, match=r"Column 'y' is no outcome: .* Got 'x'"):
        measure_table(trial(arm=["control", "new"], y=["1,5", "x"]), outcome="y", treatment="arm")
    with pytest.raises(DataError, match="Got '1,200'"):
        measure_table(trial(arm=["control", "new"], y=["1,200", "300"]), outcome="y", treatment="arm")
