"""Do outcomes still come, and are they what they were? Reward by action, now and before; silence; unknown decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.watching.checked import ALARM, LEAST, STOP, told, untold

if TYPE_CHECKING:
    from nextbest.watching.checked import Check, Floats, Places

ANSWERS = 10  # expected on the smaller side: fewer, and the normal distribution's tail is too thin
GAPS = 30  # so many pauses between outcomes say how long a usual one is
UNKNOWN = 0.01


def reward(subject: Places, action: Places, ts: Floats, value: Floats, *, since: float) -> Check:
    """Compare the mean reward per decision before and after *since*, action by action; the figure is the z-score.

    Each action counts by the smaller of its two sides, so that another mix of actions is no drift. An action with fewer
    than 20 decisions on a side is left out. The variance is that of no drift, of both sides together: the few answers
    of one side would seem to be without chance where there happened to be none. Subjects are clusters.
    """
    now = ts >= since
    weights = _weights(action, now)
    total = sum(min(a, b) for a, b in weights.values())
    if total < LEAST:
        return untold("reward", f"{total:,} due decisions are comparable on the smaller side; {LEAST:,} are needed.")
    answered = sum(min(sides) * float((value[action == code] != 0).mean()) for code, sides in weights.items())
    if answered < ANSWERS:
        return untold("reward", f"{answered:.1f} answers are expected on the smaller side; {ANSWERS} are needed.")
    difference = before = variance = 0.0
    pulls = np.zeros(len(value))
    for code, (was, is_) in weights.items():
        share, here = min(was, is_) / total, action == code
        left = value[here] - float(value[here].mean())
        pulls[here] = share * left * np.where(now[here], 1.0 / is_, -1.0 / was)
        variance += share**2 * float((left**2).mean()) * (1 / was + 1 / is_)
        usual = float(value[here & ~now].mean())
        before += share * usual
        difference += share * (float(value[here & now].mean()) - usual)
    if variance == 0:
        return untold("reward", "No reward differs from another, on either side.")
    from scipy.special import ndtri

    together = float((np.bincount(subject, weights=pulls) ** 2).sum()) / float((pulls**2).sum())
    z, limit = difference / (variance * max(1.0, together)) ** 0.5, float(-ndtri(ALARM / 2))
    why = f"A decision earns {before + difference:.4g} now and earned {before:.4g} before, action by action."
    todo = (
        "The world answers otherwise than it did: let the learner decay faster, or fit it again, and look at the goal."
    )
    stops = abs(z) > float(-ndtri(STOP / 2))
    return told("reward", abs(z), limit, ok=abs(z) <= limit, why=why, what_to_do=todo, stops=stops)


def _weights(action: Places, now: np.ndarray) -> dict[int, tuple[int, int]]:
    """Give (decisions before, decisions now) per action that has enough of both."""
    least = 20
    found = {
        int(code): (int(((action == code) & ~now).sum()), int(((action == code) & now).sum())) for code in set(action)
    }
    return {code: sides for code, sides in found.items() if min(sides) >= least}


def silence(outcomes: Floats, decisions: Floats, *, now: float) -> Check:
    """Tell whether outcomes have stopped: the pause since the last against the pauses there were; figures in hours.

    Alarms when the pause is longer than every earlier one and longer than one in `ALARM` of a steady stream would be,
    and decisions were made before it that could have been answered meanwhile.
    """
    came = np.sort(outcomes[outcomes <= now])
    gaps = np.diff(came)
    if len(gaps) < GAPS or gaps.sum() <= 0:
        return untold("silence", f"{len(came):,} outcomes so far; {GAPS + 1} are needed to know how often they come.")
    pause = now - float(came[-1])
    limit = max(float(gaps.max()), -np.log(ALARM) * float(gaps.mean()))
    usual = float(came[-1]) - pause
    waiting = int(((decisions > usual) & (decisions < now)).sum())
    why = f"The last outcome came {_span(pause)} ago; the longest pause before was {_span(float(gaps.max()))}."
    todo = "Look whether outcomes still reach the workspace: decisions wait for an answer longer than they used to."
    ok = pause <= limit or waiting == 0
    stops = not ok and pause > -np.log(STOP) * float(gaps.mean())
    return told("silence", pause / 3600, limit / 3600, ok=ok, why=why, what_to_do=todo, stops=stops)


def unlogged(named: int, unknown: int) -> Check:
    """Give the share of outcomes that name a decision which is not in the log (erased people apart)."""
    if not named:
        return untold("unlogged", "No outcome names a decision.")
    share = unknown / named
    why = f"{unknown:,} of {named:,} outcomes name a decision that the log does not have."
    todo = "Somebody serves decisions that were not logged, or the outcomes are of another workspace."
    ok = share <= UNKNOWN or unknown <= 1  # anybody may send one that is wrong
    return told("unlogged", share, UNKNOWN, ok=ok, why=why, what_to_do=todo, stops=not ok)


def _span(seconds: float) -> str:
    return f"{seconds / 86400:.1f} days" if seconds >= 2 * 86400 else f"{seconds / 3600:.1f} hours"
