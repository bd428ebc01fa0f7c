"""The thin call of LightGBM gives what `Booster.predict` gives, or is it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nextbest.errors import ModelError
from nextbest.models.fast_predict import scorer

lightgbm = pytest.importorskip("lightgbm")


@pytest.fixture(scope="module")
def booster() -> Any:
    """Give a small model that was written to text and read again, as one that serves is."""
    draw = np.random.default_rng(3)
    rows = draw.normal(size=(400, 5))
    label = (rows[:, 0] + draw.normal(size=400) > 0).astype(int)
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 7}
    grown = lightgbm.train(settings, lightgbm.Dataset(rows, label), 20)
    return lightgbm.Booster(model_str=grown.model_to_string())


def test_the_thin_call_gives_the_same_bytes(booster: Any) -> None:
    """Every row, with missing values, other orders in memory and other types, scores as `Booster.predict` scores it."""
    rows = np.random.default_rng(4).normal(size=(50, 5))
    rows[::7, 1] = np.nan
    score = scorer(booster, version=lightgbm.__version__)
    expected = booster.predict(rows, num_threads=1)
    assert (score(rows) == expected).all()
    assert (score(np.asfortranarray(rows)) == expected).all()
    assert (score(rows[::-1])[::-1] == expected).all()
    assert len(score(rows[:0])) == 0
    assert score(rows[:1])[0] == expected[0]


def test_an_unknown_version_is_asked_the_plain_way(booster: Any) -> None:
    """A LightGBM that the call was not written for is asked by its own method."""
    rows = np.random.default_rng(5).normal(size=(3, 5))
    assert (scorer(booster, version="9.0.0")(rows) == booster.predict(rows, num_threads=1)).all()


def test_rows_of_another_width_are_refused(booster: Any) -> None:
    """The library would read beyond the array, so the width is checked first."""
    with pytest.raises(ModelError, match="reads 5 features per row"):
        scorer(booster, version=lightgbm.__version__)(np.zeros((2, 4)))
