"""What feature selection and tuning change: AUC with and without, on the same rows, on real and on made-up tables.

Run: python benchmarks/quality/selection/run.py            selection
     python benchmarks/quality/selection/run.py --tuning   also tuning on the real files, some minutes (extra tune)

Selection is learnt inside of every fold. Tuning is searched on four fifths of the rows, and both the preset and what
was found are judged on the other fifth, five times over.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.models import evaluate, folds, leaks, tune
from nextbest.models.boosting import Boosting
from nextbest.recipes import judged
from nextbest.recipes.flat_table import Labelled, labelled, read

if TYPE_CHECKING:
    from nextbest.recipes.judged import Judged

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
FILES = {
    "churn-telco": ("churn-telco/Telco-Customer-Churn.csv", "Churn", "Yes", "customerID"),
    "churn-mlc": ("churn-mlc/mlc_churn.csv", "churn", "yes", None),
    "leads-x-education": ("leads-x-education/lead_scoring.csv.gz", "Converted", "1", "Prospect ID"),
    "fair-adult": ("fair-adult/adult-train.csv.gz", "14", ">50K", None),
    "fair-german-credit": ("fair-german-credit/german.csv", "20", "2", None),
}
WORLDS = {100: 5, 500: 5, 2_000: 3, 5_000: 5}  # how many are made up of so many columns
WIDE_ROWS, TRUE_COLUMNS = 300, 5
TUNED = ("churn-telco", "churn-mlc", "leads-x-education")
TRIALS, FOLDS = 15, 5


def real(name: str) -> Labelled:
    """Give a file with its leaks left out."""
    path, label, positive, id_column = FILES[name]
    rows = labelled(read(DATA / path), label=label, positive=positive, id_column=id_column)
    found = [x["column"] for x in leaks.find(rows.features, rows.actual)]
    return Labelled(
        subject_ids=rows.subject_ids, features=rows.features.drop_columns(found), actual=rows.actual,
        positive=rows.positive,
    )  # fmt: skip


def wide(columns: int, seed: int) -> tuple[pa.Table, np.ndarray]:
    """Give few rows with so many columns of which five tell something, a little or more."""
    draw = np.random.default_rng([seed, columns])
    values = draw.normal(size=(WIDE_ROWS, columns))
    score = values[:, :TRUE_COLUMNS] @ np.array([1.2, -1.0, 0.8, -0.6, 0.5])
    actual = (draw.random(WIDE_ROWS) < 1 / (1 + np.exp(-score))).astype(float)
    order = draw.permutation(columns)
    return pa.table({f"c{i}": values[:, i] for i in order}), actual


def compared(features: pa.Table, actual: np.ndarray) -> tuple[Judged, Judged, int, float, float]:
    """Give the judgement without and with selection, how many columns stayed, and the seconds of either."""
    found, took = [], []
    for select in ("none", "auto"):
        began = time.process_time()
        found.append(judged.learn(features, actual, Boosting(select=select, num_threads=1)))
        took.append(time.process_time() - began)
    return found[0].judged, found[1].judged, len(found[1].model.columns), took[0], took[1]


def line(name: str, features: pa.Table, actual: np.ndarray) -> float:
    """Print the row of one table; give the difference in AUC."""
    without, chosen, kept, plain, took = compared(features, actual)
    difference, low, high = evaluate.auc_difference(actual, chosen.ours, without.ours)
    print(
        f"| {name} | {len(actual):,} | {features.num_columns:,} | {kept:,} | {without.metrics()['auc']:.4f} "
        f"| {chosen.metrics()['auc']:.4f} | {difference:+.4f} ({low:+.4f} to {high:+.4f}) | {plain:.1f} | {took:.1f} |",
        flush=True,
    )
    return difference


def selection() -> None:
    """Print selection against none."""
    print(
        "| table | rows | columns | kept | AUC, all columns | AUC, selected | difference (95%) | s | s with selection |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for name in FILES if DATA.is_dir() else ():
        rows = real(name)
        line(name, rows.features, rows.actual)
    for columns, worlds in WORLDS.items():
        gains = [line(f"made up, 5 true of {columns:,}, {seed}", *wide(columns, seed)) for seed in range(worlds)]
        print(f'{{"figure": "selection gain {columns}", "value": {np.mean(gains):.4f}}}', flush=True)


def tuning() -> None:
    """Print what a search finds, judged on rows that neither taught nor were searched on."""
    print("\n| table | trials, five times | AUC, preset | AUC, searched | difference (95%) | changed by it | s |")
    print("|---|---|---|---|---|---|---|")
    for name in TUNED if DATA.is_dir() else ():
        rows = real(name)
        began = time.process_time()
        plain, tuned, changed = _tuned(rows)
        difference, low, high = evaluate.auc_difference(rows.actual, tuned, plain)
        took = time.process_time() - began
        print(
            f"| {name} | {TRIALS} | {evaluate.auc(rows.actual, plain):.4f} | {evaluate.auc(rows.actual, tuned):.4f} "
            f"| {difference:+.4f} ({low:+.4f} to {high:+.4f}) | {changed} of {FOLDS} | {took:.0f} |"
        )
        print(f'{{"figure": "tuning gain {name}", "value": {difference:.4f}}}', flush=True)


def _tuned(rows: Labelled) -> tuple[np.ndarray, np.ndarray, int]:
    """Give the probabilities with the preset and with what was found on the other folds, and how often it differs."""
    fold = folds.assign(rows.actual, FOLDS, seed=1)
    plain, tuned, changed = np.zeros(len(fold)), np.zeros(len(fold)), 0
    for number in range(FOLDS):
        learning, judging = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        features, actual = rows.features.take(learning), rows.actual[learning]
        found = tune.search(Boosting(num_threads=1), features, actual, trials=TRIALS)
        changed += bool(found.settings)
        for said, settings in ((plain, {}), (tuned, found.settings)):
            model = Boosting(num_threads=1, tuned=settings).fit(features, pa.table({"label": actual}))
            said[judging] = model.predict(rows.features.take(judging))["prediction"].to_numpy()
    return plain, tuned, changed


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tuning", action="store_true", help="also tune on the real files")
    asked = parser.parse_args()
    selection()
    if asked.tuning:
        tuning()
    return 0


if __name__ == "__main__":
    sys.exit(main())
