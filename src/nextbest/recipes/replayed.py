"""What another policy would have earned on a play's log: its chances from policies, the comparison from measures.

nextbest measure win_back --outcome revenue_30d --method replay --policy greedy --set explore=0
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import unknown
from nextbest.features import expression
from nextbest.measures.replay.evaluate import evaluate, untold
from nextbest.measures.replay.support import MOST_WITHOUT
from nextbest.measures.sample_ratio import sample_ratio
from nextbest.policies import arms, default, rollout
from nextbest.policies.target import Alternative, alternative
from nextbest.recipes.replayed_rows import PLAIN, reader

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.ledger.replayed import Logged
    from nextbest.ledger.statistics import Happened
    from nextbest.types import Action, Effect, Play, Status

_MANY_ACTIONS = 20  # from so many on, actions of one category are also weighed together


def replay_play(
    ledger: Ledger,
    play: Play,
    *,
    outcome: str,
    level: float = 0.95,
    by: str = "",
    estimator: str = "",
    **changes: Any,  # noqa: ANN401 (policy, settings, as_if: of `policies.target.alternative`)
) -> Effect:
    """Give what an alternative would have earned per decision less what the play earned, or why nobody can tell.

    Without changes the play is judged as it is configured now. `by` splits by a feature or piece of context as served,
    or by arm, policy_version, action_id.
    """
    from nextbest.ledger import replayed, statistics

    other = alternative(play, **changes)
    happened = statistics.happened(ledger, outcome, days=play.goal_days)
    names = _names(other, by)
    log = replayed.logged(ledger, play.name, happened, as_of=ledger.clock(), features=bool(names))
    head = {"policy": other.words, "arms": _arms_in_words(other), "decisions": log.counts, "window_days": happened.days}
    if not log.counts["decisions"] and not play.actions:
        raise unknown("play", play.name, default.plays(ledger))
    status, why = _unusable(ledger, play, log, happened)
    why = why or _without_values(other, log)
    if why:
        found = untold(status, why, log.rows.num_rows, level=level, details=head)
        return replace(found, outcome=outcome, play=play.name)
    read = reader(log.rows, other, names=names, by=by)
    found = evaluate(
        read.batches,
        read.target,
        level=level,
        estimator=estimator,
        categories=_categories(read.actions),
        groups=read.groups,
    )
    details = {**head, **found.details, "cost_per_decision": read.costs()}
    known = other.remarks(unsure=_unsure(log), unpriced=log.rows["price"].null_count, of=log.rows.num_rows)
    more = (*known, _left_out(log), _estimated(log), _hindsight(log)) if found.status == "ok" else ()
    why = " ".join(filter(None, (found.why, *more)))
    found = replace(found, outcome=outcome, play=play.name, why=why, details=details)
    return replace(found, design="observational") if log.counts["estimated"] else found


def _names(other: Alternative, by: str) -> tuple[str, ...]:
    wanted = {name for text in other.conditions() if text.strip() for name in expression.parse(text).columns}
    return tuple(sorted(wanted | ({by} if by and by not in PLAIN else set())))


def _unusable(ledger: Ledger, play: Play, log: Logged, happened: Happened) -> tuple[Status, str]:
    """Say why the log cannot be judged at all, with the status; '' when it can."""
    counts = log.counts
    if not counts["decisions"]:
        return "not_enough_data", f"Play '{play.name}' has no live decisions in the log. Decide first."
    due = counts["decisions"] - counts["pending"]
    if not due:
        known = f"outcomes are known up to {happened.end:%Y-%m-%d}" if happened.end else "no outcome is known"
        why = f"All {counts['pending']:,} decisions are still pending, and pending is not no: an outcome counts within "
        return (
            "cannot_tell",
            f"{why}{happened.days:g} days, and {known}. Load or record what came since, or ask later.",
        )
    without = counts["degraded"] + counts["without_probability"]
    if without > MOST_WITHOUT * due:
        why = (
            f"{without:,} of {due:,} decisions have no chance on record that can be used ({counts['degraded']:,} "
            f"degraded); they are no random part of the log, and at most {MOST_WITHOUT:.0%} may be left out."
        )
        return "cannot_tell", why
    return "cannot_tell", _uneven(ledger, play, log.rows)


def _without_values(other: Alternative, log: Logged) -> str:
    """Say that the log does not hold what the policy weighs; '' when it does, or where rules do not ask."""
    cells = pc.list_flatten(log.rows["candidates"])
    worth = pc.struct_field(cells, "expected_value").filter(pc.struct_field(cells, "eligible"))
    if other.play.policy.get("name") == "rules" or worth.null_count <= MOST_WITHOUT * len(worth):
        return ""
    return (
        f"{worth.null_count:,} of {len(worth):,} candidates have no expected value in the log, which this policy "
        "weighs. Judge the policy 'rules', or a flat table of the log with the other's chances (--table, --target)."
    )


def _unsure(log: Logged) -> int:
    """Give how many decisions have nothing on record of how sure the learner was."""
    lists = log.rows["candidates"].combine_chunks()
    told = pc.not_equal(pc.fill_null(pc.struct_field(pc.list_flatten(lists), "spread"), 0.0), 0.0)
    return int(log.rows.num_rows) - len(pc.unique(pc.list_parent_indices(lists).filter(told)))


def _uneven(ledger: Ledger, play: Play, rows: pa.Table) -> str:
    """Say that the arms do not have the sizes with which they were drawn, a subject once; '' when they have."""
    ordered = rows.sort_by("ts")
    first = np.unique(np.asarray(ordered["subject_id"].to_pylist(), dtype=object).astype(str), return_index=True)[1]
    counted = Counter(ordered["arm"].take(pa.array(first)).to_pylist())
    seconds = np.asarray(ordered["ts"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), dtype=np.float64) / 1e6
    design = rollout.design(ledger, play.name, seconds[first]) or {n: getattr(arms.shares(play), n) for n in arms.ARMS}
    ratio = sample_ratio(counted, design)
    if set(counted) - {name for name, wanted in design.items() if wanted > 0}:
        return ""  # the play's shares were others when this was logged
    return "" if ratio.ok else ratio.why


def _left_out(log: Logged) -> str:
    """Say how many due decisions the answer does not rest on, where there are any: they fell back for a reason."""
    counts = log.counts
    many = counts["degraded"] + counts["without_probability"]
    if not many:
        return ""
    due = counts["decisions"] - counts["pending"]
    return (
        f"{many:,} of {due:,} due decisions fell back or have no known chance, and are left out: it holds for the rest."
    )


def _estimated(log: Logged) -> str:
    """Say that chances are no record, where they were estimated when the log was brought in."""
    if log.counts["estimated"]:
        return (
            f"The chances of {log.counts['estimated']:,} decisions were estimated, not logged: what the other engine "
            "knew and this log does not say may have moved both its choice and the outcome, whatever the interval says."
        )
    if log.counts["estimated_others"]:
        return "The chances of what was not done were estimated, not logged; the estimate does not rest on them."
    return ""


def _hindsight(log: Logged) -> str:
    many = log.counts["hindsight"]
    if not many:
        return ""
    return (
        f"{many:,} of these decisions were made when what followed was already known, so nobody was given anything: "
        "this tests the measurement, it is not what a policy earns."
    )


def _arms_in_words(other: Alternative) -> str:
    if other.alone:
        return "the policy alone, without arms"
    share = arms.shares(other.play)
    parts = [f"{getattr(share, n):.0%} {n.replace('_', ' ')}" for n in arms.ARMS if getattr(share, n) > 0]
    return "with the play's arms: " + ", ".join(parts)


def _categories(actions: tuple[Action, ...]) -> Any:  # noqa: ANN401 (an array, or None)
    """Give a code per action, the same for the same texts among its features; None where it would say nothing."""
    if len(actions) < _MANY_ACTIONS:
        return None
    texts = [
        tuple(sorted((k, v) for k, v in a.features.items() if isinstance(v, str))) or (("id", a.id),) for a in actions
    ]
    kinds = {text: code for code, text in enumerate(dict.fromkeys(texts))}
    return np.array([kinds[text] for text in texts], dtype=np.int64) if len(kinds) < len(actions) else None
