"""How well churn is predicted on real files and real shop data, nothing chosen.

Run: python benchmarks/quality/churn/run.py

Prints one Markdown table: ours and every baseline; flat tables by nested 5-fold cross-validation, the shop out of time.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from nextbest.ledger import archive, create
from nextbest.recipes.churn import Churn
from nextbest.recipes.silence_judged import RECENCY

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.types import Report

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
METRICS = ("auc", "ece", "log_loss", "top_decile_lift", "capture_at_20")
_UTC = pa.timestamp("us", tz="UTC")


def shop(folder: Path) -> Ledger:
    """Give a workspace with the orders and lines of the completejourney households."""
    lines = parquet.read_table(DATA / "retail-completejourney" / "transactions.parquet")
    text = {c: pc.cast(lines[c], pa.string()) for c in ("household_id", "basket_id", "product_id")}
    moment = lines["transaction_timestamp"].cast(pa.timestamp("us")).cast(_UTC)
    rows = pa.table({
        "event_id": [f"l{i}" for i in range(lines.num_rows)], "subject_id": text["household_id"],
        "order_id": text["basket_id"], "product_id": text["product_id"], "ts": moment,
        "revenue": lines["sales_value"], "quantity": lines["quantity"].cast(pa.float64()),
        "discount": pc.add(lines["retail_disc"], lines["coupon_disc"]),
    })  # fmt: skip
    summed = [("ts", "min"), ("revenue", "sum"), ("discount", "sum")]
    orders = rows.group_by(["subject_id", "order_id"]).aggregate(summed)
    orders = orders.rename_columns({"ts_min": "ts", "revenue_sum": "revenue", "discount_sum": "discount"})
    orders = orders.append_column("event_id", pc.binary_join_element_wise("o", orders["order_id"], ""))
    ledger = create(folder / "shop")
    archive.append(ledger, "order", orders, source="benchmark")
    archive.append(ledger, "order_line", rows, source="benchmark")
    return ledger


def show(name: str, report: Report, cpu: float) -> None:
    if report.status != "ok":
        print(f"| {name} | {report.status}: {report.why} |")
        return
    low, high = report.intervals["auc"]
    known = {"ours": report.metrics, **report.baselines}
    for who, metrics in known.items():
        figures = " | ".join(f"{metrics[m]:.4f}" for m in METRICS)
        ours = who == "ours"
        more = f"{low:.3f} to {high:.3f} | {report.seconds:.1f} | {cpu:.1f}" if ours else " | | "
        print(f"| {name} | {who} | {figures} | {more} |")
    out = ", ".join(x["column"] for x in report.left_out) or "nothing"
    print(f"\n{name}: {report.rows} rows, {report.positives} positive, {report.evaluation}; left out: {out}.")
    print(f"{report.why}\n")


def run(name: str, recipe: Churn, ledger: Ledger | None = None) -> Report:
    began = time.process_time()
    report = recipe.fit(ledger, as_of=AS_OF).report
    print(f"| data | who | {' | '.join(METRICS)} | AUC 95% | seconds | CPU s |")
    print("|" + "---|" * (len(METRICS) + 5))
    show(name, report, time.process_time() - began)
    return report


def figure(name: str, value: float) -> None:
    print(json.dumps({"figure": name, "value": value}))


def main() -> int:
    if not DATA.is_dir():
        print(f"The data is not at {DATA}; set NEXTBEST_SHARED_DATA.")
        return 1
    telco, mlc = DATA / "churn-telco" / "Telco-Customer-Churn.csv", DATA / "churn-mlc" / "mlc_churn.csv"
    known = run("churn-telco", Churn(table=str(telco), id="customerID", label="Churn", positive="Yes")).metrics
    for metric, short in (("auc", "auc"), ("ece", "ece"), ("top_decile_lift", "lift")):
        figure(f"churn-telco {short}", known[metric])
    figure("churn-mlc auc", run("churn-mlc", Churn(table=str(mlc), label="churn", positive="yes")).metrics["auc"])
    run("churn-telco, scorecard", Churn(table=str(telco), id="customerID", label="Churn", model="scorecard"))
    run("churn-mlc, scorecard", Churn(table=str(mlc), label="churn", model="scorecard"))
    with tempfile.TemporaryDirectory() as folder, shop(Path(folder)) as ledger:
        for days in (30, 60):
            report = run(f"completejourney, {days} days of silence", Churn(horizon_days=days), ledger)
    figure("churn-silence lead", report.metrics["auc"] - report.baselines[RECENCY]["auc"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
