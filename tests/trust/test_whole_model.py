"""What is said of a model as a whole is what the model does: drivers, dependence, the small tree."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.trust.makers import Adding, Known, column, is_plan, rows

from nextbest.models.boosting import Boosting
from nextbest.trust.dependence import Point, dependence, in_words
from nextbest.trust.drivers import drivers
from nextbest.trust.seen import Seen
from nextbest.trust.surrogate import surrogate


def _seen(model: object, table: pa.Table, actual: np.ndarray | None = None) -> Seen:
    return Seen(model=model, subject_ids=pa.array(range(len(table))), features=table, actual=actual)  # type: ignore[arg-type]


def test_dependence_is_the_slow_obvious_average() -> None:
    """Each point is the mean prediction with the column set for everybody, one row and one value at a time."""
    table = rows(120)
    model = Known(formula=lambda t: column(t, "days") ** 2 * (1 + is_plan(t, "pro")))
    for curve in dependence(model, table, ["days", "plan"]):
        for point in curve.points:
            value = point.value if curve.graded else point.label
            total = 0.0
            for row in table.to_pylist():
                one = pa.table({k: [v] for k, v in {**row, curve.column: value}.items()})
                total += model.predict(one)["prediction"][0].as_py()
            assert point.prediction == pytest.approx(total / len(table), rel=1e-6)


def test_dependence_is_told_in_plain_words() -> None:
    """Rising, falling, up and down, hardly at all; of levels the lowest and the highest."""

    def said(values: list[float], *, graded: bool = True) -> str:
        points = [Point(label=f"{k}", value=float(k), prediction=v) for k, v in enumerate(values)]
        return in_words(points, graded=graded)

    assert said([0.1, 0.2, 0.19, 0.4]) == "The higher, the higher the prediction."
    assert said([0.4, 0.3, 0.1]) == "The higher, the lower the prediction."
    assert said([0.1, 0.4, 0.1]) == "It goes up and down: lowest near 0, highest near 1."
    assert said([0.2, 0.2001]) == "It hardly changes the average prediction."
    assert said([0.2, 0.1], graded=False) == "Lowest for 1, highest for 0."


def test_levels_of_few_rows_are_not_drawn() -> None:
    """A level that 29 rows hold does not appear in the dependence."""
    plans = ["basic"] * 300 + ["pro"] * 271 + ["only ann"] * 29
    table = rows().set_column(2, "plan", pa.array(plans))
    (curve,) = dependence(Known(formula=lambda t: is_plan(t, "pro") * 1.0), table, ["plan"])
    assert [p.label for p in curve.points] == ["basic", "pro"]


def test_a_small_tree_of_a_tree_is_that_tree() -> None:
    """When the model is a tree of three questions, the small tree finds it: fidelity 1 on rows it did not see."""
    table = rows(2_000)

    def tree(t: pa.Table) -> np.ndarray:
        return np.where(
            column(t, "days") <= 20, np.where(is_plan(t, "pro"), 1.0, 2.0), np.where(column(t, "orders") <= 5, 7.0, 9.0)
        )

    found = surrogate(Known(formula=tree), table)
    assert found is not None
    assert found.fidelity == 1.0
    assert [r.prediction for r in found.rules] == [1.0, 2.0, 7.0, 9.0]
    assert found.rules[0].when == ("days at most 20.5", "plan is pro")
    assert sum(r.share for r in found.rules) == pytest.approx(1.0, abs=1e-3)


def test_a_small_tree_says_when_it_does_not_follow() -> None:
    """A model that no three questions can tell has a low fidelity; too few rows have none."""
    table = rows(1_000)
    wavy = Known(formula=lambda t: np.sin(column(t, "days")) * np.cos(column(t, "orders")))
    found = surrogate(wavy, table)
    assert found is not None
    assert found.fidelity is not None
    assert found.fidelity < 0.5
    assert surrogate(wavy, table.slice(0, 30)) is None


def test_missing_numbers_are_a_question_of_their_own() -> None:
    """A model that looks at whether a number is missing gives a tree that does."""
    gap = pa.array([None if k % 3 == 0 else float(k % 17) for k in range(600)])
    table = rows().append_column("gap", gap)
    model = Known(formula=lambda t: 4.0 * np.array([v is None for v in t["gap"].to_pylist()]))
    found = surrogate(model, table)
    assert found is not None
    assert {r.when for r in found.rules} == {("gap is missing",), ("gap is known",)}


def test_drivers_of_a_model_with_parts_are_their_mean_sizes() -> None:
    """Weights are mean absolute contributions, shares sum to one, and the order is by weight."""
    table = rows()
    found = drivers(_seen(Adding(), table)).found
    assert [d.feature for d in found] == ["days", "orders"]
    assert found[0].weight == pytest.approx(2 * column(table, "days").mean())
    assert sum(d.share for d in found) == pytest.approx(1.0, abs=1e-3)
    assert (found[0].rank_low, found[0].rank_high) == (1, 1)


def test_drivers_of_a_model_without_parts_come_from_lines() -> None:
    """The column that alone counts leads, and the mean fidelity of the lines is given."""
    found = drivers(_seen(Known(formula=lambda t: 3 * column(t, "days")), rows()))
    assert found.found[0].feature == "days"
    assert found.fidelity == pytest.approx(1.0, abs=1e-3)
    assert "draws" in found.stability


@pytest.mark.slow
def test_learning_anew_tells_sure_ranks_from_unsure_ones() -> None:
    """The strong column keeps the first rank in every refit; columns of pure noise change places."""
    draw = np.random.default_rng(0)
    table = pa.table({"strong": draw.normal(size=600), **{f"noise_{k}": draw.normal(size=600) for k in range(6)}})
    actual = (draw.random(600) < 1 / (1 + np.exp(-2 * column(table, "strong")))).astype(float)
    model = Boosting(num_threads=1).fit(table, pa.table({"label": actual}))
    found = drivers(_seen(model, table, actual))
    assert "learnt anew 5 times" in found.stability
    assert (found.found[0].feature, found.found[0].rank_low, found.found[0].rank_high) == ("strong", 1, 1)
    assert max(d.rank_high - d.rank_low for d in found.found[1:]) >= 2
