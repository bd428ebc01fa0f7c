"""How far CDNOW can be predicted at all: models that are taught by the judged window itself, as nobody can be before.

python benchmarks/value/ceiling.py        prints one JSON document
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from run import cdnow_orders

from nextbest.models import clv_windows, pareto_nbd
from nextbest.models.evaluate import amount_metrics, mae, normalised_gini
from nextbest.models.grouping import histories
from nextbest.models.order_history import day_of, purchases
from nextbest.models.spend_trees import SpendTrees

FOLDS, HORIZON = 5, 273


def main() -> None:
    """Print the figures of both files."""
    print(json.dumps({name: ceiling(f"CDNOW_{name}.txt.gz") for name in ("master", "sample")}, indent=1))


def ceiling(file: str) -> dict[str, object]:
    """Give the out-of-fold metrics of trees taught by the judged window, and MAE of Pareto/NBD at the true total."""
    end = day_of(datetime(1998, 7, 1, tzinfo=UTC))
    cut = end - HORIZON
    bought = purchases(cdnow_orders(file), before_day=end)
    known, window = bought.between(0, cut), bought.between(cut, end)
    table, family = clv_windows.family_of(clv_windows.purchase_models(known, cut, HORIZON), known, cut, HORIZON)
    features = clv_windows.features_table(known, cut, 180, family, HORIZON)
    subject = table["subject"].to_numpy()
    actual = {"money": window.spent()[subject], "orders": window.sums()[subject]}
    found: dict[str, object] = {}
    for what, values in actual.items():
        said = out_of_fold(features, values)
        found[what] = amount_metrics(values, said)
        if what == "money":
            found["money_half_half_gini"] = normalised_gini(values, said / 2 + family["value"] / 2)
    rows = histories(table)
    orders = pareto_nbd.expected_purchases(pareto_nbd.fit_histories(rows).parameters, rows, float(HORIZON))[
        rows.inverse
    ]
    found["pareto_nbd_at_the_true_total_mae"] = mae(actual["orders"], orders * actual["orders"].sum() / orders.sum())
    return found


def out_of_fold(features: pa.Table, values: np.ndarray) -> np.ndarray:
    """Give predictions by trees that were taught by other customers of the same window."""
    fold = np.random.default_rng(0).permutation(len(values)) % FOLDS
    said = np.empty(len(values))
    for number in range(FOLDS):
        rest, held = (pa.array(np.flatnonzero(rows)) for rows in (fold != number, fold == number))
        model = SpendTrees().fit(features.take(rest), pa.table({"amount": values[fold != number]}))
        said[fold == number] = model.predict(features.take(held))["prediction"].to_numpy()
    return said


if __name__ == "__main__":
    main()
