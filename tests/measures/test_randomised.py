from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from nextbest import registry
from nextbest.errors import ConfigError
from nextbest.measures.randomised import Randomised
from nextbest.measures.sample_ratio import sample_ratio
from nextbest.testing import check_measure
from nextbest.types import Statistics


def sums(values: np.ndarray) -> Statistics:
    """Give the sufficient statistics of some outcomes."""
    return Statistics(n=len(values), total=float(values.sum()), total_squares=float((values**2).sum()))


def test_every_registered_measure_keeps_the_contract() -> None:
    """A measure that is named in the registry passes the public contract suite with its defaults."""
    for name in registry.names("measures"):
        check_measure(registry.make("measures", name))


@pytest.mark.parametrize("seed", range(10))
def test_interval_equals_scipys_welch(seed: int) -> None:
    """Estimate, interval and p-value equal scipy's Welch test on the people themselves, for unequal arms."""
    draw = np.random.default_rng(seed)
    treated, control = draw.gamma(2, 3, draw.integers(30, 400)), draw.normal(5, draw.uniform(0.1, 9), 57)
    want = stats.ttest_ind(treated, control, equal_var=False)
    for level in (0.8, 0.95, 0.99):
        got = Randomised().effect(sums(treated), sums(control), level=level)
        interval = want.confidence_interval(level)
        assert (got.low, got.high) == pytest.approx((interval.low, interval.high), rel=1e-6, abs=1e-9)
        assert got.details["p_value"] == pytest.approx(want.pvalue, rel=1e-6, abs=1e-12)


def test_too_little_is_said_with_what_is_missing() -> None:
    """A small arm and outcomes that are all alike are not enough, and the reason names the arm."""
    few, many = sums(np.ones(29)), sums(np.arange(100.0))
    assert "treated arm has 29 subjects" in Randomised().effect(few, many).why
    assert "control arm has 29 subjects" in Randomised().effect(many, few).why
    flat = Randomised().effect(sums(np.ones(100)), sums(np.ones(100)))
    assert (flat.status, flat.estimate) == ("not_enough_data", None)
    assert "no variation" in flat.why


def test_impossible_settings_are_refused() -> None:
    """A level outside (0, 1) and arms of one are refused."""
    with pytest.raises(ConfigError, match="between 0 and 1"):
        Randomised().effect(sums(np.arange(50.0)), sums(np.arange(50.0)), level=95)
    with pytest.raises(ConfigError, match="least >= 2"):
        Randomised(least=1)


def test_sample_ratio_equals_scipys_chi_square() -> None:
    """The p-value equals scipy's for the same counts and shares."""
    counts, shares = {"policy": 8000, "random": 1100, "holdout": 900}, {"policy": 0.8, "random": 0.1, "holdout": 0.1}
    want = stats.chisquare([8000, 1100, 900], [8000, 1000, 1000]).pvalue
    assert sample_ratio(counts, shares).p_value == pytest.approx(want)


def test_sample_ratio_alarms_on_lost_subjects_only() -> None:
    """A holdout that lost a third alarms with the counts; a ratio by design, an absent arm and tiny arms do not."""
    design = {"policy": 0.9, "holdout": 0.1, "random": 0.0}
    lost = sample_ratio({"policy": 9000, "holdout": 670}, design)
    assert not lost.ok
    assert "holdout 670 instead of about 967" in lost.why
    assert sample_ratio({"policy": 9000, "holdout": 1000}, design).ok
    assert sample_ratio({"policy": 9000}, {"policy": 1.0, "holdout": 0.0}).ok
    assert sample_ratio({"policy": 3, "holdout": 2}, {"policy": 0.5, "holdout": 0.5}).ok
    assert sample_ratio({}, design).ok
