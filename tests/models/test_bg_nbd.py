"""BG/NBD against the published fit, numerical integration and simulated customers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv
from scipy import stats

from nextbest import testing
from nextbest.errors import DataError, ModelError
from nextbest.models import bg_nbd
from nextbest.models.bg_nbd import BGNBD
from nextbest.models.grouping import group, histories
from nextbest.models.likelihood import read_estimate

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.models.grouping import Histories

PARAMETERS = {"r": 0.8, "alpha": 6.0, "a": 0.7, "b": 2.5}
HISTORIES = [(0, 0.0, 20.0), (1, 3.0, 20.0), (4, 18.0, 30.0), (9, 11.0, 39.0)]


def one(x: float, tx: float, t: float) -> Histories:
    """Give a single history."""
    return group(np.array([x]), np.array([tx]), np.array([t]))


def simulate(seed: int, customers: int, age: float, ahead: float = 0.0) -> tuple[np.ndarray, ...]:
    """Give (frequency, recency, purchases ahead) of customers who buy and leave as BG/NBD says, one by one."""
    random = np.random.default_rng(seed)
    rate = random.gamma(PARAMETERS["r"], 1 / PARAMETERS["alpha"], customers)
    leave = random.beta(PARAMETERS["a"], PARAMETERS["b"], customers)
    rows = []
    for lam, p in zip(rate, leave, strict=True):
        now, x, tx, later = 0.0, 0, 0.0, 0
        while True:
            now += random.exponential(1 / lam)
            if now > age + ahead:
                break
            if now <= age:
                x, tx = x + 1, now
            else:
                later += 1
            if random.random() < p:
                break
        rows.append((x, tx, later))
    return tuple(np.array(column, dtype=np.float64) for column in zip(*rows, strict=True))


def test_published_parameters(shared_data: Path) -> None:
    """The 2,357-customer CDNOW sample gives the parameters of Fader, Hardie & Lee (2005), table 2."""
    rows = histories(csv.read_csv(shared_data / "ltv-cdnow" / "cdnow_customers_summary.csv"))
    found = bg_nbd.fit_histories(rows)
    assert found.parameters == pytest.approx({"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426}, abs=5e-4)
    assert found.log_likelihood == pytest.approx(-9582.4, abs=0.05)
    assert found.converged


@pytest.mark.parametrize("history", HISTORIES)
def test_likelihood_is_the_integral_over_customers(history: tuple[float, float, float]) -> None:
    """The closed likelihood equals the individual likelihood (eq. 3) integrated over rate and leaving."""
    x, tx, t = history
    chance = (np.arange(1500) + 0.5) / 1500  # both priors by their quantiles
    lam = stats.gamma.ppf(chance, PARAMETERS["r"], scale=1 / PARAMETERS["alpha"])[:, None]
    p = stats.beta.ppf(chance, PARAMETERS["a"], PARAMETERS["b"])[None, :]
    stayed = (1 - p) ** x * lam**x * np.exp(-lam * t)
    left = p * (1 - p) ** (x - 1) * lam**x * np.exp(-lam * tx) if x > 0 else 0.0
    slow = np.mean(stayed + left)
    fast, _ = bg_nbd.log_likelihood(np.log(list(PARAMETERS.values())), one(*history))
    assert fast == pytest.approx(np.log(slow), abs=2e-3)


@pytest.mark.parametrize("theta", [[-0.2, 1.8, -0.4, 0.9], [1.0, -0.5, 0.5, 2.0], [-1.5, 2.5, -2.0, 3.0]])
def test_gradient_is_that_of_finite_differences(theta: list[float]) -> None:
    """The analytic gradient equals central differences of the log-likelihood."""
    x, tx, _ = simulate(3, 300, 30.0)
    rows = group(x, tx, np.full(300, 30.0))
    at = np.array(theta)
    _, gradient = bg_nbd.log_likelihood(at, rows)
    steps = 1e-5 * np.eye(4)
    slow = [(bg_nbd.log_likelihood(at + s, rows)[0] - bg_nbd.log_likelihood(at - s, rows)[0]) / 2e-5 for s in steps]
    assert gradient == pytest.approx(np.array(slow), rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(
    "parameters",
    [
        {**PARAMETERS, "a": a, "b": b}
        for a, b in [(0.7, 2.5), (1.0, 2.5), (19.0, 9999.0), (0.5, 1e5), (90.0, 60.0), (110.0, 60.0), (2e5, 1e6)]
    ],
)
@pytest.mark.parametrize("history", HISTORIES)
def test_expectation_is_the_sum_of_its_tail(parameters: dict[str, float], history: tuple[float, float, float]) -> None:
    """E[X] (eq. 10) equals the sum of P(X >= k), computed otherwise, where leaving varies much or hardly at all."""
    rows = one(*history)
    expected = bg_nbd.expected_purchases(parameters, rows, 26.0)
    slow = sum(bg_nbd.tail(parameters, rows, 26.0, np.array([float(k)]))[0] for k in range(1, 400))
    assert expected[0] == pytest.approx(slow, rel=1e-5)


def test_simulated_customers_do_what_is_expected() -> None:
    """Among customers simulated with known parameters, purchases ahead match the expectation in total and by group."""
    x, tx, later = simulate(11, 20_000, 26.0, 26.0)
    rows = group(x, tx, np.full(len(x), 26.0))
    expected = bg_nbd.expected_purchases(PARAMETERS, rows, 26.0)[rows.inverse]
    assert expected.sum() == pytest.approx(later.sum(), rel=0.04)
    for few, many in ((0, 0), (1, 2), (3, 100)):
        chosen = (x >= few) & (x <= many)
        error = 4 * later[chosen].std() / np.sqrt(chosen.sum())
        assert expected[chosen].mean() == pytest.approx(later[chosen].mean(), abs=error)


def test_known_parameters_come_back_inside_their_intervals() -> None:
    """Of the 4 x 6 true parameters of six simulated worlds, at least 20 are inside their 95% intervals."""
    inside = 0
    for seed in range(6):
        x, tx, _ = simulate(seed, 2500, 39.0)
        found = bg_nbd.fit_histories(group(x, tx, np.full(len(x), 39.0)))
        for name, truth in PARAMETERS.items():
            low, high = found.interval(name) or (np.nan, np.nan)
            inside += low <= truth <= high
    assert inside >= 20


def test_units_of_time_change_only_the_units() -> None:
    """Days instead of weeks give the same r, a, b, a seven times larger alpha and the same predictions."""
    x, tx, _ = simulate(5, 1500, 39.0)
    weeks, days = group(x, tx, np.full(1500, 39.0)), group(x, tx * 7, np.full(1500, 39.0 * 7))
    one_, other = bg_nbd.fit_histories(weeks).parameters, bg_nbd.fit_histories(days).parameters
    assert other["alpha"] == pytest.approx(7 * one_["alpha"], rel=1e-3)
    near = bg_nbd.expected_purchases(one_, weeks, 10.0)[weeks.inverse]
    assert bg_nbd.expected_purchases(other, days, 70.0)[days.inverse] == pytest.approx(near, rel=1e-3)


def test_newcomers_are_expected_to_buy_as_the_population_does() -> None:
    """E[X(t)] of an unknown customer (eq. 9) equals the mean count of simulated customers, and grows with time."""
    x, _, _ = simulate(7, 20_000, 26.0)
    curve = bg_nbd.expected_for_new(PARAMETERS, np.array([1.0, 13.0, 26.0]))
    assert np.all(np.diff(curve) > 0)
    assert curve[-1] == pytest.approx(x.mean(), abs=4 * x.std() / np.sqrt(len(x)))


def test_the_model_keeps_the_contract() -> None:
    """BGNBD passes the suite that every model passes."""
    x, tx, _ = simulate(9, 300, 30.0)
    table = pa.table({"frequency": x, "recency": np.round(tx, 1), "T": np.full(300, 30.0)})
    testing.check_model(BGNBD(horizon=10.0), table, table)


def test_histories_that_are_all_alike_have_an_expectation() -> None:
    """A hundred customers with three repeats in 60 days are expected to make 4.5 in the next 90, not NaN."""
    # The likelihood has no inner maximum there, and the closed form of the expectation overflows.
    table = pa.table({"frequency": np.full(100, 3.0), "recency": np.full(100, 60.0), "T": np.full(100, 60.0)})
    said = BGNBD(horizon=90.0).fit(table, table).predict(table)
    np.testing.assert_allclose(said["prediction"].to_numpy(), 4.5, rtol=1e-3)
    assert np.isfinite(said["low"].to_numpy()).all()


def test_an_unfitted_model_says_what_to_do() -> None:
    """Predicting before fitting is refused with the way out."""
    table = pa.table({"frequency": [1.0], "recency": [1.0], "T": [2.0]})
    with pytest.raises(ModelError, match="has not been fitted"):
        BGNBD().predict(table)
    with pytest.raises(ModelError, match="is damaged"):
        read_estimate({"parameters.json": b"{"}, "bg_nbd")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((1.0, -1.0, 5.0), "last order before the first order"),
        ((1.0, 6.0, 5.0), "after the end of the history"),
        ((0.0, 2.0, 5.0), "no repeat purchase but a recency"),
        ((1.5, 2.0, 5.0), "not a whole number"),
        ((0.0, 0.0, 0.0), "T of 0 or less"),
        ((np.nan, 0.0, 3.0), "missing or infinite"),
    ],
)
def test_impossible_histories_are_named(row: tuple[float, float, float], words: str) -> None:
    """A history that cannot be is refused with its row and what is wrong with it."""
    good = (2.0, 3.0, 5.0)
    columns = [np.array([g, w]) for g, w in zip(good, row, strict=True)]
    with pytest.raises(DataError, match=words):
        group(*columns)
