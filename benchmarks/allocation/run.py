"""Allocation under budgets and capacities: seconds, memory and the proven gap; the linear program beside it.

python benchmarks/allocation/run.py            a million subjects, each case in a process of its own
python benchmarks/allocation/run.py --lp       also 20,000 subjects beside scipy's HiGHS (minutes)
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.policies.allocation import dual
from nextbest.policies.allocation.allocate import allocate
from nextbest.policies.allocation.problem import problem
from nextbest.policies.allocation.small import constraints

if TYPE_CHECKING:
    from nextbest.policies.allocation.problem import Problem

MANY, FEW, ACTIONS = 1_000_000, 20_000, 20
CASES = {
    "budget, capacities": "the goal: 3 s, 600 MB, gap 0.2%",
    "+ quotas": "two actions that few want have to be used by 2%",
    "+ quotas, households": "at most one contact in each of 500,000 groups",
    "all gains tie": "every gain is 1",
    "whole gains 0 to 3": "most subjects have several best actions",
    "budget of 2%": "money for a fiftieth of the subjects",
}
SEED = 0


def main() -> None:
    """Print the tables as Markdown, and the figures of the summary as JSON lines."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, default=MANY)
    arguments.add_argument("--lp", action="store_true", help="beside the linear program on 20,000")
    arguments.add_argument("--only", help="one case, in this process: for the driver itself")
    asked = arguments.parse_args()
    if asked.only:
        print(json.dumps(measured(asked.only, asked.rows)))
        return
    found = {name: child(name, asked.rows) for name in CASES}
    print(markdown(found, asked.rows))
    basic, grouped = found["budget, capacities"], found["+ quotas, households"]
    figures = {
        "allocation seconds": basic["seconds"],
        "allocation mb": basic["peak_mb"],
        "allocation gap": max(row["gap"] for row in found.values()),
        "allocation groups seconds": grouped["seconds"],
    }
    if asked.lp:
        beside = {name: program(name) for name in CASES}
        print(lp_markdown(beside))
        figures["allocation lp"] = max(row["short"] for row in beside.values())
    for name, value in figures.items():
        print(json.dumps({"figure": name, "value": round(value, 6)}))


def child(name: str, rows: int) -> dict[str, Any]:
    """Give the figures of one case from a process of its own, so that its peak of memory is its own."""
    command = [sys.executable, __file__, "--only", name, "--rows", str(rows)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def measured(name: str, rows: int) -> dict[str, Any]:
    """Give seconds (the lesser of two runs), peak memory (with the gains themselves), gap and what was used."""
    it = case(name, rows)
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        found = allocate(it)
        seconds.append(time.perf_counter() - began)
    held = found.action[found.action < it.actions]
    used = np.bincount(held, minlength=it.actions)
    kept = (used <= it.capacity).all() and (used >= it.quota).all() and used @ it.cost <= it.budget
    return {
        "seconds": min(seconds), "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "gap": found.gap, "value": found.value, "bound": found.bound, "spent": found.spent / it.budget,
        "kept": bool(kept and not found.short),
    }  # fmt: skip


def case(name: str, rows: int) -> Problem:
    """Give a problem with gains in money: a heavy-tailed value of the subject times a lift, less the cost."""
    draw = np.random.default_rng(SEED)
    cost = draw.uniform(0.05, 3, ACTIONS)
    gain = draw.lognormal(3, 1, (rows, 1)).astype(np.float32) * draw.beta(1, 20, (rows, ACTIONS)).astype(np.float32)
    gain -= cost.astype(np.float32)
    limits: dict[str, Any] = {"capacity": np.full(ACTIONS, rows * 0.03), "budget": 0.15 * rows}
    if "quotas" in name:
        limits["quota"] = np.where(np.isin(np.arange(ACTIONS), [1, 3]), 0.02 * rows, 0.0)
    if "households" in name:
        limits["group"] = draw.integers(0, rows // 2, rows)
    if name == "all gains tie":
        gain, cost, limits["budget"] = np.ones_like(gain), np.ones(ACTIONS), 0.4 * rows
    if name == "whole gains 0 to 3":
        gain = draw.integers(0, 4, gain.shape).astype(np.float32)
        cost, limits["budget"] = draw.integers(1, 4, ACTIONS).astype(float), 0.9 * rows
    if name == "budget of 2%":
        limits = {"budget": 0.02 * rows}
    return problem(gain, cost=cost, **limits)


def program(name: str) -> dict[str, float]:
    """Give the optimum of the linear program, and how far our value and bound are from it."""
    from scipy.optimize import linprog

    it = case(name, FEW)
    matrix, most = constraints(it)
    began = time.perf_counter()
    solved = linprog(-it.gain.astype(float).ravel(), A_ub=matrix, b_ub=most, bounds=(0, 1), method="highs")
    theirs = time.perf_counter() - began
    began = time.perf_counter()
    found = allocate(it)
    ours, best = time.perf_counter() - began, -float(solved.fun)
    allowed = len(dual.limits_of(it).most) * float(it.gain.max())
    return {
        "best": best, "value": found.value, "short": (best - found.value) / best, "bound": found.bound / best - 1,
        "part": (best - found.value) / allowed, "ours": ours, "theirs": theirs,
    }  # fmt: skip


def markdown(found: dict[str, dict[str, Any]], rows: int) -> str:
    """Give the cases as a table."""
    lines = [
        f"{rows:,} subjects x {ACTIONS} actions, gains in float32. The gap is to the dual bound, which no allocation",
        "exceeds. Peak memory holds the process with the gains (80 MB for a million); drawing them is part of it.",
        "",
        "| case | seconds | peak MB | gap | limits kept | budget used |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} ({CASES[name]}) | {row['seconds']:.2f} | {row['peak_mb']:,.0f} | {row['gap']:.4%} | "
        f"{'yes' if row['kept'] else 'no'} | {row['spent']:.2%} |"
        for name, row in found.items()
    ]
    return "\n".join([*lines, ""])


def lp_markdown(found: dict[str, dict[str, float]]) -> str:
    """Give the comparison with the linear program as a table."""
    lines = [
        f"Beside the linear program (HiGHS, fractions of people allowed) on {FEW:,} subjects. The rule: an optimal",
        "vertex splits at most one person per limit, so whole people may miss it by one largest gain per limit.",
        "The last column is the share of that allowance that was needed.",
        "",
        "| case | program | ours | short by | bound above it by | ours, s | HiGHS, s | of the allowance |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {row['best']:,.2f} | {row['value']:,.2f} | {row['short']:.4%} | {row['bound']:.1e} | "
        f"{row['ours']:.2f} | {row['theirs']:.1f} | {row['part']:.2%} |"
        for name, row in found.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
