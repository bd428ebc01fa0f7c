"""Are the decisions of a play sound? Nine checks of its log, each with a figure, a limit, and what to do.

Five rest on chance and warn falsely in at most 0.5% of looks each (the sizes of the arms: 0.1%); what stops a play is
as rare as that twice in a row (`Check.stops`). The others are counts that a healthy play does not reach. "Now" are the
last seven days, or the last quarter of a younger log; "before" are the 28 days that precede them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import UnknownNameError
from nextbest.ledger import analysis, logs, replayed, statistics
from nextbest.policies import arms as designed
from nextbest.policies import rollout
from nextbest.watching import choices, rewards
from nextbest.watching.checked import Check, taken, told, untold

if TYPE_CHECKING:
    from datetime import datetime

    from nextbest.ledger import Ledger
    from nextbest.types import Play
    from nextbest.watching.checked import Taken

NOW_DAYS, BEFORE_DAYS = 7, 28
DEGRADED = 0.01
ALONE = 1  # of a few decisions one is more than a hundredth, and no sign of anything
LEAST_TIMED = 100  # fewer have no 99th percentile
MINUTES, DAY = 300.0, 86_400.0
_COLUMNS = (
    "decision_id", "request_id", "play", "mode", "arm", "subject_id", "ts", "candidates", "action_id",
    "choice_probability", "degraded", "latency_us", "policy_version",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What the checks of one play's decisions found; `drifted` when one of them is not within its limit."""

    play: str
    drifted: bool
    decisions: int
    since: str
    until: str
    checks: tuple[Check, ...]
    why: str


def watch_play(ledger: Ledger, play: Play, *, as_of: datetime | None = None) -> Watched:
    """Give the checks of a play's decisions up to a moment (default: now)."""
    now = as_of or ledger.clock()
    start = now - timedelta(days=NOW_DAYS + BEFORE_DAYS)
    log = logs.ours(analysis.table(ledger, "decisions", columns=_COLUMNS, since=start, before=now))
    log = log.filter(pc.and_(pc.equal(log["play"], play.name), pc.not_equal(log["mode"], "replay")))
    if not log.num_rows:
        return _answer(play, log, now, (), f"'{play.name}' has decided nothing since {start:%Y-%m-%d}.")
    all_ = taken(log)
    cut = max(now.timestamp() - NOW_DAYS * DAY, float(all_.ts[0]) + 0.75 * (now.timestamp() - float(all_.ts[0])))
    before, recent = all_.where(all_.ts < cut), all_.where(all_.ts >= cut)
    wanted = rollout.design(ledger, play.name, all_.firsts().ts) or _declared(play)
    checks = (
        choices.shares(all_),
        choices.impossible(all_),
        choices.arms(all_, wanted),
        choices.entropy(before, recent),
        *_rewards(ledger, play, now, cut),
        *degraded(all_, now=now.timestamp()),
        latency(all_, play.deadline_ms, now=now.timestamp()),
    )
    return _answer(play, log, now, checks, "")


def _declared(play: Play) -> dict[str, float]:
    shares = designed.shares(play)
    return {arm: float(getattr(shares, arm)) for arm in designed.ARMS}


def degraded(log: Taken, *, now: float) -> tuple[Check, Check]:
    """Give the shares of degraded decisions in the last five minutes and over the last day."""
    names = (("degraded_5_minutes", MINUTES, "five minutes"), ("degraded_day", DAY, "day"))
    return tuple(_degraded(log.degraded[log.ts > now - span], name, words) for name, span, words in names)  # type: ignore[return-value]


def _degraded(flags: np.ndarray, name: str, words: str) -> Check:
    if not len(flags):
        return untold(name, f"No decision in the last {words}.")
    share = float(flags.mean())
    why = f"{int(flags.sum()):,} of {len(flags):,} decisions of the last {words} were degraded."
    todo = "Look at the reasons in the log: a model, a feature or the store is missing. Money is frozen meanwhile."
    ok = share <= DEGRADED or int(flags.sum()) <= ALONE
    return told(name, share, DEGRADED, ok=ok, why=why, what_to_do=todo)


