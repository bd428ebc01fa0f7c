"""The hazard per period on simulators whose hazard is known."""

from __future__ import annotations

import json
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import ModelError
from nextbest.models import hazard, person_periods
from nextbest.models.person_periods import Spells

BORDERS = np.arange(0.0, 13.0)


def _chances(group: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Give the true chance to leave per subject and period: it falls with time, and `shift` matters less and less."""
    period = np.arange(12)
    log_odds = -2.0 - 0.1 * period + 1.2 * (group[:, None] == 1) + shift[:, None] * np.maximum(0, 1 - period / 6)
    found: np.ndarray = 1 / (1 + np.exp(-log_odds))
    return found


def _simulated(rows: int, seed: int) -> tuple[pa.Table, Spells, np.ndarray]:
    """Give what is known, how long each was seen, and each one's true curve at the borders."""
    draw = np.random.default_rng([seed, 7])
    group, shift = draw.integers(0, 2, rows), draw.normal(0, 0.8, rows)
    chances = _chances(group, shift)
    leaves = draw.random((rows, 12)) < chances
    leave = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 1.0, np.inf)
    lost = draw.integers(1, 13, rows).astype(float)
    spells = Spells(entry=np.zeros(rows), exit=np.minimum(leave, lost), cause=(leave <= lost).astype(np.int64))
    known = pa.table({"group": np.where(group == 1, "a", "b"), "shift": shift, "noise": draw.normal(size=rows)})
    return known, spells, np.column_stack([np.ones(rows), np.cumprod(1 - chances, axis=1)])


@lru_cache(maxsize=1)
def _fitted() -> hazard.Hazard:
    known, spells, _ = _simulated(12_000, 0)
    return hazard.fit(spells, hazard.static(known), num_threads=1)


def test_the_true_curve_is_recovered() -> None:
    """On new subjects the curve is within 0.04 of the truth on average and 0.05 in every tenth of them."""
    known, _, truth = _simulated(2_000, 1)
    made = _fitted()
    kept = hazard.curve(hazard.hazards(made, known, np.zeros(2_000)))
    ours = hazard.at(made.borders, kept, np.tile([2.0, 6.0, 11.0], (2_000, 1)))
    true = truth[:, [2, 6, 11]]
    assert np.abs(ours - true).mean(axis=0) == pytest.approx([0, 0, 0], abs=0.04)
    for place in range(3):
        for part in np.array_split(np.argsort(ours[:, place]), 10):
            assert ours[part, place].mean() == pytest.approx(true[part, place].mean(), abs=0.05)


def test_drawing_a_part_of_those_who_stay_does_not_shift_the_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one row in ten of those who stay drawn, the mean curve is still Kaplan-Meier's within 0.015."""
    monkeypatch.setattr(hazard, "_PER_END", 1)
    monkeypatch.setattr(hazard, "_ALWAYS", 0)
    known, spells, truth = _simulated(6_000, 2)
    made = hazard.fit(spells, hazard.static(known), num_threads=1)
    assert max(made.drawn[0]) < 0.4
    kept = hazard.curve(hazard.hazards(made, known, np.zeros(6_000)))
    ours = hazard.at(made.borders, kept, np.tile(np.arange(1.0, 12.0), (6_000, 1))).mean(axis=0)
    assert ours == pytest.approx(truth[:, 1:12].mean(axis=0), abs=0.015)


def test_what_changes_in_time_matters() -> None:
    """When a state that comes and goes drives leaving, knowing it as of each period gives its hazard ratio."""
    draw = np.random.default_rng(11)
    rows, periods = 3_000, 10
    state = draw.random((rows, periods)) < 0.3
    chances = np.where(state, 0.20, 0.04)
    leaves = draw.random((rows, periods)) < chances
    leave = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 1.0, np.inf)
    spells = Spells(entry=np.zeros(rows), exit=np.minimum(leave, periods), cause=(leave <= periods).astype(np.int64))

    def known(spell: np.ndarray, age: np.ndarray) -> pa.Table:
        return pa.table({"state": state[spell, age.astype(int)].astype(float), "noise": draw.normal(size=len(spell))})

    made = hazard.fit(spells, known, borders=np.arange(periods + 1.0), num_threads=1)
    asked = pa.table({"state": [0.0, 1.0], "noise": [0.0, 0.0]})
    found = hazard.hazards(made, asked, np.full(2, 5.0))[:, 5, 0]
    assert found == pytest.approx([0.04, 0.20], abs=0.02)


def test_two_causes_add_up_and_are_each_right() -> None:
    """The probabilities by cause sum to one minus the curve exactly, and are the true ones within 0.03 on average."""
    draw = np.random.default_rng(12)
    rows = 4_000
    group = draw.integers(0, 2, rows)
    one, two = np.where(group == 1, 0.12, 0.03), np.where(group == 1, 0.02, 0.05)
    drawn = draw.random((rows, 8))
    cause = np.where(drawn < one[:, None], 1, np.where(drawn < (one + two)[:, None], 2, 0))
    left = (cause > 0).any(axis=1)
    place = (cause > 0).argmax(axis=1)
    spells = Spells(
        entry=np.zeros(rows), exit=np.where(left, place + 1.0, 8.0),
        cause=np.where(left, cause[np.arange(rows), place], 0),
    )  # fmt: skip
    known = pa.table({"group": group.astype(float), "noise": draw.normal(size=rows)})
    made = hazard.fit(spells, hazard.static(known), causes=(1, 2), borders=np.arange(9.0), num_threads=1)
    asked = pa.table({"group": [0.0, 1.0], "noise": [0.0, 0.0]})
    since = np.array([1.5, 1.5])
    chances = hazard.hazards(made, asked, since)
    shares = hazard.by_cause(made, chances, since, 4.0)
    kept = hazard.from_now(made.borders, hazard.curve(chances), since, (4.0,))[:, 0]
    assert shares.sum(axis=1) == pytest.approx(1 - kept, abs=1e-12)
    total = np.array([0.08, 0.14])
    true = (1 - (1 - total) ** 4)[:, None] * np.array([[3 / 8, 5 / 8], [6 / 7, 1 / 7]])
    assert shares == pytest.approx(true, abs=0.035)


