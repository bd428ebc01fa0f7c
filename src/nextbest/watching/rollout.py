"""May a play take its next step? The evidence of the present one, each with a figure, a limit, and what to do.

    observe -> shadow -> 1% -> 10% -> 50% -> 100%

Forward goes one step at a time and only with the evidence of the step before; backwards always. A play that never took
a step acts for all. `LEAST` decisions are the fewest in which no failure at all shows that under 1% fail, with 95%
confidence (the rule of three); the limit on degraded decisions is that 1%.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from nextbest.errors import UsageError, unknown
from nextbest.ledger import analysis, logs
from nextbest.ledger import rollout as steps_of
from nextbest.measures.replay.support import LEAST_EFFECTIVE, MOST_UNSUPPORTED
from nextbest.policies import default
from nextbest.policies import rollout as staging
from nextbest.recipes.replayed_usual import against_usual
from nextbest.watching import choices
from nextbest.watching.checked import taken, told, untold
from nextbest.watching.decisions import DEGRADED, latency

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.ledger.rollout import Stage, Step
    from nextbest.types import Effect, Play
    from nextbest.watching.checked import Check, Taken

LEAST = 300
STEPS: dict[str, tuple[Stage, float]] = {
    "observe": ("observe", 0.0),
    "shadow": ("shadow", 0.0),
    "1%": ("live", 0.01),
    "10%": ("live", 0.1),
    "50%": ("live", 0.5),
    "100%": ("live", 1.0),
}
ORDER = tuple(STEPS)
_COLUMNS = (
    "decision_id", "request_id", "play", "mode", "arm", "subject_id", "ts", "candidates", "action_id",
    "choice_probability", "degraded", "latency_us", "policy_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rolled:
    """Where a play stands, the evidence for its next step (`checks`), and what became of the step asked for.

    `taken` names the step that was taken now; `missing` says why one was refused.
    """

    play: str
    step: str
    share: float
    since: str
    why: str
    next: str | None
    ready: bool
    checks: tuple[Check, ...]
    taken: str | None = None
    missing: tuple[str, ...] = ()


def standing(ledger: Ledger, name: str) -> Rolled:
    """Give where a play stands, with the evidence for its next step; raises `UnknownNameError` for no such play."""
    play, last = _play(ledger, name)
    step = "100%" if last is None else _word(last)
    after = ORDER[ORDER.index(step) + 1] if step != ORDER[-1] else None
    checks = () if last is None or after is None else evidence(ledger, play, last)
    return Rolled(
        play=name,
        step=step,
        share=STEPS[step][1],
        since=last.ts.isoformat() if last else "",
        why=last.why if last else "It never took a step, so it acts for all. Begin: --to observe.",
        next=after,
        ready=bool(checks) and all(c.ok for c in checks),
        checks=checks,
    )


def take(ledger: Ledger, name: str, to: str, *, force: bool = False, why: str = "") -> Rolled:
    """Take a step: back always, forward one at a time with its evidence; *force* with *why* takes any."""
    if to not in STEPS:
        raise unknown("step of a rollout", to, STEPS)
    if force and not why.strip():
        raise UsageError("A step that is forced needs a reason: --why TEXT. It is kept with the evidence.")
    now = standing(ledger, name)
    at, wanted = ORDER.index(now.step), ORDER.index(to)
    missing = () if wanted <= at else _missing(now, to)
    if missing and not force:
        return replace(now, missing=missing)
    proof = {c.name: {k: v for k, v in asdict(c).items() if k in {"figure", "limit", "ok", "why"}} for c in now.checks}
    said: dict[str, Any] = {"from": now.step, "forced": bool(missing), "missing": list(missing), "checks": proof}
    steps_of.take(ledger, name, *STEPS[to], why=why or f"from {now.step}", evidence=said)
    return replace(standing(ledger, name), taken=to)


def _missing(now: Rolled, to: str) -> tuple[str, ...]:
    if to != now.next:
        return (f"The step after {now.step} is {now.next}; {to} comes later.",)
    return tuple(f"{c.name}: {c.why}" for c in now.checks if not c.ok)


def evidence(ledger: Ledger, play: Play, last: Step) -> tuple[Check, ...]:
    """Give the checks of what was decided since a step; what cannot be told is not ok, for it is no evidence."""
    log = _since(ledger, play.name, last)
    common = (_decisions(log, last.stage), _degraded(log), _latency(log, play, ledger.clock()))
    if last.stage != "live":
        return common
    found = against_usual(ledger, play, since=last.ts)
    return (*common, _arms(log, play, last), _overlap(found), _effect(found))


def _play(ledger: Ledger, name: str) -> tuple[Play, Step | None]:
    declared = default.plays(ledger)
    if name not in declared:
        raise unknown("play", name, declared)
    with ledger.journal.read() as connection:
        taken_ = steps_of.steps(connection, name)
    return declared[name], taken_[-1] if taken_ else None


def _word(step: Step) -> str:
    """Give the name of a step; a share that is none of ours counts as the step it has reached."""
    if step.stage != "live":
        return step.stage
    reached = [word for word, (stage, share) in STEPS.items() if stage == "live" and share <= step.share + 1e-9]
    return reached[-1] if reached else "1%"


def _since(ledger: Ledger, name: str, last: Step) -> Taken:
    """Give what was decided since a step, in the mode of its stage."""
    log = logs.ours(analysis.table(ledger, "decisions", columns=_COLUMNS, since=last.ts))
    mode = "shadow" if last.stage == "shadow" else "live"
    return taken(log.filter(pc.and_(pc.equal(log["play"], name), pc.equal(log["mode"], mode))))


def _decisions(log: Taken, stage: Stage) -> Check:
    """Count decisions; at a live step those that the policy or chance made."""
    acting = int(np.isin(log.arm, ("policy", "random")).sum()) if stage == "live" else log.n
    what = "decisions of the policy or of chance" if stage == "live" else "decisions"
    why = f"{acting:,} {what} since this step; {LEAST} are needed."
    return told("decisions", acting, LEAST, ok=acting >= LEAST, why=why, what_to_do="Wait for more requests.")


def _degraded(log: Taken) -> Check:
    if not log.n:
        return replace(untold("degraded", "No decision since this step."), ok=False)
    share = float(log.degraded.mean())
    why = f"{int(log.degraded.sum()):,} of {log.n:,} decisions since this step were degraded."
    todo = "Look at the reasons in the log: a model, a feature or the store is missing."
    return told("degraded", share, DEGRADED, ok=share <= DEGRADED, why=why, what_to_do=todo)


def _latency(log: Taken, play: Play, now: datetime) -> Check:
    found = latency(log, play.deadline_ms, now=now.timestamp())
    return replace(found, ok=found.ok and found.status == "ok")


def _arms(log: Taken, play: Play, last: Step) -> Check:
    """Hold the sizes of the arms since the step against the shares that are in force since then."""
    form = staging.staged(play, last.stage, last.share)
    wanted = {
        "policy": 1.0 - form.holdout - form.random - form.business_as_usual,
        "random": form.random,
        "business_as_usual": form.business_as_usual,
        "holdout": form.holdout,
    }
    return choices.arms(log, wanted)


def _overlap(found: Effect) -> Check:
    if "unsupported" not in found.details:
        return replace(untold("overlap", found.why), ok=False)
    gone, many = found.details["unsupported"], found.details["effective_n"]
    why = (
        f"{gone:.1%} of what the play would do for all could not happen here; the log is worth {many:,.0f} decisions of"
        f" it, {LEAST_EFFECTIVE:.0f} are needed."
    )
    ok = gone <= MOST_UNSUPPORTED and many >= LEAST_EFFECTIVE
    return told("overlap", gone, MOST_UNSUPPORTED, ok=ok, why=why, what_to_do="Wait, or give the play a random arm.")


def _effect(found: Effect) -> Check:
    """Hold the effect for all against business as usual: a step is refused when the play surely earns less."""
    if found.status != "ok" or found.high is None or found.estimate is None:
        return replace(untold("replay", found.why), ok=False)
    why = (
        f"For all, the play would bring {found.estimate:+.4g} {found.outcome} per decision more than business as usual "
        f"({found.level:.0%} interval {found.low:+.4g} to {found.high:+.4g}, {found.n:,} decisions)."
    )
    todo = "The play is surely worse than business as usual. Go back a step and mend it."
    return told("replay", found.high, 0.0, ok=found.high >= 0, why=why, what_to_do=todo)
