"""Intervals of predictions against a simulated truth: the streams of people and of answers never meet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.models import evaluate
from nextbest.models.boosting import Boosting

WEIGHTS = np.array([1.0, 0.7, 0.5, -0.5, 0.3])
COLUMNS = 12


def people(seed: int, rows: int) -> tuple[pa.Table, np.ndarray, np.ndarray]:
    """Give features, each one's true chance, and answers drawn by it."""
    who, answer = (np.random.default_rng(s) for s in np.random.SeedSequence([8, seed]).spawn(2))
    x = who.normal(size=(rows, COLUMNS))
    chance = 1 / (1 + np.exp(1.5 - x[:, :5] @ WEIGHTS - np.abs(x[:, 5])))
    table = pa.table({f"x{i}": x[:, i] for i in range(COLUMNS)})
    return table, chance, (answer.random(rows) < chance).astype(float)


def coverage(rows: int, seeds: range) -> float:
    """Give the share of fortieths by score whose true rate the 90% intervals hold, over models of so many rows."""
    held = []
    for seed in seeds:
        table, _, answer = people(seed, rows)
        asked, chance, _ = people(1000 + seed, 8000)
        said = Boosting(num_threads=1).fit(table, pa.table({"label": answer})).predict(asked)
        p, low, high = (said[name].to_numpy() for name in ("prediction", "low", "high"))
        parts = np.array_split(np.argsort(p), 40)
        held += [low[part].mean() <= chance[part].mean() <= high[part].mean() for part in parts]
    return float(np.mean(held))


@pytest.mark.slow
def test_a_small_tables_intervals_hold_the_rate_of_those_who_score_alike() -> None:
    """With 200 rows, one group's interval shifted along held the rate in 6 of 10; with the line's own 8 and more."""
    # Nine in ten is the aim; the ends of a score learnt from so few rows stay a little too sure.
    assert coverage(200, range(12)) >= 0.8


@pytest.mark.nightly
@pytest.mark.parametrize("rows", [1000, 5000])
def test_the_intervals_hold_the_rate_of_those_who_score_alike(rows: int) -> None:
    """From a thousand rows on, nine in ten fortieths by score have their true rate inside the 90% interval."""
    assert coverage(rows, range(6)) >= 0.88


@pytest.mark.slow
@pytest.mark.parametrize("ties", [False, True])
def test_the_interval_of_an_auc_covers(ties: bool) -> None:  # noqa: FBT001 (a parameter)
    """DeLong's 95% interval of 40 positives among 200 holds the true AUC in 92 of 100 trials, also with heavy ties."""
    rng = np.random.default_rng(17)

    def drawn(positives: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
        score = np.concatenate([rng.normal(1.0, 1.0, positives), rng.normal(0.0, 1.0, negatives)])
        return np.repeat([1.0, 0.0], [positives, negatives]), np.round(score) if ties else score

    truth = evaluate.auc(*drawn(300_000, 300_000))
    held = [low <= truth <= high for low, high in (evaluate.auc_interval(*drawn(40, 160)) for _ in range(800))]
    assert 0.92 <= np.mean(held) <= 0.98
