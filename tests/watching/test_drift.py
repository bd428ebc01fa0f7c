"""Drift: alarms when the world has moved, silence when it has not."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.watching.drift import LARGE, stability_index


def test_known_value_of_the_index() -> None:
    """Two bins with shares 0.5/0.5 then and 0.8/0.2 now give (0.3) ln(1.6) + (-0.3) ln(0.4) = 0.41589."""
    then = np.repeat([0.0, 1.0], 50_000)
    now = np.repeat([0.0, 1.0], [80_000, 20_000])
    index, _ = stability_index(then, now)
    assert index == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4), abs=1e-3)


@pytest.mark.parametrize("rows", [60, 300, 3000])
def test_no_alarm_when_nothing_has_changed(rows: int) -> None:
    """Over 500 pairs of samples of one world, the index passes both bounds in at most 1 in 100."""
    draw = np.random.default_rng(20)
    alarms = 0
    for _ in range(500):
        index, by_chance = stability_index(draw.gamma(1, 1, rows), draw.gamma(1, 1, rows))
        alarms += index > max(LARGE, by_chance)
    assert alarms <= 5


def test_alarm_when_the_world_has_moved() -> None:
    """A shift by one standard deviation is far beyond both bounds."""
    draw = np.random.default_rng(21)
    index, by_chance = stability_index(draw.normal(0, 1, 2000), draw.normal(1, 1, 2000))
    assert index > max(LARGE, by_chance)


def test_missing_values_count_as_a_bin() -> None:
    """A column that goes missing for half of the subjects has shifted."""
    draw = np.random.default_rng(22)
    now = draw.normal(0, 1, 2000)
    now[::2] = np.nan
    index, by_chance = stability_index(draw.normal(0, 1, 2000), now)
    assert index > max(LARGE, by_chance)
