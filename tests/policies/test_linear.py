from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nextbest import registry
from nextbest.errors import ConfigError, ModelError
from nextbest.policies.learners.layout import Layout
from nextbest.policies.learners.linear import Lesson, Linear, LinearState
from nextbest.policies.learners.posterior import PRIOR_MEAN, PRIOR_SD
from nextbest.policies.learners.storing import from_bytes, to_bytes, version_of
from nextbest.policies.live.ask import Offer as Offered
from nextbest.policies.live.ask import Offers, compact

if TYPE_CHECKING:
    from collections.abc import Sequence

ACTIONS = ("a", "b", "c")


def offers(*ids: str) -> Offers:
    """Give candidates without features."""
    return Offers(ids=ids, names=(), values=np.zeros((len(ids), 0)))


def lessons(count: int = 300, seed: int = 4, *, world: bool = True) -> list[Lesson]:
    """Give decisions whose responses depend on action, age, city and the price of what was offered."""
    draw = np.random.default_rng(seed)
    made = []
    for i in range(count):
        age, city = float(draw.normal(40, 10)), str(draw.choice(["rome", "oslo", "lima"]))
        action, price = str(draw.choice(ACTIONS)), float(draw.uniform(1, 5))
        rate = 0.3 + 0.01 * (age - 40) * (action == "a") + 0.2 * (city == "oslo" and action == "b") - 0.03 * price
        row = {"age": age if draw.random() < 0.9 else None, "city": city}
        made.append(Lesson(row, action, float(draw.random() < (rate if world else 0.2)), i / 10, {"price": price}))
    return made


def taught(rows: Sequence[Lesson], size: int = 50, settings: Linear | None = None) -> LinearState:
    """Give the state after the lessons, so many at a time."""
    state = (settings or Linear()).start()
    for start in range(0, len(rows), size):
        state = state.learnt(rows[start : start + size])
    return state


def by_one_regression(
    state: LinearState, rows: Sequence[Lesson], row: dict[str, object], action: str
) -> tuple[float, float]:
    """Give mean and deviation for an action by one plain Bayesian regression on all weights at once."""
    known, frame = state.known, state.known.frame
    d, whole, k = frame.d, len(frame.centre), len(state.groups)
    v = known.variances

    def design(lesson: Lesson) -> np.ndarray:
        x = np.ones(d)
        x[1:] = state.subject.encode(lesson.row)
        f = (np.concatenate([x, state.action.encode(lesson.action_features)]) - frame.centre) / frame.scale
        own = np.zeros((k, d))
        if lesson.action_id in state.groups:
            own[state.groups.index(lesson.action_id)] = f[:d]
        return np.concatenate([f, own.ravel()])

    matrix, y = np.stack([design(lesson) for lesson in rows]), np.array([lesson.response for lesson in rows])
    own = np.tile([1 / v.offset, *[1 / v.slopes] * (d - 1)], k)
    precision = np.diag([PRIOR_SD**-2.0, *[1 / v.shared] * (whole - 1), *own])
    start = np.zeros(len(precision))
    start[0] = PRIOR_MEAN
    cov = np.linalg.inv(precision + matrix.T @ matrix / v.noise)
    mean = cov @ (precision @ start + matrix.T @ y / v.noise)
    at = design(Lesson(row, action, 0.0, 0.0, {"price": 2.0}))
    return float(at @ mean), float(np.sqrt(at @ cov @ at))


def test_the_posterior_is_that_of_one_plain_regression() -> None:
    """Means and deviations by partitioned sums are those of one regression on the weights of all actions at once."""
    rows = lessons()
    state = taught(rows)
    shown = compact(tuple(Offered(action_id=a, features={"price": 2.0}) for a in ACTIONS))
    for row in ({"age": 33.0, "city": "oslo"}, {"age": None, "city": "rome"}, {"age": 60.0}):
        mean, spread = state.response(row, shown)
        for j, action in enumerate(ACTIONS):
            wanted = by_one_regression(state, rows, row, action)
            assert (mean[j], spread[j]) == pytest.approx((min(max(wanted[0], 0), 1), wanted[1]), abs=1e-7)


def test_the_order_of_lessons_does_not_matter() -> None:
    """The sums, and the answers in one frame, are the same in any order and in any batches, up to rounding."""
    rows = lessons()
    one = taught(rows, 300)
    other = taught([*rows[:1], *reversed(rows[1:])], 7)
    at = [one.subject.columns.index(c) + 1 for c in other.subject.columns]
    order = np.array([0, *at])
    groups = [one.groups.index(g) for g in other.groups]
    np.testing.assert_allclose(one.sums.xy[groups][:, order], other.sums.xy, atol=1e-6)
    assert one.sums.n == other.sums.n


def test_a_late_yes_is_put_right_exactly() -> None:
    """A no that turns out to be a yes leaves the sums of a yes from the start."""
    rows = lessons(80)
    changed = [i for i, lesson in enumerate(rows) if not lesson.response][:10]
    late = taught(rows).learnt([rows[i]._replace(response=1.0, again=True) for i in changed])
    straight = taught([lesson._replace(response=1.0) if i in changed else lesson for i, lesson in enumerate(rows)])
    for name in ("ff", "fy", "xf", "xy", "count"):
        np.testing.assert_allclose(getattr(late.sums, name), getattr(straight.sums, name), atol=1e-8)
    assert (late.sums.yy, late.sums.n) == (straight.sums.yy, straight.sums.n)


