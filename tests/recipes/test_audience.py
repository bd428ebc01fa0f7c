"""Look-alikes: those who were left off the list by lot are found, and nobody on it is named again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import nextbest as nb
from nextbest.errors import UsageError
from nextbest.ledger import archive, create
from nextbest.recipes.audience import Audience

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000
_SPECIAL, _ALL = 200, 800


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Give a shop in which 200 of 800 customers buy often and expensively."""
    draw = np.random.default_rng(1)
    end = int(AS_OF.timestamp() * 1e6)
    who, when, money = [], [], []
    for number in range(_ALL):
        special = number < _SPECIAL
        count = 1 + draw.poisson(14 if special else 5)
        who += [f"s{number:04d}"] * count
        when += (end - draw.integers(1, 350, count) * _DAY_US).tolist()
        money += (np.exp(draw.normal(4.0 if special else 3.0, 0.5, count))).tolist()
    names = [f"o{i}" for i in range(len(who))]
    rows = {"event_id": names, "order_id": names, "subject_id": who, "revenue": money}
    moments = pa.array(when, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
    with create(tmp_path_factory.mktemp("shop") / "w") as ledger:
        archive.append(ledger, "order", pa.table({**rows, "ts": moments}), source="test")
        yield ledger


SEEDS = tuple(f"s{i:04d}" for i in range(0, _SPECIAL, 2))


def test_those_left_off_the_list_are_found(shop: Ledger) -> None:
    """With every second special customer on the list, most of the best hundred are the other special ones."""
    fitted = nb.fit(shop, Audience(seeds=SEEDS, count=100), as_of=AS_OF)
    assert fitted.report.status == "ok", fitted.report.why
    said = Audience(seeds=SEEDS, count=100).predict(shop, fitted, as_of=AS_OF)
    chosen = [s for s, c in zip(said["subject_id"].to_pylist(), said["lookalike"].to_pylist(), strict=True) if c]
    assert len(chosen) == 100
    assert sum(int(s[1:]) < _SPECIAL for s in chosen) >= 80


def test_nobody_on_the_list_is_named_again(shop: Ledger) -> None:
    """Everyone but those on the list gets a score."""
    fitted = nb.fit(shop, Audience(seeds=SEEDS), as_of=AS_OF)
    said = nb.predict(shop, fitted, as_of=AS_OF)
    assert not set(said["subject_id"].to_pylist()) & set(SEEDS)
    assert said.num_rows == _ALL - len(SEEDS)


def test_no_id_of_the_list_is_kept(shop: Ledger) -> None:
    """What is kept of the list are keyed digests: no id stands in the settings or facts of the model."""
    fitted = nb.fit(shop, Audience(seeds=SEEDS), as_of=AS_OF)
    written = json.dumps([dict(fitted.settings), dict(fitted.extra), dict(fitted.report.details)], default=str)
    assert not [s for s in SEEDS if s in written]


def test_held_out_seeds_are_found_more_often_than_by_lot(shop: Ledger) -> None:
    """The report says how many held-out seeds the audience holds, with an interval above what lot would give."""
    report = nb.fit(shop, Audience(seeds=SEEDS, share=0.2), as_of=AS_OF).report
    assert report.intervals["seeds_found"][0] > 0.2
    assert "The best 20% hold" in report.why


def test_a_list_may_be_a_file(shop: Ledger, tmp_path: Path) -> None:
    """A file of ids gives the same as the ids; ids that nobody knows are counted."""
    file = tmp_path / "best.csv"
    file.write_text("customer\n" + "\n".join([*SEEDS, "nobody"]) + "\n", encoding="utf-8")
    fitted = nb.fit(shop, Audience(seeds=str(file), id="customer"), as_of=AS_OF)
    assert fitted.report.metrics == nb.fit(shop, Audience(seeds=SEEDS), as_of=AS_OF).report.metrics
    assert "1 of the list are not in the ledger" in fitted.report.why


def test_too_few_seeds_are_told(shop: Ledger) -> None:
    """A handful of seeds is not enough to say what they have in common."""
    report = nb.fit(shop, Audience(seeds=SEEDS[:4]), as_of=AS_OF).report
    assert report.status == "not_enough_data"


def test_one_of_two_ways_to_name_the_list(shop: Ledger) -> None:
    """Neither seeds nor a segment, or both, is refused; so is a share that is no share."""
    with pytest.raises(UsageError, match="one of the two"):
        Audience().fit(shop, as_of=AS_OF)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Audience(seeds=SEEDS, share=10).fit(shop, as_of=AS_OF)


def test_in_an_empty_workspace_there_is_nobody_to_match(tmp_path: Path) -> None:
    """Nothing known is an answer that says what to load."""
    with create(tmp_path / "w") as ledger:
        report = Audience(seeds=("ann",)).fit(ledger, as_of=datetime(2026, 1, 1, tzinfo=UTC)).report
    assert report.status == "not_enough_data"
    assert "load orders" in report.why
