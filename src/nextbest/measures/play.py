"""What a play earned: its policy arm against its holdout, per subject; and every action against doing nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nextbest import registry
from nextbest.measures.always_valid import always_valid
from nextbest.measures.randomised import variance
from nextbest.measures.sample_ratio import sample_ratio
from nextbest.measures.weighted import weighted_effects
from nextbest.types import Effect, Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger import Ledger
    from nextbest.ledger.statistics import Happened
    from nextbest.types import Measure, Play

LEAST_HOLDOUT = 0.01
_NOTHING = Statistics(n=0, total=0.0, total_squares=0.0)


def measure_play(
    ledger: Ledger,
    play: Play,
    *,
    outcome: str,
    method: str = "randomised",
    level: float = 0.95,
    design: Mapping[str, float] | None = None,
) -> Effect:
    """Give the outcome per subject in the policy arm less that in the holdout, with an interval, or why it is not told.

    A subject counts once, by its first decision, when its outcome had time to happen; by the arm it was given, whatever
    was then done. `details` hold the arms, the sample-ratio check, each action against `none`, and `any_time`, the
    interval for whoever looks more than once.
    """
    from nextbest.ledger import statistics

    happened = statistics.happened(ledger, outcome, days=play.goal_days)
    now = ledger.clock()
    arms = by_arm(statistics.arm_statistics(ledger, play.name, happened, as_of=now))
    measure: Measure = registry.make("measures", method)
    found = measure.effect(arms.get("policy", _NOTHING), arms.get("holdout", _NOTHING), level=level)
    ratio = sample_ratio({a: s.n for a, s in arms.items()}, design or _design(play))
    effect = replace(
        found,
        outcome=outcome,
        play=play.name,
        baseline="holdout",
        details={
            **found.details,
            "arms": {a: {"n": s.n, "mean": s.mean if s.n else None} for a, s in arms.items()},
            "window_days": happened.days,
            "sample_ratio_p": ratio.p_value,
            "any_time": _any_time(found, arms, level),
            "hindsight": statistics.in_hindsight(ledger, play.name, happened, as_of=now),
            "total": None if found.estimate is None else found.estimate * arms["policy"].n,
            "actions": _actions(ledger, play, happened, level),
        },
    )
    if not ratio.ok:
        return replace(effect, status="cannot_tell", why=ratio.why, estimate=None, low=None, high=None)
    why = _why(effect, arms, play, happened) if effect.status != "ok" else _in_hindsight(effect)
    return replace(effect, why=why)


def by_arm(statistics: Mapping[tuple[str, str], Statistics]) -> dict[str, Statistics]:
    """Give the sums per arm, whatever was done in it."""
    arms: dict[str, Statistics] = {}
    for (arm, _), sums in statistics.items():
        arms[arm] = arms.get(arm, _NOTHING) + sums
    return arms


def _design(play: Play) -> dict[str, float]:
    given = {"holdout": play.holdout, "random": play.random, "business_as_usual": play.business_as_usual}
    return {"policy": 1.0 - sum(given.values()), **given}


def _actions(ledger: Ledger, play: Play, happened: Any, level: float) -> dict[str, Any]:  # noqa: ANN401 (statistics.Happened)
    from nextbest.ledger import statistics

    sums = statistics.action_sums(ledger, play.name, happened, as_of=ledger.clock())
    return weighted_effects(sums.to_pylist(), level=level)


def _any_time(found: Effect, arms: Mapping[str, Statistics], level: float) -> tuple[float, float] | None:
    """Give the interval for those who look more than once: low and high, None where no effect is told."""
    if found.estimate is None:
        return None
    sides = [arms["policy"], arms["holdout"]]
    pooled = sum(s.n * variance(s) for s in sides) / sum(s.n for s in sides)
    return always_valid(found.estimate, found.details["standard_error"], math.sqrt(pooled), level=level)


def _in_hindsight(effect: Effect) -> str:
    """Say that nobody can have been given what was decided after the fact; '' when nothing was."""
    many = effect.details["hindsight"]
    if not many:
        return ""
    return (
        f"{many} of these subjects were decided for when what followed was already known, so nobody was given anything:"
        " this tests the measurement, it is not what the play earns."
    )


def _why(effect: Effect, arms: Mapping[str, Statistics], play: Play, happened: Happened) -> str:
    """Say what is missing in the words of the play."""
    if not arms:
        until = f"outcomes are known up to {happened.end:%Y-%m-%d}" if happened.end else "no outcome is known"
        behind = f"has the {happened.days:g} days behind it in which an outcome counts"
        why = f"No decision of '{play.name}' {behind}: {until}."
        return f"{why} Load or record what came since, and measure later."
    if play.holdout < LEAST_HOLDOUT or not arms.get("holdout", _NOTHING).n:
        return f"Play '{play.name}' has nobody held out, so there is nothing to compare with. Set holdout = 0.05."
    return effect.why
