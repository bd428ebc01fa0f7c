"""Sales people: told apart when they differ, not when chance does it; activities only where they go with winning."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

import nextbest as nb
from nextbest.errors import UsageError
from nextbest.ledger import archive, create
from nextbest.models import rep_effects
from nextbest.recipes import rep_activities
from nextbest.recipes.rep_performance import RepPerformance

if TYPE_CHECKING:
    from pathlib import Path

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


def _deals(*, spread: float, seed: int, reps: int = 12, each: int = 60) -> pa.Table:
    """Draw deals of reps whose log-odds of winning differ by `spread`; easy products go to the first half of them."""
    draw = np.random.default_rng(seed)
    effect = draw.normal(0, spread, reps)
    rep = np.repeat(np.arange(reps), each)
    easy = draw.random(len(rep)) < np.where(rep < reps // 2, 0.8, 0.2)
    calls = draw.poisson(3.0, len(rep))
    notes = draw.poisson(3.0, len(rep))
    chance = 1 / (1 + np.exp(-(effect[rep] + np.where(easy, 0.8, -0.8) + 0.5 * (calls - 3.0))))
    return pa.table({
        "agent": [f"r{i:02d}" for i in rep], "stage": np.where(draw.random(len(rep)) < chance, "Won", "Lost"),
        "product": np.where(easy, "easy", "hard"), "calls": calls, "notes": notes,
        "took": draw.integers(5, 90, len(rep)),
    })  # fmt: skip


def _recipe(table: pa.Table, **more: object) -> RepPerformance:
    return RepPerformance(table=table, rep="agent", label="stage", positive="Won", lost="Lost", **more)  # type: ignore[arg-type]


def test_chance_is_not_taken_for_performance() -> None:
    """Of 40 teams in which nobody differs, at most 6 seem to: the p value holds its 5% (and a margin)."""
    draw = np.random.default_rng(1)
    found = 0
    for seed in range(40):
        rep = np.repeat(np.arange(10), 40)
        offset = draw.normal(0, 0.5, 400)
        won = (draw.random(400) < 1 / (1 + np.exp(-offset))).astype(float)
        found += rep_effects.of_wins(won, offset, rep, seed=seed).p_value < 0.05
    assert found <= 6


def test_reps_that_differ_are_found_and_shrunk() -> None:
    """Where reps differ the effects go with the true ones, and are drawn towards nought."""
    draw = np.random.default_rng(2)
    true = draw.normal(0, 0.8, 30)
    rep = np.repeat(np.arange(30), 80)
    won = (draw.random(len(rep)) < 1 / (1 + np.exp(-true[rep]))).astype(float)
    found = rep_effects.of_wins(won, np.zeros(len(rep)), rep)
    raw = np.log(np.bincount(rep, won) + 0.5) - np.log(np.bincount(rep, 1 - won) + 0.5)
    assert np.corrcoef(found.effect, true)[0, 1] > 0.9
    assert np.abs(found.effect).mean() < np.abs(raw).mean()
    assert found.spread == pytest.approx(0.8, abs=0.25)
    assert np.mean(np.abs(found.effect - true) < 1.645 * found.error) >= 0.8


def test_few_reps_are_not_surely_alike() -> None:
    """Of 60 teams of eight who differ a little, 90% intervals hold at least 85 of 100 true differences."""
    # One best spread, often nought by chance, held 51 (lengths) and 66 (wins).
    held: list[list[float]] = [[], []]
    for seed in range(60):
        draw = np.random.default_rng([seed, 8, 15])
        rep, true = np.repeat(np.arange(8), 15), draw.normal(0, 0.1, 8)
        amounts = rep_effects.of_amounts(true[rep] + draw.normal(0, 1, 120), rep, seed=seed)
        won = (draw.random(120) < 1 / (1 + np.exp(-(2 * true[rep] - 0.5)))).astype(float)
        wins = rep_effects.of_wins(won, np.full(120, np.log(won.mean() / (1 - won.mean()))), rep, seed=seed)
        for place, (found, scale) in enumerate(((amounts, 1), (wins, 2))):
            apart = np.abs(found.effect - scale * (true - true.mean()))
            held[place].append(float((apart < 1.645 * found.error).mean()))
    assert np.mean(held[0]) >= 0.85
    assert np.mean(held[1]) >= 0.85


def test_who_has_no_amounts_is_an_average_rep_with_the_widest_interval() -> None:
    """A rep without won deals has no effect, and an error above that of every rep who has some."""
    draw = np.random.default_rng(9)
    rep = np.repeat(np.arange(6), 30)
    found = rep_effects.of_amounts(draw.normal(0, 0.5, 6)[rep] + draw.normal(0, 1, 180), rep, reps=7)
    assert found.effect[6] == 0
    assert found.error[6] > found.error[:6].max()


def test_an_easy_mix_is_no_merit() -> None:
    """Reps who only had easier products seem to differ without the mix, and do not with it."""
    table = _deals(spread=0.0, seed=3)
    naive = _recipe(table).fit(None, as_of=AS_OF).report
    fair = _recipe(table, mix=("product",)).fit(None, as_of=AS_OF).report
    assert naive.metrics["p_value"] < 0.05 < fair.metrics["p_value"]
    assert "do not surely differ" in fair.why


def test_what_goes_with_winning_is_named_and_called_that() -> None:
    """Calls, which go with winning, are named; notes, which do not, are not; no word of cause."""
    report = _recipe(_deals(spread=0.3, seed=4), activities=("calls", "notes"), mix=("product",)).fit(
        None, as_of=AS_OF
    ).report  # fmt: skip
    said = {row["activity"]: row["surely"] for row in report.details["activities"]}
    assert said == {"calls": True, "notes": False}
    assert "With winning go: calls." in report.why
    assert "not what anybody caused" in report.why


def test_finds_are_held_over_all_activities() -> None:
    """The rule of Benjamini and Hochberg: with five p values the second is a find only below 2 of 5 parts of 5%."""
    assert rep_activities._held([0.04, 0.3, 0.5, 0.6, 0.9]) == [False] * 5
    assert rep_activities._held([0.02, 0.001, 0.5, 0.6, 0.9]) == [True, True, False, False, False]


def test_lengths_of_won_deals_are_compared() -> None:
    """With a column of days the ratio of a rep's lengths to the usual one stands in every row, inside its interval."""
    rows = _recipe(_deals(spread=0.0, seed=5), days=("took",)).fit(None, as_of=AS_OF).extra["reps"]
    assert all(r["length_ratio_low"] <= r["length_ratio"] <= r["length_ratio_high"] for r in rows)


