"""How many planted leaks are found, how many honest columns are taken for leaks, and how near each came.

Run: python benchmarks/quality/leaks/run.py
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import csv

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.quality.leaks import bases, plant

from nextbest.models import leaks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
PLANTED_IN = ("telco", "mlc", "campaign-personality", "adult", "german credit", "drawn")


def planted_found(base: bases.Base, kind: str, seed: int, *, named: bool) -> tuple[bool, list[str]]:
    """Tell whether a planted leak was found (all its columns; of a pair one), and the honest columns that were."""
    table, actual = base
    columns: Mapping[str, object] = plant.KINDS[kind](actual, np.random.default_rng([seed, 1]))
    columns = columns if named else plant.neutral(columns)
    both = table
    for name, values in columns.items():
        both = both.append_column(name, values if isinstance(values, pa.Array) else pa.array(values))
    days = plant.label_days(len(actual)).astype("datetime64[D]")
    more = {
        "label_ts": {"label_ts": pa.chunked_array([pa.array(days, pa.date32())])},
        "scoring": {"scoring": _emptied(both, list(columns))},
    }.get(plant.NEEDS.get(kind, ""), {})
    found = {x["column"] for x in leaks.find(both, actual, seed=seed, **more)}
    needed = 1 if kind in plant.PAIRS else len(columns)
    return len(found & set(columns)) >= needed, sorted(found - set(columns))


def _emptied(table: pa.Table, names: list[str]) -> pa.Table:
    for name in names:
        place = table.column_names.index(name)
        table = table.set_column(place, name, pa.nulls(table.num_rows, table[name].type))
    return table


def show_planted(tables: Mapping[str, bases.Base]) -> None:
    """Print one row per kind of leak: in how many base tables it was found, by name and values and by values alone."""
    print(f"| kind of leak | found in (of {len(tables)} tables) | with names that say nothing | missed in |")
    print("|---|---|---|---|")
    totals, alarms, beside = np.zeros(2), 0, set()
    for kind in plant.KINDS:
        hits, missed = [0, 0], []
        for seed, (name, base) in enumerate(tables.items()):
            for way, named in enumerate((True, False)):
                found, wrong = planted_found(base, kind, seed, named=named)
                hits[way] += found
                alarms += len(wrong)
                beside.update(wrong)
                if named and not found:
                    missed.append(name)
        totals += hits
        print(f"| {kind} | {hits[0]} | {hits[1]} | {', '.join(missed)} |")
    every = len(plant.KINDS) * len(tables)
    print(f"\nFound: {totals[0] / every:.1%} of {every} planted leaks, {totals[1] / every:.1%} by their values alone.")
    print(f"Honest columns named beside them, in {2 * every} runs: {alarms} ({', '.join(sorted(beside)) or 'none'}).\n")
    print(json.dumps({"figure": "leaks found", "value": round(totals[0] / every, 4)}))


def show_clean(tables: Mapping[str, bases.Base]) -> None:
    """Print one row per honest table: columns, those taken for leaks, and the points of the worst (3 is a leak)."""
    print("\n| honest table | columns | taken for leaks | suspects, kept | highest points | seconds |")
    print("|---|---|---|---|---|---|")
    count = wrong = 0
    for name, (table, actual) in tables.items():
        began = time.perf_counter()
        said = leaks.examine(table, actual)
        seconds = time.perf_counter() - began
        worst, points = max(said.points.items(), key=lambda x: x[1])
        count, wrong = count + table.num_columns, wrong + len(said.found)
        taken = ", ".join(x["column"] for x in said.found) or "none"
        nearest = f"{points:.2f} ({worst})"
        print(f"| {name} | {table.num_columns} | {taken} | {len(said.suspects)} | {nearest} | {seconds:.2f} |")
    print(f"\n{wrong} of {count} honest columns were taken for leaks: {100 * wrong / count:.2f} per 100.\n")
    print(json.dumps({"figure": "leaks false alarms", "value": round(100 * wrong / count, 3)}))


def show_leads() -> None:
    """Print what is found in the leads, and how far every column is from the threshold."""
    table = csv.read_csv(DATA / "leads-x-education" / "lead_scoring.csv.gz")
    said = leaks.examine(
        table.drop_columns(["Converted"]), np.asarray(table["Converted"], np.float64), label="Converted"
    )
    print("\n| leads-x-education: column | points | left out, because |")
    print("|---|---|---|")
    why = {x["column"]: x["why"] for x in said.found}
    for name, points in sorted(said.points.items(), key=lambda x: -x[1]):
        if name in why or points >= 1:
            print(f"| {name} | {points:.2f} | {why.get(name, '')} |")


def show_speed() -> None:
    """Print the seconds of a usual, a long and a wide table."""
    print("\n| rows x columns | seconds |")
    print("|---|---|")
    for rows, width in ((10_000, 40), (200_000, 40), (5_000, 5_000)):
        chance = np.random.default_rng(width)
        actual = (chance.random(rows) < 0.2).astype(np.float64)
        table = pa.table({f"c{i}": chance.normal(size=rows) + 0.3 * actual for i in range(width)})
        began = time.perf_counter()
        leaks.find(table, actual)
        print(f"| {rows:,} x {width:,} | {time.perf_counter() - began:.2f} |")


def main() -> int:
    if not DATA.is_dir():
        print(f"The data is not at {DATA}; set NEXTBEST_SHARED_DATA.")
        return 1
    clean = dict(bases.real(DATA))
    clean["drawn"] = bases.drawn(0)
    show_planted({name: clean[name] for name in PLANTED_IN})
    clean.update({f"drawn {seed}": bases.drawn(seed, share=0.1 + 0.1 * seed) for seed in range(1, 5)})
    clean.update(bases.scikit_learn())
    show_clean(clean)
    show_leads()
    show_speed()
    return 0


if __name__ == "__main__":
    sys.exit(main())
