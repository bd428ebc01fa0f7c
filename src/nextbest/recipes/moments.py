"""Does something happen within a horizon after a moment? Learnt from moments of the past, judged on the latest one.

    learn(Asked(recipe="propensity", words=..., horizon_days=30, span=(first, end), rows=rows, ...), as_of=as_of)

A row of training is one subject at one moment of the past (a cut): the features as they were then, and whether the
event came in [cut, cut + horizon). Cuts are a horizon apart. The latest cut that is over judges; it is learnt from only
by the model that is kept. All label windows that teach the judged model end before the judging window begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import UsageError, unknown
from nextbest.features.build import build
from nextbest.models import contributions, logistic
from nextbest.recipes import judged
from nextbest.recipes.timeline import DAY_US, iso, micros, moment_of
from nextbest.types import Report

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.features.language import Feature

    Vector = NDArray[np.float64]

MOST_CUTS = 7
MOST_ROWS = 400_000
FEWEST_OF_A_CLASS = 30  # below, the AUC of even a good model has an interval wider than 0.2 (Hanley and McNeil 1982)


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The rows of one or more cuts: features with `subject_id`, and 1 where it happened."""

    features: pa.Table
    actual: Vector


Rows = Callable[[int], Panel]
Baselines = Callable[[Panel, Panel], Mapping[str, "Vector"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How the report names what is asked: `events` ("orders"), who did and who did not, and what to load.

    `nobody` is said where there is nobody to learn from or to judge on.
    """

    events: str
    happened: str
    happened_not: str
    judged_on: str
    load: str
    more: str = "more customers"
    nobody: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked: `rows` gives the panel of a cut, `span` from when to when the event is known (microseconds).

    `history` is the first moment at which anything is known of a subject, when that is before the first event.
    `against` names the baseline that `why` compares with: `baselines` gives it from (learning, judging) panels.
    """

    recipe: str
    horizon_days: int
    span: tuple[int, int]
    rows: Rows
    words: Words
    baselines: Baselines
    against: str
    against_word: str
    history: int | None = None
    fewest: int = FEWEST_OF_A_CLASS
    model: str = "boosting"
    seed: int = 0
    keep: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first(self) -> int:
        """The first moment known."""
        return self.span[0] if self.history is None else min(self.history, self.span[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """The model (None: too little data), its report, what predicting needs, who taught it, and how it was judged."""

    report: Report
    model: Any | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    subject_ids: tuple[str, ...] = ()
    judgement: judged.Judged | None = None
    learning: Panel | None = None
    judging: Panel | None = None


def learn(asked: Asked, *, as_of: datetime) -> Learnt:
    """Give the model learnt from all finished cuts before `as_of`, judged on the latest."""
    report = Report(recipe=asked.recipe, status="ok", as_of=as_of.isoformat())
    cuts = cut_moments(asked.span, asked.horizon_days, first=asked.first)
    if len(cuts) < 2:
        return Learnt(report=_too_short(report, asked, as_of))
    judging = asked.rows(cuts[0])
    earlier = [asked.rows(cut) for cut in fitting_in(cuts, len(judging.actual))[1:]]
    learning = stacked(earlier)
    missing = _too_few(asked, judging, learning)
    if missing:
        return Learnt(report=_why(report, missing, rows=len(learning.actual), positives=int(learning.actual.sum())))
    every = stacked([learning, judging])
    found = _learnt(asked, every, len(learning.actual))
    theirs = asked.baselines(learning, judging)
    judgement = replace(found.judged, baselines={**found.judged.baselines, **theirs})
    return Learnt(
        model=found.model,
        report=_report(report, asked, judgement, every, found.model),
        extra={
            "horizon_days": asked.horizon_days,
            "cuts": [iso(c) for c in cuts[: 1 + len(earlier)]],
            **asked.keep,
        },
        subject_ids=tuple(pc.unique(every.features["subject_id"]).to_pylist()),
        judgement=judgement,
        learning=learning,
        judging=judging,
    )


def _learnt(asked: Asked, every: Panel, learning: int) -> judged.Learnt:
    """Give the model of all rows, and how one that learnt from the first so many did on the rest."""
    split = np.arange(learning), np.arange(learning, len(every.actual))
    maker = registry.make("models", asked.model, {"seed": asked.seed})
    return judged.learn(every.features, every.actual, maker, split=split, seed=asked.seed)


def chosen(features: Sequence[Feature], names: Sequence[str]) -> tuple[Feature, ...]:
    """Give the features of these names; raises when the workspace no longer has one."""
    known = {f.name: f for f in features}
    for name in names:
        if name not in known:
            raise unknown("feature", name, known)
    return tuple(known[name] for name in names)


def needed(features: Sequence[Feature], extra: Mapping[str, Any]) -> tuple[Feature, ...]:
    """Give the features that a model reads, by what was kept of it; all of them before anything was learnt."""
    if extra and "features" not in extra:
        raise UsageError("This model learnt from a table, not from events. Give table (and id) to predict with it.")
    return chosen(features, extra["features"]) if extra else tuple(features)


# --- the rows ---------------------------------------------------------------------------------------------------------


def cut_moments(span: tuple[int, int], horizon_days: int, *, first: int | None = None) -> list[int]:
    """Give the finished cuts, latest first, a horizon apart, each with at least a horizon of history before it."""
    step = horizon_days * DAY_US
    since = (span[0] if first is None else first) + step
    return [cut for k in range(1, MOST_CUTS + 1) if (cut := span[1] - k * step) >= since]


def fitting_in(cuts: Sequence[int], rows: int) -> Sequence[int]:
    """Give as many of the latest cuts as stay within the rows worth learning from, at so many each; at least two."""
    return cuts[: max(2, MOST_ROWS // max(1, rows))]


def panel(
    ledger: Any,  # noqa: ANN401 (a ledger)
    features: Sequence[Feature],
    cut: int,
    *,
    who: pa.Array | None,
    happened: pa.Array,
    absent: bool = False,
) -> Panel:
    """Give one row per subject of *who* (None: everyone seen), 1 where they are among *happened* (or are not)."""
    ids = None if who is None else who.to_pylist()
    table = build(ledger, features, as_of=moment_of(cut), subject_ids=ids)
    return labelled(table, happened, absent=absent)


def labelled(table: pa.Table, happened: pa.Array, *, absent: bool = False) -> Panel:
    """Give the rows with 1 where the subject is among *happened*, or is not when absence is asked for."""
    found = pc.is_in(table["subject_id"], value_set=happened.cast(pa.string()))
    yes = found.to_numpy().astype(bool)
    return Panel(features=table, actual=(~yes if absent else yes).astype(np.float64))


def stacked(panels: Sequence[Panel]) -> Panel:
    """Give several cuts as one."""
    return Panel(
        features=pa.concat_tables([p.features for p in panels]).combine_chunks(),
        actual=np.concatenate([p.actual for p in panels]),
    )


# --- a baseline -------------------------------------------------------------------------------------------------------


def columns_alone(names: Sequence[str], learning: Panel, judging: Panel) -> Vector:
    """Give the probability by logistic regression on a few columns and their logarithms; missing counts by itself."""
    rows = [
        np.column_stack([p.features[name].to_numpy(zero_copy_only=False) for name in names])
        for p in (learning, judging)
    ]
    line = logistic.fit(rows[0], learning.actual, task="classification", levels={})
    return np.asarray(1 / (1 + np.exp(-np.clip(logistic.scores(line, rows[1]), -35, 35))))


# --- what is said -----------------------------------------------------------------------------------------------------


def _report(report: Report, asked: Asked, judgement: judged.Judged, every: Panel, model: Any) -> Report:  # noqa: ANN401
    judged_from = iso(asked.span[1] - asked.horizon_days * DAY_US)[:10]
    return replace(
        report,
        why=against(judgement, asked.against, asked.against_word),
        rows=len(every.actual),
        positives=int(every.actual.sum()),
        evaluation=f"out of time: learnt on earlier moments, judged on {asked.words.judged_on} {judged_from}",
        metrics=judgement.metrics(),
        intervals=judgement.intervals(),
        baselines=judgement.baseline_metrics(),
        left_out=model.left_out,
        top_features=contributions.top_features(model, every.features),
        details={
            **judgement.details(),
            "cautions": _cautions(judgement, asked),
            "dates": {"from": iso(asked.first)[:10], "to": iso(asked.span[1])[:10]},
        },
    )


def _cautions(judgement: judged.Judged, asked: Asked) -> list[str]:
    """Say that few rows judged, when fewer did than an AUC needs to be known to a tenth."""
    yes = int(judgement.actual.sum())
    rarer = min(yes, len(judgement.actual) - yes)
    if rarer >= FEWEST_OF_A_CLASS:
        return []
    low, high = judgement.intervals()["auc"]
    kind = asked.words.happened if rarer == yes else asked.words.happened_not
    reach = f"the AUC may be as low as {low:.2f} or as high as {high:.2f}"
    return [f"Only {rarer} of the {len(judgement.actual)} rows that judge {kind}: {reach}. Take the ranking as rough."]


def against(judgement: judged.Judged, baseline: str, word: str) -> str:
    """Say by how much the model beats a baseline, or that it does not."""
    ours, theirs = judgement.metrics()["auc"], judgement.baseline_metrics()[baseline]["auc"]
    low, high = judgement.intervals()[f"auc minus {baseline}"]
    lead = f"AUC {ours:.3f} against {theirs:.3f} from {baseline}, {ours - theirs:+.3f} ({low:+.3f} to {high:+.3f})"
    if low > 0:
        return f"It beats {word}: {lead}."
    if high < 0:
        return f"It is surely worse than {word}: {lead}."
    return f"It does not surely beat {word}: {lead}."


def _too_short(report: Report, asked: Asked, as_of: datetime) -> Report:
    words, horizon = asked.words, asked.horizon_days
    if asked.span == (0, 0):
        return _why(report, f"There are no {words.events} before this moment. Load {words.load} first.")
    days = (micros(as_of) - asked.first) // DAY_US
    return _why(
        report,
        f"The {words.events} span {days} days; a horizon of {horizon} days needs {3 * horizon} (one before the first"
        f" moment to learn from, one to learn, one to judge). Load more history, or set a shorter horizon_days.",
    )


def _too_few(asked: Asked, judging: Panel, learning: Panel) -> str:
    words = asked.words
    if words.nobody and not len(learning.actual) + len(judging.actual):
        return words.nobody
    for rows, what in ((learning, "to learn from"), (judging, "to judge on")):
        yes = int(rows.actual.sum())
        no = len(rows.actual) - yes
        if min(yes, no) < asked.fewest:
            return (
                f"Of {len(rows.actual)} rows {what}, {yes} {words.happened} and {no} {words.happened_not}; at least"
                f" {asked.fewest} of either are needed. Load {words.more}, or set another horizon_days."
            )
    return ""


def _why(report: Report, why: str, *, rows: int = 0, positives: int | None = None) -> Report:
    return replace(report, status="not_enough_data", why=why, rows=rows, positives=positives)
