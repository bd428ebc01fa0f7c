from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from nextbest.errors import DataError, MissingExtraError
from nextbest.models.forecasting import conformal, extra, global_trees, hierarchy, lags, origins, periods, statistical
from nextbest.models.forecasting.panel import Panel, carried, filled, grid
from nextbest.models.forecasting.trend import trend

NAN = float("nan")


def panel(values: np.ndarray, **more: object) -> Panel:
    """Give a panel of quarters, or of what else is asked for."""
    names = tuple(f"s{i}" for i in range(len(values)))
    groups = np.zeros(len(values), np.int64)
    settings = {"season": 4, "first": 0, "period": "quarter", "phases": np.arange(200.0) % 4, "groups": groups, **more}
    return Panel(series=names, values=values, **settings)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([5.0], 5.0), ([5.0, 7.0], 6.0), ([3.0] * 40, 3.0), ([0.0] * 30, 0.0), ([0.0, 0.0, 0.0, 4.0], 4 / 3)],
)
def test_what_no_method_can_take_is_answered(values: list[float], expected: float) -> None:
    """One point, a constant, nothing but zeros and a handful of values have a plain forecast: the mean of the last."""
    found = statistical.methods_of(np.array(values), season=12, horizon=3)
    assert statistical.combined(found) == pytest.approx([expected] * 3)


def test_the_combination_is_the_median_of_the_methods_and_not_of_the_baselines() -> None:
    """A method that runs away takes nobody along, and naive forecasts are only compared with."""
    found = {"naive": np.array([99.0]), "seasonal naive": np.array([99.0]), "a": np.array([1.0]), "b": np.array([2.0]),
             "c": np.array([1e9])}  # fmt: skip
    assert statistical.combined(found) == pytest.approx([2.0])


@pytest.mark.parametrize("season", [4, 12, 52])
def test_a_pure_season_is_repeated(season: int) -> None:
    """A series that repeats itself without noise is foreseen within a hundredth of its swing."""
    at = np.arange(4 * season)
    values = 100 + 30 * np.sin(2 * np.pi * at / season)
    said = statistical.combined(statistical.methods_of(values[: 3 * season], season=season, horizon=season))
    assert np.abs(said - values[3 * season :]).max() < 1.5


def test_rare_demand_is_near_its_rate() -> None:
    """Where something is sold in one period of five, the forecast is near the mean per period, not 0 and not a sale."""
    draw = np.random.default_rng(4)
    values = np.where(draw.random(200) < 0.2, 5.0, 0.0)
    assert statistical.is_rare(values)
    said = statistical.combined(statistical.methods_of(values, season=52, horizon=4))
    assert np.all((said > 0.5) & (said < 1.7))


def test_gaps_are_filled_as_the_table_speaks() -> None:
    """Zeros in a table make a missing row unknown, many missing rows without zeros mean none sold; starts stay open."""
    unknown, said = filled(np.array([[NAN, 0.0, NAN, 4.0]]))
    assert unknown[0, 1:].tolist() == [0.0, 2.0, 4.0]
    assert np.isnan(unknown[0, 0])
    assert said == "1 missing periods were interpolated"
    sold, said = filled(np.array([[2.0, NAN, NAN, 4.0]]))
    assert sold.tolist() == [[2.0, 0.0, 0.0, 4.0]]
    assert "count as 0" in said


def test_cells_add_up_and_are_carried() -> None:
    """Two rows of one series and period add up; a gap is carried from the value before, else from the first after."""
    made = grid(np.array([0, 0, 0]), np.array([1, 1, 3]), np.array([1.0, 2.0, 5.0]), (1, 5))
    assert made.tolist()[0][1:4:2] == [3.0, 5.0]
    assert carried(made).tolist() == [[3.0, 3.0, 3.0, 5.0, 5.0]]


@pytest.mark.parametrize(("period", "days"), [("day", 1), ("week", 7), ("month", 31), ("quarter", 92), ("year", 366)])
def test_periods_count_and_come_back(period: periods.Period, days: int) -> None:
    """Every day lies in the period that starts on or before it, and the next one starts after it."""
    at = np.arange(19_000, 20_500)
    number = periods.index(at, period, anchor=3)
    begins = periods.starts(number, period, anchor=3).astype(np.int64)
    assert np.all((begins <= at) & (at - begins < days))
    assert np.all(np.diff(number) >= 0)
    assert np.all(periods.starts(number + 1, period, anchor=3).astype(np.int64) > at)


def test_distances_of_dates_tell_the_period() -> None:
    """Dates a week apart are weeks, 540 days are 18 months, and a single date tells nothing."""
    assert periods.spacing(np.arange(0, 700, 7)) == "week"
    assert periods.spacing(np.array([0, 31, 59, 90])) == "month"
    assert periods.steps(540, "month") == 18
    with pytest.raises(DataError, match="same date"):
        periods.spacing(np.array([7, 7]))


def test_reconciled_forecasts_are_the_closest_that_add_up() -> None:
    """Minimum trace gives what weighted least squares gives, written out (Wickramasuriya et al. 2019, eq. 9)."""
    tree = hierarchy.tree(panel(np.ones((3, 4)), categories=("a", "b"), groups=np.array([0, 0, 1])), total=True)
    assert tree.levels == ("total", "category", "category", "item", "item", "item")
    draw = np.random.default_rng(2)
    said, spread = draw.gamma(5.0, 10.0, (6, 3)), draw.gamma(2.0, 1.0, 6)
    weighed = tree.sums.T @ np.diag(1 / spread)
    by_hand = tree.sums @ np.linalg.solve(weighed @ tree.sums, weighed @ said)
    made = hierarchy.reconciled(tree, said, spread, positive=False)
    assert made == pytest.approx(by_hand)
    assert made[0] == pytest.approx(made[3:].sum(axis=0))


