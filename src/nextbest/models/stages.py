"""How deals move through stages: competing hazards by stage and by time in the stage, and what they make of a deal.

    hazards = learn(spells, stages=4)
    chances = won_by(hazards.draw(250, random), steps=(46,), step_days=2.0)

In each stage and each bin of time in it, a deal moves on, is won or is lost at constant rates per day (piecewise
exponential competing risks; Prentice et al. 1978). A rate is the number of exits over the days spent at risk, so deals
that are still open count for what they have shown. Rates of bins with little data lean on the rate of the stage, and
that on the rate of all stages. Draws from the posterior (Gamma) carry the uncertainty of the rates into forecasts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models.deal_history import STAYS, TO_LOST, TO_WON

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Spells

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_BINS = 8
EXITS_PER_BIN = 25  # a rate from 25 exits has a standard error of a fifth
LEAN = 2.0  # exits' worth of weight that the wider rate has in a narrower one
_MOST_CELLS = 240
_LEAST_DAYS = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazards:
    """Counts that hazards follow from: `exposure` in days (stages, bins), `exits` (stages, stages + 2, bins).

    `edges` are the days in a stage at which bins begin. The last two exits are won and lost.
    """

    edges: Floats
    exposure: Floats
    exits: Floats

    def document(self) -> dict[str, Any]:
        """Give the counts as plain values."""
        return {"edges": self.edges.tolist(), "exposure": self.exposure.tolist(), "exits": self.exits.tolist()}

    def gammas(self) -> tuple[Floats, Floats]:
        """Give the posterior of every rate per day: Gamma(shape, rate), both (stages, exits, bins)."""
        by_stage, days = self.exits.sum(axis=2), self.exposure.sum(axis=1)
        every, all_days = by_stage.sum(axis=0), max(float(days.sum()), _LEAST_DAYS)
        pace = every.sum() / all_days if every.sum() else 1 / 365
        # A stage without exits of its own loses and wins as all stages do; it moves nowhere it was never seen to.
        ends = np.zeros_like(by_stage)
        ends[:, -2:] = LEAN * every[-2:] / max(float(every.sum()), 1.0)
        wide_shape, wide_days = by_stage + ends, days + LEAN / pace
        total = wide_shape.sum(axis=1)
        lean_days = np.divide(LEAN * wide_days, total, out=np.full(len(days), 1 / pace), where=total > 0)
        lean = wide_shape / wide_days[:, None] * lean_days[:, None]
        return self.exits + lean[:, :, None], self.exposure[:, None, :] + lean_days[:, None, None]

    def mean(self) -> Floats:
        """Give the expected rates per day as one draw: (1, stages, exits, bins)."""
        shape, rate = self.gammas()
        return np.asarray((shape / rate)[None])

    def draw(self, count: int, random: np.random.Generator) -> Floats:
        """Give so many draws of all rates per day: (count, stages, exits, bins)."""
        shape, rate = self.gammas()
        return np.asarray(random.standard_gamma(shape, size=(count, *shape.shape)) / rate)


def restore(document: Mapping[str, Any]) -> Hazards:
    """Give hazards back from plain values."""
    return Hazards(**{name: np.asarray(document[name], np.float64) for name in ("edges", "exposure", "exits")})


def learn(spells: Spells, *, stages: int) -> Hazards:
    """Give the counts of exits and of days at risk by stage and time in it."""
    edges = _edges(spells.days[spells.leaves != STAYS])
    exits = np.zeros((stages, stages + 2, len(edges)))
    left = spells.leaves != STAYS
    leaves = spells.leaves[left]
    kind = np.where(leaves == TO_WON, stages, np.where(leaves == TO_LOST, stages + 1, leaves))
    place = np.searchsorted(edges, spells.days[left], side="right") - 1
    np.add.at(exits, (spells.stage[left], kind, place), 1.0)
    exposure = np.zeros((stages, len(edges)))
    np.add.at(exposure, spells.stage, at_risk(spells.days, edges))
    return Hazards(edges=edges, exposure=exposure, exits=exits)


def at_risk(days: Floats, edges: Floats) -> Floats:
    """Give the days spent in every bin of time by spells of these lengths: (spells, bins)."""
    widths = np.diff(np.append(edges, np.inf))
    return np.asarray(np.clip(days[:, None] - edges[None, :], 0.0, widths[None, :]))


def expected_wins(hazards: Hazards, spells: Spells, deals: int) -> Floats:
    """Give how many wins the hazards expect of each deal in the time it was seen."""
    rates = hazards.mean()[0, :, -2, :]
    found = np.zeros(deals)
    np.add.at(found, spells.deal, (at_risk(spells.days, hazards.edges) * rates[spells.stage]).sum(axis=1))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Chances:
    """The chance to be won within given numbers of steps.

    `by_age[i]`: (draws, stages, cells of time in stage) for the i-th number of steps; `fresh`: for every number of
    steps from 0, for a deal that enters the stage: (steps + 1, draws, stages).
    """

    step_days: float
    by_age: tuple[Floats, ...]
    fresh: Floats

    def cell(self, days: Floats) -> Ints:
        """Give the cell of so many days in a stage."""
        return np.asarray(np.minimum(days / self.step_days, self.by_age[0].shape[2] - 1).astype(np.int64))


def won_by(rates: Floats, edges: Floats, *, steps: Sequence[int], step_days: float) -> Chances:
    """Give the chance to be won within each of `steps`, by backward recursion over draws of the rates."""
    cells = min(int(edges[-1] / step_days) + 2, _MOST_CELLS)
    bins = np.searchsorted(edges, (np.arange(cells) + 0.5) * step_days, side="right") - 1
    total = rates.sum(axis=2)
    stay = np.exp(-total * step_days)
    share = np.divide((1 - stay)[:, :, None, :], total[:, :, None, :], where=total[:, :, None, :] > 0,
                      out=np.zeros((*stay.shape[:2], 1, stay.shape[2])))  # fmt: skip
    leave = rates * share
    moves, wins = leave[:, :, :-2, :], leave[:, :, -2, :]
    older = np.minimum(np.arange(cells) + 1, cells - 1)
    chance = np.zeros((*stay.shape[:2], cells))
    stay_cells, kept, fresh = stay[:, :, bins], [], [chance[:, :, 0]]
    for step in range(1, max(steps) + 1):
        by_bin = wins + np.einsum("bsjk,bj->bsk", moves, chance[:, :, 0])
        chance = by_bin[:, :, bins] + stay_cells * chance[:, :, older]
        fresh.append(chance[:, :, 0])
        if step in steps:
            kept.append(chance)
    return Chances(step_days=step_days, by_age=tuple(kept), fresh=np.stack(fresh))


def typical_wait(hazards: Hazards, stage: Ints, days: Floats) -> tuple[Floats, Ints]:
    """Give, for deals so long in a stage, in how many days half will have moved on or been won, and to where most go.

    Losses do not count: it is the date of a deal that goes on. `inf` where nothing says that it ever will.
    """
    rates = hazards.mean()[0]
    forward = np.delete(rates, -1, axis=1)
    forward = np.where(np.delete(hazards.exits, -1, axis=1).sum(axis=2, keepdims=True) > 0, forward, 0.0)
    pace = forward.sum(axis=1)
    grid = np.append(hazards.edges, hazards.edges[-1] + 3650.0)
    summed = np.concatenate([np.zeros((len(pace), 1)), np.cumsum(pace * np.diff(grid), axis=1)], axis=1)
    wait, to = np.full(len(stage), np.inf), np.zeros(len(stage), np.int64)
    for s in np.unique(stage):
        mine = stage == s
        reached = np.interp(days[mine], grid, summed[s]) + np.log(2)
        increasing = summed[s] + np.arange(len(grid)) * 1e-12  # so that it can be turned round where nothing happens
        wait[mine] = np.where(reached < summed[s][-1], np.interp(reached, increasing, grid) - days[mine], np.inf)
        to[mine] = int(hazards.exits[s, :-1].sum(axis=1).argmax())
    return wait, to


def _edges(days: Floats) -> Floats:
    """Give the starts of bins that hold about as many exits each."""
    count = int(np.clip(len(days) // EXITS_PER_BIN, 1, MOST_BINS))
    inner = np.quantile(days, np.linspace(0, 1, count + 1)[1:-1]) if count > 1 else np.zeros(0)
    return np.unique(np.concatenate([[0.0], inner]))
