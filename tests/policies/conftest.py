"""A workspace with one play, and subjects with predictions whose truth is nobody's business here."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from tests.clocks import Clock

from nextbest.ledger import create

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
ACTIONS = """[
  { id = "mail", channel = "email", cost = 0.01, assumed_log_odds = 0.2 },
  { id = "call", channel = "phone", cost = 3.0, assumed_log_odds = 0.8 },
  { id = "coupon", channel = "email", class = "money", cost = 1, assumed_log_odds=0.5, eligibility="orders_365d >= 2" },
  { id = "banner", class = "content", assumed_log_odds = 0.05 },
  { id = "task", class = "internal", cost = 0.5, assumed_log_odds = 0.1 },
]"""


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at a Monday noon in Berlin."""
    return Clock(NOW)


@pytest.fixture
def workspace(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Ledger]]:
    """Give a maker of workspaces with one play `win_back`; its lines of TOML are the argument."""
    opened = []

    def make(play: str = "", *, regime: str = "opt_out", actions: str = ACTIONS, head: str = "") -> Ledger:
        value = "" if "value" in play else 'value = "predicted_clv"\n'
        text = f'{head}\n[consent]\nregime = "{regime}"\n[plays.win_back]\n{value}{play}\nactions = {actions}\n'
        opened.append(create(tmp_path / f"w{len(opened)}", config_text=text, clock=clock))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.journal.close()


def subjects(n: int = 400, seed: int = 7) -> pa.Table:
    """Give subjects with predictions and one feature, in the order of their ids."""
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "subject_id": [f"s{i:07d}" for i in range(n)],
            "churn_probability": draw.uniform(0.02, 0.98, n),
            "predicted_clv": draw.gamma(2.0, 20.0, n),
            "orders_365d": draw.poisson(2.0, n).astype(float),
        }
    )
