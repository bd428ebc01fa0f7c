"""The house model: calibrated, repeatable, honest about what it cannot learn from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import DataError, ModelError
from nextbest.models import evaluate, trees
from nextbest.models.boosting import DOCUMENT, TREES, Boosting, fitted_state
from nextbest.models.folds import assign
from nextbest.models.presets import PRESETS, preset


def _world(rows: int, seed: int) -> tuple[pa.Table, pa.Table, np.ndarray]:
    """Give features, a label and its true probability: a line, a threshold, a category, a telling gap."""
    draw = np.random.default_rng(seed)
    spend, days = draw.gamma(2.0, 50.0, rows), draw.exponential(30.0, rows)
    plan = draw.choice(["basic", "plus", "pro"], rows, p=[0.6, 0.3, 0.1])
    asked = draw.random(rows) < 0.2
    score = -1.5 + 0.03 * days - 1.2 * (plan == "pro") + 1.0 * ((days > 40) & (spend < 80)) + 0.8 * asked
    truth = 1 / (1 + np.exp(-score))
    features = pa.table({
        "spend": spend, "days": days, "plan": plan, "asked": pa.array(draw.normal(size=rows), mask=~asked),
    })  # fmt: skip
    return features, pa.table({"label": (draw.random(rows) < truth).astype(float)}), truth


@pytest.fixture(scope="module")
def fitted() -> Boosting:
    """Give a model fitted to 3,000 rows of the made-up world."""
    features, label, _ = _world(3000, 1)
    return Boosting(num_threads=1).fit(features, label)


def test_probabilities_are_close_to_the_truth_of_a_simulator(fitted: Boosting) -> None:
    """On new rows of a known world the probabilities are within 0.05 of the truth on average, and calibrated."""
    features, label, truth = _world(5000, 2)
    said = fitted.predict(features)["prediction"].to_numpy()
    assert np.abs(said - truth).mean() < 0.05
    assert evaluate.ece(label["label"].to_numpy(), said) < 0.03
    assert evaluate.auc(label["label"].to_numpy(), said) > evaluate.auc(label["label"].to_numpy(), truth) - 0.015


def test_the_interval_holds_the_rate_of_those_who_score_alike(fitted: Boosting) -> None:
    """Of 20 groups of alike scores on new rows, the mean interval holds the true rate of at least 15 (level 0.9)."""
    features, _, truth = _world(20_000, 3)
    said = fitted.predict(features)
    order = np.argsort(said["prediction"].to_numpy(), kind="stable")
    held = 0
    for part in np.array_split(order, 20):
        low, high = (said[c].to_numpy()[part].mean() for c in ("low", "high"))
        held += low <= truth[part].mean() <= high
    assert held >= 15


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Two fits of the same rows agree byte for byte, also with another number of threads."""
    features, label, _ = _world(600, 4)
    first = Boosting(seed=3, num_threads=1).fit(features, label)
    assert dict(first.files) == dict(Boosting(seed=3, num_threads=1).fit(features, label).files)
    assert dict(first.files) == dict(Boosting(seed=3, num_threads=2).fit(features, label).files)
    assert first.files[TREES] != Boosting(seed=4, num_threads=1).fit(features, label).files[TREES]


def test_trees_do_not_depend_on_the_number_of_threads() -> None:
    """LightGBM grown with one thread and with two gives the same text."""
    draw = np.random.default_rng(0)
    matrix = draw.normal(size=(2000, 5))
    actual = (matrix[:, 0] + draw.normal(size=2000) > 0).astype(float)
    grown = [
        trees.grow(matrix, actual, task="classification", parameters={"num_leaves": 8}, rounds=20, num_threads=n)
        for n in (1, 2)
    ]
    assert grown[0] == grown[1]


def test_one_row_gets_what_it_gets_among_many(fitted: Boosting) -> None:
    """Predicting a table and predicting its rows one by one give the same numbers to the last bit."""
    features, _, _ = _world(50, 5)
    together = fitted.predict(features)
    alone = pa.concat_tables([fitted.predict(features.slice(i, 1)) for i in range(50)])
    assert together.equals(alone.combine_chunks()) or together.to_pydict() == alone.to_pydict()


def test_no_category_stands_in_the_files_in_clear_text(fitted: Boosting) -> None:
    """The files hold hashes of categories, never the words."""
    for data in fitted.files.values():
        assert b"basic" not in data
        assert b'pro"' not in data


def test_amounts_keep_their_total() -> None:
    """Tweedie predictions of spend with many zeros rank it, and add up to within 10% on new rows."""

    def world(seed: int) -> tuple[pa.Table, np.ndarray]:
        draw = np.random.default_rng(seed)
        level = draw.gamma(1.0, 1.0, 3000)
        spend = np.where(draw.random(3000) < 0.4, draw.gamma(2.0, 20.0 * level), 0.0)
        return pa.table({"level": level, "noise": draw.normal(size=3000)}), spend

    features, spend = world(1)
    model = Boosting(task="tweedie", num_threads=1).fit(features, pa.table({"spend": spend}))
    features, spend = world(2)
    said = model.predict(features)
    assert abs(evaluate.total_error(spend, said["prediction"].to_numpy())) < 0.1
    assert evaluate.normalised_gini(spend, said["prediction"].to_numpy()) > 0.3
    assert (said["low"].to_numpy() >= 0).all()


