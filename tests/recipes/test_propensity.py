"""Propensity: any event within a horizon, from the ledger and from a table, several under names of their own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from nextbest import registry, verbs
from nextbest.errors import ConfigError, UsageError
from nextbest.ledger import analysis, archive, create, open_ledger
from nextbest.recipes import judged, moments
from nextbest.recipes.propensity import HABIT, RECENCY, Propensity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger import Ledger

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 240
FRUIT = {"event": "order_line", "where": "category == 'fruit'", "horizon_days": 30}


def _shop(ledger: Ledger, *, customers: int = 300, seed: int = 0) -> None:
    """Write order lines of customers who each love one of three categories more or less."""
    draw = np.random.default_rng([seed, 4])
    who, when, what = [], [], []
    for number in range(customers):
        count = draw.poisson(draw.gamma(2.0, 12.0))
        love = draw.beta(0.6, 2.0)
        who += [f"c{number}"] * count
        when += list(draw.uniform(0, DAYS, count))
        what += draw.choice(["fruit", "bread", "soap"], count, p=[love, (1 - love) / 2, (1 - love) / 2]).tolist()
    start = AS_OF - timedelta(days=DAYS)
    rows = pa.table({
        "event_id": [f"l{i}" for i in range(len(who))], "subject_id": who,
        "order_id": [f"o{i}" for i in range(len(who))],
        "ts": pa.array([start + timedelta(days=float(d)) for d in when], pa.timestamp("us", tz="UTC")),
        "category": what, "product_id": what, "revenue": [3.0] * len(who), "quantity": [1.0] * len(who),
    })  # fmt: skip
    archive.append(ledger, "order_line", rows, source="made up")


def test_few_rows_that_judge_are_told() -> None:
    """When fewer than 30 rows of a class judge, the report warns of the ranking; with more it does not."""
    draw = np.random.default_rng(6)
    words = moments.Words(events="e", happened="did", happened_not="did not", judged_on="x", load="e")
    for yes, warned in ((12, 1), (40, 0)):
        actual = np.repeat([1.0, 0.0], [yes, 200])
        found = judged.Judged(actual=actual, ours=draw.random(len(actual)), baselines={})
        asked = moments.Asked(
            recipe="r", horizon_days=30, span=(0, 10**14), rows=lambda _: None, words=words,  # type: ignore[arg-type,return-value]
            baselines=lambda *_: {}, against="", against_word="",
        )  # fmt: skip
        assert len(moments._cautions(found, asked)) == warned


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """Give a made-up shop, for reading only, that declares two propensities."""
    folder = tmp_path_factory.mktemp("shop") / "w"
    with create(folder) as made:
        _shop(made)
    (folder / "nextbest.toml").write_text(
        'name = "w"\n[recipes.fruit]\nrecipe = "propensity"\nevent = "order_line"\nwhere = "category == \'fruit\'"\n'
        '[recipes.soap]\nrecipe = "propensity"\nevent = "order_line"\nwhere = "category == \'soap\'"\n'
        'audience = "orders_ever >= 2"\n'
    )
    with open_ledger(folder) as ledger:
        yield ledger


def test_an_event_is_learnt_out_of_time_beside_habit(shop: Ledger) -> None:
    """Buying of a category is told better than by chance, and the report says whether it beats habit."""
    recipe = Propensity(**FRUIT)
    fitted = recipe.fit(shop, as_of=AS_OF)
    report = fitted.report
    assert report.status == "ok", report.why
    assert {RECENCY, HABIT, "majority"} <= set(report.baselines)
    assert report.intervals["auc"][0] > 0.6
    assert "habit" in report.why
    assert report.details["cautions"] == []  # enough rows judged
    said = recipe.predict(shop, fitted, as_of=AS_OF)
    low, mid, high = (said[f"propensity_probability{e}"].to_numpy() for e in ("_low", "", "_high"))
    assert np.all((low >= 0) & (low <= mid) & (mid <= high) & (high <= 1))


def test_labels_are_the_events_in_the_horizon_that_meet_the_condition(shop: Ledger) -> None:
    """The positives of a report equal a slow count over its moments."""
    fitted = Propensity(**FRUIT).fit(shop, as_of=AS_OF)
    lines = analysis.table(shop, "order_line", columns=("subject_id", "ts", "category")).to_pylist()
    count = 0
    for text in fitted.extra["cuts"]:
        cut = datetime.fromisoformat(text)
        known = {r["subject_id"] for r in lines if r["ts"] < cut}
        buyers = {
            r["subject_id"] for r in lines if cut <= r["ts"] < cut + timedelta(days=30) and r["category"] == "fruit"
        }
        count += len(known & buyers)
    assert count == fitted.report.positives


@pytest.mark.slow
def test_several_are_declared_under_names_of_their_own(shop: Ledger) -> None:
    """Each recipe of nextbest.toml is kept, found and published by its own name, with its own prediction."""
    for name in ("fruit", "soap"):
        fitted = verbs.fit(shop, name, as_of=AS_OF)
        assert fitted.report.status == "ok", fitted.report.why
        assert fitted.recipe == name
        said = verbs.predict(shop, name, as_of=AS_OF)
        assert f"{name}_probability" in said.column_names
        again = registry.make("recipes", name, fitted.settings)
        assert again.name == name
    everybody = verbs.predict(shop, "fruit", as_of=AS_OF).num_rows
    assert verbs.predict(shop, "soap", as_of=AS_OF).num_rows < everybody


def test_a_name_that_is_taken_and_an_unknown_column_are_refused(shop: Ledger) -> None:
    """A declared name may not be that of a recipe; a condition names only columns of its kind; an event is needed."""
    with pytest.raises(ConfigError, match="there is one of that name"):
        registry.make("recipes", "churn", {"recipe": "propensity"})
    with pytest.raises(ConfigError, match="categry"):
        Propensity(event="order_line", where="categry == 'fruit'").fit(shop, as_of=AS_OF)
    with pytest.raises(UsageError, match="Which event"):
        Propensity().fit(shop, as_of=AS_OF)


def test_too_little_is_told(shop: Ledger) -> None:
    """An event that nobody had, one that is rare, and a horizon longer than the history are answers."""
    none = Propensity(event="coupon_redeem").fit(shop, as_of=AS_OF).report
    assert none.status == "not_enough_data"
    assert "no 'coupon_redeem' events" in none.why
    rare = Propensity(event="order_line", where="category == 'gold'").fit(shop, as_of=AS_OF).report
    assert "events meets the condition category == 'gold'" in rare.why
    long = Propensity(event="order_line", horizon_days=200).fit(shop, as_of=AS_OF).report
    assert "needs 600" in long.why


def test_a_table_answers_too() -> None:
    """From a flat table the prediction goes by the recipe's name as well."""
    draw = np.random.default_rng(5)
    opens = draw.poisson(2.0, 400)
    said = np.where(draw.random(400) < 1 / (1 + np.exp(2 - opens)), "yes", "no")
    table = pa.table({"id": [f"c{i}" for i in range(400)], "opens": opens, "clicked": said.tolist()})
    recipe = Propensity(name="clicks", table=table, id="id", label="clicked")
    fitted = recipe.fit(None, as_of=AS_OF)
    assert fitted.report.status == "ok"
    assert recipe.predict(None, fitted, as_of=AS_OF)["clicks_probability"].null_count == 0


def test_a_nameless_propensity_is_explained_by_its_event(shop: Ledger) -> None:
    """What happened is called by the event: nobody has ever seen a "propensity"."""
    fitted = verbs.fit(shop, Propensity(event="order_line", horizon_days=30), as_of=AS_OF)
    told = " ".join(verbs.explain(shop, "propensity", "c1", as_of=AS_OF).sentences)
    assert fitted.report.status == "ok"
    assert "order line probability" in told
    assert "last propensity" not in told


def test_a_condition_that_nothing_meets_is_told_with_what_the_column_holds(shop: Ledger) -> None:
    """More history would not help a misspelt value; the values that are there do."""
    report = Propensity(event="order_line", where="category == 'Fruit'").fit(shop, as_of=AS_OF).report
    assert report.status == "not_enough_data"
    assert "None of the" in report.why
    assert "'category' holds" in report.why
    assert "'fruit'" in report.why
    nothing = Propensity(event="order_line", where="discount > 1").fit(shop, as_of=AS_OF).report
    assert "'discount' is empty in all of them" in nothing.why
