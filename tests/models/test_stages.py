"""Hazards by stage, what they make of a deal, and shrunken groups."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.models import shrink, stages
from nextbest.models.deal_history import STAYS, TO_LOST, TO_WON, Spells
from nextbest.models.stage_rates import lean, supported_weight


def some_spells(seed: int = 1, count: int = 4000) -> Spells:
    """Give spells of one stage with known rates: won 0.01 a day, lost 0.03; seen for at most 60 days."""
    draw = np.random.default_rng(np.random.SeedSequence([77, seed]))
    days = draw.exponential(25.0, count)
    leaves = np.where(draw.random(count) < 0.25, TO_WON, TO_LOST)
    start = np.zeros(count, np.int64)
    return Spells(
        deal=np.arange(count), stage=start, start=start, end=(np.minimum(days, 60.0) * 86_400).astype(np.int64),
        leaves=np.where(days > 60, STAYS, leaves),
    )  # fmt: skip


def test_rates_are_found_although_many_are_still_there() -> None:
    """The rates per day are those of the simulator, in every bin, though a tenth was never seen to leave."""
    hazards = stages.learn(some_spells(), stages=1)
    rates = hazards.mean()[0, 0]
    np.testing.assert_allclose(rates[-2], 0.01, rtol=0.25)
    np.testing.assert_allclose(rates[-1], 0.03, rtol=0.2)
    assert np.all(rates[0] == 0)


def test_chances_are_those_of_a_slow_simulation() -> None:
    """The chance to be won within a time is that of deals walked through their stages one by one."""
    rates = np.zeros((1, 2, 4, 1))
    rates[0, 0, :, 0] = [0.0, 0.05, 0.004, 0.02]
    rates[0, 1, :, 0] = [0.01, 0.0, 0.03, 0.01]
    chances = stages.won_by(rates, np.array([0.0]), steps=(20, 40), step_days=1.0)
    draw = np.random.default_rng(np.random.SeedSequence([78]))
    stage, state = np.zeros(40_000, np.int64), np.zeros(40_000, np.int64)
    stay = np.exp(-rates[0, :, :, 0].sum(axis=1))
    won = []
    for _ in range(40):
        share = rates[0, stage, :, 0] / rates[0, stage, :, 0].sum(axis=1, keepdims=True)
        leaves = (draw.random(len(stage)) > stay[stage]) & (state == 0)
        kind = (draw.random(len(stage))[:, None] > np.cumsum(share, axis=1)).sum(axis=1)
        state = np.where(leaves & (kind >= 2), kind, state)
        stage = np.where(leaves & (kind < 2), kind, stage)
        won.append((state == 2).mean())
    assert chances.by_age[0][0, 0, 0] == pytest.approx(won[19], abs=0.01)
    assert chances.by_age[1][0, 0, 0] == pytest.approx(won[39], abs=0.01)
    assert chances.fresh[40, 0, 0] == chances.by_age[1][0, 0, 0]


def test_draws_scatter_as_little_as_the_data_allow() -> None:
    """With a thousand wins the drawn rate has a standard error of about 3%, as a Poisson count has."""
    hazards = stages.learn(some_spells(), stages=1)
    wins = hazards.exits[0, -2].sum()
    drawn = hazards.draw(2000, np.random.default_rng(5))[:, 0, -2]
    total = (drawn * hazards.exposure[0]).sum(axis=1)
    assert total.mean() == pytest.approx(wins, rel=0.05)
    assert total.std() == pytest.approx(np.sqrt(wins), rel=0.2)


def test_a_stage_that_nobody_left_has_rates_of_all_stages() -> None:
    """Hazards are finite and above nothing where a stage has no exits of its own."""
    seen = some_spells(count=300)
    there = Spells(deal=seen.deal, stage=seen.stage, start=seen.start, end=seen.end, leaves=seen.leaves)
    rates = stages.learn(there, stages=2).mean()[0]
    assert np.isfinite(rates).all()
    assert np.all(rates[1, -2:] > 0)
    assert np.all(rates[:, :2] == 0)


@pytest.mark.parametrize(("spread", "least", "most"), [(0.0, 0.9, 1.1), (0.5, 0.0, 0.75)])
def test_groups_are_shrunk_by_how_much_they_differ(spread: float, least: float, most: float) -> None:
    """Groups that differ by chance alone are all alike; those that truly differ keep their factors."""
    draw = np.random.default_rng(np.random.SeedSequence([79]))
    true, expected = np.exp(draw.normal(0, spread, 40)), np.full(40, 30.0)
    found = shrink.factors(draw.poisson(expected * true).astype(np.float64), expected)
    assert least <= found.mean.min() <= most
    if spread:
        assert np.corrcoef(found.mean, true)[0, 1] > 0.85


def test_rates_of_small_groups_lean_on_the_common_rate() -> None:
    """Two wins of two is no win rate of one, and a group of hundreds keeps its own."""
    won, count = np.array([2.0, 260.0, 160.0, 90.0]), np.array([2.0, 400.0, 400.0, 200.0])
    weight = shrink.rate_weight(won, count)
    found = shrink.rates(won, count, common=512 / 1002, weight=weight)
    assert 0.51 < found[0] < 0.65
    assert found[1] == pytest.approx(0.65, abs=0.02)


@pytest.mark.parametrize("rows", [3, 20])
def test_the_weight_of_the_common_rate_is_that_of_the_prior(rows: int) -> None:
    """Groups with rates from Beta(1.6, 2.4), a prior of 4 rows, are given 4 rows, however few rows each has."""
    found = []
    for seed in range(40):
        draw = np.random.default_rng([seed, 81])
        won = draw.binomial(rows, draw.beta(1.6, 2.4, 300)).astype(np.float64)
        found.append(shrink.rate_weight(won, np.full(300, float(rows))))
    assert np.median(found) == pytest.approx(4, rel=0.15)


def test_the_model_counts_only_where_it_clearly_helps() -> None:
    """Noise gets no weight, a model that knows gets much, and no weight gives the stage's rate itself."""
    draw = np.random.default_rng(np.random.SeedSequence([80]))
    true = draw.uniform(0.05, 0.95, 600)
    actual = (draw.random(600) < true).astype(np.float64)
    stage = np.full(600, 0.5)
    assert supported_weight(stage, draw.uniform(0.3, 0.7, 600), actual) == 0
    assert supported_weight(stage, true, actual) >= 0.75
    assert lean(stage, true, 0.0) is stage
