"""One live decision in process, and the journal: microseconds, beside what others need for a part of it.

python benchmarks/decide/live/run.py [--only linear|tree|first|journal]    prints Markdown and one JSON line per figure

All sides take the same requests in turns (ABAB, in blocks) in one process on one thread; each request has numbers of
its own. Times are of the thread's own work (CPU), so that what else the machine does counts for nobody.
"""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.ledger import candidates, create, decisions
from nextbest.ledger.workspace import new_id
from nextbest.policies.live.ask import Ask, Offers
from nextbest.policies.live.closing import Group
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.known import Known
from nextbest.policies.live.settle import settle_one

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import lightgbm

    from nextbest.ledger import Ledger
    from nextbest.models.boosting import Boosting

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
ITEMS, FEATURES, TREES = 50, 30, 200
# A machine with other work on it stops every process now and then; a deadline would count that as the ranker's fault.
PLAY = """
[consent]
regime = "opt_out"
[plays.home]
value = "1"
deadline_ms = 1000
holdout = 0.05
policy = {{ name = "{policy}" }}
learner = {{ name = "linear" }}
actions = [ {{ id = "*", class = "content" }} ]
"""
ROWS = 200_000
BLOCK = 50  # as in a server that answers nothing else: each side finds its own code and tables in the caches
SIDES = (
    "Ours: what is known, audience, eligibility, worth of 50 items and of nothing, the policy's probabilities, four "
    "arms, the draw, the reason in words, and the finished row of the log; no HTTP, no disk. Vowpal Wabbit: "
    "`--cb_explore_adf --squarecb` predicts the probabilities of the same 50 actions from the same numbers, without "
    "interactions: from a text that stands ready, from the numbers (a program writes the text first), and from "
    "examples parsed before the clock runs. Trees: LightGBM, 200 trees of 31 leaves, on the same 50 x 30 numbers. "
    "Learner `boosted`: `ValueState.response` of a fitted house model, from offers to chances (matrix, line, 200 trees "
    "of 31 leaves, blend, calibration), beside `Booster.predict` of the same trees on the matrix ready made; numbers "
    "alone, and with the subject's device, the item's id and both together as texts. "
    "Journal: rows of 3 candidates (half a kilobyte, three indexes) with their digests, one link per group, synced "
    "to disk; bare is one table of four of the same columns in SQLite (WAL, synchronous=FULL), in the same groups."
)


class Linear:
    """A linear value model: the least that a learner can be."""

    version = "linear-benchmark"

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def response(self, _row: Mapping[str, Any], offers: Offers) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and spread; nothing (the last, without numbers) has none."""
        mean = np.minimum(np.maximum(0.05 + offers.values @ self.weights, 0.0), 1.0)
        mean[-1] = 0.0
        return mean, np.full(len(mean), 0.01)


class Trees:
    """A boosted value model through a scorer."""

    version = "trees-benchmark"

    def __init__(self, score: Callable[[np.ndarray], np.ndarray]) -> None:
        self.score = score

    def response(self, _row: Mapping[str, Any], offers: Offers) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and no spread; nothing has none."""
        mean = np.zeros(len(offers.ids))
        mean[:-1] = self.score(offers.values[:-1])
        return mean, np.zeros(len(mean))


class Ours:
    """The engine without HTTP and disk: propose, settle, row."""

    def __init__(self, ledger: Ledger, state: Linear | Trees) -> None:
        self.engine = Engine(
            ledger,
            states=lambda _play: state,
            know=lambda _ledger, subject, _wanted, _context: Known(subject_id=subject, features={}, versions={}),
        )
        with ledger.journal.read() as connection:  # nothing is read again: there is nobody to permit or to count
            self.group = Group(ledger, connection)

    def __call__(self, ask: Ask) -> list[Any]:
        """Give the rows of the log for one request."""
        return [chosen.row() for chosen in settle_one(self.group, self.engine.propose(ask))]


