"""Compiled trees give LightGBM's own bytes, or are not used."""

from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from nextbest.models import compiled_trees, fast_predict
from nextbest.models.fast_predict import scorer
from nextbest.models.forest import MOST_LEAVES, forest, place

lightgbm = pytest.importorskip("lightgbm")
pytest.importorskip("numba")

FEATURES = 6
SPECIAL = (np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-35, float(np.float32(1e-35)), 1.1e-35, np.inf, -np.inf, 1e300, 1e308)
MISSING = (
    {},
    {"use_missing": False},
    {"zero_as_missing": True},
)
OBJECTIVES = (
    {"objective": "binary"},
    {"objective": "binary", "sigmoid": 0.7, "boost_from_average": False},
    {"objective": "regression"},
    {"objective": "tweedie", "tweedie_variance_power": 1.3},
    {"objective": "poisson"},
    {"objective": "quantile", "alpha": 0.2},
)


def grown(seed: int, trees: int = 25, **settings: Any) -> Any:
    """Give a model of numbers, gaps and zeros, written to text and read again."""
    draw = np.random.default_rng(seed)
    rows = gaps(draw, 600)
    label = np.nan_to_num(rows[:, 0]) + np.where(np.isnan(rows[:, 1]), 1.0, 0.0) + draw.normal(size=len(rows))
    if settings.get("objective") in {"binary", "cross_entropy"}:
        label = label > 0
    elif settings.get("objective") != "regression":
        label = np.abs(label)
    data = lightgbm.Dataset(rows, label.astype(float), params={"verbose": -1})
    fixed = {"num_threads": 1, "verbose": -1, "min_data_in_leaf": 3, "seed": seed, "num_leaves": 12}
    return lightgbm.Booster(model_str=lightgbm.train({**fixed, **settings}, data, trees).model_to_string())


def gaps(draw: np.random.Generator, count: int) -> np.ndarray:
    """Give rows of which every fifth number is missing and every fifth is zero."""
    rows = draw.normal(size=(count, FEATURES))
    kind = draw.random(rows.shape)
    return np.where(kind < 0.2, np.nan, np.where(kind < 0.4, 0.0, rows))


def hard_rows(booster: Any, seed: int, count: int = 200) -> np.ndarray:
    """Give rows with gaps, numbers at and next to the cuts, and the ends of the number line."""
    draw = np.random.default_rng([seed, 1])
    text = booster.model_to_string()
    cuts = np.array([float(x) for line in re.findall(r"^threshold=(.+)$", text, re.MULTILINE) for x in line.split()])
    rows = gaps(draw, count)
    if len(cuts):
        near = draw.choice(np.concatenate([cuts, np.nextafter(cuts, np.inf), np.nextafter(cuts, -np.inf)]), rows.shape)
        rows = np.where(draw.random(rows.shape) < 0.4, near, rows)
    return np.where(draw.random(rows.shape) < 0.1, draw.choice(SPECIAL, rows.shape), rows)


def bare(booster: Any, rows: np.ndarray, *, raw: bool = False) -> bytes:
    """Give the bytes of LightGBM's own predictions."""
    return booster.predict(rows, raw_score=raw, num_threads=1).tobytes()


def quick(booster: Any, *, raw: bool = False) -> Any:
    """Give the compiled trees themselves, without LightGBM beside them."""
    trees = forest(booster.model_to_string(), raw=raw)
    assert trees is not None
    return compiled_trees.compiled(trees)


def unsized(text: str) -> str:
    """Give a changed model without the lengths of its trees, which LightGBM believes when they are there."""
    return re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("missing", MISSING, ids=str)
@pytest.mark.parametrize("objective", OBJECTIVES, ids=str)
def test_the_bytes_are_those_of_lightgbm(objective: dict[str, Any], missing: dict[str, Any], raw: bool) -> None:  # noqa: FBT001
    """Every objective and way of treating what is missing gives the bytes of `Booster.predict`, raw and transformed."""
    booster = grown(1, **objective, **missing)
    rows = hard_rows(booster, 2)
    assert quick(booster, raw=raw)(rows).tobytes() == bare(booster, rows, raw=raw)
    assert scorer(booster, version=lightgbm.__version__, raw=raw)(rows).tobytes() == bare(booster, rows, raw=raw)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("leaves", [2, 7, 32, 33, 64])
def test_every_cut_may_treat_what_is_missing_in_its_own_way(leaves: int, seed: int) -> None:
    """A model whose every cut has a missing type and a default side drawn anew gives LightGBM's bytes."""
    draw = np.random.default_rng([leaves, seed])
    text = grown(seed, trees=10, objective="regression", num_leaves=leaves).model_to_string()

    def anew(match: re.Match[str]) -> str:
        return "decision_type=" + " ".join(str(draw.choice([0, 2, 4, 6, 8, 10])) for _ in match[1].split())

    booster = lightgbm.Booster(model_str=unsized(re.sub(r"^decision_type=(.+)$", anew, text, flags=re.MULTILINE)))
    rows = hard_rows(booster, seed)
    assert quick(booster)(rows).tobytes() == bare(booster, rows)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 15, 16, 17, 50, 63, 64, 65, 200])