def test_too_few_deals_are_told() -> None:
    """A handful of deals is not enough, and the numbers are said."""
    report = _recipe(_deals(spread=0.0, seed=6, reps=3, each=8)).fit(None, as_of=AS_OF).report
    assert (report.status, "at least 30 of either" in report.why) == ("not_enough_data", True)


def test_a_column_of_ids_is_not_taken_for_reps() -> None:
    """With fewer than two deals per rep on average nothing is compared, and the likely mistake is said."""
    deals = _deals(spread=0.0, seed=6)
    ids = pa.array([f"d{i}" for i in range(deals.num_rows)])
    recipe = _recipe(deals)
    table = deals.set_column(deals.column_names.index(recipe.rep), recipe.rep, ids)
    report = _recipe(table).fit(None, as_of=AS_OF).report
    assert report.status == "not_enough_data"
    assert "fewer than 2 deals each" in report.why


def test_deals_of_the_ledger_are_compared(tmp_path: Path) -> None:
    """Deals and activities of the ledger give one row per owner; activities after the first days do not count."""
    draw = np.random.default_rng(7)
    owner = draw.integers(0, 4, 200)
    begun = [AS_OF - timedelta(days=int(d)) for d in draw.integers(120, 400, 200)]
    ended = [b + timedelta(days=int(d)) for b, d in zip(begun, draw.integers(20, 90, 200), strict=True)]
    won = draw.random(200) < 0.5
    names = [f"d{i}" for i in range(200)]
    rows = pa.table({
        "event_id": [f"{n}-{s}" for n in names for s in "ab"], "subject_id": [n for n in names for _ in "ab"],
        "deal_id": [n for n in names for _ in "ab"],
        "ts": [t for b, e in zip(begun, ended, strict=True) for t in (b, e)],
        "stage": [s for w in won for s in ("offer", "won" if w else "lost")],
        "owner_id": [f"r{o}" for o in owner for _ in "ab"],
    })  # fmt: skip
    late = pa.table({
        "event_id": [f"n{i}" for i in range(200)], "subject_id": names, "deal_id": names,
        "ts": [e - timedelta(days=1) for e in ended], "activity_type": ["thanks" if w else "sorry" for w in won],
    })  # fmt: skip
    with create(tmp_path / "w") as ledger:
        archive.append(ledger, "deal_stage", rows, source="test")
        archive.append(ledger, "activity", late, source="test")
        fitted = nb.fit(ledger, RepPerformance(), as_of=AS_OF)
        assert fitted.report.status == "ok", fitted.report.why
        said = nb.predict(ledger, "rep_performance", as_of=AS_OF)
    assert sorted(said["rep"].to_pylist()) == ["r0", "r1", "r2", "r3"]
    assert sum(said["deals"].to_pylist()) == 200
    assert fitted.report.details["activities"] == []


def test_columns_come_in_the_order_to_read_them(tmp_path: Path) -> None:
    """A model that was kept gives the columns of the one that was fitted, the rep first."""
    table = _deals(spread=0.5, seed=9)
    with create(tmp_path / "w", clock=lambda: AS_OF) as ledger:
        fitted = nb.fit(ledger, _recipe(table), as_of=AS_OF)
        fresh = nb.predict(ledger, fitted, table=table)
        kept = nb.predict(ledger, "rep_performance", table=table)
    assert fresh.equals(kept)
    assert kept.column_names[:4] == ["rep", "deals", "wins", "win_rate"]


def test_a_value_that_no_deal_has_is_refused() -> None:
    """Without the value that means won every deal would be lost: the values that are there are told instead."""
    with pytest.raises(UsageError, match=r"No row of 'stage' is 'true'.*The values are: 'Lost', 'Won'"):
        RepPerformance(table=_deals(spread=0.5, seed=9), rep="agent", label="stage").fit(None, as_of=AS_OF)
