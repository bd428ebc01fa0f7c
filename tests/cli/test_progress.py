"""Long work says how far it is, and the document stays alone on standard output."""

from __future__ import annotations

import csv
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_search_for_settings_says_how_far_it_is(nextbest: Callable[..., Any], tmp_path: Path) -> None:
    """Fit with tune_trials writes lines of progress to standard error, the report to standard output."""
    draw = random.Random(1)
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["who", "months", "left"])
        for who in range(150):
            months = draw.randint(0, 50)
            rows.writerow([f"c{who}", months, "yes" if draw.random() < 1 / (1 + 1.08**months) else "no"])
    nextbest("init", tmp_path / "acme")
    said = nextbest(
        "fit", "churn", "--table", tmp_path / "table.csv", "--id", "who", "--label", "left",
        "--set", "tune_trials=2", "--set", "monotone=months=down", "-w", tmp_path / "acme", "--json",
    )  # fmt: skip
    assert said.document["details"]["tuning"]["trials"] == 2
    assert said.document["details"]["monotone"] == {"months": "down"}
    assert "tuning: loss " in said.err
    scored = nextbest("predict", "churn", "-w", tmp_path / "acme", "--out", tmp_path / "out.csv", "--json")
    assert scored.document["rows"] == 150