def test_any_number_of_rows(count: int) -> None:
    """Rows beside the blocks in which they are asked make no difference."""
    booster = grown(3, objective="binary")
    rows = hard_rows(booster, 4, count)
    assert quick(booster)(rows).tobytes() == bare(booster, rows) if count else len(quick(booster)(rows)) == 0
    assert len(scorer(booster, version=lightgbm.__version__)(rows)) == count


def test_trees_of_one_leaf() -> None:
    """A model that found nothing to cut gives the same number for every row, LightGBM's."""
    rows = np.random.default_rng(5).normal(size=(40, FEATURES))
    booster = lightgbm.train(
        {"verbose": -1, "num_threads": 1}, lightgbm.Dataset(rows, np.full(40, 0.3), params={"verbose": -1}), 3
    )
    assert {tree["num_leaves"] for tree in booster.dump_model()["tree_info"]} == {1}
    assert quick(booster)(rows).tobytes() == bare(booster, rows)


def test_places_are_distinct() -> None:
    """Each of 64 leaves has a place of its own."""
    assert {place(leaf) for leaf in range(MOST_LEAVES)} == set(range(MOST_LEAVES))


@pytest.mark.parametrize("leaves", [5, 31, 60])
def test_cuts_may_be_sets_of_categories(leaves: int) -> None:
    """Known and unknown categories, parts of one, missing and impossible ones fall to the side that LightGBM takes."""
    draw = np.random.default_rng([6, leaves])
    rows = np.column_stack([draw.integers(0, 300, 3000), draw.integers(0, 5, 3000), draw.normal(size=3000)]).astype(
        float
    )
    rows[draw.random(rows.shape) < 0.1] = np.nan
    label = np.nan_to_num(rows[:, 0] * 7 % 5 + rows[:, 1] % 2) + draw.normal(size=3000)
    data = lightgbm.Dataset(rows, label, categorical_feature=[0, 1], params={"verbose": -1, "min_data_in_bin": 1})
    loose = {"min_data_per_group": 1, "cat_smooth": 0.1, "cat_l2": 0.1, "min_data_in_leaf": 2, "max_cat_threshold": 200}
    settings = {**loose, "num_leaves": leaves, "verbose": -1, "num_threads": 1}
    booster = lightgbm.Booster(model_str=lightgbm.train(settings, data, 20).model_to_string())
    codes = (
        *range(-3, 340),
        -0.5,
        0.5,
        3.9,
        -1.5,
        2.0**31,
        2.0**32 + 1,
        -(2.0**40),
        np.inf,
        -np.inf,
        np.nan,
        1e-36,
        1e300,
    )
    asked = rows[:2000].copy()
    asked[:, :2] = np.where(draw.random((2000, 2)) < 0.7, draw.choice(codes, (2000, 2)), asked[:, :2])
    trees = forest(booster.model_to_string(), raw=False)
    assert trees is not None
    assert len(trees.sets) > 3
    assert np.ptp(trees.sets["stop"] - trees.sets["start"]) > 0
    assert quick(booster)(asked).tobytes() == bare(booster, asked)
    assert scorer(booster, version=lightgbm.__version__)(asked).tobytes() == bare(booster, asked)


def test_what_is_not_understood_is_left_to_lightgbm() -> None:
    """Lines in leaves, means of trees, other transformations and large trees go to LightGBM's own call."""
    others = {
        "lines": grown(7, linear_tree=True, objective="regression"),
        "means": grown(7, boosting="rf", bagging_freq=1, bagging_fraction=0.5, objective="regression"),
        "roots": grown(7, reg_sqrt=True, objective="regression"),
        "entropy": grown(7, objective="cross_entropy"),
        "large": grown(7, num_leaves=MOST_LEAVES + 1, min_data_in_leaf=1, objective="regression"),
    }
    for name, booster in others.items():
        rows = hard_rows(booster, 8)
        assert forest(booster.model_to_string(), raw=False) is None, name
        assert scorer(booster, version=lightgbm.__version__)(rows).tobytes() == bare(booster, rows), name


def test_many_classes_are_not_understood() -> None:
    """A model with a tree per class in each round is none whose trees are one sum."""
    draw = np.random.default_rng(9)
    data = lightgbm.Dataset(draw.normal(size=(300, 2)), draw.integers(0, 3, 300), params={"verbose": -1})
    booster = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}, data, 2)
    assert forest(booster.model_to_string(), raw=True) is None


def test_an_unknown_way_to_be_missing_is_not_understood() -> None:
    """A cut whose type has a bit that no version of the format has used is left to LightGBM."""
    text = grown(10, objective="regression").model_to_string()
    assert forest(text, raw=True) is not None
    assert forest(re.sub(r"^(decision_type=)\S+", r"\g<1>12", text, flags=re.MULTILINE), raw=True) is None


