"""Groups: found where they were planted, not found in one cloud, and the numbers behind it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow as pa
import pytest
from scipy.optimize import linprog

from nextbest.errors import DataError, ModelError
from nextbest.models import kmeans, stability
from nextbest.models.dip import CRITICAL, dip, has_valley
from nextbest.models.kmeans import KMeans


def _clouds(seed: int, *, groups: int, apart: float = 4.0, rows: int = 600, width: int = 4) -> tuple[np.ndarray, ...]:
    """Draw round clouds around corners of a simplex, `apart` deviations from one another."""
    draw = np.random.default_rng(seed)
    which = draw.integers(0, groups, rows)
    return draw.normal(size=(rows, width)) + apart / np.sqrt(2) * np.eye(width)[which % width], which


# --- the dip ----------------------------------------------------------------------------------------------------------


def _slow_dip(values: np.ndarray) -> float:
    """Solve one linear program per place of the mode: the closest distribution with one hill."""
    x, count = np.sort(values), len(values)
    before, after = np.arange(count) / count, np.arange(1, count + 1) / count
    return min(_closest(x, before, after, mode) for mode in range(count))


def _closest(x: np.ndarray, before: np.ndarray, after: np.ndarray, mode: int) -> float:
    count = len(x)
    rows: list[np.ndarray] = []
    limits: list[float] = []

    def add(terms: list[tuple[int, float]], limit: float) -> None:
        row = np.zeros(count + 2)
        for place, factor in terms:
            row[place] += factor
        rows.append(row)
        limits.append(limit)

    for i in range(count):
        for place, level in ((i, before[i]), (count if i == mode else i, after[i])):
            add([(place, 1), (count + 1, -1)], level)
            add([(place, -1), (count + 1, -1)], -level)
    add([(mode, 1), (count, -1)], 0)
    right = [count, *range(mode + 1, count)]
    for side, at, sign in ((list(range(mode + 1)), x[: mode + 1], 1.0), (right, x[mode:], -1.0)):
        for j in range(1, len(side) - 1):
            a, c = 1 / (at[j] - at[j - 1]), 1 / (at[j + 1] - at[j])
            add([(side[j], sign * (a + c)), (side[j - 1], -sign * a), (side[j + 1], -sign * c)], 0)
    for i in range(mode):
        add([(i, 1), (i + 1, -1)], 0)
    goal = np.zeros(count + 2)
    goal[-1] = 1
    return float(linprog(goal, A_ub=np.array(rows), b_ub=limits, bounds=[(0, 1)] * (count + 2)).fun)


@pytest.mark.parametrize("apart", [0.0, 3.0, 6.0])
def test_the_dip_is_the_distance_to_the_nearest_single_hill(apart: float) -> None:
    """The dip equals the least distance that linear programs find over all places of the mode."""
    draw = np.random.default_rng(7)
    values = np.concatenate([draw.normal(size=14), draw.normal(apart, 1.0, 14)])
    assert dip(values) == pytest.approx(_slow_dip(values), abs=5e-5)


def test_one_hill_is_rarely_taken_for_two() -> None:
    """Of 200 uniform samples, the hardest with one hill, at most 6 (1 in 100 and chance) seem to have a valley."""
    draw = np.random.default_rng(11)
    assert sum(has_valley(draw.random(200)) for _ in range(200)) <= 6
    assert np.median([np.sqrt(200) * dip(draw.random(200)) for _ in range(50)]) < CRITICAL


def test_two_hills_are_seen() -> None:
    """Two normal hills four and a half deviations apart have a valley in every one of 20 samples of 300."""
    draw = np.random.default_rng(12)
    assert all(has_valley(np.append(draw.normal(size=150), draw.normal(4.5, 1.0, 150))) for _ in range(20))


# --- stability --------------------------------------------------------------------------------------------------------


def test_the_adjusted_rand_index_counts_pairs() -> None:
    """The index equals the one counted pair by pair, and is 1 for the same groups under other numbers."""
    draw = np.random.default_rng(3)
    first, second = draw.integers(0, 3, 40), draw.integers(0, 4, 40)
    pairs = list(combinations(range(40), 2))
    same = np.array([(first[i] == first[j], second[i] == second[j]) for i, j in pairs])
    both, one, two = float(same.all(axis=1).sum()), float(same[:, 0].sum()), float(same[:, 1].sum())
    expected = one * two / len(pairs)
    slow = (both - expected) / ((one + two) / 2 - expected)
    assert stability.adjusted_rand(first, second) == pytest.approx(slow)
    assert stability.adjusted_rand(first, (first + 1) % 3) == 1.0


@pytest.mark.parametrize("groups", [2, 3, 4])
def test_planted_groups_stand(groups: int) -> None:
    """The number of groups that is chosen is the number planted, and the groups are the planted ones."""
    points, which = _clouds(groups, groups=groups, apart=5.5)
    assert stability.best(stability.tried(points, most=6)) == groups
    found = np.argmin(
        kmeans.distances(points, kmeans.group(points, groups, np.random.default_rng(0))), axis=1
    )  # fmt: skip
    assert stability.adjusted_rand(which, found) >= 0.9


@pytest.mark.parametrize("shape", ["round", "long", "skewed", "even", "counts"])
def test_one_cloud_has_no_groups(shape: str) -> None:
    """Nothing stands in one cloud, be it round, long, skewed, even, or of small counts."""
    draw = np.random.default_rng(21)
    raw = {
        "round": draw.normal(size=(500, 4)),
        "long": draw.normal(size=(500, 4)) * [5, 1, 1, 1] @ np.linalg.qr(draw.normal(size=(4, 4)))[0],
        "skewed": np.exp(draw.normal(size=(500, 4))),
        "even": draw.random((500, 4)),
        "counts": draw.poisson(1.5, (500, 4)).astype(float),
    }[shape]
    points = kmeans.scaled(raw, [kmeans.scale(raw[:, i]) for i in range(4)])
    assert not any(t.stands for t in stability.tried(points, most=5))


# --- the model --------------------------------------------------------------------------------------------------------


def test_lloyd_ends_where_nothing_gets_better() -> None:
    """Every centre is the mean of the points nearest to it."""
    points, _ = _clouds(5, groups=3)
    centres = kmeans.group(points, 3, np.random.default_rng(1))
    nearest = np.array([np.argmin([((p - c) ** 2).sum() for c in centres]) for p in points])
    for number in range(3):
        assert np.allclose(centres[number], points[nearest == number].mean(axis=0))


def test_a_column_of_giants_is_read_on_logarithms() -> None:
    """Amounts with a long tail are read as logarithms, clipped at the ends; a missing one counts as the median."""
    draw = np.random.default_rng(2)
    amounts = np.exp(draw.normal(3.0, 1.5, 400))
    how = kmeans.scale(amounts)
    assert how["logarithm"]
    asked = np.array([[np.nan], [1e12], [np.median(amounts)]])
    missing, giant, middle = kmeans.scaled(asked, [how])[:, 0]
    assert missing == pytest.approx(middle, abs=0.05)
    assert giant == pytest.approx((how["high"] - how["middle"]) / how["spread"])


def test_confidence_is_highest_in_the_middle() -> None:
    """A point at a centre has confidence 1, a point halfway between two centres 0."""
    points, _ = _clouds(8, groups=2, width=2)
    table = pa.table({"a": points[:, 0], "b": points[:, 1]})
    model = KMeans(k=2).fit(table)
    scales, centres = model.document()["scales"], np.array(model.document()["centres"])
    raw = np.array([centres[0], (centres[0] + centres[1]) / 2])
    back = raw * [s["spread"] for s in scales] + [s["middle"] for s in scales]
    said = model.predict(pa.table({"a": back[:, 0], "b": back[:, 1]}))["confidence"].to_numpy()
    assert said == pytest.approx([1.0, 0.0], abs=1e-6)


def test_what_cannot_be_grouped_is_told() -> None:
    """Too few different rows, a missing column, and an unfitted model each give an error that says so."""
    with pytest.raises(DataError, match="fewer than 3 different rows"):
        KMeans(k=3).fit(pa.table({"a": [1.0, 1.0, 2.0, 2.0]}))
    with pytest.raises(ModelError, match="has not learnt yet"):
        KMeans().predict(pa.table({"a": [1.0]}))
    fitted = KMeans(k=2).fit(pa.table({"a": [1.0, 2.0, 3.0, 9.0]}))
    with pytest.raises(DataError, match="lacks the column 'a'"):
        fitted.predict(pa.table({"b": [1.0]}))