def main() -> None:
    """Print the figures as a table and as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sorted(PARTS), action="append")
    parser.add_argument("--requests", type=int, default=2_000)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    print("| what | figure |\n|---|---|")
    figures: dict[str, float] = {}
    for name in asked.only or PARTS:
        for label, text, figure in PARTS[name](asked.requests):
            print(f"| {label} | {text} |")
            figures |= figure
    print(f"\n{SIDES}\n")
    for name, value in figures.items():
        print(json.dumps({"figure": name, "value": round(value, 4)}))


def linear(requests: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Compare one decision by a linear model with Vowpal Wabbit's prediction."""
    import vowpalwabbit

    asks, weights = questions(requests), np.random.default_rng(1).normal(0.0, 0.01, FEATURES)
    texts = [as_text(ask) for ask in asks]
    fast = vowpalwabbit.Workspace("--cb_explore_adf --squarecb --quiet -b 18")
    for text in texts[:50]:  # weights that are not all zero
        lines = text.split("\n")
        lines[1] = f"0:-1:{1 / ITEMS} {lines[1]}"
        fast.learn(lines)
    kind = vowpalwabbit.LabelType.CONTEXTUAL_BANDIT
    parsed = [[vowpalwabbit.Example(fast, line, kind) for line in text.split("\n")] for text in texts[:200]]
    with (
        tempfile.TemporaryDirectory() as folder,
        create(Path(folder) / "w", config_text=PLAY.format(policy="squarecb"), clock=lambda: NOW) as ledger,
    ):
        ours = Ours(ledger, Linear(weights))
        sides = {
            "ours": lambda i: ours(asks[i]),
            "vw, text": lambda i: fast.predict(texts[i]),
            "vw, numbers to text": lambda i: fast.predict(as_text(asks[i])),
            "vw, parsed": lambda i: fast.predict(parsed[i % len(parsed)]),
        }
        took = in_turns(sides, requests)
    yield from told("linear, 50 x 30", took)
    least = min(np.median(took["vw, text"]), np.median(took["vw, parsed"]))
    said = "; ".join(f"{ratio(took, side, 'ours'):.1f}" for side in sides if side != "ours")
    yield "vw / ours, p50: text ready; numbers to text; parsed before", said, {
        "decide linear p50 us": float(np.median(took["ours"])),
        "decide linear vw": ratio(took, "vw, text", "ours"),
        "decide linear vw parsed": float(least / np.median(took["ours"])),
    }  # fmt: skip


