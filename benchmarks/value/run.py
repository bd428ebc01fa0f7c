"""Value: the published parameters, the money of 23,570 real customers out of time, and a million customers in seconds.

    python benchmarks/value/run.py            prints one JSON document and writes results.md beside this file

Real data is read from NEXTBEST_SHARED_DATA, else from ../shared/data beside the repository.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import sys
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from nextbest.models import bg_nbd, gamma_gamma, pareto_nbd
from nextbest.models.grouping import histories
from nextbest.recipes.value import Value

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", HERE.parents[2] / "shared" / "data"))
PUBLISHED = {
    "bg_nbd": {"r": 0.243, "alpha": 4.414, "a": 0.793, "b": 2.426, "log_likelihood": -9582.4},
    "pareto_nbd": {"r": 0.553, "alpha": 10.58, "s": 0.606, "beta": 11.67, "log_likelihood": -9595.0},
    "gamma_gamma": {"p": 6.25, "q": 3.74, "gamma": 15.44},
}
SIDES = (
    "Ours: grouping, fit with standard errors, orders and chance of being alive for every customer. Bare: grouping by "
    "one sort, scipy's L-BFGS with its default tolerances on the textbook likelihood, and the textbook expectation; "
    "BG/NBD with an analytic gradient, Pareto/NBD, which has none in closed form, without. Both in turns in one "
    "process, best of seven; the peak is that of ours with the simulated table."
)


def main() -> None:
    """Print the figures as JSON and write them as a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--customers", type=int, default=1_000_000)
    customers = arguments.parse_args().customers
    figures = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "anchors": anchors(),
        "cdnow": cdnow("CDNOW_master.txt.gz"),
        "cdnow_sample": cdnow("CDNOW_sample.txt.gz"),
        "completejourney": completejourney(),
        "speed": [speed(model, grid, customers) for model in ("bg_nbd", "pareto_nbd") for grid in ("weeks", "days")],
    }
    (HERE / "results.md").write_text(markdown(figures), encoding="utf-8")
    print(json.dumps(figures, indent=1))


def anchors() -> dict[str, dict[str, dict[str, float]]]:
    """Give published and found parameters on the 2,357-customer sample."""
    rows = histories(csv.read_csv(DATA / "ltv-cdnow" / "cdnow_customers_summary.csv"))
    spent: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    with gzip.open(DATA / "ltv-cdnow" / "CDNOW_sample.txt.gz", "rt") as lines:
        for line in lines:
            _, customer, day, _, money = line.split()
            if day <= "19970930":
                spent[customer][day] += float(money)
    repeats = [[days[d] for d in sorted(days)[1:]] for days in spent.values()]
    means = np.array([np.mean(r) if r else 0.0 for r in repeats])
    fitted = {
        "bg_nbd": bg_nbd.fit_histories(rows),
        "pareto_nbd": pareto_nbd.fit_histories(rows),
        "gamma_gamma": gamma_gamma.fit_values(np.array([float(len(r)) for r in repeats]), means),
    }
    found = {name: {**f.parameters, "log_likelihood": f.log_likelihood} for name, f in fitted.items()}
    return {
        model: {name: {"published": value, "found": found[model][name]} for name, value in values.items()}
        for model, values in PUBLISHED.items()
    }


def cdnow(file: str) -> dict[str, object]:
    """Give the report of the recipe on CDNOW: 39 weeks known, 39 weeks judged."""
    customers, moments, money = [], [], []
    with gzip.open(DATA / "ltv-cdnow" / file, "rt") as lines:
        for line in lines:
            customer, *_, day, _, value = line.split()
            if day.isdigit():
                customers.append(customer)
                moments.append(datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC))
                money.append(float(value))
    orders = pa.table(
        {"subject_id": customers, "ts": pa.array(moments, pa.timestamp("us", tz="UTC")), "revenue": money}
    )
    return judged(Value(horizon_days=273), orders, datetime(1998, 7, 1, tzinfo=UTC))


