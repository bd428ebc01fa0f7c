"""What honesty costs: our whole fit beside one plain LightGBM fit, and scoring beside `Booster.predict` alone.

Run: python benchmarks/fitting/run.py                  ratios at 7 thousand, 100 thousand and 1 million rows
     python benchmarks/fitting/run.py --rows 7000      at this size only (may be given again)
     python benchmarks/fitting/run.py --flaml          also ours beside FLAML, 60 s a fold, on two real files

"Ours" is everything that `fit` does with a table in memory: reading, leak finding, folds, both halves, calibration,
intervals, baselines, drivers, report. The processor's seconds are counted, both sides in one run, on a machine that has
nothing else to do: threads that wait for each other would be counted as work.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models import encode, encode_read, evaluate, folds, trees
from nextbest.models.boosting import TREES, Boosting, fitted_state
from nextbest.models.presets import preset
from nextbest.recipes import table as flat
from nextbest.recipes.flat_table import labelled, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.types import Fitted

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]

DATA = Path(os.environ.get("NEXTBEST_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
SIZES = (7_000, 100_000, 1_000_000)
SCORED = 1_000_000
COLUMNS = 25
SECONDS = 60
FILES = {
    "churn-telco": ("churn-telco/Telco-Customer-Churn.csv", {"id": "customerID", "label": "Churn", "positive": "Yes"}),
    "leads-x-education": (
        "leads-x-education/lead_scoring.csv.gz", {"id": "Prospect ID", "label": "Converted", "positive": "1"}
    ),
}  # fmt: skip


def world(rows: int, seed: int = 0) -> pa.Table:
    """Give a table of 25 columns: amounts with gaps, counts and categories, and a label that a third of rows has."""
    draw = np.random.default_rng(seed)
    levels = np.array([f"level {i}" for i in range(8)])
    columns: dict[str, pa.Array] = {}
    score = np.full(rows, -3.0)
    for place in range(COLUMNS):
        if place % 5 == 4:
            code = draw.integers(0, len(levels), rows)
            columns[f"kind_{place}"] = pa.array(levels[code])
            score += 0.3 * (code == 1)
        elif place % 5 == 3:
            count = draw.poisson(3, rows)
            columns[f"visits_{place}"] = pa.array(count)
            score += 0.08 * count
        else:
            amount = draw.lognormal(2, 1, rows)
            columns[f"spend_{place}"] = pa.array(amount, mask=draw.random(rows) < 0.05)
            score += 0.2 * (np.log(amount) - 2)
    bought = draw.random(rows) < 1 / (1 + np.exp(-score))
    return pa.table({**columns, "bought": pa.array(np.where(bought, "yes", "no"))})


def seconds(work: Callable[[], object]) -> float:
    """Give the processor's seconds of one call."""
    began = time.process_time()
    work()
    return time.process_time() - began


def sizes(wanted: Sequence[int]) -> None:
    """Print the ratios for every size."""
    print("| rows | judged by | plain LightGBM, s | with our preset, s | ours, s | x plain | x preset |")
    print("|---|---|---|---|---|---|---|")
    scored = world(SCORED, seed=1).drop_columns(["bought"])
    lines = []
    for rows in wanted:
        line, model = _size(rows)
        print(line, flush=True)
        lines.append((rows, *scoring(model, scored)))
    print(f"\n| model of rows | {SCORED:,} rows by `Booster.predict` alone, s | by ours, table in and out, s | ratio |")
    print("|---|---|---|---|")
    for rows, alone, whole in lines:
        print(f"| {rows:,} | {alone:.2f} | {whole:.2f} | {whole / alone:.2f} |")
        _figure("scoring ratio", whole / alone)


def _size(rows: int) -> tuple[str, Boosting]:
    """Give the line of one size, and the model that was fitted."""
    table = world(rows)
    given = labelled(table, label="bought", positive="yes", id_column=None)
    encoder, matrix = encode.learn(given.features)
    size = preset(rows, int(min(given.actual.sum(), (1 - given.actual).sum())))
    codes = list(encoder.categories)
    plain = seconds(lambda: _plain(matrix, given.actual, codes, {}, 100))
    ours_only = seconds(lambda: _plain(matrix, given.actual, codes, dict(size.parameters), size.rounds))
    asked = flat.Asked(recipe="churn", prediction="p", table=table, label="bought", positive="yes")
    found: list[Fitted] = []
    ours = seconds(lambda: found.append(flat.fit(asked, None, as_of=AS_OF)))
    report = found[0].report
    model = found[0].parts["model"]
    if not isinstance(model, Boosting):
        raise TypeError(f"Nothing was learnt: {report.why}")
    how = report.evaluation.partition(", seed")[0]
    _figure(f"fitting ratio {rows}", ours / plain)
    cells = f"{plain:.2f} | {ours_only:.2f} | {ours:.2f} | {ours / plain:.1f} | {ours / ours_only:.1f}"
    return f"| {rows:,} | {how} | {cells} |", model


