"""The line of a few rows gives what the line of many gives."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.models import fast_line, logistic


@pytest.mark.parametrize("task", ["classification", "regression", "tweedie"])
def test_all_terms_at_once_give_the_same_bytes(task: str) -> None:
    """Numbers, gaps, codes and values far out score as term after term, for one row and for many."""
    draw = np.random.default_rng(5)

    def world(rows: int) -> np.ndarray:
        matrix = draw.normal(size=(rows, 9)) * np.array([1, 1e-3, 1e6, 1, 1, 1, 1, 1, 1])
        matrix[:, 3] = draw.integers(0, 5, rows)
        matrix[:, 4] = draw.integers(0, 2, rows)
        matrix[:, 5] = 1.0
        matrix[draw.random(matrix.shape) < 0.1] = np.nan
        return matrix

    learnt = world(800)
    actual = (np.nan_to_num(learnt[:, 0]) + draw.normal(size=800) > 0).astype(float)
    line = logistic.fit(learnt, actual, task=task, levels={3: 5, 4: 2})
    assert {t.form for t in line.terms} == {"value", "log", "missing", "level"}
    score = fast_line.scorer(line)
    for rows in (0, 1, 2, 3, 7, 50, 51, 64, 300):
        asked = world(rows)
        asked[:, 3] += draw.integers(0, 4, rows)  # codes that it has not seen
        asked[draw.random(asked.shape) < 0.02] = 1e300
        assert score(asked).tobytes() == logistic.scores(line, asked).tobytes()
        assert score(np.asfortranarray(asked)).tobytes() == logistic.scores(line, asked).tobytes()


def test_a_line_without_terms_is_its_intercept() -> None:
    """A line that learnt nothing says the base rate for every row."""
    assert fast_line.scorer(logistic.Linear(intercept=0.5, terms=()))(np.zeros((3, 2))).tolist() == [0.5, 0.5, 0.5]
