"""Is chance drawn as logged? Real choices against logged probabilities, sizes of arms, and how open the choice is.

A subject's draws hang together (its arm is drawn once, and without a request id it gets the same draw all day), so
residuals are summed per subject, and the larger of the two variances counts: that of the draws, that between subjects.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from nextbest.measures.sample_ratio import ALARM as RATIO_ALARM
from nextbest.measures.sample_ratio import sample_ratio
from nextbest.watching.checked import ALARM, LEAST, STOP, told, untold

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.watching.checked import Check, Floats, Places, Taken

EDGES = (0.0, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0)
EXPECTED = 25.0  # choices expected, and not expected, in a cell: fewer, and the normal distribution's tail is too thin
HALVED = 0.5


def shares(log: Taken) -> Check:
    """Compare how often candidates were chosen with the probability logged for them, by probability and by action.

    The figure is the largest standardised residual; its limit holds for all cells together (Bonferroni).
    """
    sound = log.sound()
    if sound.n < LEAST:
        return untold("choice_shares", f"{sound.n:,} decisions drawn with known chances; {LEAST:,} are needed.")
    cell = np.digitize(sound.chance, EDGES[1:-1], right=True)
    found = _residuals(sound, cell, [f"chances of {a:g} to {b:g}" for a, b in pairwise(EDGES)])
    found |= _residuals(sound, sound.action, list(sound.actions))
    if not found:
        return untold("choice_shares", f"No cell has {EXPECTED:g} choices expected and as many not expected.")
    limit, stop = _normal_bound(ALARM / len(found)), _normal_bound(STOP / len(found))
    worst = max(found, key=lambda name: abs(found[name][0]))
    z, seen, expected = found[worst]
    why = f"{worst}: chosen {seen:,.0f} times, {expected:,.1f} expected by the logged chances."
    todo = "Do not measure or learn from these decisions: what is logged is not what was drawn. Look at who chooses."
    ok, stops = abs(z) <= limit, abs(z) > stop
    return told("choice_shares", abs(z), limit, ok=ok, why=why, what_to_do=todo, stops=stops)


def _residuals(log: Taken, cell: Places, names: list[str]) -> dict[str, tuple[float, float, float]]:
    """Give (standardised residual, chosen, expected) per cell that holds enough."""
    found = {}
    for code in np.unique(cell):
        here = cell == code
        p, taken = log.chance[here], log.chosen[here].astype(float)
        free = (p > 0) & (p < 1)
        expected = float(p[free].sum())
        if min(expected, float((1 - p[free]).sum())) < EXPECTED:
            continue
        residual = np.bincount(log.subject[log.row[here]], weights=taken - p)
        variance = max(float((p * (1 - p)).sum()), float((residual**2).sum()))
        found[names[int(code)]] = (float(residual.sum()) / variance**0.5, float(taken.sum()), float(p.sum()))
    return found


def impossible(log: Taken) -> Check:
    """Count choices of what had no chance: logged probability 0 or none, without being degraded."""
    bad = int(np.sum(log.chosen & (log.chance <= 0) & ~log.degraded[log.row]))
    why = f"{bad:,} of {log.n:,} decisions chose what had no chance."
    todo = "Do not measure or learn from these decisions: their log is wrong."
    return told("impossible_choices", float(bad), 0.0, ok=bad == 0, why=why, what_to_do=todo, stops=bad > 0)


def arms(log: Taken, designed: Mapping[str, float]) -> Check:
    """Compare the sizes of the arms, a subject once, with the shares in force; the figure is the p-value."""
    wanted = {arm: share for arm, share in designed.items() if share > 0}
    counts = Counter(log.firsts().arm.tolist())
    ratio = sample_ratio(counts, wanted, alarm=RATIO_ALARM)
    if ratio.p_value is None:
        return untold("sample_ratio", "Fewer than two arms, or fewer than five subjects expected in one of them.")
    why = ratio.why or "The arms have the sizes they were designed to have."
    todo = "Do not measure this play: find out which subjects of which arm are missing, or whether its shares changed."
    stops = ratio.p_value < RATIO_ALARM**2
    return told("sample_ratio", ratio.p_value, RATIO_ALARM, ok=ratio.ok, why=why, what_to_do=todo, stops=stops)


def entropy(before: Taken, now: Taken) -> Check:
    """Compare how open the choice was, now and before: the mean entropy of the chances of a decision.

    A learner that settles narrows its choice slowly; one that halves it within a window has collapsed. Alarms when it
    halved and the fall is beyond chance. It warns only: how open a choice is says nothing against its chances.
    """
    sides = [_entropies(side.sound()) for side in (before, now)]
    if min(len(values) for values, _ in sides) < LEAST:
        return untold("entropy", f"Fewer than {LEAST} decisions with a choice on one side.")
    (was, was_se), (is_, is_se) = (_mean(values, subjects) for values, subjects in sides)
    if was <= 0:
        return untold("entropy", "There was no chance in the choice before either.")
    ratio, z = is_ / was, (was - is_) / max((was_se**2 + is_se**2) ** 0.5, 1e-12)
    limit = _normal_bound(2 * ALARM)  # one-sided
    why = f"The mean entropy of a choice is {is_:.3f}; it was {was:.3f}."
    todo = (
        "The policy hardly tries anything but one action. Look at its learner's newest version, or go back to the last."
    )
    return told("entropy", ratio, HALVED, ok=not (ratio < HALVED and z > limit), why=why, what_to_do=todo)


def _entropies(log: Taken) -> tuple[Floats, Places]:
    """Give the entropy (nats) of every decision with at least two candidates that could be drawn, and its subject."""
    p = np.where(log.chance > 0, log.chance, 1.0)
    each = np.bincount(log.row, weights=-p * np.log(p), minlength=log.n).astype(np.float64)
    choice = np.bincount(log.row, minlength=log.n) > 1
    return each[choice], log.subject[choice]


def _mean(values: Floats, subjects: Places) -> tuple[float, float]:
    """Give a mean and its standard error with subjects as clusters."""
    mean = float(values.mean())
    sums = np.bincount(subjects, weights=values - mean)
    return mean, float((sums**2).sum()) ** 0.5 / len(values)


def _normal_bound(alpha: float) -> float:
    """Give what a standard normal figure passes on either side with probability alpha."""
    from scipy.special import ndtri

    return float(-ndtri(alpha / 2))
