"""Columns that know the outcome are found; honest ones are left alone."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.models import leaks


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
