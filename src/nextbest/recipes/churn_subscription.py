"""Churn of subscribers: who will leave within the horizon, by the customer's will or because a payment fails.

A hazard over the age of the stay, with what was known of the subject at moments of the past, is learnt from all stays;
two of them, one per cause, where the data tell causes apart. Judged out of time on who ran when the last horizon began.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models import contributions, hazard, intervals, person_periods
from nextbest.models.person_periods import Spells
from nextbest.recipes import churn_words
from nextbest.recipes.fitting import model_id, not_enough, settings_of, training_subjects
from nextbest.recipes.judged import MAJORITY, Judged
from nextbest.recipes.subscription_facts import facts
from nextbest.recipes.subscriptions import INVOLUNTARY, STAYED, VOLUNTARY, Stays, read, suits
from nextbest.recipes.timeline import DAY_US, iso
from nextbest.types import Fitted, Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.models.hazard import Hazard, Known

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]

__all__ = ["BY", "fit", "predict", "seen", "suits"]

BY = "subscription"
FEWEST_OF_A_CLASS = 30
LINE, BY_AGE = "logistic hazard alone", "age of the stay alone"
CHURN = "churn_probability"
_PARTS = {VOLUNTARY: "voluntary", INVOLUNTARY: "involuntary"}
_LEVEL = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What is learnt from: the stays, what is known of them, the causes to tell apart, and how far ahead to look."""

    stays: Stays
    known: Known
    causes: tuple[int, ...]
    horizon: float
    seed: int

    def until(self, moment: float) -> Hazard:
        """Give the hazard learnt from what had happened before a moment (days since 1970)."""
        there = np.flatnonzero(self.stays.begin + self.stays.entry < moment)
        spells = _spells(self.stays, moment, apart=len(self.causes) > 1).take(there)
        return hazard.fit(
            spells, lambda spell, age: self.known(there[spell], age), causes=self.causes, reach=self.horizon,
            borders=person_periods.cut(spells, widest=self.horizon), subjects=self.stays.subject[there], seed=self.seed,
        )  # fmt: skip