@pytest.mark.parametrize("way", [0, 2, 4, 6, 8, 10])
def test_a_cut_may_be_infinite(way: int) -> None:
    """A cut between all numbers and what is missing, which LightGBM writes as infinite, is treated as it treats it."""
    text = grown(10, objective="regression").model_to_string()
    text = re.sub(r"^(threshold=)\S+( \S+)", r"\1inf -inf", text, flags=re.MULTILINE)
    booster = lightgbm.Booster(
        model_str=unsized(re.sub(r"^(decision_type=)\S+", rf"\g<1>{way}", text, flags=re.MULTILINE))
    )
    rows = hard_rows(booster, 11)
    assert quick(booster)(rows).tobytes() == bare(booster, rows)


def test_only_the_best_rounds_count_after_stopping_early() -> None:
    """A model that was stopped early is asked for the rounds that `Booster.predict` uses."""
    draw = np.random.default_rng(11)
    rows = draw.normal(size=(400, 3))
    label = rows[:, 0] + draw.normal(size=400)
    train = lightgbm.Dataset(rows[:200], label[:200], params={"verbose": -1})
    stopped = lightgbm.train(
        {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3}, train, 50,
        valid_sets=[train.create_valid(rows[200:], label[200:])],
        callbacks=[lightgbm.early_stopping(5, verbose=False)], keep_training_booster=True,
    )  # fmt: skip
    assert 0 < stopped.best_iteration < stopped.num_trees()
    score = scorer(stopped, version=lightgbm.__version__)
    assert score(rows).tobytes() == bare(stopped, rows)
    assert score(rows[:1]).tobytes() == bare(stopped, rows[:1])


@pytest.mark.parametrize("raw", [False, True])
def test_without_numba_lightgbm_answers(monkeypatch: pytest.MonkeyPatch, raw: bool) -> None:  # noqa: FBT001
    """Where numba cannot be imported the same bytes come from LightGBM's own call."""
    monkeypatch.setitem(sys.modules, "numba", None)
    compiled_trees._asking.cache_clear()
    try:
        booster = grown(12, objective="binary")
        trees = forest(booster.model_to_string(), raw=raw)
        assert trees is not None
        assert compiled_trees.compiled(trees) is None
        rows = hard_rows(booster, 13)
        assert scorer(booster, version=lightgbm.__version__, raw=raw)(rows).tobytes() == bare(booster, rows, raw=raw)
    finally:
        compiled_trees._asking.cache_clear()


def test_the_compiled_trees_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled trees that gave the same bytes answer from the third row on; LightGBM is sooner for fewer."""
    asked: list[int] = []

    def counting(trees: Any) -> Any:
        score = exact(trees)
        return lambda rows: (asked.append(len(rows)), score(rows))[1]

    exact, booster = compiled_trees.compiled, grown(13, objective="binary")
    monkeypatch.setattr(fast_predict, "compiled", counting)
    score = scorer(booster, version=lightgbm.__version__)
    asked.clear()
    for count in (1, 2, 3, 50):
        score(np.zeros((count, FEATURES)))
    assert asked == [3, 50]


def test_compiled_trees_that_differ_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled trees that are off by the last bit on the rows made for comparing are left for LightGBM's call."""
    monkeypatch.setattr(fast_predict, "compiled", lambda trees: lambda rows: np.nextafter(exact(trees)(rows), 1.0))
    exact, booster = compiled_trees.compiled, grown(14, objective="binary")
    rows = hard_rows(booster, 15)
    assert scorer(booster, version=lightgbm.__version__)(rows).tobytes() == bare(booster, rows)


def test_no_request_waits_for_the_compiler() -> None:
    """Rows that are read-only, turned, cut out or of another type are scored by what was compiled with the model."""
    score = scorer(grown(15, objective="binary"), version=lightgbm.__version__)
    known = len(compiled_trees._asking().signatures)
    rows = np.random.default_rng(16).normal(size=(60, 2 * FEATURES))
    sealed = rows[:, :FEATURES].copy()
    sealed.flags.writeable = False
    expected = score(rows[:, :FEATURES].copy()).tobytes()
    assert score(sealed).tobytes() == expected
    assert score(rows[:, :FEATURES]).tobytes() == expected
    assert score(np.asfortranarray(sealed)).tobytes() == expected
    assert score(sealed.astype(">f8")).tobytes() == expected
    assert len(score(sealed.astype(np.float32)[:10])) == 10
    assert len(compiled_trees._asking().signatures) == known


def test_threads_do_not_disturb_each_other() -> None:
    """Four threads that score rows of their own get the bytes that one gets."""
    booster = grown(16, objective="binary")
    asked = [hard_rows(booster, 17 + i) for i in range(40)]
    score = scorer(booster, version=lightgbm.__version__)
    with ThreadPoolExecutor(4) as pool:
        assert [s.tobytes() for s in pool.map(score, asked)] == [bare(booster, rows) for rows in asked]


def test_numba_is_loaded_only_when_a_model_is() -> None:
    """Importing the module loads neither numba nor its compiler."""
    code = "import sys, nextbest.models.fast_predict; sys.exit('numba' in sys.modules or 'llvmlite' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
