"""Public classification sets as bandit problems: what is known of a row, and the one action that would be right."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
Rows = tuple[list[dict[str, Any]], list[str]]
WORDS = 64
_MOST_VALUES = 30


def numbers(name: str) -> Rows:
    """Give one of scikit-learn's sets: digits, iris, wine, breast_cancer."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    rows = [{f"x{j}": float(v) for j, v in enumerate(row)} for row in found.data]
    return rows, [f"c{int(y)}" for y in found.target]


def flat(path: str, label: str, *leave_out: str, names: list[str] | None = None) -> Rows:
    """Give a flat file; ids and columns that are known afterwards only are left out, rare values become one."""
    read = csv.ReadOptions(column_names=names) if names else None
    table = csv.read_csv(DATA / path, read_options=read)
    table = table.drop_columns([c for c in leave_out if c in table.column_names])
    labels = [str(v).strip() for v in table[label].to_pylist()]
    columns = {c: _column(table[c]) for c in table.column_names if c != label}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)], labels


def _column(column: pa.ChunkedArray) -> list[Any]:
    if not pa.types.is_string(column.type):
        return [None if v is None else float(v) for v in column.to_pylist()]
    texts = [None if v is None or not v.strip() else v.strip() for v in column.to_pylist()]
    common = sorted(set(texts) - {None}, key=lambda t: -texts.count(t))[:_MOST_VALUES] if len(set(texts)) < 2000 else []
    return [t if t is None or t in common else "other" for t in texts]


def intents(classes: int) -> Rows:
    """Give the questions of the first so many intents, their words counted under hashes."""
    table = csv.read_csv(
        DATA / "intent-banking77" / "train.csv", parse_options=csv.ParseOptions(newlines_in_values=True)
    )
    kept = sorted(set(table["category"].to_pylist()))[:classes]
    rows, labels = [], []
    for text, label in zip(table["text"].to_pylist(), table["category"].to_pylist(), strict=True):
        if label in kept:
            counts = np.zeros(WORDS)
            for word in text.lower().split():
                counts[zlib.crc32(word.strip(".,?!'\"").encode()) % WORDS] += 1
            rows.append({f"w{j}": float(v) for j, v in enumerate(counts)})
            labels.append(label)
    return rows, labels


_ADULT = [
    "age", "work", "weight", "education", "years", "marital", "occupation", "relation", "race", "sex", "gain", "loss",
    "hours", "country", "income",
]  # fmt: skip
# Of the leads, what was noted after the talk is left out (see docs/reference/leaks.md).
_AFTERWARDS = ("Tags", "Lead Quality", "Last Activity", "Last Notable Activity", "Lead Profile")
SETS: dict[str, Callable[[], Rows]] = {
    "iris": lambda: numbers("iris"),
    "wine": lambda: numbers("wine"),
    "breast_cancer": lambda: numbers("breast_cancer"),
    "digits": lambda: numbers("digits"),
    "fair-adult": lambda: flat("fair-adult/adult-train.csv.gz", "income", names=_ADULT),
    "churn-telco": lambda: flat("churn-telco/Telco-Customer-Churn.csv", "Churn", "customerID"),
    "leads-x-education": lambda: flat(
        "leads-x-education/lead_scoring.csv.gz", "Converted", "Prospect ID", "Lead Number", *_AFTERWARDS
    ),
    "clicks-expedia channel": lambda: flat(
        "clicks-expedia/expedia.csv.gz", "channel", "date_time", "user_id", "srch_ci", "srch_co", "is_booking"
    ),
    "intent-banking77 (12)": lambda: intents(12),
}


def rounds(name: str, count: int, seed: int) -> Rows:
    """Give so many rounds of a set in an order of their own: shuffled; drawn with replacement when it is small."""
    rows, labels = SETS[name]()
    draw = np.random.default_rng([seed, 77])
    order = draw.permutation(len(rows))[:count] if len(rows) >= count else draw.integers(len(rows), size=count)
    return [rows[i] for i in order], [labels[i] for i in order]