def test_reconciled_demand_is_never_negative_and_still_adds_up() -> None:
    """An item that is pulled below 0 is 0, and the sums follow."""
    tree = hierarchy.tree(panel(np.ones((2, 4))), total=True)
    made = hierarchy.reconciled(tree, np.array([[1.0], [0.1], [9.0]]), np.array([0.01, 1.0, 1.0]), positive=True)
    assert made.min() >= 0
    assert made[0] == pytest.approx(made[1:].sum(axis=0))


def test_what_trees_read_does_not_know_the_future() -> None:
    """Changing everything after a moment changes no column of its rows but what came."""
    draw = np.random.default_rng(3)
    values = draw.gamma(3.0, 5.0, (3, 40))
    later = values.copy()
    later[:, 30:] = 1e6
    before, after = (lags.rows_at(panel(v, lagged={"x": v}), [30], 4) for v in (values, later))
    assert np.array_equal(before.matrix, after.matrix, equal_nan=True)
    assert np.array_equal(before.start, after.start)
    assert not np.array_equal(before.actual, after.actual)


def test_a_known_price_is_used() -> None:
    """With a price of known effect to come, the error is less than half of that without it."""
    draw = np.random.default_rng(5)
    price = np.where(draw.random((10, 120)) < 0.3, 4.0, 5.0)
    values = draw.gamma(4.0, 20.0, (10, 1)) * (5 / price) ** 3 * draw.normal(1.0, 0.03, (10, 120))
    errors = []
    for known in ({}, {"price": price}):
        made = panel(values[:, :112], season=1, known=known)
        tree = hierarchy.tree(made, total=False)
        base = origins.base(made, tree, 112, 8, seed=0)
        errors.append(np.abs(base.by_kind[origins.TREES] - values[:, 112:]).mean())
    assert errors[1] < 0.5 * errors[0]


def test_trees_want_many_windows() -> None:
    """Few series without drivers are left to the statistical methods."""
    assert global_trees.forecast(panel(np.ones((2, 40))), 40, 4, seed=0) is None


def test_an_item_without_a_past_follows_its_category() -> None:
    """One period of sales gives the category's forecast times the item's share of that period."""
    values = np.full((3, 24), 10.0)
    values[2, :-1] = NAN
    values[2, -1] = 5.0
    made = panel(values, categories=("a", "b"), groups=np.array([0, 1, 1]))
    tree = hierarchy.tree(made, total=False)
    said = origins.base(made, tree, 24, 2, seed=0).by_kind[origins.ENSEMBLE]
    assert said[4] == pytest.approx(said[1] * 5 / 15)


@pytest.mark.parametrize("length", [20, 32, 60, 143])
@pytest.mark.parametrize("horizon", [1, 4, 7])
def test_the_last_origin_can_be_judged(length: int, horizon: int) -> None:
    """From two horizons and six periods on, an origin was over by the time of the last one, which sees the end."""
    found = origins.moments(length, 52, horizon, 5)
    assert found[-1] == length - horizon
    assert found[0] + horizon <= found[-1]
    assert found[0] >= 6


def test_quantiles_hold_what_they_say() -> None:
    """The next error is under the quantile as often as it says, also when 9 errors have to do for 95%."""
    draw = np.random.default_rng(6)
    for count, chance in ((9, 0.8), (50, 0.95), (400, 0.05)):
        under = [draw.normal() <= conformal.quantile(draw.normal(size=count), chance) for _ in range(2000)]
        assert np.mean(under) == pytest.approx(chance, abs=0.02)
    far = [draw.normal() <= conformal.quantile(draw.normal(size=9), 0.95) for _ in range(2000)]
    assert np.mean(far) > 0.92


def test_quantiles_grow_with_the_chance() -> None:
    """A larger chance never has a smaller bound, at any step."""
    found = conformal.quantiles(np.random.default_rng(7).normal(size=(40, 5)), (0.05, 0.5, 0.9, 0.99))
    assert np.all(np.diff(found, axis=0) >= 0)


def test_trends_are_told_where_they_are_and_not_where_they_are_not() -> None:
    """A doubling is rising, a halving falling; noise is called steady about as often as the level says."""
    up = np.r_[np.full(20, 10.0), np.full(20, 20.0)] + np.random.default_rng(8).normal(0, 1, 40)
    assert trend(up, season=1, periods=10, level=0.9)[3] == "steady"  # both halves of what is compared are after it
    assert trend(up, season=20, periods=10, level=0.9)[3] == "rising"
    assert trend(up[::-1].copy(), season=20, periods=10, level=0.9)[3] == "falling"
    assert trend(np.array([1.0, 2.0]), season=12, periods=4, level=0.9)[3] == "unknown"
    draw = np.random.default_rng(9)
    words = [trend(draw.normal(10, 1, 60), season=12, periods=12, level=0.9)[3] for _ in range(300)]
    assert words.count("steady") > 240


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the packages the error says what to install."""
    monkeypatch.setitem(sys.modules, "statsforecast.models", None)
    with pytest.raises(MissingExtraError, match=r"nextbest\[forecast\]"):
        extra.methods()


def test_the_base_imports_nothing_of_the_extra() -> None:
    """Importing the recipes of demand and restock brings in none of the forecasting packages."""
    program = (
        "import sys, nextbest.recipes.demand, nextbest.recipes.restock\n"
        "print(*[m for m in ('statsforecast', 'hierarchicalforecast', 'lightgbm') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
