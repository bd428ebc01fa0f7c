"""The log against what is drawn: the same people decided for again and again, with capacity, eligibility and faults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from tests.truth.test_loop import START

from nextbest.ledger import create
from nextbest.policies.decide import decide_bulk

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.ledger import Ledger

N = 120
IDS = ("mail", "call", "coupon", "none")
TOML = """
[consent]
regime = "opt_out"
[plays.p]
value = "predicted_clv"
holdout = 0.2
random = 0.2
max_actions = 60
actions = [
  { id = "mail", channel = "email", cost = 0.01, assumed_log_odds = 0.2 },
  { id = "call", channel = "phone", cost = 3.0, assumed_log_odds = 0.8, max_per_day = 20 },
  { id = "coupon", channel = "email", class = "money", cost = 1, assumed_log_odds=0.5, eligibility="orders_365d >= 2" },
]
"""


def people() -> pa.Table:
    """Give subjects, one in ten of them without a prediction."""
    rng = np.random.default_rng(5)
    churn = pa.array(rng.uniform(0.1, 0.9, N), mask=np.arange(N) % 10 == 0)
    orders = rng.poisson(2.0, N).astype(float)
    ids = [f"c{i}" for i in range(N)]
    clv = rng.lognormal(3, 1, N)
    return pa.table({"subject_id": ids, "churn_probability": churn, "predicted_clv": clv, "orders_365d": orders})


def audit(ledger: Ledger, times: int) -> tuple[np.ndarray, np.ndarray]:
    """Give the logged probability and the real share of every action, shape (subjects, actions), over many salts."""
    logged = np.zeros((N, len(IDS)))
    drawn = np.zeros((N, len(IDS)))
    for salt in range(times):
        play = ledger.config.plays["p"]
        rows = decide_bulk(ledger, play, people(), as_of=START, mode="replay", salt=f"s{salt}").table.to_pylist()
        for i, row in enumerate(rows):
            given = {c["action_id"]: c["choice_probability"] for c in row["candidates"]}
            logged[i] = [given[a] for a in IDS]
            assert row["choice_probability"] == given[row["action_id"]]
            drawn[i, IDS.index(row["action_id"])] += 1
    return logged, drawn / times


@pytest.mark.slow
@pytest.mark.parametrize("times", [200, pytest.param(2000, marks=pytest.mark.nightly)])
def test_the_logged_probability_is_the_real_share(tmp_path: Path, times: int) -> None:
    """Over many salts every action is drawn as often as the log says, within chance; what is removed never."""
    with create(tmp_path / "w", config_text=TOML, clock=lambda: START) as ledger:
        logged, drawn = audit(ledger, times)
    np.testing.assert_allclose(logged.sum(axis=1), 1.0)
    assert not drawn[logged == 0].any()
    certain = logged >= 1 - 1e-9
    assert (drawn[certain] == 1).all()
    open_ = (logged > 0) & ~certain
    z = (drawn - logged)[open_] / np.sqrt(logged * (1 - logged) / times)[open_]
    assert np.abs(z).max() < 4.5  # of some 200 cells one beyond 4.5 comes once in 700 runs
    assert 0.8 < z.std() < 1.25
    total = (drawn.sum(axis=0) - logged.sum(axis=0)) / np.sqrt((logged * (1 - logged)).sum(axis=0) / times)
    assert np.abs(total).max() < 3.5
