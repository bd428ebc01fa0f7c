"""What the coming periods bring, by simulation: wins among the open deals, and among deals that are not there yet.

Every draw of the parameters (hazards of the stages, factors of reps and segments, common ups and downs of whole
periods, arrivals of new deals, the amounts that wins come with) makes a few paths, so that what is not known for sure
widens the interval. Within a draw deals are independent, so a path needs one uniform number per deal: it is won in the
first period by whose end its chance to be won has passed that number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from nextbest.models.shrink import Factors
    from nextbest.models.stages import Chances

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

FEWEST_IN_POOL = 30  # won deals of a segment from which amounts are drawn for it alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Won deals to draw amounts from: what they brought, and their place in every grouping."""

    amount: Floats
    group: Ints  # (groupings, deals); the second grouping is the segment
    ratio: Floats  # amount at the end / amount known before, of won deals


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The open deals: place of the stage, days in it, amount (NaN: unknown), place in every grouping (-1: none)."""

    stage: Ints
    days: Floats
    amount: Floats
    group: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """New deals per day: a mean with its standard error, how much periods scatter (k: Gamma(k, k)), first stages."""

    per_day: float
    error: float
    k: float
    starts: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Simulated sums (periods, paths) from open and from new deals, and per grouping (periods, paths, places)."""

    from_open: Floats
    from_new: Floats
    groups: tuple[Floats, ...]

    @property
    def total(self) -> Floats:
        """What each path brings in each period."""
        return np.asarray(self.from_open + self.from_new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is simulated: periods that end after so many `steps`, the deals, and how they behave.

    `factors` belong to the groupings of `deals.group`, in order. `common`: whole periods win Gamma(k, k) times as often
    as usual. `sizes`: the number of places in each of the first groupings, whose sums are wanted.
    """

    steps: Sequence[int]
    deals: Open
    pool: Pool
    arrivals: Arrivals
    factors: Sequence[Factors]
    common: float
    sizes: Sequence[int]


def simulate(plan: Plan, chances: Chances, *, paths: int, random: np.random.Generator) -> Paths:
    """Give the sums of so many paths."""
    draws, deals, pool = chances.fresh.shape[1], plan.deals, plan.pool
    each = -(-paths // draws)
    shape = (len(plan.steps), draws * each)
    from_open, from_new = np.zeros(shape), np.zeros(shape)
    groups = tuple(np.zeros((*shape, size)) for size in plan.sizes)
    cell = chances.cell(deals.days)
    for draw in range(draws):
        at = slice(draw * each, (draw + 1) * each)
        boot = random.integers(len(pool.amount), size=len(pool.amount))
        common = _gamma(plan.common, (each, 1), random)  # of a path: open deals and new ones see the same market
        factor = _factor(deals.group, plan.factors, random)[None, :] * common
        chance = [by_age[draw, deals.stage, cell] for by_age in chances.by_age]
        path, deal, period = _won_open(chance, factor, random)
        amount = _amounts(deals, deal, pool, boot, random)
        _add(from_open[:, at], period, path, amount)
        new_path, new_period = _won_new(plan, chances.fresh[:, draw], chances.step_days, common[:, 0], random)
        from_pool = boot[random.integers(len(boot), size=len(new_path))]
        _add(from_new[:, at], new_period, new_path, pool.amount[from_pool])
        for g, sums in enumerate(groups):
            _add_to(sums[:, at], period, path, deals.group[g, deal], amount)
            _add_to(sums[:, at], new_period, new_path, pool.group[g, from_pool], pool.amount[from_pool])
    kept = slice(0, paths)
    return Paths(from_open=from_open[:, kept], from_new=from_new[:, kept], groups=tuple(g[:, kept] for g in groups))


def _gamma(k: float, size: tuple[int, ...], random: np.random.Generator) -> Floats:
    return np.asarray(random.standard_gamma(k, size=size) / k)


def _factor(group: Ints, factors: Sequence[Factors], random: np.random.Generator) -> Floats:
    """Give one draw of every deal's factor; a deal of no known group has that of the average."""
    found = np.ones(group.shape[1])
    for places, factor in zip(group, factors, strict=True):
        if len(factor.shape):
            drawn = random.standard_gamma(factor.shape) / factor.rate
            found *= np.where(places >= 0, drawn[places], 1.0)
    return found


def _won_open(chance: Sequence[Floats], factor: Floats, random: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """Give path, deal and period of every win: 1 - (1 - p)^factor, as for hazards that are `factor` times as high."""
    lost = [np.exp(factor * np.log1p(-np.minimum(p, 1 - 1e-12))[None, :]) for p in chance]
    drawn = random.random(lost[-1].shape)
    path, deal = np.nonzero(drawn > lost[-1])
    period = np.zeros(len(path), np.int64)
    for gone in lost[:-1]:
        period += drawn[path, deal] <= gone[path, deal]
    return path, deal, period


def _won_new(
    plan: Plan, fresh: Floats, step_days: float, common: Floats, random: np.random.Generator
) -> tuple[Ints, Ints]:
    """Give path and period of every win among deals that arrive in the periods; `fresh`: (steps + 1, stages)."""
    arrivals, last = plan.arrivals, plan.steps[-1]
    mean = arrivals.per_day
    if mean > 0 and arrivals.error > 0:
        shape = (mean / arrivals.error) ** 2
        mean = float(random.standard_gamma(shape) * mean / shape)
    counts = random.poisson(mean * last * step_days * _gamma(arrivals.k, common.shape, random))
    path = np.repeat(np.arange(len(common)), counts)
    born = random.random(len(path)) * last
    stage = np.searchsorted(np.cumsum(arrivals.starts)[:-1], random.random(len(path)), side="right")
    drawn = random.random(len(path))
    period = np.zeros(len(path), np.int64)
    rounding = random.random(len(path))  # a deal comes within a step: rounding at random keeps the mean time left
    for step in plan.steps:
        left = np.floor(np.maximum(step - born, 0.0) + rounding).astype(np.int64)
        chance = fresh[np.minimum(left, last), stage]
        period += drawn > 1 - (1 - np.minimum(chance, 1 - 1e-12)) ** common[path]
    won = period < len(plan.steps)
    return path[won], period[won]


def _amounts(deals: Open, deal: Ints, pool: Pool, boot: Ints, random: np.random.Generator) -> Floats:
    """Give what each win brings: the known amount, changed as amounts of won deals changed, or one drawn from wins."""
    amount = deals.amount[deal]
    if len(pool.ratio):
        amount = amount * pool.ratio[random.integers(len(pool.ratio), size=len(amount))]
    missing = np.flatnonzero(~np.isfinite(amount))
    if len(missing):
        amount[missing] = pool.amount[boot[random.integers(len(boot), size=len(missing))]]
        segment, of_boot = deals.group[1, deal[missing]], pool.group[1, boot]
        for place in np.unique(segment[segment >= 0]):
            own = boot[of_boot == place]
            if len(own) >= FEWEST_IN_POOL:
                mine = missing[segment == place]
                amount[mine] = pool.amount[own[random.integers(len(own), size=len(mine))]]
    return np.asarray(amount)


def _add(sums: Floats, period: Ints, path: Ints, amount: Floats) -> None:
    sums += np.bincount(period * sums.shape[1] + path, weights=amount, minlength=sums.size).reshape(sums.shape)


def _add_to(sums: Floats, period: Ints, path: Ints, place: Ints, amount: Floats) -> None:
    known = place >= 0
    periods, paths, places = sums.shape
    at = ((period * paths + path) * places + place)[known]
    sums += np.bincount(at, weights=amount[known], minlength=periods * paths * places).reshape(sums.shape)
