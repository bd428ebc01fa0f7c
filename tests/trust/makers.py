"""Models whose answers are known, and a table for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

Formula = Callable[[pa.Table], np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A model that answers by a formula; it does not say what each column adds."""

    formula: Formula
    columns: tuple[str, ...] = ("days", "orders", "plan", "noise")
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give itself: there is nothing to learn."""
        del features, label
        return self

    def predict(self, features: pa.Table) -> pa.Table:
        """Give what the formula says."""
        return pa.table({"prediction": np.asarray(self.formula(features), dtype=np.float64)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Adding:
    """A model with a method of its own that says what each column adds."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give itself."""
        del features, label
        return self

    def predict(self, features: pa.Table) -> pa.Table:
        """Give the sum of what the columns add."""
        _, shares = self.contributions(features)
        return pa.table({"prediction": shares.sum(axis=1)})

    def contributions(self, features: pa.Table) -> tuple[tuple[str, ...], np.ndarray]:
        """Give 2 points a day, minus 1 per order, and a base of 5."""
        days, orders = column(features, "days"), column(features, "orders")
        return ("days", "orders"), np.column_stack([2 * days, -orders, np.full(len(days), 5.0)])


def column(table: pa.Table, name: str) -> np.ndarray:
    """Give a column as numbers."""
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)


def rows(count: int = 600, seed: int = 3) -> pa.Table:
    """Give made-up rows: days and orders on whole numbers, three plans, and noise."""
    draw = np.random.default_rng(seed)
    return pa.table(
        {
            "days": draw.integers(0, 60, count).astype(np.float64),
            "orders": draw.integers(0, 20, count).astype(np.float64),
            "plan": draw.choice(["basic", "pro", "team"], count),
            "noise": draw.normal(size=count),
        }
    )


def is_plan(table: pa.Table, name: str) -> np.ndarray:
    """Tell which rows have a plan."""
    return np.array([value == name for value in table["plan"].to_pylist()])
