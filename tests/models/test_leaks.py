"""Columns that know the outcome are found; honest ones are left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from benchmarks.quality.leaks import bases, plant, run
from pyarrow import csv

from nextbest.errors import DataError
from nextbest.models import encode, evaluate, folds, leaks
from nextbest.models.leaks import alone, filled, names, reading, rest, weigh

if TYPE_CHECKING:
    from pathlib import Path

LEADS_AFTERWARDS = {
    "Tags", "Lead Quality", "Lead Profile", "Last Activity", "Last Notable Activity",
    "Asymmetrique Activity Index", "Asymmetrique Profile Index", "Asymmetrique Activity Score",
    "Asymmetrique Profile Score",
}  # fmt: skip


def _world(seed: int, rows: int = 1500) -> tuple[dict[str, object], np.ndarray]:
    draw = np.random.default_rng(seed)
    actual = (draw.random(rows) < 0.25).astype(float)
    honest = {f"honest{i}": draw.normal(size=rows) + 0.8 * actual for i in range(5)}
    return honest, actual


@pytest.mark.parametrize("seed", range(5))
def test_planted_leaks_are_found_and_honest_columns_are_not(seed: int) -> None:
    """A final status, an end date and a reason of leaving are found in each of five worlds, and nothing else."""
    honest, actual = _world(seed)
    draw = np.random.default_rng(100 + seed)
    left = actual == 1
    planted = {
        "status": np.where(
            left, draw.choice(["closed", "refunded"], len(actual)), draw.choice(["open", "new"], len(actual))
        ),
        "days_to_end": np.where(left, draw.uniform(0, 5, len(actual)), draw.uniform(6, 90, len(actual))),
        "reason": pa.array(
            draw.choice(["price", "moved"], len(actual)), mask=~(left & (draw.random(len(actual)) < 0.4))
        ),
        "ended": pa.array(draw.uniform(0, 90, len(actual)), mask=~left),
    }
    found = {x["column"] for x in leaks.find(pa.table({**honest, **planted}), actual, seed=seed)}
    assert found == set(planted)


@pytest.mark.parametrize("seed", range(5))
def test_gaps_that_have_nothing_to_do_with_the_label_are_honest(seed: int) -> None:
    """Columns with random gaps, or filled for few rows, are kept."""
    honest, actual = _world(seed)
    draw = np.random.default_rng(seed)
    for share in (0.05, 0.5, 0.9):
        honest[f"gaps{share}"] = pa.array(draw.normal(size=len(actual)), mask=draw.random(len(actual)) < share)
    assert leaks.find(pa.table(honest), actual, seed=seed) == []


def test_few_rows_prove_nothing() -> None:
    """With ten positives nothing is called a leak."""
    actual = np.repeat([1.0, 0.0], [10, 90])
    assert leaks.find(pa.table({"x": actual}), actual) == []


# --- the planted suite ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_nineteen_of_twenty_planted_leaks_are_found() -> None:
    """Of all kinds of leaks planted in a drawn table at least 95% are found, and no honest column beside them."""
    base = bases.drawn(0)
    told = [run.planted_found(base, kind, 0, named=True) for kind in plant.KINDS]
    assert len(plant.KINDS) >= 20
    assert np.mean([found for found, _ in told]) >= 0.95
    assert [wrong for _, wrong in told if wrong] == []


@pytest.mark.slow
def test_values_alone_tell_most_planted_leaks() -> None:
    """Under names that say nothing four of five kinds are still found."""
    base = bases.drawn(3)
    assert np.mean([run.planted_found(base, kind, 3, named=False)[0] for kind in plant.KINDS]) >= 0.8


@pytest.mark.slow
def test_leaks_planted_in_real_customers_are_found(shared_data: Path) -> None:
    """Of all kinds planted in a real table of customers at least 95% are found, and no honest column beside them."""
    telco = dict(bases.real(shared_data))["telco"]
    told = [run.planted_found(telco, kind, 0, named=True) for kind in plant.KINDS]
    assert np.mean([found for found, _ in told]) >= 0.95
    assert [wrong for _, wrong in told if wrong] == []


@pytest.mark.parametrize("seed", range(6))
def test_a_strong_honest_score_is_kept_and_told(seed: int) -> None:
    """A score of AUC 0.9 beside weak columns is never left out, whatever the share of positives, but is a suspect."""
    table, actual = bases.drawn(seed, share=0.05 + 0.09 * seed)
    said = leaks.examine(table, actual, seed=seed)
    assert said.found == ()
    assert {x["column"] for x in said.suspects} <= {"score"}
    assert max(said.points, key=said.points.get) == "score"


@pytest.mark.slow
def test_easy_labels_make_no_leaks() -> None:
    """In the data sets of scikit-learn, where single columns nearly separate the classes, none is called a leak."""
    taken = {n: leaks.find(table, actual) for n, (table, actual) in bases.scikit_learn()}
    assert {n: found for n, found in taken.items() if found} == {}


def test_honest_columns_of_real_tables_are_kept(shared_data: Path) -> None:
    """At most one in a hundred of the honest columns of real tables is taken for a leak."""
    count = wrong = 0
    for _, (table, actual) in bases.real(shared_data):
        count += table.num_columns
        wrong += len(leaks.find(table, actual))
    assert wrong <= count / 100


def test_what_sales_people_wrote_is_found_in_real_leads(shared_data: Path) -> None:
    """The nine columns of the leads that are filled in on the way are found without being told, and no other."""
    table = csv.read_csv(shared_data / "leads-x-education" / "lead_scoring.csv.gz")
    actual = np.asarray(table["Converted"], np.float64)
    found = {x["column"] for x in leaks.find(table.drop_columns(["Converted"]), actual)}
    assert found == LEADS_AFTERWARDS


def test_the_same_seed_finds_the_same() -> None:
    """Two runs give the same columns, reasons and points; another order of rows gives the same columns."""
    table, actual = bases.drawn(2)
    planted = table.append_column(
        "closing", pa.array(plant.days_since(actual, np.random.default_rng(1))["days_since_contact"])
    )
    first = leaks.examine(planted, actual, seed=4)
    assert leaks.examine(planted, actual, seed=4) == first
    order = np.random.default_rng(0).permutation(len(actual))
    turned = leaks.find(planted.take(order), actual[order], seed=4)
    assert [x["column"] for x in turned] == [x["column"] for x in first.found] == ["closing"]


# --- the single signs -----------------------------------------------------------------------------------------------


def test_a_date_after_the_label_is_found_only_when_it_is_later() -> None:
    """A date on the day of the label or before is honest; one that is later in 2% of the rows is not."""
    honest, actual = _world(1)
    label = np.datetime64("2025-06-01") + (np.arange(len(actual)) % 90).astype("timedelta64[D]")
    late = label + np.where(np.arange(len(actual)) % 50 == 0, 3, -5).astype("timedelta64[D]")
    table = pa.table({**honest, "same": pa.array(label), "late": pa.array(late)})
    found = leaks.find(table, actual, label_ts=pa.chunked_array([pa.array(label)]))
    assert [x["column"] for x in found] == ["late"]
    assert "later than the label's" in found[0]["why"]


def test_dates_of_the_label_must_be_dates() -> None:
    """Words where dates should be are refused."""
    honest, actual = _world(1)
    words = pa.chunked_array([pa.array(["soon"] * len(actual))])
    with pytest.raises(DataError, match="no dates"):
        leaks.find(pa.table(honest), actual, label_ts=words)


def test_a_column_that_is_empty_when_scored_is_found() -> None:
    """Filled to learn from and empty or absent to score: named; a column with gaps in both is honest."""
    honest, actual = _world(2)
    table = pa.table({**honest, "empty": actual * 0 + np.arange(len(actual)), "absent": np.arange(len(actual)) % 7})
    scoring = table.drop_columns(["absent"])[:100].set_column(5, "empty", pa.nulls(100, pa.float64()))
    found = {x["column"]: x["why"] for x in leaks.find(table, actual, scoring=scoring)}
    assert set(found) == {"empty", "absent"}
    assert "0% of those to score" in found["empty"]


def test_a_description_adds_to_what_the_values_say() -> None:
    """A sentence of the data dictionary makes a column a leak when the column tells anything, and only then."""
    honest, actual = _world(3)
    noise = np.random.default_rng(9).normal(size=len(actual))
    table = pa.table({**honest, "zeta": noise + actual, "eta": noise})
    said = "The level assigned to each lead by the employee."
    found = leaks.find(table, actual, meanings={"zeta": said, "eta": said, "honest1": "Number of visits."})
    assert [x["column"] for x in found] == ["zeta"]
    assert "description" in found[0]["why"]


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("lostReason", names.STRONG), ("Closed by", names.STRONG), ("refund_amount", names.STRONG),
        ("Kündigungsdatum", names.STRONG), ("cancelled_at", names.SURE), ("closed_date", names.SURE),
        ("won", names.SURE), ("Last Notable Activity", names.STRONG), ("score", names.WEAK),
        ("previous_outcome", 0.0), ("marital-status", 0.0), ("refund_policy", 0.0), ("total_day_minutes", 0.0),
        ("disclosed_income", 0.0), ("wonderland", 0.0),
    ],
)  # fmt: skip
def test_names_that_mean_afterwards(name: str, points: float) -> None:
    """Words of the outcome weigh, words of the past take the weight away, and parts of other words do not count."""
    assert names.evidence(name, category=True)[0] == points


def test_a_name_with_the_word_of_the_label_weighs() -> None:
    """A column called like the label weighs, but not because of a word that any label may have."""
    assert names.evidence("renewal_flag", category=True, label="renewal")[0] == names.STRONG
    assert names.evidence("customer_value", category=True, label="customer_value_class")[0] == 0


def test_a_name_alone_is_no_leak_unless_the_ledger_lists_it() -> None:
    """Noise called lost_reason is kept; noise called closed_ts is not."""
    honest, actual = _world(4)
    noise, other = np.random.default_rng(5).integers(0, 4, (2, len(actual)))
    table = pa.table({**honest, "lost_reason": np.array(["a", "b", "c", "d"])[noise], "closed_ts": other})
    assert [x["column"] for x in leaks.find(table, actual)] == ["closed_ts"]


def test_a_family_filled_for_the_same_rows_leaves_together() -> None:
    """A column without a signal goes with a leak when name and filled rows are its own; other columns stay."""
    honest, actual = _world(5)
    draw = np.random.default_rng(6)
    gaps = draw.random(len(actual)) < 0.4
    table = pa.table({
        **honest, "vendor lead score": pa.array(draw.normal(size=len(actual)) + actual, mask=gaps),
        "vendor level": pa.array(draw.normal(size=len(actual)), mask=gaps),
        "other level": pa.array(draw.normal(size=len(actual)), mask=gaps),
    })  # fmt: skip
    assert {x["column"] for x in leaks.find(table, actual)} == {"vendor lead score", "vendor level"}


def test_points_grow_with_what_a_column_tells() -> None:
    """Blurring the label less never gives fewer points, and from some clarity on it is a leak."""
    draw = np.random.default_rng(7)
    actual = (draw.random(3000) < 0.3).astype(float)
    noise, weak = draw.normal(size=3000), draw.normal(size=3000) + 0.5 * actual
    points = [
        leaks.examine(pa.table({"weak": weak, "copy": actual + s * noise}), actual).points["copy"]
        for s in (3.0, 1.5, 0.8, 0.5, 0.3, 0.1)
    ]
    assert points == sorted(points)
    assert points[0] < weigh.TELL < weigh.LEAVE_OUT <= points[-1]


def test_the_held_out_rates_are_those_of_a_plain_loop() -> None:
    """Per level, the smoothed rate of the other fold, as a loop over rows gives it."""
    draw = np.random.default_rng(8)
    values = draw.integers(1, 5, 300).astype(float)
    actual = (draw.random(300) < 0.1 * values).astype(float)
    fold = folds.assign(actual, 2)
    expected = []
    for i in range(300):
        same = [actual[j] for j in range(300) if fold[j] != fold[i] and values[j] == values[i]]
        expected.append((sum(same) + 5 * actual.mean()) / (len(same) + 5))
    column = reading.Column(name="x", form="category", values=values)
    assert alone.held_out(column, actual, fold) == pytest.approx(expected)


def test_the_lower_end_of_a_perfect_auc_is_the_rule_of_three() -> None:
    """Thirty positives, all ranked first: errors in up to a tenth of them cannot be ruled out."""
    actual = np.repeat([1.0, 0.0], [30, 970])
    assert alone.auc_and_low(actual, actual) == (1.0, pytest.approx(0.9))


def test_pure_levels_are_counted_by_the_rows_they_hold() -> None:
    """A level with 98 of 100 rows positive and half of all positives is a sign with that share; the others are none."""
    values = np.repeat([1.0, 2.0, 3.0], [100, 500, 400])
    actual = np.concatenate([np.r_[np.ones(98), 0, 0], np.r_[np.ones(98), np.zeros(402)], np.zeros(400)])
    sign = filled.pure_levels(reading.Column(name="x", form="category", values=values), actual)
    assert sign is None  # 98 of 100: the interval reaches below 95%
    values, actual = np.repeat(values, 3), np.repeat(actual, 3)
    sign = filled.pure_levels(reading.Column(name="x", form="category", values=values), actual)
    assert sign is not None
    assert sign.share == pytest.approx(0.5)
    assert sign.rows.sum() == 300


def test_the_others_are_judged_on_rows_they_did_not_see() -> None:
    """Trees on columns of noise tell nothing about the label."""
    draw = np.random.default_rng(10)
    actual = (draw.random(1500) < 0.3).astype(float)
    columns = list(reading.read(pa.table({f"n{i}": draw.normal(size=1500) for i in range(8)})))
    told = rest.together(columns, actual, folds.assign(actual, 2), seed=0)
    assert abs(evaluate.auc(actual, told) - 0.5) < 0.06


# --- odd tables -----------------------------------------------------------------------------------------------------


def _odd() -> dict[str, tuple[pa.Table, np.ndarray]]:
    rows = 300
    draw = np.random.default_rng(0)
    actual = (draw.random(rows) < 0.4).astype(float)
    wide = pa.table({f"c{i}": draw.normal(size=rows) for i in range(300)})
    return {
        "one row": (pa.table({"x": [1.0]}), np.ones(1)),
        "no column": (pa.table({encode.SUBJECT: [str(i) for i in range(rows)]}), actual),
        "one class": (wide, np.ones(rows)),
        "all missing": (pa.table({"x": pa.nulls(rows), "y": pa.nulls(rows, pa.string())}), actual),
        "constant": (pa.table({"x": np.ones(rows), "y": ["a"] * rows}), actual),
        "many levels": (pa.table({"x": [f"v{i % 140}" for i in range(rows)]}), actual),
        "nested": (pa.table({"x": [[1, 2]] * rows, "y": [{"a": 1}] * rows}), actual),
        "the same name twice": (pa.table([draw.normal(size=rows)] * 2, names=["x", "x"]), actual),
        "infinite": (pa.table({"x": np.where(draw.random(rows) < 0.1, np.inf, 1.0)}), actual),
        "wide": (wide, actual),
    }


@pytest.mark.parametrize("name", sorted(_odd()))
def test_odd_tables_are_no_error_and_no_leak(name: str) -> None:
    """Whatever the table, an answer comes, and it is empty when nothing was planted."""
    table, actual = _odd()[name]
    assert leaks.find(table, actual) == []


def test_long_tables_are_sampled() -> None:
    """A leak in 60,000 rows is found in the rows looked at, the same ones with the same seed."""
    draw = np.random.default_rng(0)
    actual = (draw.random(60_000) < 0.2).astype(float)
    table = pa.table({"x": draw.normal(size=60_000) + actual, "y": actual + draw.normal(0, 0.1, 60_000)})
    found = leaks.find(table, actual, seed=3)
    assert [x["column"] for x in found] == ["y"]
    assert leaks.find(table, actual, seed=3) == found


def test_names_without_a_number_are_no_ids() -> None:
    """A column in which every row has a name of its own, some with a number in it and most without, is read."""
    draw = np.random.default_rng(9)
    names = [f"Allen, Miss {chr(97 + i % 26)}{chr(97 + i // 26 % 26)}" for i in range(400)]
    names[7] = "Brown the 3rd 12"
    actual = (draw.random(400) < 0.4).astype(float)
    assert leaks.find(pa.table({"who": names, "age": draw.normal(40, 10, 400)}), actual) == []