def scoring(model: Boosting, table: pa.Table) -> tuple[float, float]:
    """Give the seconds of the trees alone on the ready matrix, and of the whole model on the table."""
    matrix = encode.matrix(fitted_state(model)[1], table)
    return seconds(lambda: trees.scores(model.files[TREES], matrix)), seconds(lambda: model.predict(table))


def _plain(matrix: Vector, actual: Vector, codes: list[int], parameters: dict[str, Any], rounds: int) -> None:
    import lightgbm

    settings = {"objective": "binary", "verbose": -1, "num_threads": 1, **parameters}
    data = lightgbm.Dataset(matrix, actual, categorical_feature=codes, params={"verbose": -1, "num_threads": 1})
    lightgbm.train(settings, data, rounds)


def side_by_side() -> None:
    """Print ours beside FLAML's best of 60 seconds a fold: the same columns, the same five folds."""
    print("\n| data | who | auc | log loss | ece | seconds |")
    print("|---|---|---|---|---|---|")
    for name, (file, settings) in FILES.items():
        table = read(str(DATA / file))
        asked = flat.Asked(recipe="churn", prediction="p", table=table, **settings)
        began = time.perf_counter()
        report = flat.fit(asked, None, as_of=AS_OF).report
        _line(name, "ours, 5 folds with everything", report.metrics, time.perf_counter() - began)
        given = labelled(table, label=settings["label"], positive=settings["positive"], id_column=settings["id"])
        left = {x["column"] for x in report.left_out}
        features = given.features.select([c for c in given.features.column_names if c not in left])
        found = {}
        for who, said in (("ours, each fold by itself", _ours), (f"FLAML, {SECONDS} s a fold", _flaml)):
            began = time.perf_counter()
            found[who] = evaluate.probability_metrics(given.actual, _by_folds(said, features, given.actual))
            _line(name, who, found[who], time.perf_counter() - began)
        ours, theirs = (metrics["auc"] for metrics in found.values())
        _figure(f"flaml {name}", ours - theirs)


def _by_folds(said: Callable[..., Vector], features: pa.Table, actual: Vector) -> Vector:
    chance, fold = np.zeros(len(actual)), folds.assign(actual, 5, seed=0)
    for number in range(5):
        judge = np.flatnonzero(fold == number)
        chance[judge] = said(features, actual, np.flatnonzero(fold != number), judge)
    return chance


def _figure(name: str, value: float) -> None:
    print(json.dumps({"figure": name, "value": value}), flush=True)


def _ours(features: pa.Table, actual: Vector, learn: Places, judge: Places) -> Vector:
    model = Boosting().fit(features.take(learn), pa.table({"label": actual[learn]}))
    chance: Vector = model.predict(features.take(judge))["prediction"].to_numpy()
    return chance


def _flaml(features: pa.Table, actual: Vector, learn: Places, judge: Places) -> Vector:
    """Give the probabilities by FLAML's best model on our matrix of numbers and codes, its gaps filled."""
    from flaml import AutoML

    columns = encode_read.read(features)
    encoder, matrix = encode.learn_from([c.taken(learn) for c in columns], salt=encode.salt_of(features, 0))
    usual = np.nanmedian(matrix, axis=0)  # some of what FLAML tries cannot read a gap
    search = AutoML()
    search.fit(
        _filled(matrix, usual), actual[learn].astype(int), task="classification", metric="roc_auc",
        time_budget=SECONDS, n_jobs=1, seed=0, verbose=0,
    )  # fmt: skip
    asked = _filled(encode.apply(encoder, [c.taken(judge) for c in columns]), usual)
    chance: Vector = search.predict_proba(asked)[:, 1]
    return chance


def _filled(matrix: Vector, usual: Vector) -> Vector:
    return np.where(np.isfinite(matrix), matrix, np.nan_to_num(usual))


def _line(name: str, who: str, metrics: Mapping[str, float], took: float) -> None:
    figures = " | ".join(f"{metrics[m]:.4f}" for m in ("auc", "log_loss", "ece"))
    print(f"| {name} | {who} | {figures} | {took:.1f} |", flush=True)


def main() -> int:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flaml", action="store_true", help="also run FLAML, ten minutes")
    parser.add_argument("--rows", type=int, action="append", help="a size (may be given again)")
    asked = parser.parse_args()
    _plain(np.zeros((100, 2)), np.arange(100) % 2, [], {}, 2)  # the import is nobody's time
    sizes(asked.rows or SIZES)
    if asked.flaml and DATA.is_dir():
        side_by_side()
    return 0


if __name__ == "__main__":
    sys.exit(main())