def fit(recipe: Any, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (a Churn; a ledger)
    """Learn who leaves when, judged on the latest horizon; `report.status` says when there is too little."""
    stays, horizon = read(ledger, as_of), float(recipe.horizon_days)
    report = Report(
        recipe=recipe.name, status="ok", as_of=as_of.isoformat(), rows=len(stays.begin),
        positives=int((stays.cause > 0).sum()),
    )  # fmt: skip
    cut = stays.until - horizon
    # Who only came into sight after the cut was not known then, and is known now because they had stayed until then.
    judging = np.flatnonzero((stays.begin < cut) & (stays.begin + stays.entry <= cut) & (stays.leave > cut))
    actual = (stays.leave[judging] <= stays.until).astype(np.float64)
    missing = _missing(stays, cut, actual, horizon)
    if missing:
        return not_enough(recipe.name, settings_of(recipe), replace(report, why=missing))
    causes, said = _causes(stays, cut)
    read_now = facts(ledger, stays, as_of=as_of)
    asked = _Asked(stays=stays, known=read_now.known, causes=causes, horizon=horizon, seed=recipe.seed)
    earlier, age = asked.until(cut), cut - stays.begin[judging]
    table = asked.known(judging, age)
    judged = _judged(earlier, table, age, actual, horizon)
    made = asked.until(stays.until)
    extra = {
        "by": BY, "hazard": made.facts(), "horizon": horizon, "causes": list(causes),
        "interval": intervals.fit(judged.ours, actual, task="classification", level=_LEVEL),
    }  # fmt: skip
    parts = _parts(ledger, made, stays, causes)
    report = replace(
        report,
        why=" ".join([_against(judged), said]).strip(),
        evaluation=f"out of time: learnt before {_date(cut)}, judged on who left in the {horizon:g} days after it",
        metrics=judged.metrics(),
        intervals=judged.intervals(),
        baselines=judged.baseline_metrics(),
        left_out=made.models[0].left_out,
        top_features=contributions.top_features(earlier.models[0], hazard.seen(earlier, table, age)),
        details={**judged.details(), **_details(stays, causes, horizon, said)},
    )
    return Fitted(
        model_id=model_id(recipe.name, parts, report.as_of), recipe=recipe.name, settings=settings_of(recipe),
        as_of=report.as_of, parts=parts, report=report, extra=extra,
    )  # fmt: skip


def predict(ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (a ledger)
    """Give, per subscriber who is there, `churn_probability` within the horizon, and its two parts.

    `voluntary_churn_probability` and `involuntary_churn_probability` add up to it; null where they are not told apart.
    Who has given notice leaves: 1.
    """
    stays = read(ledger, as_of)
    there = _there(stays)
    ids = stays.subject_ids.take(pa.array(stays.subject[there]))
    if not fitted.parts:
        none = pa.nulls(len(ids), pa.float64())
        return pa.table({"subject_id": ids, **dict.fromkeys((CHURN, f"{CHURN}_low", f"{CHURN}_high"), none)})
    extra = fitted.extra
    made, horizon = _restored(fitted), extra["horizon"]
    age = as_of.timestamp() / 86_400 - stays.begin[there]
    table = facts(ledger, stays, as_of=as_of).known(there, age)
    shares = hazard.by_cause(made, hazard.hazards(made, table, age), age, horizon)
    notice = stays.notice[there]
    shares[notice] = np.eye(len(extra["causes"]))[0]
    total = np.clip(shares.sum(axis=1), 0.0, 1.0)
    low, high = intervals.apply(extra["interval"], total)
    columns = {CHURN: total, f"{CHURN}_low": np.where(notice, 1.0, low), f"{CHURN}_high": np.where(notice, 1.0, high)}
    apart = len(extra["causes"]) > 1
    for place, name in enumerate(_PARTS.values()):
        columns[f"{name}_{CHURN}"] = shares[:, place] if apart else np.full(len(there), np.nan)
    arrays = {name: pa.array(values, mask=np.isnan(values)) for name, values in columns.items()}
    return pa.table({"subject_id": ids, **arrays})


def seen(
    ledger: Any,  # noqa: ANN401
    fitted: Fitted,
    subject_ids: Sequence[str] | None,
    *,
    as_of: datetime,
) -> pa.Table:
    """Give the rows that the model reads now about these subscribers, or about all who are there."""
    stays = read(ledger, as_of)
    there = _there(stays)
    ids = stays.subject_ids.take(pa.array(stays.subject[there])).to_pylist()
    place = [i for i, name in enumerate(ids) if subject_ids is None or name in subject_ids]
    some = there[place]
    age = as_of.timestamp() / 86_400 - stays.begin[some]
    rows = hazard.seen(_restored(fitted), facts(ledger, stays, as_of=as_of).known(some, age), age)
    return rows.append_column("subject_id", pa.array([ids[i] for i in place], pa.string()))


def words(ledger: Any, fitted: Fitted, subject_id: str, *, as_of: datetime) -> tuple[str, ...]:  # noqa: ANN401
    """Give what a subscriber's chance to leave rests on, where no single model says so."""
    stays = read(ledger, as_of)
    there = _there(stays)
    ids = stays.subject_ids.take(pa.array(stays.subject[there])).to_pylist()
    if subject_id in ids and stays.notice[there[ids.index(subject_id)]]:
        return churn_words.noticed()
    return churn_words.by_cause(fitted, seen(ledger, fitted, (subject_id,), as_of=as_of).drop_columns(["subject_id"]))


# --- the parts --------------------------------------------------------------------------------------------------------


def _spells(stays: Stays, moment: float, *, apart: bool) -> Spells:
    """Give the stays as far as they were seen before a moment."""
    left = stays.leave <= moment
    cause = np.where(left, stays.cause, STAYED)
    exit_ = np.maximum(np.minimum(stays.leave, moment) - stays.begin, 0.0)
    return Spells(entry=np.minimum(stays.entry, exit_), exit=exit_, cause=cause if apart else np.minimum(cause, 1))


def _there(stays: Stays) -> Whole:
    """Give the places of the stays that run, or run out after notice, one per subject, in order of the subject."""
    running = np.isinf(stays.leave)
    also = stays.notice & ~np.isin(stays.subject, stays.subject[running])
    found = np.flatnonzero(running | also)
    return found[np.flatnonzero(np.diff(stays.subject[found], append=-1))]


def _missing(stays: Stays, cut: float, actual: Vector, horizon: float) -> str:
    if not len(stays.begin):
        return "No subscription began before this moment. Load subscriptions with their dates first."
    before, inside = int((stays.leave <= cut).sum()), int(actual.sum())
    stayed = len(actual) - inside
    if min(before, inside, stayed) >= FEWEST_OF_A_CLASS:
        return ""
    return (
        f"Of {len(stays.begin)} subscribers {before} left before {_date(cut)}, to learn from; of those there then,"
        f" {inside} left within {horizon:g} days and {stayed} stayed, to judge by. At least {FEWEST_OF_A_CLASS} of each"
        " are needed."
        " Load a longer history or more subscribers, or set another horizon_days."
    )


def _causes(stays: Stays, cut: float) -> tuple[tuple[int, ...], str]:
    """Give the causes that can be told apart, and what is to be said about them."""
    counts = {c: int(((stays.cause == c) & (stays.leave <= cut)).sum()) for c in _PARTS}
    undated = f"{stays.undated} subscriptions ended at an unknown time and were set aside." if stays.undated else ""
    if not stays.apart:
        said = (
            "The data do not tell who left by will from whose payment failed: there is no failed payment (status,"
            " failure_code) and no subscription past due or unpaid."
        )
        return (VOLUNTARY,), f"{said} {undated}".strip()
    if min(counts.values()) < FEWEST_OF_A_CLASS:
        said = (
            f"Of those who left, {counts[VOLUNTARY]} did by will and {counts[INVOLUNTARY]} because a payment failed; at"
            f" least {FEWEST_OF_A_CLASS} of either are needed to tell them apart."
        )
        return (VOLUNTARY,), f"{said} {undated}".strip()
    return (VOLUNTARY, INVOLUNTARY), undated


def _parts(ledger: Any, made: Hazard, stays: Stays, causes: Sequence[int]) -> dict[str, Any]:  # noqa: ANN401
    who = tuple(stays.subject_ids.take(pa.array(np.unique(stays.subject))).to_pylist())
    names = [_PARTS[cause] for cause in causes] if len(causes) > 1 else ["model"]
    return {name: training_subjects(ledger, model, who) for name, model in zip(names, made.models, strict=True)}


def _restored(fitted: Fitted) -> Hazard:
    causes = fitted.extra["causes"]
    names = [_PARTS[cause] for cause in causes] if len(causes) > 1 else ["model"]
    return hazard.restore(fitted.extra["hazard"], [fitted.parts[name] for name in names])


def _judged(made: Hazard, table: pa.Table, age: Vector, actual: Vector, horizon: float) -> Judged:
    def gone(kept: NDArray[np.float64]) -> Vector:
        return 1 - hazard.from_now(made.borders, kept, age, (horizon,))[:, 0]

    usual = np.tile(np.append(1.0, np.cumprod(1 - np.array(made.usual))), (len(age), 1))
    by_age = gone(usual)
    baselines = {
        MAJORITY: np.full(len(age), float(by_age.mean())),
        BY_AGE: by_age,
        LINE: gone(hazard.curve(hazard.hazards(made, table, age, linear=True))),
    }
    return Judged(actual=actual, ours=gone(hazard.curve(hazard.hazards(made, table, age))), baselines=baselines)


# --- what is said -----------------------------------------------------------------------------------------------------


def _against(judged: Judged) -> str:
    ours, theirs = judged.metrics()["auc"], judged.baseline_metrics()[BY_AGE]["auc"]
    low, high = judged.intervals()[f"auc minus {BY_AGE}"]
    sure = "beats" if low > 0 else "is surely worse than" if high < 0 else "does not surely beat"
    lead = f"AUC {ours:.3f} against {theirs:.3f}, {ours - theirs:+.3f} ({low:+.3f} to {high:+.3f})"
    return f"It {sure} the age of the stay alone: {lead}."


def _details(stays: Stays, causes: Sequence[int], horizon: float, said: str) -> Mapping[str, Any]:
    apart = len(causes) > 1
    return {
        "by": BY,
        "horizon": horizon,
        "causes": {name: int((stays.cause == c).sum()) for c, name in _PARTS.items()} if apart else {},
        "cautions": [said] if said else [],
        "dates": {"from": _date(float(stays.begin.min())), "to": _date(stays.until)},
    }


def _date(day: float) -> str:
    return iso(int(day * DAY_US))[:10]
