"""Another policy's value from a log: coverage on simulated logs whose truth is known, and two real policies.

Run: python benchmarks/replay/run.py

Simulated: 500 logs of 5,000 decisions (2,500 people, two each) in four worlds, judged for three policies. Real: Open
Bandit, men, 10,000 impressions under a random and under a Thompson policy. Thompson's chances of every item are taken
from its own log: its logged chance of an item at a position, averaged over the impressions of the item there, scaled to
sum to 1 per position; beside it, the share of impressions that the item had at the position.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.truth.test_replay import TARGETS, WORLDS, coverage

from nextbest import verbs

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
RUNS, ROWS = 500, 5000
ASKED = {"outcome": "click", "treatment": "item_id", "choice_probability": "propensity_score", "method": "replay"}


def simulated() -> None:
    """Print the share of logs whose 95% interval held the truth, by world and estimator."""
    held = {name: coverage(name, RUNS, ROWS) for name in WORLDS}
    names = list(dict.fromkeys(key.split()[1] for key in next(iter(held.values()))))
    print(f"Share of {RUNS} simulated logs whose 95% interval held the truth, mean over {len(TARGETS)} policies:\n")
    print("| world | " + " | ".join(names) + " |\n" + "|---" * (len(names) + 1) + "|")
    for world, found in held.items():
        shares = {n: float(np.mean([found[f"{t} {n}"] for t in TARGETS])) for n in names}
        print(f"| {world} | " + " | ".join(f"{shares[n]:.3f}" for n in names) + " |")
    print(
        "\n`dr` is the default, `difference` its difference to the log. Estimators that hold weights under a limit, "
        "`dm` and `slope` have intervals of their noise alone, without their bias; they are shown, never the answer.\n"
    )
    for world, found in held.items():
        for what in ("dr", "difference"):
            share = float(np.mean([found[f"{t} {what}"] for t in TARGETS]))
            print(json.dumps({"figure": f"replay coverage {what}, {world}", "value": share}))


def real() -> None:
    """Print each policy's value from the other's log beside what it earned while it ran."""
    random, bts = (_log(name) for name in ("random", "bts"))
    print("Open Bandit, men: clicks per impression.\n")
    print("| log | policy | estimate | 95% interval | while it ran | effective | held |\n|---|---|---|---|---|---|---|")
    _line("random", "Thompson, mean chance", random, _by_chance(bts), bts)
    _line("random", "Thompson, shares", random, _by_share(bts), bts)
    _line("Thompson", "random", bts, "uniform", random)
    print()


def _line(log_name: str, name: str, log: pa.Table, target: str | pa.Table, truth: pa.Table) -> None:
    effect = verbs.measure_table(log, target=target, **ASKED)
    value, known = effect.details["value"], pc.mean(truth["click"]).as_py()
    held = value["low"] <= known <= value["high"]
    cells: list[Any] = [log_name, name, f"{value['estimate']:.4f}", f"{value['low']:.4f} to {value['high']:.4f}"]
    cells += [f"{known:.4f}", f"{effect.details['effective_n']:,.0f}", "yes" if held else "no"]
    print("| " + " | ".join(cells) + " |")
    print(json.dumps({"figure": f"replay open bandit, {name}", "value": float(held)}))


def _log(name: str) -> pa.Table:
    file = DATA / "bandit-obd-men" / f"men_{name}.csv.gz"
    return pc_csv.read_csv(file).select(["item_id", "position", "click", "propensity_score"])


def _by_chance(log: pa.Table) -> pa.Table:
    return _scaled(log, ("propensity_score", "mean"))


def _by_share(log: pa.Table) -> pa.Table:
    return _scaled(log, ("click", "count"))


def _scaled(log: pa.Table, what: tuple[str, str]) -> pa.Table:
    """Give a number per item and position, scaled to sum to 1 per position."""
    each = log.group_by(["item_id", "position"]).aggregate([what])
    column = "_".join(what)
    total = each.group_by("position").aggregate([(column, "sum")])
    sums = dict(zip(total["position"].to_pylist(), total[f"{column}_sum"].to_pylist(), strict=True))
    chance = [row[column] / sums[row["position"]] for row in each.to_pylist()]
    return pa.table({"item_id": each["item_id"], "position": each["position"], "probability": chance})


if __name__ == "__main__":
    simulated()
    real()
