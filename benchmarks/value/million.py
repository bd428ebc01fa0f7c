"""The speed benchmark of one model, in a process of its own so that its peak memory is its own."""

from __future__ import annotations

import json
import resource
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from scipy import optimize, special

from nextbest.models.bg_nbd import BGNBD
from nextbest.models.grouping import histories
from nextbest.models.pareto_nbd import ParetoNBD

if TYPE_CHECKING:
    from collections.abc import Callable

HORIZON_DAYS = 90.0
REPEATS = 7  # in turns, and the best counts on both sides: what else runs on the machine is no property of either
MODELS = {"bg_nbd": BGNBD, "pareto_nbd": ParetoNBD}


def simulate(customers: int, step: int) -> pa.Table:
    """Give histories of customers who arrive over 12 weeks and are seen for 39, in steps of whole days."""
    random = np.random.default_rng(1)
    age = 273 - random.integers(0, 84 // step, customers) * float(step)
    rate = random.gamma(0.55, 1 / 74.0, customers)
    stay = random.exponential(1 / random.gamma(0.6, 1 / 82.0, customers))
    seen = np.minimum(age, stay)
    count = random.poisson(rate * seen)
    last = np.ceil(seen * random.uniform(size=customers) ** (1 / np.maximum(count, 1)) / step) * step
    recency = np.where(count > 0, np.minimum(last, age), 0.0)
    return pa.table({"frequency": count.astype(np.float64), "recency": recency, "T": age})


def ours(model: str, table: pa.Table) -> int:
    """Group, fit with standard errors, and predict for every customer; give how many predictions there are."""
    made = MODELS[model](horizon=HORIZON_DAYS, level=None)
    return made.fit(table, table).predict(table).num_rows


def bare(model: str, table: pa.Table) -> int:
    """Group by one sort, run scipy's L-BFGS, take the textbook expectation; give how many predictions there are."""
    loss, gradient, expectation = BARE[model]
    columns = [table[name].to_numpy() for name in ("frequency", "recency", "T")]
    packed = (columns[0] * 1000 + columns[1]) * 1000 + columns[2]
    _, first, inverse, counts = np.unique(packed, return_index=True, return_inverse=True, return_counts=True)
    x, tx, t = (column[first] for column in columns)
    unit = t.max()
    data = (x, tx / unit, t / unit, counts)
    found = optimize.minimize(loss, np.zeros(4), args=data, jac=gradient, method="L-BFGS-B")
    predicted = expectation(np.exp(found.x), *data[:3], HORIZON_DAYS / unit)[inverse]
    return len(predicted)


def bg_loss(theta: np.ndarray, x: np.ndarray, tx: np.ndarray, t: np.ndarray, n: np.ndarray) -> tuple[float, np.ndarray]:
    """Give minus the mean log-likelihood and its gradient."""
    r, alpha, a, b = np.exp(theta)
    some = x > 0
    stay = -(r + x) * np.log(alpha + t)
    gone = np.where(some, np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + tx), -np.inf)
    mix = np.logaddexp(stay, gone)
    value = (
        special.gammaln(r + x) - special.gammaln(r) + r * np.log(alpha)
        + special.gammaln(a + b) + special.gammaln(b + x) - special.gammaln(b) - special.gammaln(a + b + x) + mix
    )  # fmt: skip
    w, v = np.exp(stay - mix), np.exp(gone - mix)
    both = special.psi(a + b) - special.psi(a + b + x)
    slopes = [
        special.psi(r + x) - special.psi(r) + np.log(alpha) - w * np.log(alpha + t) - v * np.log(alpha + tx),
        r / alpha - (r + x) * (w / (alpha + t) + v / (alpha + tx)),
        both + v / a,
        both + special.psi(b + x) - special.psi(b) - v / np.where(some, b + x - 1, 1.0),
    ]
    gradient = np.array([n @ slope for slope in slopes]) * np.exp(theta)
    return -float(n @ value) / n.sum(), -gradient / n.sum()


