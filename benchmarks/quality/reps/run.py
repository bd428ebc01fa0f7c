"""Visits of sales people to 1,000 physicians, judged on later months; and the reps of a CRM, whether they differ.

Run: python benchmarks/quality/reps/run.py
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from nextbest.recipes.rep_capacity import RepCapacity
from nextbest.recipes.rep_performance import RepPerformance

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> None:
    folder = DATA / "salesreps-detailing"
    known = csv.read_csv(folder / "demo.csv")
    kinds = [
        "general" if general else "specialist" if special else "other"
        for general, special in zip(known["generalphys"].to_pylist(), known["specialist"].to_pylist(), strict=True)
    ]
    accounts = pa.table({"id": known["id"].cast(pa.string()), "kind": kinds})
    recipe = RepCapacity(
        table=str(folder / "counts.csv"), response="scripts", effort="detailing", accounts=accounts, segment="kind"
    )
    report = recipe.fit(None, as_of=AS_OF).report
    print("| salesreps-detailing | mean absolute error | correlation | Poisson deviance |")
    print("|---|---|---|---|")
    for name, figures in {"nextbest": report.metrics, **report.baselines}.items():
        print(f"| {name} | {figures['mae']:.3f} | {figures['correlation']:.3f} | {figures['deviance']:.3f} |")
    print(f"\n{report.evaluation}; {report.rows:,} rows, {report.seconds:.1f} s. {report.why}\n")
    print("| segment | accounts | one more visit goes with | visits now | planned |")
    print("|---|---|---|---|---|")
    for row in report.details["segments"]:
        print(
            f"| {row['segment']} | {row['accounts']} | {row['return_of_one_more']:.3f} | {row['visits_now']:,.0f} "
            f"| {row['visits_planned']:,.0f} |"
        )
    reps = RepPerformance(
        table=str(DATA / "pipeline-maven-crm" / "sales_pipeline.csv"), rep="sales_agent", label="deal_stage",
        positive="Won", lost="Lost", days=("engage_date", "close_date"), mix=("product", "account"),
    )  # fmt: skip
    report = reps.fit(None, as_of=AS_OF).report
    print(f"\npipeline-maven-crm, {report.rows:,} deals: {report.why}")


if __name__ == "__main__":
    main()
