"""How well leads are ranked, events foreseen and next orders dated, on real files, nothing chosen.

Run: python benchmarks/quality/leads/run.py

Prints Markdown: leads at capacity beside first come; propensity out of time beside habit; next order dates beside gaps.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from nextbest.ledger import archive, create
from nextbest.recipes.capacity import FIRST_COME
from nextbest.recipes.lead_score import LeadScore
from nextbest.recipes.next_order_date import NextOrderDate
from nextbest.recipes.propensity import Propensity
from nextbest.recipes.sales_ready import SalesReady

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.types import Report

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
DAYS = 28
METRICS = ("auc", "ece", "log_loss", "top_decile_lift", "captured_at_capacity", "rate_ready", "rate_not_ready")
_UTC = pa.timestamp("us", tz="UTC")


def shop(folder: Path) -> Ledger:
    """Give a workspace with the orders, lines (department as category) and coupons of completejourney."""
    source = DATA / "retail-completejourney"
    lines = parquet.read_table(source / "transactions.parquet")
    products = parquet.read_table(source / "products.parquet", columns=["product_id", "department"]).combine_chunks()
    place = pc.index_in(lines["product_id"].combine_chunks(), value_set=products["product_id"].combine_chunks())
    text = {c: pc.cast(lines[c], pa.string()) for c in ("household_id", "basket_id", "product_id")}
    rows = pa.table({
        "event_id": [f"l{i}" for i in range(lines.num_rows)], "subject_id": text["household_id"],
        "order_id": text["basket_id"], "product_id": text["product_id"],
        "ts": lines["transaction_timestamp"].cast(pa.timestamp("us")).cast(_UTC), "revenue": lines["sales_value"],
        "quantity": lines["quantity"].cast(pa.float64()), "category": products["department"].take(place),
        "discount": pc.add(lines["retail_disc"], lines["coupon_disc"]),
    })  # fmt: skip
    summed = [("ts", "min"), ("revenue", "sum"), ("discount", "sum")]
    orders = rows.group_by(["subject_id", "order_id"]).aggregate(summed)
    orders = orders.rename_columns({"ts_min": "ts", "revenue_sum": "revenue", "discount_sum": "discount"})
    orders = orders.append_column("event_id", pc.binary_join_element_wise("o", orders["order_id"], ""))
    used = parquet.read_table(source / "coupon_redemptions.parquet")
    coupons = pa.table({
        "event_id": [f"r{i}" for i in range(used.num_rows)], "subject_id": pc.cast(used["household_id"], pa.string()),
        "coupon": pc.cast(used["coupon_upc"], pa.string()), "campaign": pc.cast(used["campaign_id"], pa.string()),
        "ts": used["redemption_date"].cast(pa.timestamp("us")).cast(_UTC),
    })  # fmt: skip
    ledger = create(folder / "shop")
    for kind, table in (("order", orders), ("order_line", rows), ("coupon_redeem", coupons)):
        archive.append(ledger, kind, table, source="benchmark")
    return ledger


def show(name: str, report: Report, metrics: tuple[str, ...] = METRICS) -> None:
    """Print ours and every baseline as one Markdown table."""
    print(f"\n### {name}\n")
    if report.status != "ok":
        print(f"{report.status}: {report.why}")
        return
    shown = [m for m in metrics if m in report.metrics]
    print(f"| who | {' | '.join(shown)} |\n|" + "---|" * (len(shown) + 1))
    for who, found in {"ours": report.metrics, **report.baselines}.items():
        print(f"| {who} | {' | '.join(f'{found[m]:.4f}' if m in found else '' for m in shown)} |")
    print(f"\n{report.rows:,} rows, {report.evaluation}, {report.seconds:.1f} s. {report.why}")
    wide = {n: v for n, v in report.intervals.items() if n == "auc" or "minus" in n or n in shown}
    print(f"\n95% intervals: {'; '.join(f'{n} {low:.3f} to {high:.3f}' for n, (low, high) in wide.items())}.")


def leads() -> None:
    """Print the leads of an education company: what is left out, capture, readiness, and smaller files of the same."""
    file = DATA / "leads-x-education" / "lead_scoring.csv.gz"
    asked: dict[str, Any] = {"id": "Prospect ID", "label": "Converted"}
    report = LeadScore(table=str(file), **asked).fit(None, as_of=AS_OF).report
    show("leads-x-education, lead_score", report)
    figures = {
        "leads auc": report.metrics["auc"],
        "leads ece": report.metrics["ece"],
        "leads capture": report.metrics["captured_at_capacity"],
        "leads first come": report.baselines[FIRST_COME]["captured_at_capacity"],
    }
    for name, value in figures.items():
        print(json.dumps({"figure": name, "value": value}))
    print(f"\nLeft out: {', '.join(x['column'] for x in report.left_out)}.")
    for gate, words in ((None, ""), (0.0, ", only those whose behaviour speaks for them")):
        ready = SalesReady(table=str(file), least_engagement=gate, **asked).fit(None, as_of=AS_OF).report
        show(f"leads-x-education, sales_ready{words}", ready, ("rate_ready", "rate_not_ready"))
    table = csv.read_csv(file)
    yes = np.flatnonzero(np.asarray(table["Converted"]) == 1)
    no = np.flatnonzero(np.asarray(table["Converted"]) == 0)
    draw = np.random.default_rng(0)
    for count in (30, 3):
        places = np.sort(np.concatenate([draw.permutation(yes)[:count], draw.permutation(no)[: 200 - count]]))
        recipe = LeadScore(table=table.take(pa.array(places)), **asked)
        fitted = recipe.fit(None, as_of=AS_OF)
        show(f"200 of them with {count} conversions", fitted.report)
        if fitted.report.status == "ok":
            said = recipe.predict(None, fitted, as_of=AS_OF)
            width = said["lead_score_high"].to_numpy() - said["lead_score_low"].to_numpy()
            cautions = " ".join(fitted.report.details.get("cautions", ()))
            print(f"\nIntervals are {width.mean():.0f} points wide on average, of 100. {cautions}")


def main() -> int:
    if not DATA.is_dir():
        print(f"The data is not at {DATA}; set NEXTBEST_SHARED_DATA.")
        return 1
    leads()
    clicks = str(DATA / "clicks-expedia" / "expedia.csv.gz")
    booking = Propensity(name="books", table=clicks, label="is_booking", positive="1", time="date_time")
    show("clicks-expedia: books, from a table by time", booking.fit(None, as_of=AS_OF).report)
    with tempfile.TemporaryDirectory() as folder, shop(Path(folder)) as ledger:
        for name, event, where in (
            ("redeems", "coupon_redeem", ""),
            ("buys_seafood", "order_line", "category == 'SEAFOOD'"),
            ("buys_produce", "order_line", "category == 'PRODUCE'"),
        ):
            recipe = Propensity(name=name, event=event, where=where, horizon_days=DAYS)
            show(f"retail-completejourney: {name} within {DAYS} days", recipe.fit(ledger, as_of=AS_OF).report)
        for days in (30, 90):
            dated = NextOrderDate(horizon_days=days).fit(ledger, as_of=AS_OF).report
            show(
                f"retail-completejourney: next order date, windows of {days} days",
                dated,
                ("interval_held", "median_absolute_error_days"),
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