def bg_expectation(p: np.ndarray, x: np.ndarray, tx: np.ndarray, t: np.ndarray, ahead: float) -> np.ndarray:
    """Give equation 10 of Fader, Hardie & Lee (2005) as printed."""
    r, alpha, a, b = p
    series = special.hyp2f1(r + x, b + x, a + b + x - 1, ahead / (alpha + t + ahead))
    top = (a + b + x - 1) / (a - 1) * (1 - ((alpha + t) / (alpha + t + ahead)) ** (r + x) * series)
    gone = np.where(x > 0, a / (b + np.maximum(x, 1) - 1) * ((alpha + t) / (alpha + tx)) ** (r + x), 0.0)
    return top / (1 + gone)


def _pareto_gone(p: np.ndarray, x: np.ndarray, tx: np.ndarray, t: np.ndarray) -> np.ndarray:
    r, alpha, s, beta = p
    large, second = (alpha, s + 1) if alpha >= beta else (beta, r + x)
    total = r + s + x
    near, far = (
        special.hyp2f1(total, second, total + 1, abs(alpha - beta) / (large + moment)) / (large + moment) ** total
        for moment in (tx, t)
    )
    return s / total * (near - far)


def pareto_loss(theta: np.ndarray, x: np.ndarray, tx: np.ndarray, t: np.ndarray, n: np.ndarray) -> float:
    """Give minus the mean log-likelihood as printed, with two hypergeometric functions."""
    p = np.exp(theta)
    r, alpha, s, beta = p
    inner = (alpha + t) ** -(r + x) * (beta + t) ** -s + _pareto_gone(p, x, tx, t)
    ratio = special.gammaln(r + x) - special.gammaln(r)
    return -float(n @ (ratio + r * np.log(alpha) + s * np.log(beta) + np.log(np.maximum(inner, 1e-300)))) / n.sum()


def pareto_expectation(p: np.ndarray, x: np.ndarray, tx: np.ndarray, t: np.ndarray, ahead: float) -> np.ndarray:
    """Give the conditional expectation as printed."""
    r, alpha, s, beta = p
    stay = (alpha + t) ** -(r + x) * (beta + t) ** -s
    alive = stay / (stay + _pareto_gone(p, x, tx, t))
    return alive * (r + x) * (beta + t) / ((alpha + t) * (s - 1)) * (1 - ((beta + t) / (beta + t + ahead)) ** (s - 1))


BARE = {"bg_nbd": (bg_loss, True, bg_expectation), "pareto_nbd": (pareto_loss, None, pareto_expectation)}


def main(model: str, grid: str, customers: str) -> None:
    """Print seconds of both sides (best of several, in turns), distinct rows, and the peak memory of ours."""
    table = simulate(int(customers), 7 if grid == "weeks" else 1)
    figures: dict[str, float] = {"rows": len(histories(table).age), "simulated_mb": peak_mb()}
    ours(model, table)  # the first run imports scipy
    figures["peak_mb"] = peak_mb()
    times = [(timed(ours, model, table), timed(bare, model, table)) for _ in range(REPEATS)]
    for place, side in enumerate(("ours", "bare")):
        figures[f"{side}_seconds"] = min(pair[place][0] for pair in times)
        figures[f"{side}_cpu_seconds"] = min(pair[place][1] for pair in times)
    print(json.dumps(figures))


def timed(side: Callable[[str, pa.Table], int], model: str, table: pa.Table) -> tuple[float, float]:
    """Give seconds and processor seconds of one run."""
    began, used = time.perf_counter(), time.process_time()
    if side(model, table) != table.num_rows:
        raise RuntimeError(f"{side.__name__} predicted for too few customers")
    return time.perf_counter() - began, time.process_time() - used


def peak_mb() -> float:
    """Give the most memory this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