def latency(log: Taken, deadline_ms: float, *, now: float) -> Check:
    """Give the 99th percentile of the time that single decisions of the last day took, against the play's deadline."""
    recent = log.latency_us[log.single & (log.ts > now - DAY)]
    if len(recent) < LEAST_TIMED:
        return untold("latency", f"{len(recent)} single decisions in the last day; {LEAST_TIMED} are needed.")
    p99 = float(np.quantile(recent, 0.99)) / 1000
    why = f"99% of the day's {len(recent):,} single decisions took at most {p99:.1f} ms."
    todo = "Ask for fewer candidates, give the play a longer deadline, or look at what else the machine does."
    return told("latency", p99, deadline_ms, ok=p99 <= deadline_ms, why=why, what_to_do=todo)


def _rewards(ledger: Ledger, play: Play, now: datetime, cut: float) -> tuple[Check, ...]:
    """Give the checks of outcomes: reward, silence, and outcomes of decisions nobody knows."""
    try:
        happened = statistics.happened(ledger, play.goal, days=play.goal_days)
    except UnknownNameError:
        why = f"No '{play.goal}' has been recorded yet."
        return untold("reward", why), untold("silence", why), _unlogged(ledger, play, now)
    log = logs.ours(replayed.logged(ledger, play.name, happened, as_of=now).rows)
    ts = _seconds(log["ts"])
    since = cut - play.goal_days * DAY  # of the same age on both sides: only due decisions are here
    keep = ts >= since - BEFORE_DAYS * DAY
    reward = rewards.reward(
        _codes(log["subject_id"])[keep],
        _codes(log["action_id"])[keep],
        ts[keep],
        np.asarray(log["reward"], dtype=np.float64)[keep],
        since=since,
    )
    came = _seconds(happened.rows["ts"])
    until = now.timestamp()
    came = came[came > until - (NOW_DAYS + BEFORE_DAYS) * DAY]
    return reward, rewards.silence(came, ts, now=until), _unlogged(ledger, play, now)


def _unlogged(ledger: Ledger, play: Play, now: datetime) -> Check:
    """Count the outcomes of the goal of the last days that name a decision, and how many of these name none we know."""
    columns = ("name", "decision_id", "ts")
    start = now - timedelta(days=NOW_DAYS)
    came = analysis.table(ledger, "outcomes", columns=columns, since=start, before=now)
    came = came.filter(pc.and_(pc.equal(came["name"], play.goal), pc.is_valid(came["decision_id"])))
    if not came.num_rows:
        return rewards.unlogged(0, 0)
    known = analysis.table(ledger, "decisions", columns=("decision_id",))["decision_id"]
    has = pc.is_in(came["decision_id"], value_set=pa.array(known.to_pylist(), pa.string()))
    return rewards.unlogged(came.num_rows, came.num_rows - int(pc.sum(has).as_py()))


def _answer(play: Play, log: pa.Table, now: datetime, checks: tuple[Check, ...], why: str) -> Watched:
    bad = [c for c in checks if not c.ok]
    told_ = why or " ".join(f"{c.name}: {c.why} {c.what_to_do}" for c in bad) or "Every check is within its limit."
    first = pc.min(log["ts"]).as_py() if log.num_rows else None
    return Watched(
        play=play.name,
        drifted=bool(bad),
        decisions=log.num_rows,
        since=first.isoformat() if first else "",
        until=now.isoformat(),
        checks=checks,
        why=told_,
    )


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), dtype=np.float64) / 1e6


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    texts = np.asarray(column.to_pylist(), dtype=object).astype(str)
    return np.unique(texts, return_inverse=True)[1].ravel()
