"""Publish a second model in a process that ends without a word at the n-th point of publishing: FOLDER N."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from nextbest.ledger import faults, open_ledger
from nextbest.models import serving
from nextbest.models.pareto_nbd import ParetoNBD
from nextbest.types import Fitted, Report

HISTORIES = pa.table({"frequency": [0.0, 1, 2, 5] * 50, "recency": [0.0, 20, 50, 90] * 50, "T": [100.0] * 200})


def fitted(model_id: str) -> Fitted:
    """Give a small fitted recipe; another id is another model."""
    draw = np.random.default_rng(len(model_id))
    rows = HISTORIES.set_column(2, "T", pa.array(100.0 + draw.integers(0, 9, 200)))
    report = Report(recipe="value", status="ok", rows=200, metrics={"auc": 0.9})
    return Fitted(
        model_id=model_id, recipe="value", settings={}, as_of="2026-01-01", report=report,
        parts={"purchases": ParetoNBD().fit(rows, rows)}, extra={},
    )  # fmt: skip


def main(folder: str, point: int) -> None:
    """Publish, and die at the point."""
    seen = 0

    def die(value: object) -> object:
        nonlocal seen
        seen += 1
        if seen == point:
            os._exit(9)
        return value

    with open_ledger(folder, clock=lambda: datetime(2026, 1, 2, tzinfo=UTC)) as ledger, faults.injected("publish", die):
        serving.publish(ledger, replace(fitted("value-new")), why="test")
    print(seen)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
