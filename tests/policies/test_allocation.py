"""Allocation: within every limit, below the bound, at the optimum where it can be enumerated."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.errors import DataError
from nextbest.policies.allocation import dual
from nextbest.policies.allocation.allocate import Allocation, allocate
from nextbest.policies.allocation.problem import Problem, problem
from nextbest.policies.allocation.small import constraints

HARD = settings(max_examples=60, deadline=None, derandomize=True)


def world(seed: int, n: int, k: int, *, whole: bool = False, **limits: Any) -> Problem:
    """Give a problem with heavy-tailed or tied gains, some pairs ineligible, and limits as parts of the subjects."""
    draw = np.random.default_rng(seed)
    gain = draw.lognormal(0, 1, (n, 1)) * draw.normal(0.5, 1, (n, k))
    if whole:
        gain = draw.integers(-1, 4, (n, k)).astype(float)
    gain[draw.random((n, k)) < 0.2] = -np.inf
    made = dict(limits)
    for name in ("capacity", "quota"):
        if name in made:
            made[name] = np.full(k, np.round(made[name] * n))
    for name in ("budget", "total"):
        if name in made:
            made[name] = made[name] * n
    if "group" in made:
        made["group"] = draw.integers(0, max(1, n // made["group"]), n)
    return problem(gain, cost=draw.integers(0, 4, k) * 1.0, **made)


def broken(it: Problem, found: Allocation) -> list[str]:
    """Give the limits that an allocation breaks and the figures of its own that are wrong, all counted anew."""
    acting = np.flatnonzero(found.action < it.actions)
    held = found.action[acting]
    gains = it.gain[acting, held]
    used = np.bincount(held, minlength=it.actions)
    kept = {
        "eligibility": (gains > -np.inf).all(),
        "used": (used == found.used).all(),
        "capacity": (used <= it.capacity).all(),
        "total": len(acting) <= it.total,
        "spent": used @ it.cost == pytest.approx(found.spent),
        "budget": found.spent <= it.budget,
        "value": gains.sum(dtype=float) == pytest.approx(found.value),
        "bound": found.value <= found.bound + 1e-7 * max(1.0, abs(found.bound)),
    }
    if it.groups is not None:
        reached = np.bincount(it.groups.code[acting[it.contacts[held]]])
        kept["per_group"] = reached.max(initial=0) <= it.per_group
    for j in np.flatnonzero(used < it.quota):
        said = [(s.asked, s.given, s.eligible) for s in found.short if s.action == j]
        kept[f"quota of {j}"] = said == [(it.quota[j], used[j], (it.gain[:, j] > -np.inf).sum())]
    return [name for name, holds in kept.items() if not holds]


share = st.one_of(st.none(), st.sampled_from([0.0, 0.02, 0.1, 0.3, 0.7]))


@HARD
@given(
    st.integers(0, 10_000), st.sampled_from([1, 7, 150, 900]), st.integers(1, 6), st.booleans(),
    st.fixed_dictionaries({"budget": share, "total": share, "capacity": share, "quota": share}),
    st.sampled_from([None, 2, 5]), st.integers(1, 2),
)  # fmt: skip
def test_an_allocation_keeps_every_limit_and_stays_below_its_bound(
    seed: int,
    n: int,
    k: int,
    whole: bool,  # noqa: FBT001 (hypothesis gives by place)
    limits: dict[str, float | None],
    group: int | None,
    per_group: int,
) -> None:
    """Whatever limits, ties and groups are, nothing is exceeded, the figures add up, no quota lacks silently."""
    asked = {name: value for name, value in limits.items() if value is not None}
    grouped = {} if group is None else {"group": group, "per_group": per_group}
    it = world(seed, n, k, whole=whole, **asked, **grouped)
    assert broken(it, allocate(it)) == []


def brute(it: Problem) -> float | None:
    """Give the best sum of gains by trying everything; None where no assignment meets the quotas."""
    best = None
    for actions in product(range(it.actions + 1), repeat=it.rows):
        held = np.array(actions)
        acting = np.flatnonzero(held < it.actions)
        used = np.bincount(held[acting], minlength=it.actions)
        gains = it.gain[acting, held[acting]]
        fits = (used <= it.capacity).all() and (used >= it.quota).all() and used @ it.cost <= it.budget
        if it.groups is not None:
            reached = np.bincount(it.groups.code[acting[it.contacts[held[acting]]]], minlength=1)
            fits = fits and reached.max() <= it.per_group
        if fits and len(acting) <= it.total and (gains > -np.inf).all():
            best = gains.sum() if best is None else max(best, gains.sum())
    return best


@HARD
@given(
    st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 3), st.booleans(),
    st.fixed_dictionaries({"budget": share, "total": share, "capacity": share}), st.sampled_from([None, 0.2, 0.4]),
    st.booleans(),
)  # fmt: skip
def test_a_few_subjects_get_the_best_there_is(
    seed: int,
    n: int,
    k: int,
    whole: bool,  # noqa: FBT001 (hypothesis gives by place)
    limits: dict[str, float | None],
    quota: float | None,
    grouped: bool,  # noqa: FBT001 (the same)
) -> None:
    """With few subjects the value is that of trying every assignment, wherever one meets the quotas."""
    asked = {name: value for name, value in limits.items() if value is not None}
    asked |= {} if quota is None else {"quota": quota}
    it = world(seed, n, k, whole=whole, **asked, **({"group": 2} if grouped else {}))
    found, best = allocate(it), brute(it)
    if best is None:
        assert found.short
    elif not found.short:
        assert found.value == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "limits",
    [
        {"budget": 0.15, "capacity": 0.1},
        {"budget": 0.5, "capacity": 0.1, "quota": 0.03, "group": 2},
        {"total": 0.3, "capacity": 0.1, "whole": True},
        {"budget": 0.1, "whole": True},
    ],
)
def test_it_equals_the_linear_program_but_for_whole_people(seed: int, limits: dict[str, Any]) -> None:
    """The bound is the linear program's optimum; the value misses it by at most one largest gain per limit."""
    from scipy.optimize import linprog

    it = world(seed, 700, 5, **limits)
    able = it.gain > -np.inf
    matrix, most = constraints(it)
    sides = np.column_stack([np.zeros(able.size), able.ravel()])
    program = linprog(-np.where(able, it.gain, 0.0).ravel(), A_ub=matrix, b_ub=most, bounds=sides, method="highs")
    found = allocate(it)
    assert found.bound == pytest.approx(-program.fun, rel=1e-4)
    assert found.value >= -program.fun - len(dual.limits_of(it).most) * it.gain.max()
    assert found.value <= -program.fun * (1 + 1e-9)


