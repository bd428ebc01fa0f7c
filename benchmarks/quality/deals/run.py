"""How well deals are predicted: a real-looking export, and a simulated pipeline whose hazards are known.

Run: python benchmarks/quality/deals/run.py

Prints Markdown: win probability beside the stage's historic rate, the forecast beside what people use, how many of 200
simulated quarters lie in their 80% interval, and what 10,000 deals cost.
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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from nextbest import verbs
from nextbest.ledger import create
from nextbest.models import deal_rates
from nextbest.recipes import deals as shared
from nextbest.recipes.deal_periods import forecast
from nextbest.recipes.deal_win import DealWin
from nextbest.recipes.deal_win_judged import STAGE_RATE
from nextbest.recipes.sales_forecast import SalesForecast

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "recipes"))
from pipelines import moment, world  # noqa: E402 (the simulator that the tests use)

if TYPE_CHECKING:
    from nextbest.types import Report

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", ROOT.parent / "shared" / "data")) / "pipeline-maven-crm"
AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
NOW, QUARTER, QUARTERS = 730, 91, 200
_UTC = pa.timestamp("us", tz="UTC")


def figure(name: str, value: float) -> None:
    print(json.dumps({"figure": name, "value": value}))


def engaged() -> pa.Table:
    """Give the deals that are over with what was known when they were engaged; the latest of them judge."""
    text = csv.ConvertOptions(strings_can_be_null=True)
    deals = csv.read_csv(DATA / "sales_pipeline.csv", convert_options=text)
    deals = deals.filter(pc.is_in(deals["deal_stage"], pa.array(["Won", "Lost"])))
    deals = deals.drop_columns(["close_date", "close_value"])
    for name, key in (("accounts", "account"), ("products", "product"), ("sales_teams", "sales_agent")):
        deals = deals.join(csv.read_csv(DATA / f"{name}.csv", convert_options=text), keys=key)
    return deals.sort_by("opportunity_id")


def show(report: Report, metrics: tuple[str, ...]) -> None:
    print(f"\n{report.evaluation}. {report.why}\n")
    print(f"| who | {' | '.join(metrics)} |")
    print("|---|" + "---|" * len(metrics))
    for name, values in {"nextbest": report.metrics, **report.baselines}.items():
        print(f"| {name} | {' | '.join(f'{values[m]:,.4g}' if m in values else '-' for m in metrics)} |")


def maven() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = create(Path(folder) / "maven")
        verbs.load(ledger, DATA / "sales_pipeline.csv")
        print("\n## pipeline-maven-crm: which deals are won")
        began = time.process_time()
        win = verbs.fit(ledger, DealWin(), as_of=AS_OF).report
        show(win, ("auc", "log_loss", "ece", "auc_at_opening"))
        print(f"\n{time.process_time() - began:.1f} s of processor time.")
        figure("deals log loss lead", round(win.metrics["log_loss"] - win.baselines[STAGE_RATE]["log_loss"], 6))
        print("\n## pipeline-maven-crm: what a quarter brings")
        show(verbs.fit(ledger, SalesForecast(), as_of=AS_OF).report, ("mae", "wape", "total_error", "interval_held"))
    print("\n## pipeline-maven-crm as a flat table: what is known at engagement")
    recipe = DealWin(table=engaged(), id="opportunity_id", label="deal_stage", positive="Won", time="engage_date")
    report = recipe.fit(None, as_of=AS_OF).report
    show(report, ("auc", "log_loss", "ece"))
    low, high = report.intervals["auc"]
    print(f"\nAUC {report.metrics['auc']:.3f} ({low:.3f} to {high:.3f}).")
    figure("deals auc", report.metrics["auc"])


def quarters() -> None:
    held, ratio = [], []
    for seed in range(QUARTERS):
        made = world(seed, days=NOW + QUARTER)
        rows = made.rows.filter(pc.less(made.rows["ts"], pa.scalar(moment(NOW), _UTC)))
        deals = shared.read(rows, as_of=moment(NOW))
        facts = deal_rates.learn(deals, segment="product", period_days=QUARTER)
        total = forecast(facts, deals, [float(QUARTER)], paths=1000, seed=0)[0].total[0]
        low, high = np.quantile(total, [0.1, 0.9])
        actual = made.total(NOW, NOW + QUARTER)
        held.append(low <= actual <= high)
        ratio.append((total.mean(), actual))
    said, came = (float(sum(x)) for x in zip(*ratio, strict=True))
    print("\n## A simulated pipeline with known hazards\n")
    print(f"{QUARTERS} quarters, each after two years of its own: {np.mean(held):.1%} lie in their 80% interval.")
    print(f"The sum of the forecasts is {said / came - 1:+.1%} off the sum of what came.")
    figure("forecast held", float(np.mean(held)))


def speed() -> None:
    made = world(1, days=NOW, per_day=2.0)
    deals = shared.read(made.rows, as_of=moment(NOW))
    facts = deal_rates.learn(deals, segment="product", period_days=QUARTER)
    count = 10_000
    fresh = made.rows.take(pa.array(np.zeros(count, np.int64)))
    ids = pa.array([f"n{i}" for i in range(count)])
    fresh = fresh.set_column(0, "subject_id", ids).set_column(1, "deal_id", ids)
    fresh = fresh.set_column(2, "ts", pa.array([moment(NOW - 5)] * count, _UTC))
    many = shared.read(pa.concat_tables([made.rows, fresh]), as_of=moment(NOW))
    began = time.process_time()
    forecast(facts, many, [float(QUARTER)], paths=1000, seed=0)
    print(f"\n10,000 open deals, 1,000 paths: {time.process_time() - began:.1f} s of processor time.")


if __name__ == "__main__":
    maven()
    quarters()
    speed()
