"""Thompson sampling whose choice probabilities are computed: the chance that each action is the best.

The worths are taken as independent Gaussians (mean `worth`, standard deviation `spread`): marginal Thompson sampling.
With the distribution F[a] of each and G = product of F, the distribution of the highest,

    P(a is best) = integral of G(x) d log F[a](x)

so a step of G from one node to the next is shared out by the steps of log F, and the probabilities sum to 1 by
construction. The nodes lie where the highest falls: a first pass over even nodes finds G roughly, a second adds nodes
at even steps of it. A million draws agree (tests).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.policies.weighing import share, weighed, with_floor

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from nextbest.policies.draw import Numbers
    from nextbest.types import Action

_REACH = 5.5  # standard deviations; what lies outside has a chance below one in ten million
_EVEN = np.linspace(0.0, 1.0, 10)  # nodes over the range at first
_LEAST, _MOST, _WORK = 22, 128, 1280  # how many the second pass adds: the fewer actions, the more
_AROUND = np.array([-6.0, -2.5, -1.0, 0.0, 1.0, 2.5, 6.0])
_NARROWEST = 1e-6  # of the range
_NEGLIGIBLE = 1e-7
_NEVER = 1e150
_BLOCK = 1024  # rows at a time, so that the nodes of a large table stay in the cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson:
    """Each action with the probability that it is the best; `explore` is an even share on top, so that none is 0.

    >>> import numpy as np
    >>> Thompson(explore=0.0).weigh(np.array([[1.0, 0.0]]), np.ones((1, 2))).round(3).tolist()
    [[0.76, 0.24]]
    """

    explore: float = 0.01

    def __post_init__(self) -> None:
        share("thompson", "explore", self.explore)

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one column per action."""
        return weighed(self, predictions, actions)

    def weigh(self, worth: Numbers, spread: Numbers, *, none: int = -1) -> Numbers:  # noqa: ARG002 (a policy's shape)
        """Give the probability of every action, shape (subjects, actions)."""
        return with_floor(chance_of_best(worth, spread), worth > -np.inf, self.explore)


def chance_of_best(worth: Numbers, spread: Numbers) -> Numbers:
    """Give P(action is the best) under independent Gaussians, shape (subjects, actions); 0 for removed actions."""
    if len(worth) <= _BLOCK:
        return _block(worth, spread)
    out = np.zeros(worth.shape)
    for start in range(0, len(worth), _BLOCK):
        rows = slice(start, start + _BLOCK)
        out[rows] = _block(worth[rows], spread[rows])
    return out


def _block(worth: Numbers, spread: Numbers) -> Numbers:
    """Give the chances of some rows: a first pass of nodes over all actions, then more over those in the running."""
    eligible = np.asarray(worth > -np.inf)
    mean, reach = worth if eligible.all() else np.where(eligible, worth, -_NEVER), _REACH * spread
    low = (mean - reach).max(axis=1, keepdims=True)
    width = (mean + reach).max(axis=1, keepdims=True) - low
    # A worth without spread is a step; a step much narrower than the nodes is split at its tie, evenly among equals.
    width = np.maximum(width, np.maximum(np.abs(low), 1e-9) * 1e-9)
    scale = np.maximum(spread, _NARROWEST * width)
    nodes = _first_nodes(mean, scale, low - 0.001 * width, width * 1.002)
    below = _distribution(mean, scale, nodes).prod(axis=1)
    floor = np.where(below <= _NEGLIGIBLE, nodes, -np.inf).max(axis=1, keepdims=True)
    running = mean + _REACH * scale >= floor
    more = min(_MOST, max(_LEAST, _WORK // worth.shape[1]))
    if running.all():
        return _shared_out(mean, scale, nodes, below, more)
    keep = np.flatnonzero(running.any(axis=0))
    # What is out of the running in its own row counts for nothing there, whatever other rows need it for.
    mean = np.where(running, mean, -_NEVER)[:, keep]
    p = np.zeros(worth.shape)
    p[:, keep] = _shared_out(mean, scale[:, keep], nodes, below, more)
    return np.where(eligible, p, 0.0)


def _first_nodes(mean: Numbers, scale: Numbers, start: Numbers, width: Numbers) -> Numbers:
    """Give even nodes over the range, and some round the action whose low end is highest: below it nothing happens."""
    rows, known = np.arange(len(mean)), (mean - _REACH * scale).argmax(axis=1)
    around = mean[rows, known][:, None] + scale[rows, known][:, None] * _AROUND
    nodes = np.concatenate([start + width * _EVEN, around], axis=1)
    nodes.sort(axis=1)
    return nodes


def _shared_out(mean: Numbers, scale: Numbers, nodes: Numbers, below: Numbers, more: int) -> Numbers:
    """Give P(a is best): the steps of the distribution of the highest, each shared out by the steps of the logs."""
    nodes = np.concatenate([nodes, _between(nodes, below, more)], axis=1)
    nodes.sort(axis=1)
    logs = _distribution(mean, scale, nodes)
    np.log(np.maximum(logs, 1e-300, out=logs), out=logs)
    below = np.exp(logs.sum(axis=1))
    steps = np.diff(logs, axis=2)
    total = steps.sum(axis=1)
    mass = np.diff(below, axis=1)
    p = np.matmul(steps, np.divide(mass, total, out=np.zeros_like(mass), where=total > 0)[:, :, None])[:, :, 0]
    return np.asarray(p / np.maximum(p.sum(axis=1, keepdims=True), 1e-300))


def _between(nodes: Numbers, below: Numbers, more: int) -> Numbers:
    """Give more nodes per row where the distribution of the highest rises, a fifth of them over its range."""
    start = nodes[:, :1]
    rising = below + 0.2 / (nodes[:, -1:] - start) * (nodes - start)
    wanted = rising[:, :1] + (np.arange(more) + 0.5) / more * (rising[:, -1:] - rising[:, :1])
    found = np.empty((len(nodes), more))
    for i in range(len(nodes)):
        found[i] = np.interp(wanted[i], rising[i], nodes[i])
    return found


def _distribution(mean: Numbers, scale: Numbers, nodes: Numbers) -> Numbers:
    """Give P(value of a <= node), shape (subjects, actions, nodes)."""
    z: Numbers = nodes[:, None, :] - mean[:, :, None]
    z /= scale[:, :, None]
    found: Numbers = _normal()(z)
    return found


@cache
def _normal() -> Callable[[Any], Any]:
    from scipy.special import ndtr

    found: Callable[[Any], Any] = ndtr
    return found