def test_an_amounts_interval_holds_single_amounts() -> None:
    """The 90% interval of a regression holds 85 to 95% of new amounts, though their spread grows."""

    def world(seed: int) -> tuple[pa.Table, np.ndarray]:
        draw = np.random.default_rng(seed)
        x = draw.uniform(0, 10, 4000)
        return pa.table({"x": x}), 5 * x + draw.normal(size=4000) * (1 + x)

    features, amount = world(1)
    model = Boosting(task="regression", num_threads=1).fit(features, pa.table({"amount": amount}))
    features, amount = world(2)
    said = model.predict(features)
    held = (said["low"].to_numpy() <= amount) & (amount <= said["high"].to_numpy())
    assert 0.85 <= held.mean() <= 0.95


def test_noise_is_not_taken_for_signal() -> None:
    """Features that say nothing give probabilities close to the base rate."""
    draw = np.random.default_rng(9)
    features = pa.table({f"x{i}": draw.normal(size=1500) for i in range(5)})
    label = pa.table({"label": (draw.random(1500) < 0.3).astype(float)})
    said = Boosting(num_threads=1).fit(features, label).predict(features)["prediction"].to_numpy()
    assert np.abs(said - 0.3).max() < 0.15


@pytest.mark.parametrize(
    ("label", "match"),
    [
        ([1.0] * 30, "0 and 1, both"),
        ([0.0, 1.0, 2.0] * 10, "0 and 1, both"),
        ([0.0, 1.0, None] * 10, "missing"),
        ([0.0, 1.0], "one column of 30 rows"),
    ],
)
def test_a_label_that_cannot_be_learnt_from_is_refused(label: list[float | None], match: str) -> None:
    """Constant, foreign, missing and short labels are errors that say what is wrong."""
    with pytest.raises(DataError, match=match):
        Boosting().fit(pa.table({"x": np.arange(30.0) ** 1.5}), pa.table({"label": label}))


def test_a_missing_column_is_named_with_the_near_word(fitted: Boosting) -> None:
    """Predicting without a learnt column is an error that names it."""
    features, _, _ = _world(30, 6)
    with pytest.raises(DataError, match=r"lacks the column 'plan'.*Did you mean 'plann'"):
        fitted.predict(features.rename_columns(["spend", "days", "plann", "asked"]))


def test_an_unfitted_or_damaged_model_does_not_predict(fitted: Boosting) -> None:
    """Without files, or with a damaged document, there is an error rather than a number."""
    features, _, _ = _world(5, 6)
    with pytest.raises(ModelError, match="has not learnt yet"):
        Boosting().predict(features)
    with pytest.raises(ModelError, match="cannot be read"):
        replace(fitted, files={**fitted.files, DOCUMENT: b'{"encoder": 1}'}).predict(features)


def test_presets_grow_with_what_can_be_learnt() -> None:
    """Rows choose the preset, and a rare class counts ten times its rows at most."""
    assert [preset(n).name for n in (200, 700, 7_000, 50_000, 500_000, 5_000_000)] == [p.name for p in PRESETS]
    assert preset(1_000_000, 300).name == "thousands"
    assert preset(7_000, 1_869).rounds == 200


def test_folds_keep_subjects_whole_and_labels_even() -> None:
    """No subject is in two folds, and every fold has its share of rows and positives."""
    draw = np.random.default_rng(0)
    groups = [f"s{i % 200}" for i in range(1000)]
    actual = np.array([float(int(g[1:]) % 4 == 0) for g in groups])
    fold = assign(actual, 5, seed=1, groups=groups)
    assert all(len({f for f, g in zip(fold, groups, strict=True) if g == s}) == 1 for s in set(groups))
    assert np.bincount(fold).tolist() == [200] * 5
    plain = assign(actual := (draw.random(999) < 0.3).astype(float), 5, seed=1)
    rates = [actual[plain == k].mean() for k in range(5)]
    assert max(rates) - min(rates) < 0.02


def test_a_fitted_model_says_what_it_reads(fitted: Boosting) -> None:
    """The columns read are the table's, and the document names the preset."""
    assert fitted.columns == ("spend", "days", "plan", "asked")
    assert fitted_state(fitted)[0]["preset"] == "thousands"


def test_rows_of_one_subject_widen_the_interval() -> None:
    """The rate among subjects alike lies in its 90% interval in 84 of 100 cases and more, of seven rows per subject."""
    asked = np.linspace(-1.5, 1.5, 7)
    own = np.random.default_rng([1, 13]).normal(0, 1.5, 4_000)
    true = np.array([(1 / (1 + np.exp(-(-0.5 + 0.8 * v + own)))).mean() for v in asked])
    held = []
    for seed in range(12):
        draw = np.random.default_rng([seed, 12])
        x, habit = draw.normal(size=250).repeat(7), draw.normal(0, 1.5, 250).repeat(7)
        actual = (draw.random(1_750) < 1 / (1 + np.exp(-(-0.5 + 0.8 * x + habit)))).astype(np.float64)
        rows = pa.table({"subject_id": np.arange(250).repeat(7).astype(str), "x": x, "z": draw.normal(size=1_750)})
        model = Boosting(seed=seed, num_threads=1).fit(rows, pa.table({"label": actual}))
        said = model.predict(pa.table({"x": asked, "z": np.zeros(7)}))
        held.append(((said["low"].to_numpy() <= true) & (true <= said["high"].to_numpy())).mean())
    assert np.mean(held) >= 0.84
