"""What another policy would have earned per decision, against what the logged one did, with an interval; or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import UsageError, unknown
from nextbest.measures.replay import choosing, estimators, slates
from nextbest.measures.replay.expected import fit
from nextbest.measures.replay.intervals import interval
from nextbest.measures.replay.logged import joined, reduced
from nextbest.measures.replay.support import diagnostics, why_not
from nextbest.types import Effect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.measures.replay.estimators import Scores
    from nextbest.measures.replay.logged import Codes, Log, Rows, Target

BASELINE = "the logged policy"
LEAST = 30


def evaluate(
    log: Log,
    target: Target,
    *,
    level: float = 0.95,
    estimator: str = "",
    categories: Codes | None = None,
    groups: Sequence[str] = (),
) -> Effect:
    """Give the other policy's reward per decision less the logged policy's; per page where pages have several places.

    `estimator` is one of those in `details["estimators"]`; default: doubly robust. `categories` (one code per action)
    let `mips` treat actions of a category alike; `groups` name the codes of `Batch.group`.
    """
    if not 0 < level < 1:
        raise UsageError(f"A level is between 0 and 1, such as 0.95; got {level}.")
    many = sum(len(batch) for batch in log())
    if many < LEAST:
        return untold("not_enough_data", f"The log has {many} decisions to judge by; {LEAST} are needed.", many)
    rows = laid_over(log, target, categories=categories)
    effect = judged(rows, level=level, estimator=estimator, marginal=categories is not None)
    if not groups:
        return effect
    each = {name: _short(rows.where(rows.group == g), level, estimator) for g, name in enumerate(groups)}
    return _with(effect, groups=each)


def laid_over(log: Log, target: Target, *, categories: Codes | None = None) -> Rows:
    """Give one row per decision with the other policy laid over it; what is expected of each action is fitted first."""
    expected = fit(log)
    parts, start = [], 0
    for batch in log():
        parts.append(reduced(batch, target(batch), expected.of(batch), start=start, categories=categories))
        start += len(batch)
    return joined(parts)


def judged(rows: Rows, *, level: float = 0.95, estimator: str = "", marginal: bool = False) -> Effect:
    """Give the effect that the rows show, with every estimator and what it stands on in the details."""
    several = bool((rows.position > 1).any())
    units = slates.per_page(rows) if several else rows
    found = slates.every(rows) if several else choosing.every(rows, marginal=marginal)
    name = estimator or (slates.DEFAULT if several else estimators.DEFAULT)
    if name not in found:
        raise unknown("estimator", name, found)
    known = diagnostics(units)
    earned = float(units.reward.mean())
    details = {
        "estimator": name,
        "per": "page" if several else "decision",
        "logged": _told(earned, units.reward - earned, units, level),
        "value": _told(found[name].estimate, found[name].centred, units, level),
        "estimators": {n: _of(s, units, level) for n, s in found.items()},
        **known,
    }
    why = why_not(rows, known) or _flat(units)
    if why:
        return untold("cannot_tell", why, len(units), level=level, details=details)
    centred = found[name].centred - (units.reward - earned)
    reach = interval(found[name].estimate - earned, centred, units.subject, level=level)
    return Effect(
        outcome="",
        design="off_policy",
        baseline=BASELINE,
        status="ok",
        estimate=found[name].estimate - earned,
        low=reach.low,
        high=reach.high,
        level=level,
        n=len(units),
        details={**details, "standard_error": reach.error},
        why=_remark(known),
    )


def untold(status: str, why: str, n: int, *, level: float = 0.95, details: Any = None) -> Effect:  # noqa: ANN401
    """Give the effect that says that it cannot be told, and why."""
    return Effect(
        outcome="", design="off_policy", baseline=BASELINE, status=status, why=why, n=n, level=level,  # type: ignore[arg-type]  # one of Status
        details=details or {},
    )  # fmt: skip


def _with(effect: Effect, **details: Any) -> Effect:  # noqa: ANN401
    from dataclasses import replace

    return replace(effect, details={**effect.details, **details})


def _short(rows: Rows, level: float, estimator: str) -> dict[str, Any]:
    """Give what is told of one group."""
    if len(rows) < LEAST:
        return {"status": "not_enough_data", "n": len(rows), "why": f"{len(rows)} decisions; {LEAST} are needed."}
    effect = judged(rows, level=level, estimator=estimator)
    told = {name: getattr(effect, name) for name in ("status", "estimate", "low", "high", "n", "why")}
    return {**told, "effective_n": effect.details["effective_n"]}


def _of(scores: Scores, rows: Rows, level: float) -> dict[str, Any]:
    return {**_told(scores.estimate, scores.centred, rows, level), "limit": scores.limit}


def _told(estimate: float, centred: Any, rows: Rows, level: float) -> dict[str, float]:  # noqa: ANN401 (an array)
    reach = interval(estimate, centred, rows.subject, level=level)
    return {"estimate": estimate, "low": reach.low, "high": reach.high}


def _flat(rows: Rows) -> str:
    if float(np.ptp(rows.reward)) > 0:
        return ""
    told = "" if rows.reward.any() else " None had this outcome: is it called so in the log?"
    return f"Every decision had the same outcome, so there is no variation to judge a difference by.{told}"


def _remark(known: dict[str, Any]) -> str:
    """Say what the estimate leaves out, where it leaves out anything."""
    if known["unsupported"] <= 0:
        return ""
    return (
        f"{known['unsupported']:.2%} of what this policy would do could never happen in the log; for that part it is "
        "only taken to do what the regression expects."
    )
