"""Another policy on a flat table of logged decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pytest

from nextbest import verbs
from nextbest.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

N = 6000
CHANCE = np.array([0.6, 0.3, 0.1])
ANSWERS = np.array([0.1, 0.2, 0.4])


@pytest.fixture(scope="module")
def log() -> pa.Table:
    """Give a log of three actions with constant chances; the third answers most and was taken least."""
    drawn, answered = (np.random.default_rng(s) for s in np.random.SeedSequence(31).spawn(2))
    action = drawn.choice(3, N, p=CHANCE)
    names = np.array(["a", "b", "c"])
    return pa.table(
        {
            "who": [f"s{i // 2}" for i in range(N)],
            "action": names[action],
            "p": CHANCE[action],
            "click": (answered.random(N) < ANSWERS[action]).astype(int),
            "side": np.where(np.arange(N) % 3 == 0, "left", "right"),
            **{f"q_{a}": np.full(N, share) for a, share in zip("abc", (0.2, 0.2, 0.6), strict=True)},
        }
    )


def ask(log: pa.Table, **changes: Any) -> Any:
    """Measure a target by replay."""
    asked = {"outcome": "click", "treatment": "action", "choice_probability": "p", "method": "replay", **changes}
    return verbs.measure_table(log, **asked)


@pytest.mark.parametrize(
    ("target", "truth"), [("c", 0.4), ("uniform", 0.7 / 3), ("q_", 0.2 * 0.1 + 0.2 * 0.2 + 0.6 * 0.4)]
)
def test_each_way_to_name_a_target_holds_its_truth(log: pa.Table, target: str, truth: float) -> None:
    """An action for all, even chances, columns of chances: the interval of each holds what it earns in truth."""
    effect = ask(log, target=target, subject="who")
    logged = float(CHANCE @ ANSWERS)
    assert effect.low < truth - logged < effect.high
    assert effect.details["value"]["low"] < truth < effect.details["value"]["high"]


def test_a_table_of_chances_is_looked_up_by_what_it_shares(log: pa.Table) -> None:
    """A target that is c on the left and a on the right is told from a table by side and action."""
    target = pa.table({"side": ["left", "right"], "action": ["c", "a"], "probability": [1.0, 1.0]})
    effect = ask(log, target=target, by="side")
    assert effect.details["value"]["low"] < 0.4 / 3 + 0.1 * 2 / 3 < effect.details["value"]["high"]
    assert effect.details["groups"]["left"]["estimate"] > 0.1
    assert effect.details["groups"]["right"]["estimate"] < 0


def test_a_file_of_chances_is_read(log: pa.Table, tmp_path: Path) -> None:
    """The target table may be a file."""
    pc_csv.write_csv(pa.table({"action": ["c"], "probability": [1.0]}), tmp_path / "target.csv")
    assert ask(log, target=str(tmp_path / "target.csv")).estimate == ask(log, target="c").estimate


def test_rows_without_an_outcome_are_named(log: pa.Table) -> None:
    """Rows without an outcome are left out, and counted aloud."""
    some = log.set_column(
        3, "click", pc.if_else(pa.array(np.arange(N) < 100), pa.scalar(None, pa.int64()), log["click"])
    )
    assert "100 of 6,000 rows" in ask(some, target="c").why


def test_missing_chances_are_refused(log: pa.Table) -> None:
    """More than one row in twenty without a chance: nobody can tell."""
    some = log.set_column(2, "p", pc.if_else(pa.array(np.arange(N) < 600), pa.scalar(None, pa.float64()), log["p"]))
    effect = ask(some, target="c")
    assert effect.status == "cannot_tell"
    assert "600 of 6,000 rows have no chance" in effect.why


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"target": "d"}, "no action"),
        ({"target": ""}, "--target"),
        ({"target": "c", "choice_probability": ""}, "--choice-probability"),
        ({"target": "c", "choice_probability": "chance"}, "no column 'chance'"),
        ({"target": "c", "outcome": "clik"}, "click"),
        ({"target": "c", "colour": "x"}, "no column for 'colour'"),
        ({"target": pa.table({"action": ["c"]})}, "needs the columns"),
    ],
)
def test_what_is_missing_is_asked_for(log: pa.Table, change: dict[str, Any], match: str) -> None:
    """Each missing or misspelt part is named."""
    with pytest.raises(UsageError, match=match):
        ask(log, **change)


def test_thompson_is_told_from_the_random_log_and_the_other_way_round(shared_data: Path) -> None:
    """Open Bandit, men: the interval from either log holds what the other policy earned while it ran."""
    random, bts = (_open_bandit(shared_data / "bandit-obd-men" / f"men_{n}.csv.gz") for n in ("random", "bts"))
    asked = {"outcome": "click", "treatment": "item_id", "choice_probability": "propensity_score"}
    shares = bts.group_by(["position", "item_id"]).aggregate([("click", "count")])
    places = dict(bts.group_by("position").aggregate([("click", "count")]).to_pylist()[i].values() for i in range(3))
    chance = [row["click_count"] / places[row["position"]] for row in shares.to_pylist()]
    target = pa.table({"position": shares["position"], "item_id": shares["item_id"], "probability": chance})
    forth = verbs.measure_table(random, method="replay", target=target, **asked)
    back = verbs.measure_table(bts, method="replay", target="uniform", **asked)
    assert forth.details["value"]["low"] < pc.mean(bts["click"]).as_py() < forth.details["value"]["high"]
    assert back.details["value"]["low"] < pc.mean(random["click"]).as_py() < back.details["value"]["high"]


def _open_bandit(file: Path) -> pa.Table:
    return pc_csv.read_csv(file).select(["item_id", "position", "click", "propensity_score"])
