"""Judge win probabilities on the deals that ended last, beside the win rate of their stage."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.models import evaluate, stage_rates
from nextbest.models.boosting import Boosting
from nextbest.models.deal_history import NEVER, spells
from nextbest.models.stage_rates import lean, row_loss, supported_weight
from nextbest.recipes import deals as shared
from nextbest.recipes.deal_panel import at, panel
from nextbest.recipes.judged import Judged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals
    from nextbest.recipes.deal_panel import Known, Panel
    from nextbest.types import Report

    Floats = NDArray[np.float64]

LATEST_SHARE = (
    0.25  # of the deals that are over: they judge, and before that the same share of the rest sets the weight
)
FEWEST_OF_A_CLASS = 30  # deals to learn a model from, and to judge it by
STAGE_RATE, BASE_RATE, MODEL = "stage's historic rate", "base rate", "model alone"
_TAKEN_BACK = (
    "The model was worse than the stage's rate on the deals that judge, so the rate is given: this choice was made on"
    " the rows that judge it, and is the one thing here that they taught."
)
HARDLY, SURELY = 0.6, 0.55  # an AUC that is surely below the first hardly ranks; one surely above the second does


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The report, the weight of the model beside the stage's rate, and what was said of looks that did not teach."""

    report: Report
    weight: float
    rows: Panel | None = None
    probability: Floats | None = None


def judge(known: Known, report: Report, *, seed: int = 0) -> Judgement:
    """Give the judgement of what is learnt from deals that were over before the latest ended."""
    deals = known.deals
    cautions = [] if deals.history else [shared.EXPORT_ONLY]
    still = len(deals.open_at(deals.now))
    if still:
        cautions.append(f"{still} deals are still open; what comes of them is not known and did not teach.")
    cautions += _leaning(deals)
    dates = {"from": shared.day_of(int(deals.opened.min())), "to": shared.day_of(deals.now)}
    report = replace(report, details={"cautions": cautions, "dates": dates}, left_out=_left_out(deals))
    cut = _latest(deals, NEVER)
    rows = panel(known, since=cut, once=True)
    if not _enough(rows.actual):
        why = (
            f"Of {report.rows} deals that ended, {int(rows.actual.sum())} were won and"
            f" {int(len(rows.actual) - rows.actual.sum())} lost among the latest {LATEST_SHARE:.0%}; to judge by them"
            f" takes {FEWEST_OF_A_CLASS} of either. The answer is the win rate of each stage, with a wide interval."
        )
        return Judgement(report=replace(report, why=why, evaluation="not judged: too few deals"), weight=0.0)
    weight = _weight(known, _latest(deals, cut), cut, seed)
    rates = stage_rates.stage_rates(deals, spells(deals), before=cut)
    stage = _stage_rate(rates, deals, rows)
    fitted = _model(known, cut, seed)
    model = None if fitted is None else _said(fitted, rows)
    ours = stage if model is None else lean(stage, model, weight)
    if evaluate.log_loss(rows.actual, ours) > evaluate.log_loss(rows.actual, stage):
        weight, ours = 0.0, stage  # what is kept is never worse than the stage's rate where it was judged, and said so
        cautions.append(_TAKEN_BACK)
    others = {STAGE_RATE: stage, BASE_RATE: np.full(len(stage), rates.base)}
    found = Judged(actual=rows.actual, ours=ours, baselines=others | ({} if model is None else {MODEL: model}))
    opening, said = _at_opening(known, seed)
    report = replace(
        report,
        why=" ".join(filter(None, [_against(found, weight, model), said])),
        evaluation=f"out of time: learnt from deals over before {shared.day_of(cut)}, judged on {len(rows.actual)} that"
        " ended after, each at its first look from then on",
        metrics=found.metrics() | {name: auc for name, (auc, _) in opening.items()},
        intervals=found.intervals() | _loss_interval(found) | {name: bounds for name, (_, bounds) in opening.items()},
        baselines=found.baseline_metrics(),
        details={**report.details, **found.details(), "weight": weight},
    )
    if fitted is None or weight == 0:
        return Judgement(report=report, weight=0.0)
    every = panel(known, since=cut)
    return Judgement(
        report=report,
        weight=weight,
        rows=every,
        probability=lean(_stage_rate(rates, deals, every), _said(fitted, every), weight),
    )


def _leaning(deals: Deals) -> list[str]:
    """Say that the deals that are over are no fair sample, where they clearly are not: by more than twice the error."""
    over = deals.over()
    if not len(over):
        return []
    seen, fair = float(deals.won[over].mean()), stage_rates.rate_of_all_begun(deals)
    if abs(seen - fair) <= 2 * np.sqrt(seen * (1 - seen) / len(over)):
        return []
    quick, slow, lean_to = ("won", "lost", "high") if seen > fair else ("lost", "won", "low")
    said = (
        f"Deals that are {quick} end sooner than those that are {slow}. Of deals that are over {seen:.0%} were won; of"
        f" all that began about {fair:.0%} will be. Probabilities lean {lean_to} until the history is longer."
    )
    return [said]