def test_a_feature_that_comes_later_was_missing_before() -> None:
    """A column that is new was absent from every earlier row: the sums are those of having known it from the start."""
    early = [Lesson({"age": float(i % 5)}, "ab"[i % 2], float(i % 3 == 0), 0.0) for i in range(20)]
    later = [
        Lesson({"age": float(i % 5), "plan": "xy"[i % 2]}, "ab"[i % 2], 1.0, 0.0, {"size": 2.0 + i}) for i in range(20)
    ]
    grown = taught([*early, *later], 20)
    told = [lesson._replace(row={**lesson.row, "plan": None}, action_features={"size": None}) for lesson in early]
    at_once = taught([*told, *later], 40)
    assert set(grown.subject.columns) == set(at_once.subject.columns)
    names = ["1", *grown.subject.columns, *(f"z {c}" for c in grown.action.columns)]
    others = ["1", *at_once.subject.columns, *(f"z {c}" for c in at_once.action.columns)]
    order = [others.index(name) for name in names]
    np.testing.assert_allclose(grown.sums.ff, at_once.sums.ff[np.ix_(order, order)], atol=1e-9)
    np.testing.assert_allclose(grown.sums.fy, at_once.sums.fy[order], atol=1e-9)


def test_a_new_action_starts_from_what_actions_share() -> None:
    """An action nobody has tried is expected near the average of the others, with a wider spread than theirs."""
    state = taught(lessons(600))
    mean, spread = state.response({"age": 40.0, "city": "rome"}, offers("a", "b", "c", "fresh"))
    assert min(mean[:3]) - 0.05 <= mean[3] <= max(mean[:3]) + 0.05
    assert spread[3] > max(spread[:3])


def test_means_are_calibrated_and_spreads_are_honest() -> None:
    """On data of the model's own kind nine in ten true rates lie within 1.645 deviations, and the mean is right."""
    rows = lessons(4000, seed=8, world=False)
    state = taught(rows, 400)
    draw = np.random.default_rng(5)
    found = [state.response({"age": float(draw.normal(40, 10)), "city": "rome"}, offers(*ACTIONS)) for _ in range(200)]
    mean, spread = np.array([m for m, _ in found]), np.array([s for _, s in found])
    assert mean.mean() == pytest.approx(0.2, abs=0.03)
    assert (np.abs(mean - 0.2) <= 1.645 * spread).mean() >= 0.8


def test_forgetting_follows_the_world() -> None:
    """With a half-life the state believes what came last; without one, the average of all that was."""
    old = [Lesson({}, "a", 1.0, float(i) / 100) for i in range(400)]
    new = [Lesson({}, "a", 0.0, 4 + float(i) / 100) for i in range(400)]
    forgets, keeps = (taught([*old, *new], 40, Linear(half_life_days=life)) for life in (0.5, None))
    assert forgets.response({}, offers("a"))[0][0] < 0.1
    assert keeps.response({}, offers("a"))[0][0] == pytest.approx(0.5, abs=0.05)


def test_a_state_survives_as_bytes() -> None:
    """Read back, a state answers alike and gives the same bytes; its version is their hash; no text of a row is in."""
    state = taught(lessons())
    body = to_bytes(state)
    read = from_bytes(body)
    assert to_bytes(read) == body
    assert read.version == version_of(body)
    for a, b in zip(
        state.response({"age": 30.0}, offers(*ACTIONS)), read.response({"age": 30.0}, offers(*ACTIONS)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-9)
    assert not any(word in body for word in (b"rome", b"oslo", b"lima"))


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"cut", b"nan"])
def test_a_damaged_state_is_refused(damage: bytes) -> None:
    """Bytes that are no state, cut short, or with a number that is none are refused in words."""
    body = to_bytes(taught(lessons(20)))
    bad = {b"cut": body[:-9], b"nan": body[:-8] + np.array([np.nan]).tobytes()}.get(damage, damage)
    with pytest.raises(ModelError, match="cannot be read"):
        from_bytes(bad)


def test_items_beyond_the_most_share_one_place() -> None:
    """Past `most_actions` further items are told apart by their features alone, and the state stays small."""
    rows = [Lesson({}, f"i{i % 9}", float(i % 2), 0.0, {"size": float(i % 4)}) for i in range(60)]
    state = taught(rows, settings=Linear(most_actions=3))
    assert state.groups == ("*", "i0", "i1", "i2")
    assert state.sums.count.tolist() == [39.0, 7.0, 7.0, 7.0]


def test_texts_are_known_by_hashes_and_rare_ones_share_a_column() -> None:
    """A layout names no value, and has at most 32 columns for one text."""
    rows = [{"city": f"city {i}"} for i in range(50)]
    layout, _ = Layout().grown(rows, first=True)
    assert len(layout.columns) == 33
    assert not any("city 1" in c for c in layout.columns)
    assert layout.encode({"city": "city 49"}).sum() == 1
    assert layout.encode({"city": "never seen"})[layout.columns.index("city=*")] == 1


def test_only_declared_features_are_read() -> None:
    """With `features` nothing else of a row is learnt from, and ids never are."""
    row = {"age": 3.0, "city": "rome", "subject_id": "s1"}
    assert taught([Lesson(row, "a", 1.0, 0.0)], settings=Linear(features=("age",))).subject.columns == ("age",)
    whole = taught([Lesson(row, "a", 1.0, 0.0)]).subject.columns
    assert {column.partition("=")[0] for column in whole} == {"age", "city"}


def test_learner_settings_are_checked() -> None:
    """A half-life of nothing, and an unknown setting, are refused in words."""
    with pytest.raises(ConfigError, match="half_life_days"):
        Linear(half_life_days=0.0)
    with pytest.raises(ConfigError, match="Did you mean 'half_life_days'"):
        registry.make("learners", "linear", {"half_life_day": 3.0})
    assert replace(Linear(), most_actions=5).start().groups == ("*",)
