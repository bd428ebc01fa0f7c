"""Segments are found where there are some, and refused where there are none: planted worlds, empty ones, real sets.

Run: python benchmarks/quality/segments/run.py

Planted: round clouds 5 deviations apart, 20 worlds of 2 to 5 groups. None: one cloud, 40 worlds of five shapes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from benchmarks.quality.churn.run import shop

from nextbest.models.stability import adjusted_rand
from nextbest.recipes.segments import Segments

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))
AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
WIDTH = 5


def table(points: np.ndarray) -> pa.Table:
    return pa.table({"id": [str(i) for i in range(len(points))], **{f"c{i}": c for i, c in enumerate(points.T)}})


def planted() -> list[float]:
    """Give the adjusted Rand index to the truth per world; 0 where none were found."""
    found = []
    for world in range(20):
        draw = np.random.default_rng([world, 100])
        groups = 2 + world % 4
        which = draw.integers(0, groups, 150 * groups)
        points = draw.normal(size=(len(which), WIDTH)) + 5 / np.sqrt(2) * np.eye(WIDTH)[which]
        recipe = Segments(table=table(points), id="id", seed=world)
        fitted = recipe.fit(None, as_of=AS_OF)
        if fitted.report.status != "ok":
            found.append(0.0)
            continue
        names = recipe.predict(None, fitted, as_of=AS_OF)["segment"].to_pylist()
        found.append(adjusted_rand(which, np.unique(names, return_inverse=True)[1]))
    return found


def none() -> list[str]:
    """Give the status per world with one cloud only."""
    said = []
    for world in range(40):
        draw = np.random.default_rng([world, 200])
        rows = 400 + 20 * world
        turned = np.linalg.qr(draw.normal(size=(WIDTH, WIDTH)))[0]
        points = [
            draw.normal(size=(rows, WIDTH)),
            draw.normal(size=(rows, WIDTH)) * [4, 2, 1, 1, 1] @ turned,
            np.exp(draw.normal(size=(rows, WIDTH))),
            draw.random((rows, WIDTH)),
            np.exp(draw.normal(size=(rows, WIDTH)) @ turned * [1, 2, 1, 1, 1]).round(),
        ][world % 5]
        said.append(Segments(table=table(points), id="id", seed=world).fit(None, as_of=AS_OF).report.status)
    return said


def show(name: str, recipe: Segments, ledger: object = None) -> None:
    report = recipe.fit(ledger, as_of=AS_OF).report
    money = report.metrics.get("held_out_share", "")
    theirs = next(iter(report.baselines.values()), {}).get("held_out_share", "")
    print(
        f"| {name} | {report.rows:,} | {report.status} | {report.metrics.get('segments', '')} "
        f"| {report.metrics.get('stability', '')} | {money} | {theirs} | {report.seconds:.1f} |"
    )


def main() -> None:
    ari, said = planted(), none()
    print("| data | rows | status | segments | stability | later revenue between | by past revenue | seconds |")
    print("|---|---|---|---|---|---|---|---|")
    wholesale = str(DATA / "segments-wholesale" / "wholesale_customers.csv")
    personality = str(DATA / "campaign-personality" / "marketing_data.csv")
    show("segments-wholesale", Segments(table=wholesale))
    show("segments-wholesale, cut into 2", Segments(table=wholesale, k=2))
    show("campaign-personality", Segments(table=personality, id="ID"))
    with tempfile.TemporaryDirectory() as folder, shop(Path(folder)) as ledger:
        show("retail-completejourney", Segments(), ledger)
        show("retail-completejourney, cut into 4", Segments(k=4), ledger)
        show("retail-completejourney, the grid", Segments(method="rfm"), ledger)
    print(
        f"\nPlanted: adjusted Rand index {np.mean(ari):.3f} on average, {min(ari):.3f} at worst of {len(ari)} worlds."
    )
    print(f"None: {said.count('cannot_tell')} of {len(said)} worlds with one cloud were told so.")
    print(json.dumps({"figure": "segments planted ari", "value": float(np.mean(ari))}))
    print(json.dumps({"figure": "segments none said", "value": said.count("cannot_tell") / len(said)}))


if __name__ == "__main__":
    main()
