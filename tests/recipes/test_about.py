from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import nextbest as nb
from nextbest.ledger import archive, create, published, republished
from nextbest.recipes import about
from nextbest.recipes.segments import Segments
from nextbest.recipes.value import Value

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from nextbest.ledger import Ledger

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
DAY = 86_400_000_000


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Give a shop with weekly and rare buyers, and models of what they are and what they will spend."""
    draw = np.random.default_rng(5)
    who, when, money = [], [], []
    for i in range(160):
        gap, size = ((7.0, 40.0), (50.0, 90.0))[i % 2]
        days = np.cumsum(draw.exponential(gap, 60))
        days = days[days < 700]
        who += [f"k{i % 2}-{i}"] * len(days)
        when += [int((AS_OF - timedelta(days=d)).timestamp() * 1_000_000) - DAY for d in days.tolist()]
        money += draw.gamma(20.0, size / 20.0, len(days)).tolist()
    with create(tmp_path_factory.mktemp("shop") / "w", clock=lambda: AS_OF) as ledger:
        ids = [f"o{i}" for i in range(len(who))]
        ts = pa.array(when, pa.int64()).cast(pa.timestamp("us", tz="UTC"))
        rows = {"event_id": ids, "order_id": ids, "subject_id": who, "ts": ts, "revenue": money}
        archive.append(ledger, "order", pa.table(rows), source="test")
        for recipe in (Segments(), Value()):
            fitted = nb.fit(ledger, recipe, as_of=AS_OF)
            assert fitted.report.status == "ok", fitted.report.why
        yield ledger


def test_published_predictions_are_those_of_predicting_again(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a list is made from is the same to the last bit, whether it is read or predicted; then nothing predicts."""
    predicted, versions = about.everyone(shop, "customer", as_of=AS_OF)
    for recipe in ("segments", "value"):
        nb.predict(shop, recipe, as_of=AS_OF)

    def fail(*_: Any, **__: Any) -> None:
        message = "predicted again"
        raise AssertionError(message)

    with monkeypatch.context() as patched:
        patched.setattr(Segments, "predict", fail)
        patched.setattr(Value, "predict", fail)
        patched.setattr(about, "features", fail)
        read, same = about.everyone(shop, "customer", as_of=AS_OF)
    assert same == versions
    assert read.schema.equals(predicted.schema)
    assert read.combine_chunks().equals(predicted.combine_chunks())


def test_another_moment_is_predicted(shop: Ledger) -> None:
    """What was published as of one day is not taken for another."""
    nb.predict(shop, "segments", as_of=AS_OF)
    earlier, _ = about.everyone(shop, "customer", as_of=AS_OF - timedelta(days=200))
    now, _ = about.everyone(shop, "customer", as_of=AS_OF)
    assert earlier["orders_365d"].to_pylist() != now["orders_365d"].to_pylist()


def test_features_are_published_once_for_all_recipes(shop: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predicting with two recipes as of one moment publishes the features once, and serves them as fresh."""
    moment, names, publish = AS_OF - timedelta(days=3), [], published.publish

    def counted(ledger: Ledger, recipe: str, *args: Any, **settings: Any) -> int:
        names.append(recipe)
        return publish(ledger, recipe, *args, **settings)

    monkeypatch.setattr(published, "publish", counted)
    for recipe in ("segments", "value"):
        nb.predict(shop, recipe, as_of=moment)
    assert names == ["segments", "features", "value"]
    assert republished.confirm(shop, "features", "", moment, state=republished.state(shop))
