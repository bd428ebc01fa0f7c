"""A search for settings: repeatable, never worse by luck, and judged by rows that it had not seen."""

from __future__ import annotations

import sys

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import MissingExtraError, UsageError
from nextbest.models import tune
from nextbest.models.boosting import Boosting
from nextbest.models.presets import PRESETS


def _steps(rows: int = 500, seed: int = 1) -> tuple[pa.Table, np.ndarray]:
    """Give a world of an interaction that small trees of the preset learn too slowly."""
    draw = np.random.default_rng(seed)
    values = draw.uniform(-1, 1, size=(rows, 4))
    score = 3.0 * np.sign(values[:, 0] * values[:, 1] * values[:, 2])
    return pa.table({f"c{i}": values[:, i] for i in range(4)}), (draw.random(rows) < 1 / (1 + np.exp(-score))) * 1.0


def test_the_same_number_of_trials_gives_the_same_settings() -> None:
    """Two searches of four trials find the same, and a model fitted with it has the same bytes."""
    table, actual = _steps()
    first, second = (tune.search(Boosting(num_threads=1), table, actual, trials=4) for _ in range(2))
    assert first == second
    assert first.trials == 4
    label = pa.table({"label": actual})
    models = [Boosting(num_threads=1, tuned=f.settings).fit(table, label) for f in (first, second)]
    assert models[0].files == models[1].files


@pytest.mark.slow
def test_a_search_finds_what_the_preset_lacks() -> None:
    """Where larger trees are needed they are found, clearly better on rows of other folds."""
    table, actual = _steps(rows=2000)
    said: list[str] = []
    found = tune.search(Boosting(num_threads=1), table, actual, trials=15, progress=said.append)
    assert found.settings
    assert found.loss < found.preset_loss - 0.02
    assert said[-1].startswith("tuning: trial ")


def test_where_nothing_is_to_be_found_the_preset_stays() -> None:
    """On noise the best of ten trials is luck, and the preset stays."""
    draw = np.random.default_rng(2)
    table = pa.table({f"c{i}": draw.normal(size=400) for i in range(3)})
    found = tune.search(Boosting(num_threads=1, seed=3), table, (draw.random(400) < 0.5) * 1.0, trials=10)
    assert found.loss <= found.preset_loss
    assert found.settings == {} or found.preset_loss - found.loss < 0.01


def test_the_preset_is_the_first_trial() -> None:
    """One trial is the preset itself, whatever its size; settings of factors of one are those of the preset."""
    table, actual = _steps(rows=300)
    found = tune.search(Boosting(num_threads=1), table, actual, trials=1)
    assert (found.settings, found.trials, found.loss) == ({}, 1, found.preset_loss)
    for size in PRESETS:
        same = tune._settings(size, tune._standing(size))
        assert same == {name: getattr(size, name) for name in same}


def test_amounts_can_be_tuned_as_well() -> None:
    """A search for a model of amounts is judged by its own loss."""
    draw = np.random.default_rng(4)
    x = draw.normal(size=300)
    amounts = np.maximum(0.0, x + draw.normal(size=300))
    for task in ("regression", "tweedie"):
        found = tune.search(Boosting(task=task, num_threads=1), pa.table({"x": x, "z": x**2}), amounts, trials=2)
        assert found.loss <= found.preset_loss


def test_a_time_is_kept() -> None:
    """A search for a moment makes its first trial, and hardly more."""
    table, actual = _steps(rows=300)
    assert tune.search(Boosting(num_threads=1), table, actual, seconds=0.001).trials <= 2


def test_without_a_limit_or_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither seconds nor trials is an error, and a missing optuna names the extra."""
    table, actual = _steps(rows=100)
    with pytest.raises(UsageError, match="tune_seconds or tune_trials"):
        tune.search(Boosting(), table, actual)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'pip install "nextbest\[tune\]"'):
        tune.search(Boosting(), table, actual, trials=2)
