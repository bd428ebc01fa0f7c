"""Tables without leaks: real ones as published, drawn ones with strong but honest predictors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Base = tuple[pa.Table, Vector]

MOST_ROWS = 8_000
_HEADED = {
    "telco": ("churn-telco/Telco-Customer-Churn.csv", "Churn", "Yes"),
    "mlc": ("churn-mlc/mlc_churn.csv", "churn", "yes"),
    "campaign-personality": ("campaign-personality/marketing_data.csv", "Response", "1"),
    "wholesale": ("segments-wholesale/wholesale_customers.csv", "Channel", "2"),
    "orange juice": ("pricing-oj-choice/OJ.csv", "Purchase", "MM"),
}
_BARE = {
    "adult": ("fair-adult/adult-train.csv.gz", "f14", ">50K"),
    "german credit": ("fair-german-credit/german.csv", "f20", "2"),
}


def real(folder: Path) -> Iterator[tuple[str, Base]]:
    """Give name, honest columns and label of the real tables."""
    for names, headed in ((_HEADED, True), (_BARE, False)):
        for name, (file, label, positive) in names.items():
            options = csv.ReadOptions(autogenerate_column_names=not headed)
            table = csv.read_csv(folder / file, read_options=options)
            said = np.char.strip(np.array([str(v) for v in table[label].to_pylist()]))
            yield name, (table.drop_columns([label])[:MOST_ROWS], (said == positive).astype(np.float64)[:MOST_ROWS])


def scikit_learn() -> Iterator[tuple[str, Base]]:
    """Give the data sets that come with scikit-learn, every class of several against the others."""
    from sklearn import datasets

    for name in ("breast_cancer", "wine", "iris", "digits", "diabetes"):
        bunch = getattr(datasets, f"load_{name}")()
        table = pa.table({str(c): bunch.data[:, i] for i, c in enumerate(bunch.feature_names)})
        if name == "diabetes":
            yield name, (table, (bunch.target > np.median(bunch.target)).astype(np.float64))
            continue
        for label in np.unique(bunch.target)[: 1 if name == "breast_cancer" else None]:
            yield f"{name} {label}", (table, (bunch.target == label).astype(np.float64))


def drawn(seed: int, *, rows: int = 2_000, share: float = 0.25) -> Base:
    """Give a score of AUC 0.9, five weaker honest columns, a category, random gaps, and noise."""
    chance = np.random.default_rng([seed, 77])
    actual = (chance.random(rows) < share).astype(np.float64)
    columns: dict[str, object] = {"score": chance.normal(size=rows) + 1.8124 * actual}  # AUC = Phi(1.8124 / sqrt 2)
    for i in range(5):
        columns[f"honest{i}"] = chance.normal(size=rows) + 0.5 * actual
    columns["plan"] = np.where(chance.random(rows) < 0.3 + 0.4 * actual, "monthly", chance.choice(["one", "two"], rows))
    columns["gaps"] = pa.array(chance.normal(size=rows) + actual, mask=chance.random(rows) < 0.6)
    columns["form_left"] = pa.array(chance.normal(size=rows), mask=chance.random(rows) < 0.1 + 0.3 * (1 - actual))
    columns["region"] = np.char.add("r", chance.integers(0, 50, rows).astype(str))
    columns["signed_up"] = pa.array((17_000 + chance.integers(0, 1500, rows)).astype("datetime64[D]"))
    columns["first_order"] = pa.array((18_600 + chance.integers(0, 300, rows)).astype("datetime64[D]"))
    for i in range(8):
        columns[f"noise{i}"] = chance.normal(size=rows)
    return pa.table(columns), actual
