"""A small shop in a workspace, loaded once per test session through the command line, and a way to run commands."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nextbest.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path

CONFIG = """
name = "shop"
currency = "EUR"
margin = 0.4

[consent]
regime = "opt_in"

[plays.win_back]
audience = "orders_ever >= 2"
goal = "order"
goal_days = 30
value = "average_order_value"
holdout = 0.2
random = 0.2
policy = { name = "greedy", explore = 0.1 }

[[plays.win_back.actions]]
id = "coupon"
channel = "email"
cost = 0.1
eligibility = "revenue_365d > 10"
text = "5 off"
"""


@dataclass(frozen=True)
class Answer:
    """What a command printed and its exit status."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@pytest.fixture
def nextbest(capfd: pytest.CaptureFixture[str]) -> Any:
    """Run a command line in this process; gives its answer."""

    def call(*arguments: object) -> Answer:
        capfd.readouterr()
        status = run([str(a) for a in arguments])
        said = capfd.readouterr()
        return Answer(status=status, out=said.out, err=said.err)

    return call


@pytest.fixture
def orders(tmp_path: Path) -> Any:
    """Write a small file of orders; gives it and its number of rows."""

    def write(customers: int = 20) -> tuple[Path, int]:
        return tmp_path / "orders.csv", write_orders(tmp_path / "orders.csv", customers)

    return write


def write_orders(file: Path, customers: int = 300, seed: int = 5) -> int:
    """Write made-up orders of customers who buy every two weeks or so and may stop; gives the number of rows."""
    draw = np.random.default_rng(seed)
    rows = 0
    with file.open("w", newline="", encoding="utf-8") as target:
        lines = csv.writer(target)
        lines.writerow(["order_id", "customer_id", "email", "order_date", "total"])
        for customer in range(customers):
            stops = 365 if draw.random() < 0.6 else draw.integers(40, 300)
            day = int(draw.integers(0, 30))
            while day < stops:
                when = date(2025, 1, 1) + timedelta(days=day)
                mail = f"c{customer:03}@example.com"
                lines.writerow([f"o{rows}", f"{customer:03}", mail, when, round(float(draw.gamma(4, 10)), 2)])
                rows += 1
                day += 1 + int(draw.exponential(14))
    return rows


@pytest.fixture(scope="session")
def loaded_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with orders, never written to by a test."""
    folder = tmp_path_factory.mktemp("shop") / "shop"
    folder.mkdir()
    (folder / "nextbest.toml").write_text(CONFIG, encoding="utf-8")
    write_orders(folder.parent / "orders.csv")
    assert run(["load", str(folder.parent / "orders.csv"), "--as", "order", "-w", str(folder)]) == 0
    return folder


@pytest.fixture
def shop(loaded_shop: Path, tmp_path: Path) -> Path:
    """A copy of the loaded shop for one test."""
    return shutil.copytree(loaded_shop, tmp_path / "shop")
