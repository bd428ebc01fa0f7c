"""When customers leave: churn-telco by five folds, beside Cox (lifelines) on the same subjects.

Run: python benchmarks/quality/when/run.py

Prints Markdown. The column that is tenure times price is not named to anybody: we find it, Cox is given the table
without it.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from nextbest.models import encode, folds, survival_metrics
from nextbest.recipes import when_rows
from nextbest.recipes.churn import Churn

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
METRICS = ("concordance", "integrated_brier", "log_loss", "calibration_gap")
PENALTY = 0.01


def cox(recipe: Churn, left_out: set[str]) -> float:
    """Give the C of Cox's model on levels and numbers, out of fold, on the columns that we learnt from."""
    import pandas as pd  # noqa: TID251 (lifelines demands a frame)
    from lifelines import CoxPHFitter

    rows = when_rows.read(recipe)
    encoder, matrix = encode.learn(rows.features.drop_columns(sorted(left_out & set(rows.features.column_names))))
    frame = pd.DataFrame(np.nan_to_num(matrix))
    frame = pd.get_dummies(frame, columns=list(encoder.categories), drop_first=True).astype(float)
    frame.columns = [f"x{i}" for i in range(frame.shape[1])]
    frame = frame.assign(t=rows.spells.exit, e=rows.spells.cause)
    fold = folds.assign(rows.spells.cause.astype(float), 5, seed=0)
    risk = np.zeros(len(frame))
    for k in range(5):
        made = CoxPHFitter(penalizer=PENALTY).fit(frame[fold != k], "t", "e")
        risk[fold == k] = made.predict_partial_hazard(frame[fold == k])
    return survival_metrics.concordance(rows.spells.exit, rows.spells.cause.astype(float), risk)


def main() -> int:
    file = DATA / "churn-telco" / "Telco-Customer-Churn.csv"
    if not file.is_file():
        print(f"The data is not at {DATA}; set NEXTBEST_SHARED_DATA.")
        return 1
    recipe = Churn(table=str(file), id="customerID", label="Churn", duration="tenure", unit="months")
    began = time.process_time()
    report = recipe.fit(None, as_of=AS_OF).report
    spent = time.process_time() - began
    print(f"| churn-telco, when | {' | '.join(METRICS)} | C 95% | CPU s |")
    print("|" + "---|" * (len(METRICS) + 3))
    low, high = report.intervals["concordance"]
    ours = " | ".join(f"{report.metrics[m]:.4f}" for m in METRICS)
    print(f"| nextbest | {ours} | {low:.3f} to {high:.3f} | {spent:.1f} |")
    for name, figures in report.baselines.items():
        print(f"| {name} | {' | '.join(f'{figures[m]:.4f}' for m in METRICS)} | | |")
    out = {x["column"] for x in report.left_out}
    try:
        print(f"| Cox (lifelines, penalty {PENALTY:g}) | {cox(recipe, out):.4f} | | | | | |")
    except ImportError:
        print("| Cox (lifelines is not installed) | | | | | | |")
    print(f"\nLeft out: {'; '.join(x['column'] + ' (' + x['why'] + ')' for x in report.left_out)}.")
    print(f"{report.why}\n")
    print("| months ahead from the beginning | largest gap of a tenth to Kaplan-Meier |\n|---|---|")
    for point in report.details["survival_calibration"]:
        print(f"| {point['time']:g} | {point['gap']:.4f} |")
    print("\n| leaves within 2 months, from now | predicted | observed | 95% of observed |\n|---|---|---|---|")
    for number, point in enumerate(report.details["calibration"], start=1):
        span = f"{point['low']:.4f} to {point['high']:.4f}"
        print(f"| tenth {number} | {point['predicted']:.4f} | {point['observed']:.4f} | {span} |")
    found = {"churn-when c": report.metrics["concordance"], "churn-when calibration": report.metrics["calibration_gap"]}
    for name, value in found.items():
        print(json.dumps({"figure": name, "value": value}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
