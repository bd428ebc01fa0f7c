"""Pareto/NBD against the published fit, the hypergeometric likelihood, integration and simulated customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from scipy import integrate, special, stats

from nextbest import testing
from nextbest.models import pareto_nbd
from nextbest.models.grouping import group, histories
from nextbest.models.pareto_nbd import ParetoNBD

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.models.grouping import Histories

PARAMETERS = {"r": 0.7, "alpha": 9.0, "s": 0.6, "beta": 12.0}
HISTORIES = [(0, 0.0, 20.0), (1, 3.0, 20.0), (4, 18.0, 30.0), (9, 11.0, 39.0)]


def one(x: float, tx: float, t: float) -> Histories:
    """Give a single history."""
    return group(np.array([x]), np.array([tx]), np.array([t]))


def simulate(seed: int, customers: int, age: float, ahead: float = 0.0) -> tuple[np.ndarray, ...]:
    """Give (frequency, recency, purchases ahead) of customers who buy and leave as Pareto/NBD says."""
    random = np.random.default_rng(seed)
    rate = random.gamma(PARAMETERS["r"], 1 / PARAMETERS["alpha"], customers)
    leaving = random.gamma(PARAMETERS["s"], 1 / PARAMETERS["beta"], customers)
    stay = random.exponential(1 / leaving)
    rows = []
    for lam, life in zip(rate, stay, strict=True):
        times = np.sort(random.uniform(0, age + ahead, random.poisson(lam * (age + ahead))))
        times = times[times <= life]
        seen = times[times <= age]
        rows.append((len(seen), seen[-1] if len(seen) else 0.0, len(times) - len(seen)))
    return tuple(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))


def hypergeometric_likelihood(parameters: dict[str, float], x: float, tx: float, t: float) -> float:
    """Give the log-likelihood as Fader & Hardie (2005) write it, with two Gaussian hypergeometric functions."""
    r, alpha, s, beta = (parameters[n] for n in ("r", "alpha", "s", "beta"))
    large, small, second = (alpha, beta, s + 1) if alpha >= beta else (beta, alpha, r + x)

    def part(moment: float) -> float:
        z = (large - small) / (large + moment)
        return special.hyp2f1(r + s + x, second, r + s + x + 1, z) / (large + moment) ** (r + s + x)

    inner = (alpha + t) ** -(r + x) * (beta + t) ** -s + s / (r + s + x) * (part(tx) - part(t))
    return special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + s * np.log(beta) + np.log(inner)


def test_published_parameters(shared_data: Path) -> None:
    """The 2,357-customer CDNOW sample gives the parameters in Fader, Hardie & Lee (2005), table 2."""
    rows = histories(csv.read_csv(shared_data / "ltv-cdnow" / "cdnow_customers_summary.csv"))
    found = pareto_nbd.fit_histories(rows)
    assert found.parameters["r"] == pytest.approx(0.553, abs=5e-4)
    assert found.parameters["alpha"] == pytest.approx(10.58, abs=5e-3)
    assert found.parameters["s"] == pytest.approx(0.606, abs=5e-4)
    assert found.parameters["beta"] == pytest.approx(11.67, abs=5e-3)
    assert found.log_likelihood == pytest.approx(-9595.0, abs=0.05)
    assert found.converged


@pytest.mark.parametrize("parameters", [PARAMETERS, {"r": 0.5, "alpha": 14.0, "s": 0.9, "beta": 3.0}])
@pytest.mark.parametrize("history", HISTORIES)
def test_likelihood_is_the_published_one(parameters: dict[str, float], history: tuple[float, float, float]) -> None:
    """The integral by nodes equals the published difference of hypergeometric functions, either scale the larger."""
    theta = np.log(list(parameters.values()))
    fast = pareto_nbd.log_likelihood(theta, one(*history))[0]
    assert fast == pytest.approx(hypergeometric_likelihood(parameters, *history), rel=1e-10)
    assert pareto_nbd.log_likelihood_rows(theta, one(*history))[0] == pytest.approx(fast, rel=1e-12)


@pytest.mark.parametrize("x", [1, 40, 700])
@pytest.mark.parametrize(("alpha", "beta"), [(0.001, 3000.0), (3000.0, 0.001), (5.0, 5.0)])
def test_likelihood_holds_where_the_published_form_cancels(x: int, alpha: float, beta: float) -> None:
    """Frequent buyers and extreme scales give the value of adaptive integration in logarithms."""
    r, s, tx, t = 0.8, 0.9, 100.0, 365.0
    theta = np.log([r, alpha, s, beta])
    start = -(r + x) * np.log(alpha + tx) - (s + 1) * np.log(beta + tx)

    def height(u: float) -> float:
        return np.exp(-(r + x) * np.log(alpha + u) - (s + 1) * np.log(beta + u) - start)

    area, _ = integrate.quad(height, tx, t, epsabs=0, epsrel=1e-11, limit=500, points=[tx + 1, tx + 20])
    inner = np.logaddexp(-(r + x) * np.log(alpha + t) - s * np.log(beta + t), np.log(s * area) + start)
    slow = special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha) + s * np.log(beta) + inner
    assert pareto_nbd.log_likelihood(theta, one(x, tx, t))[0] == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("theta", [[-0.2, 1.8, -0.4, 0.9], [1.0, 0.5, 0.5, 3.0], [-1.5, 2.5, -2.0, 2.5]])
def test_gradient_is_that_of_finite_differences(theta: list[float]) -> None:
    """The analytic gradient equals central differences of the log-likelihood."""
    x, tx, _ = simulate(3, 300, 30.0)
    rows = group(x, tx, np.full(300, 30.0))
    at = np.array(theta)
    _, gradient = pareto_nbd.log_likelihood(at, rows)
    steps = 1e-5 * np.eye(4)
    slow = [
        (pareto_nbd.log_likelihood(at + s, rows)[0] - pareto_nbd.log_likelihood(at - s, rows)[0]) / 2e-5 for s in steps
    ]
    assert gradient == pytest.approx(np.array(slow), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize("history", HISTORIES)
def test_probability_alive_is_the_posterior_of_staying(history: tuple[float, float, float]) -> None:
    """P(alive) equals the share of the likelihood with leaving after T, integrated over both rates."""
    x, tx, t = history
    r, alpha, s, beta = PARAMETERS.values()
    chance = (np.arange(1500) + 0.5) / 1500  # both priors by their quantiles
    lam = stats.gamma.ppf(chance, r, scale=1 / alpha)[:, None]
    mu = stats.gamma.ppf(chance, s, scale=1 / beta)[None, :]
    alive = (lam**x * np.exp(-(lam + mu) * t)).sum()
    gone = (lam**x * mu / (lam + mu) * (np.exp(-(lam + mu) * tx) - np.exp(-(lam + mu) * t))).sum()
    fast = pareto_nbd.probability_alive(PARAMETERS, one(*history))[0]
    assert fast == pytest.approx(alive / (alive + gone), rel=0.01)


@pytest.mark.parametrize("parameters", [PARAMETERS, {**PARAMETERS, "s": 1.0}, {**PARAMETERS, "s": 3.0, "beta": 70.0}])
@pytest.mark.parametrize("history", HISTORIES)
def test_expectation_is_the_sum_of_its_tail(parameters: dict[str, float], history: tuple[float, float, float]) -> None:
    """E[X] in closed form equals the sum of P(X >= k), which is integrated over the stay."""
    rows = one(*history)
    expected = pareto_nbd.expected_purchases(parameters, rows, 26.0)
    slow = sum(pareto_nbd.tail(parameters, rows, 26.0, np.array([float(k)]))[0] for k in range(1, 400))
    assert expected[0] == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("history", HISTORIES)
def test_no_purchase_ahead_is_a_ratio_of_likelihoods(history: tuple[float, float, float]) -> None:
    """P(no purchase in the horizon) equals the likelihood of the same purchases seen for longer over that of now."""
    x, tx, t = history
    theta = np.log(list(PARAMETERS.values()))
    now, then = (pareto_nbd.log_likelihood_rows(theta, one(x, tx, age))[0] for age in (t, t + 26.0))
    some = pareto_nbd.tail(PARAMETERS, one(*history), 26.0, np.array([1.0]))[0]
    assert 1 - some == pytest.approx(np.exp(then - now), rel=1e-5)


def test_simulated_customers_do_what_is_expected() -> None:
    """Among simulated customers, purchases ahead match the expectation, and the interval holds its share or more."""
    x, tx, later = simulate(11, 20_000, 26.0, 26.0)
    rows = group(x, tx, np.full(len(x), 26.0))
    expected = pareto_nbd.expected_purchases(PARAMETERS, rows, 26.0)[rows.inverse]
    assert expected.sum() == pytest.approx(later.sum(), rel=0.04)
    for few, many in ((0, 0), (1, 2), (3, 100)):
        chosen = (x >= few) & (x <= many)
        error = 4 * later[chosen].std() / np.sqrt(chosen.sum())
        assert expected[chosen].mean() == pytest.approx(later[chosen].mean(), abs=error)
    table = pa.table({"frequency": x, "recency": tx, "T": np.full(len(x), 26.0)})
    said = ParetoNBD(horizon=26.0).fit(table, table).predict(table)
    held = (later >= said["low"].to_numpy()) & (later <= said["high"].to_numpy())
    assert held.mean() >= 0.89


def test_waiting_time_is_that_of_simulated_buyers() -> None:
    """Half of those who stay have bought again by the median wait given by their history."""
    random = np.random.default_rng(2)
    x, t = 3.0, 26.0
    rate = random.gamma(PARAMETERS["r"] + x, 1 / (PARAMETERS["alpha"] + t), 40_000)
    wait = pareto_nbd.waiting_time(PARAMETERS, one(x, 20.0, t), 0.5)[0]
    assert np.mean(random.exponential(1 / rate) <= wait) == pytest.approx(0.5, abs=0.01)


def test_known_parameters_come_back_inside_their_intervals() -> None:
    """Of the 4 x 6 true parameters of six simulated worlds, at least 20 are inside their 95% intervals."""
    inside = 0
    for seed in range(6):
        x, tx, _ = simulate(seed, 2500, 39.0)
        found = pareto_nbd.fit_histories(group(x, np.round(tx, 1), np.full(len(x), 39.0)))
        for name, truth in PARAMETERS.items():
            low, high = found.interval(name) or (np.nan, np.nan)
            inside += low <= truth <= high
    assert inside >= 20


def test_newcomers_are_expected_to_buy_as_the_population_does() -> None:
    """E[X(t)] of an unknown customer equals the mean count of simulated customers."""
    x, _, _ = simulate(7, 20_000, 26.0)
    curve = pareto_nbd.expected_for_new(PARAMETERS, np.array([13.0, 26.0]))
    assert curve[-1] == pytest.approx(x.mean(), abs=4 * x.std() / np.sqrt(len(x)))


def test_the_model_keeps_the_contract() -> None:
    """ParetoNBD passes the suite that every model passes."""
    x, tx, _ = simulate(9, 300, 30.0)
    table = pa.table({"frequency": x, "recency": np.round(tx, 1), "T": np.full(300, 30.0)})
    testing.check_model(ParetoNBD(horizon=10.0), table, table)


def test_customers_who_never_leave_still_give_predictions() -> None:
    """Regular buyers, for whom the leaving rate has no inner maximum, give finite parameters and sane counts."""
    random = np.random.default_rng(4)
    x = random.poisson(20, 400).astype(float) + 1
    table = pa.table(
        {"frequency": x, "recency": 300 - random.integers(0, 9, 400).astype(float), "T": np.full(400, 300.0)}
    )
    said = ParetoNBD(horizon=30.0).fit(table, table).predict(table)
    assert said["prediction"].to_numpy().sum() == pytest.approx(x.sum() / 10, rel=0.1)
    assert said["probability_alive"].to_numpy().min() > 0.5
