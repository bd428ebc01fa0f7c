"""Probabilities of one request: the policy over what is allowed, the four arms, and the draw of a slate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.policies.choose import POLICY_FAULTS, asked
from nextbest.policies.live.menu import actions
from nextbest.policies.live.strangers import standing

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers
    from nextbest.policies.live.menu import Flags
    from nextbest.policies.live.proposal import Proposal

POLICY, RANDOM, USUAL, HOLDOUT = range(4)  # in the order of `arms.ARMS`


def policy(proposal: Proposal, allowed: Flags, worth: Numbers) -> tuple[Numbers, bool]:
    """Give the policy's probabilities over what is allowed; the best without chance, and True, where it fails.

    *worth* is what the candidates are worth at today's price of money.
    """
    if not proposal.ranks.degraded:
        try:
            p = _asked(proposal, allowed, worth)
            if allowed is not proposal.shown.everything:
                p = np.where(allowed, p, 0.0)
            total = np.add.reduce(p)
            if 0.0 < total < np.inf and p[p.argmin()] >= 0.0:
                return p / total, False
        except POLICY_FAULTS:
            pass
    return _fallback(proposal, allowed), True


def _asked(proposal: Proposal, allowed: Flags, worth: Numbers) -> Numbers:
    compiled, shown, spread = proposal.compiled, proposal.shown, proposal.ranks.spread
    if compiled.weigh is not None:
        if compiled.charged is not None:
            worth = compiled.charged(worth, shown.cost, shown.ids)
        if allowed is not shown.everything:
            worth = np.where(allowed, worth, -np.inf)
        wide = np.zeros_like(worth) if spread is None else spread
        p: Numbers = compiled.weigh(worth[None, :], wide[None, :], none=shown.none)[0]
        return p
    if compiled.stranger:
        return standing(proposal.told, allowed)
    table = pa.table({name: [value] for name, value in proposal.row.items()})
    every = None if spread is None else spread[None, :]
    told = asked(
        compiled.policy, table, actions(compiled.actions, shown), worth[None, :], allowed[None, :], spread=every
    )
    return np.asarray(told[0], dtype=np.float64)


def _fallback(proposal: Proposal, allowed: Flags) -> Numbers:
    """Give the play's default where it is allowed, else the best; money and grave matters do not rest on a fallback."""
    shown = proposal.shown
    standing = allowed & shown.safe
    default = shown.index.get(proposal.compiled.play.default, -1)
    at = default if default >= 0 and standing[default] else best(proposal.ranks.worth, standing, shown.none)
    p = np.zeros(len(allowed))
    p[at] = 1.0
    return p


def best(worth: Numbers, allowed: Flags | None, none: int) -> int:
    """Give the position of the highest worth of what is allowed (None: all); `none` wins ties, then the first."""
    masked = worth if allowed is None else np.where(allowed, worth, -np.inf)
    top = int(masked.argmax())
    return none if masked[none] >= masked[top] else top


class Arms:
    """The four arms of one request, and how likely each still is given the positions above."""

    __slots__ = ("_none", "_share")

    def __init__(self, share: tuple[float, float, float, float], none: int) -> None:
        self._share, self._none = share, none

    def mixed(self, p: Numbers, explored: Flags, usual: int) -> Numbers:
        """Give the probability of each candidate over all that is drawn, the arm included."""
        policy, random, business, holdout = self._share
        out: Numbers = policy * p
        if random:
            out += (random / float(explored.sum())) * explored
        if business:
            out[usual] += business
        if holdout:
            out[self._none] += holdout
        return out

    def given(self, p: Numbers, explored: Flags, usual: int, at: int) -> Arms:
        """Give the arms after candidate *at* was chosen: by Bayes, each arm by how likely it chose that."""
        policy, random, business, holdout = self._share
        weights = (
            policy * float(p[at]),
            random * float(explored[at]) / float(explored.sum()),
            business * (at == usual),
            holdout * (at == self._none),
        )
        total = sum(weights)
        first, second, third, fourth = (w / total for w in weights)
        return Arms((first, second, third, fourth), self._none)


def drawn(own: Numbers, u: float) -> int:
    """Give the candidate at *u* in [0, 1) of an arm's probabilities."""
    at = int(own.cumsum().searchsorted(u, side="right"))
    # Rounding may leave the last edge a hair under 1: the last candidate that has any probability takes the rest.
    return at if at < len(own) and own[at] > 0 else int(np.flatnonzero(own)[-1])
