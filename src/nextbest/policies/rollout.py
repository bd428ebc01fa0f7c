"""Rollout: a play acts for a growing share of subjects, and whoever is in stays in.

    observe   everybody gets what the caller does anyway; it is logged as business as usual
    shadow    decided and logged beside it; the caller's own choice is served
    live      the policy and the random arm have `share` of their share; the rest is business as usual

Arms are intervals of one number per subject (`arms.assign`). The random arm grows up from the holdout and the policy
arm down from 1, so a growing share takes nobody out. The holdout stays as it is at every live step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.policies import arms, default

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.ledger.rollout import Stage
    from nextbest.types import Play

LOOK_SECONDS = 0.5  # a step binds every worker within a second


def staged(play: Play, stage: Stage, share: float) -> Play:
    """Give a play as it acts at a stage; `share` (0 to 1) counts for the stage `live` only."""
    if stage == "observe":
        return replace(play, holdout=0.0, random=0.0, business_as_usual=1.0, mode="live")
    if stage == "shadow":
        return replace(play, mode="shadow")
    acting = 1.0 - play.holdout - play.business_as_usual
    usual = play.business_as_usual + (1.0 - share) * acting
    return replace(play, random=share * play.random, business_as_usual=usual, mode="live") if share < 1 else play


def plays(ledger: Ledger) -> dict[str, Play]:
    """Give the plays of a workspace as they act now."""
    from nextbest.ledger import rollout

    declared = default.plays(ledger)
    with ledger.journal.read() as connection:
        stages = rollout.stages(connection)
    return {name: staged(play, *stages[name]) if name in stages else play for name, play in declared.items()}


def design(ledger: Ledger, name: str, firsts: np.ndarray) -> dict[str, float]:
    """Give the share of each arm that was in force when subjects first came (*firsts*: seconds), averaged over them.

    When a subject first comes does not hang on its arm, so that the sizes of the arms can be held against it although
    the shares changed in between. Nothing is given for a play that is not configured here, or in shadow.
    """
    from nextbest.ledger import rollout

    declared = default.plays(ledger).get(name)
    with ledger.journal.read() as connection:
        steps = rollout.steps(connection, name)
    if declared is None:
        return {}
    forms = [declared, *(staged(declared, step.stage, step.share) for step in steps)]
    at = np.searchsorted([step.ts.timestamp() for step in steps], firsts, side="right")
    weight = np.bincount(at, minlength=len(forms)) / max(1, len(firsts))
    each = [arms.shares(form) for form in forms]
    return {arm: float(sum(w * getattr(s, arm) for w, s in zip(weight, each, strict=True))) for arm in arms.ARMS}


def first_times(ledger: Ledger, name: str) -> np.ndarray:
    """Give when each subject of a play first came, in seconds."""
    from nextbest.ledger import analysis

    log = analysis.table(ledger, "decisions", columns=("play", "mode", "subject_id", "ts"))
    mine = log.filter(pc.and_(pc.equal(log["play"], name), pc.equal(log["mode"], "live")))
    first = mine.group_by("subject_id").aggregate([("ts", "min")])["ts_min"]
    return np.asarray(first.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()), dtype=np.float64) / 1e6


class Staged(Mapping[str, "Play"]):
    """The plays of a workspace as they act now, for a service: the same object until a play takes a step."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._plays: dict[str, Play] = {}
        self._stamp: object = None
        self._looked = -LOOK_SECONDS

    def __getitem__(self, name: str) -> Play:
        return self._now()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, Play]:
        from nextbest.ledger import rollout

        moment = time.monotonic()
        if moment - self._looked < LOOK_SECONDS:
            return self._plays
        with self._ledger.journal.read() as connection:
            stamp = (rollout.stamp(connection), id(self._ledger.config))
        if stamp != self._stamp:
            fresh = plays(self._ledger)
            self._plays = {n: self._plays[n] if self._plays.get(n) == p else p for n, p in fresh.items()}
        self._stamp, self._looked = stamp, moment
        return self._plays
