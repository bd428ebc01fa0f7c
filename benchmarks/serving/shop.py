"""What both services are asked: a model of 200 trees, and requests with 50 candidates of 30 features each."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import lightgbm
import numpy as np
import pyarrow as pa

from nextbest import operations
from nextbest.ledger import published

if TYPE_CHECKING:
    from pathlib import Path

TREES, CANDIDATES, FEATURES, SUBJECTS, BODIES = 200, 50, 30, 20_000, 512
STRIDE = 7919  # from one request's subject to the next; no divisor of SUBJECTS, so all are asked about in turn
NAMES = [f"f{i:02d}" for i in range(FEATURES)]
PLAY = "placement"
SUBJECT = "s?????"  # of the length of `subject`, so that the length of a request is known before
# Ten rules stand between a request and its answer: the stop switch, consent (opt-in), suppression, the audience (two
# conditions), the eligibility of an item (two conditions), two caps, and quiet hours; the policy explores.
CONFIG = f"""
name = "bench"
timezone = "UTC"

[server]
rate = 0

[consent]
regime = "opt_in"

[plays.{PLAY}]
audience = "orders_365d >= 1 and churn_probability < 0.99"
value = "average_order_value"
holdout = 0.05
policy = {{ name = "squarecb" }}
deadline_ms = 1000
caps = [{{ count = 100, days = 7 }}, {{ count = 200, days = 30, channel = "push" }}]
quiet_hours = {{ start = "00:00", end = "00:01", timezone = "UTC" }}
learner = {{ name = "boosted" }}

[[plays.{PLAY}.actions]]
id = "*"
channel = "push"
class = "outbound"
cost = 0.01
eligibility = "orders_365d >= 1 and average_order_value > 0"
"""


def train(file: Path) -> None:
    """Fit the model on made-up data and save it in LightGBM's own format."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(20_000, FEATURES))
    weight = rng.normal(size=FEATURES)
    y = (rng.random(len(x)) < 1 / (1 + np.exp(-(x @ weight) / 3 + 2))).astype(np.float64)
    settings = {"objective": "binary", "num_leaves": 31, "num_threads": 1, "verbose": -1, "seed": 7}
    fitted = lightgbm.train(settings, lightgbm.Dataset(x, y, feature_name=NAMES), num_boost_round=TREES)
    fitted.save_model(str(file))


def bodies() -> list[bytes]:
    """Give requests, each with its own candidates; whom one is about (`SUBJECT`) is put in when it is sent."""
    rng = np.random.default_rng(11)
    return [
        json.dumps(
            {
                "play": PLAY,
                "subject_id": SUBJECT,
                "context": {"page": "home", "hour": int(rng.integers(24))},
                "candidates": {
                    "ids": [f"item{k}" for k in rng.choice(5000, CANDIDATES, replace=False)],
                    "names": NAMES,
                    "values": np.round(rng.normal(size=(CANDIDATES, FEATURES)), 3).tolist(),
                },
            },
            separators=(",", ":"),
        ).encode()
        for _ in range(BODIES)
    ]


def subject(number: int) -> str:
    """Give the id of the customer whom the n-th request is about."""
    return f"s{number * STRIDE % SUBJECTS:05d}"


def make(folder: Path) -> str:
    """Make the model, the requests and the workspace in a folder; gives an API key."""
    train(folder / "model.txt")
    (folder / "bodies.txt").write_bytes(b"\n".join(bodies()))
    ids = [subject(i) for i in range(SUBJECTS)]
    with operations.create(folder / "shop", config_text=CONFIG) as ledger:
        rng = np.random.default_rng(3)
        known = {
            "subject_id": ids,
            "orders_365d": rng.integers(1, 9, SUBJECTS).astype(np.float64),
            "average_order_value": rng.gamma(4, 12, SUBJECTS),
            "churn_probability": rng.beta(2, 5, SUBJECTS),
        }
        published.publish(ledger, "churn", "churn-1", ledger.clock(), pa.table(known))
        waiting = [partial(operations.consent, ledger, i, allow=True, proof="bench", channel="push") for i in ids]
        with ThreadPoolExecutor(32) as threads:
            list(threads.map(lambda write: write(), waiting))
        _, key = operations.create_key(ledger, "decide")
    return key