def tree(requests: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Compare one decision by 200 trees with the bare prediction of the same matrix."""
    import lightgbm

    from nextbest.models.fast_predict import scorer

    booster = lightgbm.Booster(model_str=grown().model_to_string())
    asks = questions(requests)
    with (
        tempfile.TemporaryDirectory() as folder,
        create(Path(folder) / "w", config_text=PLAY.format(policy="squarecb"), clock=lambda: NOW) as ledger,
    ):
        ours = Ours(ledger, Trees(scorer(booster, version=lightgbm.__version__)))
        sides = {
            "ours": lambda i: ours(asks[i]),
            "bare": lambda i: booster.predict(asks[i].candidates.values, num_threads=1),
        }
        took = in_turns(sides, requests)
    yield from told("200 trees, 50 x 30", took)
    yield "ours / bare Booster.predict on one thread, p50", f"{ratio(took, 'ours', 'bare'):.2f}", {
        "decide tree": ratio(took, "ours", "bare"),
    }  # fmt: skip
    yield from product(asks, "numbers alone", {}, "decide boosted")
    yield from product(asks, "with a text and the items' ids", {"device": "phone"}, "decide boosted texts")


def grown() -> lightgbm.Booster:
    """Give 200 trees of 31 leaves."""
    import lightgbm

    draw = np.random.default_rng(2)
    rows = draw.normal(size=(20_000, FEATURES))
    label = (np.sin(rows[:, :5]).sum(axis=1) + draw.normal(size=len(rows)) > 0).astype(int)
    settings = {"objective": "binary", "num_threads": 1, "verbose": -1, "num_leaves": 31}
    return lightgbm.train(settings, lightgbm.Dataset(rows, label), TREES)


def product(
    asks: list[Ask], what: str, known: dict[str, str], figure: str
) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Compare the answer of the learner `boosted` to a request with the bare prediction of its own trees."""
    from lightgbm import Booster

    from nextbest.models.boosting import TREES as FILE
    from nextbest.recipes import action_live

    model = house_model(texts=bool(known))
    state = action_live.state_of(model, version="boosted-benchmark", spread=0.01)
    booster = Booster(model_str=model.files[FILE].decode())
    offers = [ask.candidates for ask in asks if isinstance(ask.candidates, Offers)]
    matrices = [state.filler.matrix(known, offer) for offer in offers]
    sides = {
        "response": lambda i: state.response(known, offers[i]),
        "its trees, bare": lambda i: booster.predict(matrices[i], raw_score=True, num_threads=1),
    }
    took = in_turns(sides, len(asks))
    yield from told(f"learner `boosted`, {what}", took)
    yield f"response / its trees bare, {what}, p50", f"{ratio(took, 'response', 'its trees, bare'):.2f}", {
        figure: ratio(took, "response", "its trees, bare"),
    }  # fmt: skip


def first(_requests: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Give what compiling the first model of a process takes, and the second."""
    code = (
        "import json, pathlib, sys, time\n"
        "import lightgbm\n"
        "from nextbest.models.fast_predict import scorer\n"
        "held = lambda: int(pathlib.Path('/proc/self/statm').read_text().split()[1]) * 4096 / 2**20\n"
        "booster, said = lightgbm.Booster(model_str=sys.stdin.read()), []\n"
        "for _ in range(2):\n"
        "    began, before = time.process_time(), held()\n"
        "    scorer(booster, version=lightgbm.__version__)\n"
        "    said += [time.process_time() - began, held() - before]\n"
        "print(json.dumps(said))\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, input=grown().model_to_string(), check=True, capture_output=True, text=True)
    one, memory, two, _ = json.loads(done.stdout)
    text = f"{one:.1f} and {memory:.0f}; {two * 1e3:.0f}"
    yield "compiling the first model of a process, s and MB; the second, ms", text, {
        "decide first model s": one,
        "decide first model MB": memory,
    }  # fmt: skip


def house_model(*, texts: bool) -> Boosting:
    """Give the house model of 200 trees, fitted to decisions as `action_value` reads them."""
    import pyarrow as pa

    from nextbest.models.boosting import Boosting
    from nextbest.recipes.action_rows import as_table, row_of

    draw = np.random.default_rng(2)
    rows = draw.normal(size=(20_000, FEATURES))
    label = (np.sin(rows[:, :5]).sum(axis=1) + draw.normal(size=len(rows)) > 0).astype(float)
    about = [{f"f{j}": value for j, value in enumerate(row)} for row in rows.tolist()]
    items = [f"item{j}" for j in draw.integers(0, ITEMS, len(rows)).tolist()]
    devices = draw.choice(["phone", "desktop", "tablet"], len(rows)).tolist()
    known = [{"device": device} if texts else {} for device in devices]
    table = as_table([row_of(*row) for row in zip(known, items, about, strict=True)])
    table = table if texts else table.drop_columns(["action"])
    return Boosting(num_threads=1, tuned={"rounds": TREES, "leaves": 31}).fit(table, pa.table({"label": label}))


def journal(_requests: int, group: int = 10_000) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Compare rows a second into the journal with rows a second into a bare table, in the same groups."""
    rows = [small_row(i) for i in range(ROWS)]
    ours, bare = [], []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as folder, create(Path(folder) / "w") as ledger:
            began = time.perf_counter()
            for start in range(0, ROWS, group):
                part = rows[start : start + group]
                ledger.journal.write(lambda connection, part=part: decisions.log_rows(connection, part, []))
            ours.append(ROWS / (time.perf_counter() - began))
        with tempfile.TemporaryDirectory() as folder:
            bare.append(ROWS / bare_seconds(Path(folder) / "bare.sqlite", rows, group))
    yield f"journal, rows a second in groups of {group:,}; bare SQLite", f"{max(ours):,.0f}; {max(bare):,.0f}", {
        "decide journal rows": max(ours),
    }  # fmt: skip


def questions(count: int) -> list[Ask]:
    """Give requests of different subjects with numbers of their own."""
    draw = np.random.default_rng(0)
    ids, names = tuple(f"item{j}" for j in range(ITEMS)), tuple(f"f{j}" for j in range(FEATURES))
    return [
        Ask(
            play="home",
            subject_id=f"s{i}",
            request_id=f"r{i}",
            candidates=Offers(ids=ids, names=names, values=draw.normal(size=(ITEMS, FEATURES))),
        )
        for i in range(count)
    ]


def as_text(ask: Ask) -> str:
    """Give a request as Vowpal Wabbit reads it."""
    assert isinstance(ask.candidates, Offers)
    pairs = ask.candidates.names
    lines = [" ".join(f"{n}:{v!r}" for n, v in zip(pairs, row, strict=True)) for row in ask.candidates.values.tolist()]
    return "\n".join(["shared |s u=" + ask.subject_id, *(f"|a {line}" for line in lines)])


def in_turns(sides: dict[str, Callable[[int], Any]], requests: int) -> dict[str, np.ndarray]:
    """Give the microseconds of every side for every request but the first tenth; a turn is a block of requests."""
    took: dict[str, list[float]] = {name: [] for name in sides}
    for start in range(0, requests, BLOCK):
        for name, side in sides.items():
            for i in range(start, min(start + BLOCK, requests)):
                began = time.thread_time_ns()
                side(i)
                took[name].append((time.thread_time_ns() - began) / 1e3)
    return {name: np.array(values[requests // 10 :]) for name, values in took.items()}


def told(what: str, took: dict[str, np.ndarray]) -> Iterator[tuple[str, str, dict[str, float]]]:
    """Give a line per side."""
    for name, values in took.items():
        yield f"{what}: {name}, p50 and p99, us", f"{np.median(values):,.0f} and {np.percentile(values, 99):,.0f}", {}


def ratio(took: dict[str, np.ndarray], over: str, under: str) -> float:
    """Give the ratio of two medians."""
    return float(np.median(took[over]) / np.median(took[under]))


def small_row(i: int) -> decisions.Row:
    """Give a row with three candidates."""
    return decisions.row(
        (new_id("d"), f"r{i}", "home", "live", "policy", f"c{(i * 7919) % 1_000_003:07d}", NOW),
        context={},
        shown=candidates.packed(
            candidates.head(("none", "banner", "coupon"), (0.0, 0.1, 1.0)), [None, None, None],
            *map(candidates.little, ([0.05, 0.1234567, 0.2], [0.5, 1.23456, 2.3], [0.1, 0.2, 0.7])),
        ),
        chosen=("coupon", 0.7, 123_456_789_012),
        features={"churn_probability": 0.123},
        versions=(5, "0123456789abcdef", {"policy": "0123456789abcdef"}),
        told=("coupon: worth 1.80 more than doing nothing.", False, 90),
    )  # fmt: skip


def bare_seconds(file: Path, rows: list[decisions.Row], group: int) -> float:
    """Give the seconds that a table of id, subject, time and candidates takes for the same rows."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE log (id TEXT PRIMARY KEY, subject TEXT, ts INTEGER, body TEXT)")
    began = time.perf_counter()
    for start in range(0, len(rows), group):
        connection.execute("BEGIN IMMEDIATE")
        part = [(r[0], r[5], r[6], r[8]) for r in rows[start : start + group]]
        connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?)", part)
        connection.execute("COMMIT")
    took = time.perf_counter() - began
    connection.close()
    return took


PARTS: dict[str, Callable[..., Iterator[tuple[str, str, dict[str, float]]]]] = {
    "linear": linear,
    "tree": tree,
    "first": first,
    "journal": journal,
}

if __name__ == "__main__":
    main()