def _latest(deals: Deals, before: int) -> int:
    """Give the moment after which the latest share of the deals that were over before another one ended."""
    ended = np.sort(deals.closed[deals.closed < before])
    return int(ended[int(len(ended) * (1 - LATEST_SHARE))]) if len(ended) else before


def _enough(actual: Floats) -> bool:
    return bool(min(actual.sum(), (1 - actual).sum()) >= FEWEST_OF_A_CLASS)


def _model(known: Known, cut: int, seed: int) -> Boosting | None:
    """Give a model that learnt from deals over before the cut; None when there are too few."""
    learning = panel(known, before=cut)
    if not _enough(learning.actual[np.unique(learning.deal, return_index=True)[1]]):
        return None
    return Boosting(seed=seed).fit(learning.features, pa.table({"label": learning.actual}))


def _said(model: Boosting, rows: Panel) -> Floats:
    return np.asarray(model.predict(rows.features)["prediction"].to_numpy())


def _weight(known: Known, first: int, cut: int, seed: int) -> float:
    """Give the weight that deals which ended between two moments support, for what was learnt before the first."""
    rows = panel(known, since=first, before=cut, once=True)
    fitted = _model(known, first, seed) if _enough(rows.actual) else None
    if fitted is None:
        return 0.0
    rates = stage_rates.stage_rates(known.deals, spells(known.deals), before=first)
    return supported_weight(_stage_rate(rates, known.deals, rows), _said(fitted, rows), rows.actual)


def _stage_rate(rates: stage_rates.StageRates, deals: Deals, rows: Panel) -> Floats:
    return rates.rate(deals.row_stage[deals.rows_at(rows.deal, rows.moment)])


def _at_opening(known: Known, seed: int) -> tuple[dict[str, tuple[float, tuple[float, float]]], str]:
    """Give the AUC of what is known when a deal opens, and a sentence; nothing where it cannot be told."""
    deals = known.deals
    # By when deals opened, not ended: those that open and end within a short time are quick ones, and no others.
    cut = int(np.quantile(deals.opened[deals.over()], 1 - LATEST_SHARE))
    taught = np.flatnonzero(deals.closed < cut)
    asked = np.flatnonzero((deals.opened >= cut) & (deals.closed < NEVER))
    if not _enough(deals.won[taught].astype(np.float64)) or not _enough(deals.won[asked].astype(np.float64)):
        return {}, ""
    learning, rows = (at(known, deal, deals.opened[deal]) for deal in (taught, asked))
    model = Boosting(seed=seed).fit(learning.features, pa.table({"label": learning.actual}))
    said = model.predict(rows.features)["prediction"].to_numpy()
    auc = evaluate.auc(rows.actual, said)
    low, high = evaluate.auc_interval(rows.actual, said)
    text = told("What is known when a deal opens", auc, (low, high))
    return {"auc_at_opening": (round(auc, 4), (round(low, 4), round(high, 4)))}, text


def told(what: str, auc: float, interval: tuple[float, float]) -> str:
    """Say in words how well something ranks deals by whether they are won."""
    low, high = interval
    verb = "hardly predicts" if high < HARDLY else "predicts something of" if low > SURELY else "may not predict"
    return f"{what} {verb} winning: AUC {auc:.2f} ({low:.2f} to {high:.2f}), 0.5 being chance."


def _loss_interval(found: Judged) -> dict[str, tuple[float, float]]:
    """Give the 95% interval of our log-loss less that of the stage's rate."""
    gap = row_loss(found.ours, found.actual) - row_loss(found.baselines[STAGE_RATE], found.actual)
    reach = 1.96 * float(gap.std(ddof=1)) / np.sqrt(len(gap))
    low, high = (round(float(gap.mean() + side * reach), 4) for side in (-1, 1))
    return {f"log_loss minus {STAGE_RATE}": (low, high)}


def _against(found: Judged, weight: float, model: Floats | None) -> str:
    ours = evaluate.log_loss(found.actual, found.ours)
    theirs = evaluate.log_loss(found.actual, found.baselines[STAGE_RATE])
    if weight > 0:
        low, high = _loss_interval(found)[f"log_loss minus {STAGE_RATE}"]
        verb = "beats" if high < 0 else "does not surely beat"
        gap = f"{ours - theirs:+.4f} ({low:+.4f} to {high:+.4f})"
        return f"It {verb} the stage's historic rate: log-loss {ours:.4f} against {theirs:.4f}, {gap}."
    reason = "deals that had not taught did not clearly support more"
    reason = "there are too few deals for a model" if model is None else reason
    return f"The answer is the stage's historic rate (log-loss {theirs:.4f}): {reason}."


def _left_out(deals: Deals) -> tuple[dict[str, str], ...]:
    if deals.history:
        return ()
    why = "an export tells it as it is now; of a deal that is over it is known only from afterwards"
    return tuple({"column": name, "why": why} for name in ("stage", "amount", "expected_close_ts"))