def completejourney() -> dict[str, object]:
    """Give the report on a year of grocery baskets: history to 1 October, the last quarter judged."""
    lines = parquet.read_table(
        DATA / "retail-completejourney" / "transactions.parquet",
        columns=["household_id", "basket_id", "transaction_timestamp", "sales_value"],
    )
    baskets = lines.group_by(["household_id", "basket_id"]).aggregate(
        [("transaction_timestamp", "min"), ("sales_value", "sum")]
    )
    orders = pa.table(
        {
            "subject_id": baskets["household_id"].cast(pa.string()),
            "ts": baskets["transaction_timestamp_min"].cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
            "revenue": baskets["sales_value_sum"],
        }
    )
    return judged(Value(horizon_days=90), orders, datetime(2018, 1, 1, tzinfo=UTC))


def judged(recipe: Value, orders: pa.Table, as_of: datetime) -> dict[str, object]:
    """Give what the recipe reports of itself."""
    report = recipe.fit_orders(orders, as_of=as_of).report
    return {
        "evaluation": report.evaluation,
        "customers": report.rows,
        "seconds": report.seconds,
        "metrics": dict(report.metrics),
        "intervals": dict(report.intervals),
        "baselines": {name: dict(values) for name, values in report.baselines.items()},
    }


def speed(model: str, grid: str, customers: int) -> dict[str, object]:
    """Give seconds of both sides and peak memory for simulated customers, in a child process."""
    command = [sys.executable, str(HERE / "million.py"), model, grid, str(customers)]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    ratio = told["ours_seconds"] / told["bare_seconds"]
    cpu_ratio = told["ours_cpu_seconds"] / told["bare_cpu_seconds"]
    return {"model": model, "grid": grid, "customers": customers, "ratio": ratio, "cpu_ratio": cpu_ratio, **told}


def markdown(figures: dict[str, object]) -> str:
    """Give the figures as tables."""
    lines = ["# Value: figures", "", f"Written by `python benchmarks/value/run.py` on {figures['machine']}.", ""]
    lines += ["| model | parameter | published | found |", "|---|---|---|---|"]
    for model, values in figures["anchors"].items():
        lines += [f"| {model} | {name} | {v['published']} | {v['found']:.4f} |" for name, v in values.items()]
    for name in ("cdnow", "cdnow_sample", "completejourney"):
        report = figures[name]
        keys = ("normalised_gini", "total_error", "decile_mape", "mae", "rmse", "correlation")
        lines += [
            "",
            f"{name}: {report['evaluation']}; {report['customers']:,} customers, {report['seconds']:.1f} s",
            "",
        ]
        lines += [f"| | {' | '.join(keys)} |", "|---|" + "---|" * len(keys)]
        for who, values in [("**value**", report["metrics"]), *report["baselines"].items()]:
            lines.append(
                f"| {who} | " + " | ".join(f"{values[key]:.3f}" if key in values else "-" for key in keys) + " |"
            )
        kept = report["metrics"]
        lines += [
            "",
            f"Intervals at 0.9 held {kept['interval_held']:.3f} of customers. Orders: MAE {kept['orders_mae']:.3f},",
        ]
        lines += [f"correlation {kept['orders_correlation']:.3f}, total error {kept['orders_total_error']:+.3f}."]
    heads = (
        "model",
        "times in",
        "distinct rows",
        "ours, s",
        "bare L-BFGS, s",
        "ratio",
        "ratio of processor time",
        "peak MB",
    )
    lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    lines += [
        f"| {s['model']} | {s['grid']} | {s['rows']:,} | {s['ours_seconds']:.2f} | {s['bare_seconds']:.2f} | "
        f"{s['ratio']:.2f} | {s['cpu_ratio']:.2f} | {s['peak_mb']:.0f} |"
        for s in figures["speed"]
    ]
    lines += ["", SIDES, ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