@pytest.mark.parametrize(
    "limits",
    [
        {"budget": 0.15, "capacity": 0.1},
        {"budget": 0.5, "capacity": 0.1, "quota": 0.03, "group": 2},
        {"budget": 0.3, "capacity": 0.1, "whole": True},
        {"total": 0.2},
    ],
)
def test_many_subjects_come_within_a_fifth_of_a_percent_of_the_bound(limits: dict[str, Any]) -> None:
    """From 40,000 subjects on, where prices start from a sample, the proven gap is below 0.2%."""
    it = world(1, 40_000, 6, **limits)
    found = allocate(it)
    assert broken(it, found) == []
    assert not found.short
    assert found.gap < 0.002


@pytest.mark.parametrize("gains", [np.ones(8), np.arange(1.0, 9.0), np.array([1.0, 1, 1, 1, 2, 2, 2, 2])])
def test_gains_that_tie_are_shared_out(gains: np.ndarray) -> None:
    """When all subjects gain alike, budget and places are used as if they did not, and the gap stays closed."""
    n = 5_000
    it = problem(np.tile(gains, (n, 1)), cost=gains, capacity=np.full(8, n * 0.1), budget=0.3 * n)
    found = allocate(it)
    assert broken(it, found) == []
    assert found.gap < 0.002