def test_remaining_time_and_curve_are_each_others_inverse() -> None:
    """After the time by which half have left, half are still there; beyond what was seen there is no such time."""
    known, _, _ = _simulated(200, 3)
    made = _fitted()
    since = np.random.default_rng(4).uniform(0, 10, 200)
    kept = hazard.curve(hazard.hazards(made, known, since))
    for share in (0.95, 0.7, 0.5):
        wait = hazard.remaining(made.borders, kept, since, share)
        near = np.isfinite(wait)
        assert near.any()
        left = [hazard.from_now(made.borders, kept[[i]], since[[i]], (wait[i],))[0, 0] for i in np.flatnonzero(near)]
        assert left == pytest.approx([share] * int(near.sum()), abs=1e-6)
    assert np.isnan(hazard.remaining(made.borders, kept, np.full(200, 12.0), 0.5)).all()


def test_from_now_is_the_later_curve_over_the_curve_now() -> None:
    """What is said of who is there already is nearer to the true conditional probability than the line alone."""
    # A column matters less and less, which no line can say.
    known, _, truth = _simulated(1_000, 5)
    made, since, true = _fitted(), np.full(1_000, 3.0), truth[:, 7] / truth[:, 3]

    def error(*, linear: bool) -> np.ndarray:
        kept = hazard.curve(hazard.hazards(made, known, since, linear=linear))
        found: np.ndarray = hazard.from_now(made.borders, kept, since, (4.0,))[:, 0] - true
        return found

    there = truth[:, 3]
    assert np.average(np.abs(error(linear=False)), weights=there) < np.average(
        np.abs(error(linear=True)), weights=there
    )
    assert np.average(error(linear=False), weights=there) == pytest.approx(0, abs=0.02)


def test_the_same_seed_gives_the_same_bytes() -> None:
    """Fitting again with the same seed gives the same files and facts, and facts survive JSON."""
    known, spells, _ = _simulated(600, 6)
    one, two = (hazard.fit(spells, hazard.static(known), num_threads=1) for _ in range(2))
    assert one.models[0].files == two.models[0].files
    assert hazard.restore(json.loads(json.dumps(one.facts())), one.models) == one
    with pytest.raises(ModelError, match="one boosting model per cause"):
        hazard.restore(one.facts(), [])


# --- periods ----------------------------------------------------------------------------------------------------------


def test_rows_of_periods_by_hand() -> None:
    """Who leaves at 2 lives in two periods and ends the second; who is lost at 1 lives in one; others come late."""
    spells = Spells(
        entry=np.array([0.0, 0.0, 1.0]), exit=np.array([2.0, 1.0, 3.0]), cause=np.array([1, 0, 1], np.int64)
    )
    rows = person_periods.expand(spells, np.array([0.0, 1.0, 2.0, 3.0]), chance=np.random.default_rng(0))
    assert list(zip(rows.spell.tolist(), rows.period.tolist(), rows.cause.tolist(), strict=True)) == [
        (0, 0, 0), (0, 1, 1), (1, 0, 0), (2, 1, 0), (2, 2, 1),
    ]  # fmt: skip


def test_rates_are_right_though_many_are_lost_within_a_period() -> None:
    """With half lost at any time, the rate per period is the true one within two standard errors."""
    draw = np.random.default_rng(8)
    leave, lost = draw.exponential(4.0, 40_000), draw.exponential(4.0, 40_000)
    spells = Spells(entry=np.zeros(40_000), exit=np.minimum(leave, lost), cause=(leave <= lost).astype(np.int64))
    borders = np.array([0.0, 1.0, 2.0, 4.0, 60.0])
    found = person_periods.rates(person_periods.expand(spells, borders, chance=draw), 4)[:3]
    # Events before being lost, in a period from which both go at rate 1/4; at its end half of the leavers are unseen.
    assert found == pytest.approx(1 - np.exp(-np.diff(borders)[:3] / 4), abs=0.02)


def test_there_are_at_most_forty_periods() -> None:
    """However many leave and however narrow periods are asked for, there are about forty at most, from 0 to the end."""
    draw = np.random.default_rng(9)
    spells = Spells(entry=np.zeros(5_000), exit=draw.exponential(100, 5_000), cause=np.ones(5_000, np.int64))
    for widest in (None, 1.0, 50.0):
        borders = person_periods.cut(spells, widest=widest)
        assert borders[0] == 0
        assert borders[-1] == pytest.approx(spells.exit.max())
        assert (np.diff(borders) > 0).all()
        assert len(borders) <= 82
