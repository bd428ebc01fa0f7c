"""Prices for what is short: the Lagrangian dual, smoothed and solved by Newton steps, then bounded exactly.

With prices p >= 0 on the limits, each subject takes what gains it most beyond its price, and

    D(p) = sum_i max(0, max_j gain_ij - price_j) + sum_limits p x limit      >=  the best that can be had.

D is convex and piecewise linear. Its smooth neighbour replaces max by `t log sum exp(. / t)` (Nesterov 2005, "Smooth
minimization of non-smooth functions", section 4.1); t is lowered in steps. There are few prices and many subjects, so a
Newton step costs one pass over the gains. Any prices give a valid bound: the better they are, the closer it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nextbest.policies.allocation.problem import part

if TYPE_CHECKING:
    from nextbest.policies.allocation.problem import Flags, Floats, Groups, Problem, Rows

SAMPLE = 1 << 14  # prices from so many subjects are right to about 1%; the steps on everyone then start close
_COOLING = 0.25
_COARSE, _FINEST = 4, 12  # coolings on the sample, and in all; 4^-4 of the spread of gains is below a sample's error
_SHARP = 1e-5  # smoothing that moves the dual by less than this share is sharp enough
_STEPS_COARSE, _STEPS_FINE = 20, 5
_ENOUGH = 1e-3  # a limit missed by this share of itself is left to the repair
_ARMIJO = 1e-4
_FAINT = np.float32(-30)  # numbers too small for float32's normal range would slow every step down many times over
_HARDLY, _GOLDEN = 1e-4, (5**0.5 - 1) / 2
_LANE = 512  # products this small stay in one thread, so that the same numbers come out on every machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits as rows: `use` (limits, actions) is what one use of an action takes of each, `most` what there is."""

    use: Floats
    most: Floats
    names: tuple[tuple[str, int], ...]

    def prices(self, multipliers: Floats) -> Floats:
        """Give what one use of each action costs in prices: shape (actions,)."""
        return np.asarray(multipliers @ self.use, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Smooth:
    """The smoothed dual without its limits: value, uses per action, and how uses fall with prices."""

    value: float
    uses: Floats
    curvature: Floats


def limits_of(it: Problem) -> Limits:
    """Give the limits of a problem that can bind; a quota is a limit on not using."""
    k = it.actions
    rows: list[tuple[str, int, Floats, float]] = []
    if np.isfinite(it.budget):
        rows.append(("budget", -1, it.cost, it.budget))
    if np.isfinite(it.total):
        rows.append(("total", -1, np.ones(k), it.total))
    rows += [("capacity", j, np.eye(k)[j], it.capacity[j]) for j in _where(np.isfinite(it.capacity))]
    rows += [("quota", j, -np.eye(k)[j], -it.quota[j]) for j in _where(it.quota > 0)]
    return Limits(
        use=np.array([use for *_, use, _ in rows]).reshape(len(rows), k),
        most=np.array([most for *_, most in rows]),
        names=tuple((name, int(j)) for name, j, *_ in rows),
    )


def _where(marked: Flags) -> list[int]:
    return [int(j) for j in np.flatnonzero(marked)]


def solve(it: Problem) -> tuple[Floats, float]:
    """Give prices per limit (in the order of `limits_of`) near the best, and the temperature reached; deterministic."""
    chosen = _sample(it)
    small = it if chosen is None else part(it, chosen)
    spread = _spread(small)
    path = [(spread, np.zeros(len(limits_of(it).most)))]
    for _ in range(_COARSE):
        _cool(small, path, _STEPS_COARSE)
    for _ in range(_FINEST - _COARSE):
        if _is_sharp(it, path):
            break
        _cool(it, path, _STEPS_COARSE if chosen is None else _STEPS_FINE)
    temperature, y = path[-1]
    return y, temperature


def _cool(it: Problem, path: list[tuple[float, Floats]], steps: int) -> None:
    """Add the prices at the next lower temperature, beginning where the path so far points to."""
    limits, (before, y) = limits_of(it), path[-1]
    temperature = before * _COOLING
    now = smooth(it, limits.prices(y), temperature)
    if len(path) > 2:
        hotter, y_hotter = path[-2]
        ahead = np.maximum(0.0, y + (y - y_hotter) * (temperature - before) / (before - hotter))
        there = smooth(it, limits.prices(ahead), temperature)
        if there.value + float(ahead @ limits.most) < now.value + float(y @ limits.most):
            y, now = ahead, there
    path.append((temperature, _newton(it, y, now, temperature, steps)))


def _is_sharp(it: Problem, path: list[tuple[float, Floats]]) -> bool:
    """Tell whether smoothing still matters: the smoothed dual against the true one at the same prices."""
    if len(path) <= _COARSE + 2:
        return False
    temperature, y = path[-1]
    limits = limits_of(it)
    soft = smooth(it, limits.prices(y), temperature).value + float(y @ limits.most)
    return soft - bound(it, limits, y) <= _SHARP * abs(soft)


def bound(it: Problem, limits: Limits, y: Floats) -> float:
    """Give the dual value at the prices: no allocation within the limits gains more. In float64."""
    prices, best = limits.prices(y), 0.0
    holds = holders(it, prices)
    for block in it.blocks():
        best += float(top(it, prices, block, holds)[1].sum())
    return best + float(y @ limits.most)


def top(it: Problem, prices: Floats, block: slice, holds: Flags | None) -> tuple[Rows, Floats]:
    """Give each row's best action (the number of actions for none) and its gain beyond the price (0 for none)."""
    net = it.net(prices, block)
    if holds is not None:
        net[:, ~holds[block]] = np.where(it.contacts[:, None], -np.inf, net[:, ~holds[block]])
    best = net.max(axis=0, initial=0.0)
    action = np.full(net.shape[1], it.actions, dtype=np.int64)
    for j in range(it.actions - 1, -1, -1):  # the first declared wins a tie; nothing wins where the gain is 0
        action[(net[j] == best) & (best > 0)] = j
    return action, best


def share_out(it: Problem, prices: Floats, block: slice, holds: Flags | None, temperature: float) -> tuple[Rows, Rows]:
    """Give each row one action, those who are torn between several in the smoothed shares; and who is torn.

    Where many rows tie, the best price leaves them all indifferent and only the shares say how many take what. The
    points of a golden-ratio sequence are spread more evenly than chance, and are the same every time.
    """
    net = it.net(prices, block) / temperature
    if holds is not None:
        net[:, ~holds[block]] = np.where(it.contacts[:, None], -np.inf, net[:, ~holds[block]])
    best = net.max(axis=0, initial=0.0)
    shares = np.exp(np.maximum(net - best, -700.0)) * (net > -np.inf)
    shares[shares < _HARDLY] = 0.0
    edges = np.cumsum(shares, axis=0)
    whole = edges[-1] + np.exp(-best)
    point = np.modf((np.arange(net.shape[1]) + block.start + 1) * _GOLDEN)[0] * whole
    sure = (shares > (1 - _HARDLY) * whole).any(axis=0) | (edges[-1] <= _HARDLY)
    return np.asarray((edges <= point).sum(axis=0), dtype=np.int64), np.flatnonzero(~sure)


def holders(it: Problem, prices: Floats) -> Flags | None:
    """Give which rows may be contacted: the `per_group` of each group who gain most by a contact at these prices."""
    if it.groups is None:
        return None
    claim = np.empty(it.rows)
    for block in it.blocks():
        net = it.net(prices, block)
        other = net[~it.contacts].max(axis=0, initial=0.0)
        claim[block] = net[it.contacts].max(axis=0, initial=-np.inf) - other
    return winners(it.groups, claim, it.per_group)


def winners(groups: Groups, claim: Floats, places: int) -> Flags:
    """Give the rows with the highest claims above 0 of each group, the first row on a tie."""
    ordered, holds = claim[groups.order], np.zeros(len(claim), dtype=bool)
    segment = np.repeat(np.arange(len(groups.starts)), groups.sizes)
    for _ in range(places):
        highest = np.maximum.reduceat(ordered, groups.starts) if len(ordered) else ordered
        found = np.flatnonzero((ordered == highest[segment]) & (ordered > 0))
        if not len(found):
            break
        first = found[np.append(True, np.diff(segment[found]) != 0)]
        holds[groups.order[first]] = True
        ordered[first] = -np.inf
    return holds


def smooth(it: Problem, prices: Floats, temperature: float) -> Smooth:
    """Give the smoothed dual and its first two derivatives in one pass (float32 inside a block, float64 across)."""
    k, value = it.actions, 0.0
    uses, outer = np.zeros(k), np.zeros((k, k))
    holds = holders(it, prices)
    for block in it.blocks():
        net = it.net(prices, block, exact=False)
        if holds is not None:
            net[:, ~holds[block]] = np.where(it.contacts[:, None], -np.inf, net[:, ~holds[block]])
        net *= np.float32(1 / temperature)
        best = net.max(axis=0, initial=0.0)
        net -= best
        np.maximum(net, _FAINT, out=net)
        np.exp(net, out=net)
        whole = net.sum(axis=0) + np.exp(-best)
        net /= whole
        value += float((best + np.log(whole)).sum(dtype=np.float64))
        uses += net.sum(axis=1, dtype=np.float64)
        outer += _squares(net)
    return Smooth(value=value * temperature, uses=uses, curvature=(np.diag(uses) - outer) / temperature)


def _squares(shares: Floats) -> Floats:
    """Give shares @ shares.T, shape (actions, actions), summed over short lanes."""
    k, n = shares.shape
    whole = n - n % _LANE
    lanes = shares[:, :whole].reshape(k, -1, _LANE).transpose(1, 0, 2)
    rest = shares[:, whole:]
    return np.asarray(np.matmul(lanes, lanes.transpose(0, 2, 1)).sum(axis=0, dtype=np.float64) + rest @ rest.T)


def _newton(it: Problem, y: Floats, now: Smooth, temperature: float, steps: int) -> Floats:
    """Lower the smoothed dual by projected Newton steps (Bertsekas 1982) from *y*; prices stay at or above 0."""
    limits = limits_of(it)
    for _ in range(steps):
        slope = limits.most - limits.use @ now.uses
        free = (y > 0) | (slope < 0)
        missed = np.abs(np.where(free, slope, 0.0)) > _ENOUGH * np.maximum(np.abs(limits.most), 1.0)
        if not missed.any():
            break
        step = _direction(limits, now, slope, free)
        while (stuck := free & (y <= 0) & (step < 0)).any():  # a price of 0 cannot fall: the others move without it
            free &= ~stuck
            step = _direction(limits, now, slope, free)
        # Far beyond what the smoothing sees the curvature says little: a price moves by half of itself and a bit more.
        reach = np.abs(limits.prices(step)).max() / (8 * temperature + 0.5 * np.abs(limits.prices(y)).max())
        moved = _line(it, limits, (y, now, slope), step / max(1.0, reach), temperature)
        if moved is None:
            break
        y, now = moved
    return y


def _direction(limits: Limits, now: Smooth, slope: Floats, free: Flags) -> Floats:
    step = np.zeros(len(slope))
    use = limits.use[free]
    size = np.sqrt((use**2).sum(axis=1))
    use = use / size[:, None]  # money and places differ by orders of magnitude
    curved = use @ now.curvature @ use.T
    curved[np.diag_indices_from(curved)] += 1e-6 * max(float(np.trace(curved)), 1e-12) + 1e-12
    step[free] = -np.linalg.solve(curved, slope[free] / size) / size
    return step


def _line(
    it: Problem, limits: Limits, start: tuple[Floats, Smooth, Floats], step: Floats, temperature: float
) -> tuple[Floats, Smooth] | None:
    """Give the first point along the step that lowers the dual enough; None when none does."""
    y, now, slope = start
    value = now.value + float(y @ limits.most)
    for shorter in range(8):
        tried = np.maximum(0.0, y + step * 0.3**shorter)
        there = smooth(it, limits.prices(tried), temperature)
        if there.value + float(tried @ limits.most) <= value + _ARMIJO * float(slope @ (tried - y)):
            return tried, there
    return None


def _sample(it: Problem) -> Rows | None:
    """Give the rows to begin with, whole groups where there are any; None for everyone."""
    if it.rows <= 2 * SAMPLE:
        return None
    draw = np.random.Generator(np.random.PCG64(0))  # which rows are looked at first, not who gets what
    if it.groups is None:
        return np.sort(draw.choice(it.rows, SAMPLE, replace=False))
    wanted = max(1, SAMPLE * len(it.groups.starts) // it.rows)
    taken = np.zeros(len(it.groups.starts), dtype=bool)
    taken[draw.choice(len(taken), wanted, replace=False)] = True
    return np.flatnonzero(taken[it.groups.code])


def _spread(it: Problem) -> float:
    """Give the size of gains that matter: the mean of each row's best and its standard deviation, together."""
    best = np.maximum(it.gain.max(axis=1, initial=0.0), 0.0).astype(np.float64)
    return float(best.mean() + best.std()) if best.any() else 1.0
