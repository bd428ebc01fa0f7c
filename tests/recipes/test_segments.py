"""Segments: found where there are some, refused where there are none, and worth telling apart."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import nextbest as nb
from nextbest.ledger import archive, create
from nextbest.recipes import held_out_money, rfm, segment_names
from nextbest.recipes.segment_names import Driver
from nextbest.recipes.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
_DAY_US = 86_400_000_000


def _orders(ledger: Ledger, *, kinds: tuple[tuple[float, float], ...], each: int = 90, days: int = 400) -> None:
    """Write orders of customers of several kinds: (days between orders, money per order)."""
    draw = np.random.default_rng(4)
    end = int(AS_OF.timestamp() * 1e6)
    who, when, money = [], [], []
    for kind, (gap, value) in enumerate(kinds):
        for number in range(each):
            moments = np.cumsum(draw.gamma(6.0, gap / 6, int(days / gap * 2)))
            kept = moments[moments < days]
            who += [f"k{kind}-{number}"] * len(kept)
            when += (end - (kept * _DAY_US).astype(int)).tolist()
            money += (value * np.exp(draw.normal(0, 0.15, len(kept)))).tolist()
    archive.append(
        ledger,
        "order",
        pa.table({
            "event_id": [f"o{i}" for i in range(len(who))], "order_id": [f"o{i}" for i in range(len(who))],
            "subject_id": who, "ts": pa.array(when, pa.int64()).cast(pa.timestamp("us", tz="UTC")), "revenue": money,
        }),
        source="test",
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Give a shop with weekly small buyers and rare bigger ones."""
    with create(tmp_path_factory.mktemp("shop") / "w") as ledger:
        _orders(ledger, kinds=((7.0, 40.0), (50.0, 90.0)))
        yield ledger


def test_kinds_of_customers_are_found_and_named(shop: Ledger) -> None:
    """Two kinds of customers become two segments with names of their own, and everybody gets the right one."""
    fitted = nb.fit(shop, Segments(), as_of=AS_OF)
    assert fitted.report.status == "ok", fitted.report.why
    assert fitted.report.metrics["segments"] == 2
    said = nb.predict(shop, fitted, as_of=AS_OF)
    frequent = np.array([s.startswith("k0") for s in said["subject_id"].to_pylist()])
    names = np.array(said["segment"].to_pylist())
    assert len(set(names[frequent])) == len(set(names[~frequent])) == 1
    assert "frequent" in names[frequent][0] or "rare" in names[~frequent][0]
    assert fitted.report.metrics["held_out_p"] < 0.05


def test_a_segment_is_an_audience(shop: Ledger) -> None:
    """A play whose audience names a segment decides for the people in it and for nobody else."""
    from nextbest import config

    fitted = nb.fit(shop, Segments(), as_of=AS_OF)
    name = fitted.extra["names"][0]
    text = f"""
    [plays.address]
    audience = "segment == '{name}'"
    actions = [{{ id = "note", channel = "email", class = "internal" }}]
    """
    nb.predict(shop, fitted, as_of=AS_OF)
    said = nb.predict(shop, fitted, as_of=AS_OF)
    before = shop.config
    object.__setattr__(shop, "config", config.parse(text))
    decided = nb.decide(shop, "address", as_of=AS_OF)
    object.__setattr__(shop, "config", before)
    assert decided.decided == said["segment"].to_pylist().count(name) > 0


def test_one_kind_of_customers_gives_no_segments(tmp_path: Path) -> None:
    """When all customers are drawn alike the answer is that there are no stable segments, and what to do."""
    with create(tmp_path / "w") as ledger:
        _orders(ledger, kinds=((20.0, 40.0),), each=200)
        report = Segments().fit(ledger, as_of=AS_OF).report
    assert report.status == "cannot_tell"
    assert "No stable segments" in report.why
    assert "set k" in report.why


def test_a_cut_that_is_asked_for_is_called_a_cut(tmp_path: Path) -> None:
    """With k given the customers are cut, and the report says that these are no groups."""
    draw = np.random.default_rng(5)
    table = pa.table({"id": [str(i) for i in range(300)], "a": draw.normal(size=300), "b": draw.normal(size=300)})
    fitted = Segments(table=table, id="id", k=3).fit(None, as_of=AS_OF)
    assert fitted.report.status == "ok"
    assert "parts of one cloud" in fitted.report.why
    assert len(set(Segments(table=table, id="id", k=3).predict(None, fitted, as_of=AS_OF)["segment"].to_pylist())) == 3


def test_too_few_customers_are_told(tmp_path: Path) -> None:
    """Fewer than a hundred rows are not enough, and the report says how many there are."""
    table = pa.table({"a": np.arange(50.0), "b": np.arange(50.0) ** 2})
    report = Segments(table=table).fit(None, as_of=AS_OF).report
    assert (report.status, "Only 50 rows" in report.why) == ("not_enough_data", True)


def test_too_many_columns_are_told() -> None:
    """Hundreds of columns are refused with the remedy, not compared for minutes."""
    draw = np.random.default_rng(8)
    table = pa.table({f"c{i}": draw.normal(size=120) for i in range(300)})
    report = Segments(table=table).fit(None, as_of=AS_OF).report
    assert (report.status, "300 columns are too many" in report.why) == ("not_enough_data", True)


def test_the_grid_names_the_corners(shop: Ledger) -> None:
    """On the grid of fifths the best on both sides are champions, the worst on both are lost."""
    cuts = {rfm.RECENCY: [10.0, 20.0, 30.0, 40.0], rfm.FREQUENCY: [1.0, 2.0, 3.0, 4.0], rfm.MONEY: [1.0, 2.0, 3.0, 4.0]}
    table = pa.table(
        {rfm.RECENCY: [5.0, 99.0, 99.0, 5.0], rfm.FREQUENCY: [9.0, 0.0, 9.0, 0.0], rfm.MONEY: [9.0, 0.0, 9.0, 0.0]}
    )
    assert rfm.segments(table, cuts) == ["champions", "lost", "at risk", "new or occasional"]
    fitted = nb.fit(shop, Segments(method="rfm"), as_of=AS_OF)
    assert set(nb.predict(shop, fitted, as_of=AS_OF)["segment"].to_pylist()) <= set(rfm.NAMES)


def test_names_are_different() -> None:
    """Segments with the same first drivers get a third, or a number."""
    same = [Driver("orders_365d", 1.0), Driver("revenue_365d", 0.9)]
    third = [Driver("discount_share_365d", d) for d in (0.8, -0.8)]
    told = [[*same, third[0]], [*same, third[1]], [Driver("orders_365d", 0.1)]]
    assert segment_names.named(told) == [
        "frequent, high revenue, bargain hunters", "frequent, high revenue, full price", "in between",
    ]  # fmt: skip
    assert segment_names.named([same, same]) == ["frequent, high revenue (1)", "frequent, high revenue (2)"]


def test_random_groups_rarely_seem_to_differ() -> None:
    """Among 60 random groupings at most 8 reach p below 0.05, and groups that differ always do."""
    draw = np.random.default_rng(6)
    found = [
        held_out_money.difference(draw.integers(0, 3, 120), draw.exponential(10.0, 120), seed=i, draws=199).p_value
        for i in range(60)
    ]
    assert sum(p < 0.05 for p in found) <= 8
    labels = draw.integers(0, 2, 120)
    assert held_out_money.difference(labels, draw.exponential(10.0 + 40.0 * labels), draws=199).p_value < 0.05
