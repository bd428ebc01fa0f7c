"""What the figures of a report are called, which way is better, and what they say against the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from nextbest.types import Report

_MINUS = " minus "
_LARGE = 100  # from here on decimals say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a figure is called in a sentence, what it says, and which way is better."""

    words: str
    says: str
    better: Literal["higher", "lower", "nought", ""] = "higher"


METRICS = {
    "concordance": Metric(words="Concordance", says="chance that of two the one who left first was told so"),
    "captured_at_capacity": Metric(words="Captured at capacity", says="share of all who convert that can be called"),
    "seeds_found": Metric(words="Seeds found", says="share of held-out seeds that are in the audience"),
    "cost": Metric(words="Cost", says="of pieces missing and left over, per order", better="lower"),
    "saved": Metric(words="Saved per order", says="beside the naive rule"),
    "served": Metric(words="Served", says="share of what was asked for"),
    "lasted": Metric(words="Lasted", says="share of orders that lasted until the next"),
    "left_over": Metric(words="Left over", says="pieces per order", better="lower"),
    "saved_share": Metric(words="Saved", says="share of the naive rule's cost that is saved"),
    "auc": Metric(words="AUC", says="chance that one who did outranks one who did not"),
    "average_precision": Metric(words="Average precision", says="precision averaged over recall"),
    "log_loss": Metric(words="Log loss", says="mean surprise, in nats", better="lower"),
    "brier": Metric(words="Brier score", says="mean squared error of the probability", better="lower"),
    "ece": Metric(words="Calibration error", says="mean gap between predicted and observed rates", better="lower"),
    "top_decile_lift": Metric(words="Top-tenth lift", says="rate in the best-scored tenth over the average"),
    "capture_at_20": Metric(words="Captured in the best 20%", says="share of all positives found there"),
    "normalised_gini": Metric(words="Normalised Gini", says="ranking of amounts, 1 is perfect"),
    "mae": Metric(words="Mean absolute error", says="in the unit of the amount", better="lower"),
    "rmse": Metric(words="Root mean squared error", says="in the unit of the amount", better="lower"),
    "correlation": Metric(words="Correlation", says="of predicted and actual amounts"),
    "decile_mape": Metric(words="Error by tenths", says="mean relative error of tenths by prediction", better="lower"),
    "total_error": Metric(words="Error of the total", says="predicted over actual, minus one", better="nought"),
    "interval_held": Metric(words="Interval held", says="share whose outcome lay in their interval", better=""),
    "auc_at_opening": Metric(words="AUC at opening", says="of what is known when a deal opens"),
    "calibration_gap": Metric(
        words="Calibration gap", says="largest gap of a tenth's curve to Kaplan-Meier", better="lower"
    ),
    "integrated_brier": Metric(words="Integrated Brier error", says="squared error of the curve", better="lower"),
    "median_absolute_error_days": Metric(words="Median error", says="in days", better="lower"),
    "stability": Metric(words="Stability", says="how alike the groups of two draws are, 1 is the same"),
    "segments": Metric(words="Segments", says="number of groups", better=""),
    "mase": Metric(words="MASE", says="error over that of the last season's value", better="lower"),
    "smape": Metric(words="sMAPE", says="symmetric relative error, in percent", better="lower"),
    "deviance": Metric(words="Deviance", says="of the counts, per period", better="lower"),
    "p_value": Metric(words="p value", says="how often chance alone would show as much", better=""),
    "spread": Metric(words="Spread", says="standard deviation between them, in log-odds", better=""),
    "error": Metric(words="Error", says="in the unit of what is predicted", better="lower"),
    "wape": Metric(words="Weighted error", says="sum of absolute errors over the sum of amounts", better="lower"),
}


def metric_rows(report: Report) -> list[dict[str, Any]]:
    """Give one row per figure: `name, words, says, better, value, low, high, baselines`; not-a-number as None."""
    rows = []
    # A report that was kept comes back with its figures by name: the order here is the one to read them in.
    order = {name: place for place, name in enumerate(METRICS)}
    for name, value in sorted(report.metrics.items(), key=lambda item: order.get(item[0], len(order))):
        known = _named(name)
        low, high = report.intervals.get(name, (None, None))
        theirs = {b: _number(values.get(name)) for b, values in report.baselines.items()}
        rows.append(
            {
                "name": name, "words": known.words, "says": known.says, "better": known.better, "value": _number(value),
                "low": _number(low), "high": _number(high), "baselines": theirs,
            }
        )  # fmt: skip
    return [r for r in rows if r["value"] is not None]


def _named(name: str) -> Metric:
    """Give what a figure is called; one such as `orders_mae` is that figure of something else."""
    if name in METRICS:
        return METRICS[name]
    of, _, rest = name.partition("_")
    if rest in METRICS:
        known = METRICS[rest]
        return Metric(words=f"{of.capitalize()}: {known.words.lower()}", says="", better=known.better)
    return Metric(words=name.replace("_", " ").capitalize(), says="", better="")


def verdicts(report: Report) -> list[dict[str, Any]]:
    """Give, per baseline with an interval for the lead over it: `baseline, low, high, surely, sentence`."""
    found = []
    for name, (low, high) in report.intervals.items():
        metric, minus, baseline = name.partition(_MINUS)
        if minus and _number(low) is not None:
            known = _named(metric)
            lead = f"{known.words} {_signed(low)} to {_signed(high)}"
            gain = (-high, -low) if known.better == "lower" else (low, high)
            surely = gain[0] > 0
            if low == high == 0:
                found.append(_same(baseline))
                continue
            verb = "beats" if surely else "is surely worse than" if gain[1] < 0 else "does not surely beat"
            said = f"It {verb} {_plain(baseline)}: {lead}."
            found.append({"baseline": baseline, "low": low, "high": high, "surely": surely, "sentence": said})
    return found


def _signed(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= _LARGE else f"{value:+.3f}"


def _plain(baseline: str) -> str:
    return baseline.replace("_", " ")


def _same(baseline: str) -> dict[str, Any]:
    """Give the verdict on a baseline whose answers are ours to the last digit."""
    return {
        "baseline": baseline,
        "low": 0.0,
        "high": 0.0,
        "surely": False,
        "sentence": f"Its answer is the {baseline}.",
    }


def _number(value: float | None) -> float | None:
    return None if value is None or not isfinite(value) else float(value)