@HARD
@given(st.integers(0, 10_000), st.integers(2, 40), st.integers(1, 4))
def test_more_money_never_earns_less(seed: int, n: int, k: int) -> None:
    """The value does not fall as the budget rises, where whole numbers are solved exactly."""
    values = [allocate(world(seed, n, k, capacity=0.3, budget=b)).value for b in (0.0, 0.1, 0.2, 0.5, 1.0, 4.0)]
    assert all(low <= high + 1e-9 for low, high in pairwise(values))


@pytest.mark.parametrize("whole", [False, True])
def test_more_money_never_earns_less_than_the_gap_among_many(whole: bool) -> None:  # noqa: FBT001 (a parameter)
    """Among thousands the value does not fall by more than the proven gap as the budget rises."""
    found = [allocate(world(3, 4_000, 5, whole=whole, capacity=0.1, budget=b)) for b in (0.02, 0.05, 0.1, 0.2, 0.4)]
    for less, more in pairwise(found):
        assert more.value >= less.value - less.gap * less.bound
        assert more.bound >= less.bound * (1 - 1e-6)


def test_the_same_problem_gives_the_same_answer() -> None:
    """Two runs give the same actions, prices and bound, bit by bit."""
    first, second = (allocate(world(5, 40_000, 4, capacity=0.1, budget=0.2, group=2)) for _ in range(2))
    assert (first.action == second.action).all()
    assert (first.price == second.price).all()
    assert first.bound == second.bound


def test_a_quota_beyond_the_eligible_is_said_and_the_rest_goes_on() -> None:
    """Asking 5 uses where 2 are eligible gives those 2, says so, and leaves the other action its due."""
    gain = np.full((10, 2), 1.0)
    gain[2:, 0] = -np.inf
    found = allocate(problem(gain, quota=np.array([5.0, 0.0]), total=6.0))
    (short,) = found.short
    assert (short.action, short.asked, short.eligible, short.given) == (0, 5, 2, 2)
    assert found.used.tolist() == [2, 4]


def test_quotas_that_compete_for_the_same_people_are_met_by_chains() -> None:
    """An action whose only people were given to another quota gets them back when others can replace them there."""
    gain = np.full((400, 2), -np.inf)
    gain[:, 0] = 1.0  # everyone can have the first, and likes it
    gain[:200, 1] = -1.0  # only these can have the second, and lose by it
    found = allocate(problem(gain, quota=np.array([200.0, 200.0])))
    assert not found.short
    assert found.used.tolist() == [200, 200]


def test_a_large_quota_among_groups_is_met_by_swapping_members() -> None:
    """A quota for an action that only second members can have takes their group's place from the first."""
    gain = np.tile([[5.0, -np.inf], [-np.inf, 1.0]], (400, 1))
    found = allocate(problem(gain, quota=np.array([0.0, 100.0]), group=np.repeat(np.arange(400), 2)))
    assert not found.short
    assert found.used.tolist() == [300, 100]


@pytest.mark.parametrize(
    ("gain", "settings", "message"),
    [
        (np.array([[np.nan]]), {}, "NaN"),
        (np.array([[np.inf]]), {}, "infinite"),
        (np.zeros(3), {}, "matrix"),
        (np.zeros((2, 2)), {"cost": np.array([1.0])}, "one per action"),
        (np.zeros((2, 1)), {"capacity": np.array([-1.0])}, "from 0 up"),
        (np.zeros((2, 1)), {"budget": -1.0}, "budget is -1"),
        (np.zeros((2, 1)), {"group": np.array([1])}, "one number per subject"),
    ],
)
def test_what_cannot_be_meant_is_refused(gain: np.ndarray, settings: dict[str, Any], message: str) -> None:
    """Gains that are no numbers, shapes that do not fit and negative limits are named."""
    with pytest.raises(DataError, match=message):
        problem(gain, **settings)
