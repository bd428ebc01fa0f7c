"""The model card: what a model learnt from, how good it is, what moves it, and when not to use it, as one document.

After Mitchell et al. (2019). What needs the rows is computed anew when a card is asked for, because a model keeps
nobody's values; where the rows are not at hand, the card says so and leaves that part out.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from nextbest.models import sandbox
from nextbest.models.contributions import WHICH, name_in_words
from nextbest.trust import about, dependence, drivers, surrogate
from nextbest.trust.explain import Explanation
from nextbest.trust.limits import limits
from nextbest.trust.metrics import METRICS, metric_rows, verdicts
from nextbest.trust.seen import seen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import pyarrow as pa

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted, Report

    Card = dict[str, Any]

FORMAT = 1
_OF_PROBABILITY = frozenset({"auc", "concordance", "log_loss", "brier", "ece"})
_FOR_SUMMARY = ("auc", "concordance", "normalised_gini", "wape", "mae", "total_error")
_MOST_CURVES = 6
_FAITHFUL = 0.7
_KNOWN = ("calibration", "capture", "deciles", "preparation", "cautions", "dates", "groups", "scorecard")


def card(
    ledger: Ledger, fitted: Fitted, *, as_of: datetime, table: str | Path | pa.Table | None = None, seed: int = 0
) -> Card:
    """Give the card of a fitted recipe as plain JSON values; *table* stands in for the flat table of its settings."""
    report, details = fitted.report, fitted.report.details
    made = {
        "format": FORMAT,
        "recipe": fitted.recipe,
        "model_id": fitted.model_id,
        "status": report.status,
        "kind": "probability" if _OF_PROBABILITY & set(report.metrics) else "amount",
        "about": about.about(fitted),
        "as_of": report.as_of,
        "made": ledger.clock().date().isoformat(),
        "data": _data(fitted, given=table is not None),
        "evaluation": report.evaluation,
        "why": report.why,
        "metrics": metric_rows(report),
        "verdicts": verdicts(report),
        **{
            name: _plain(details.get(name, []))
            for name in ("calibration", "capture", "deciles", "preparation", "groups")
        },
        "left_out": [dict(x) for x in report.left_out],
        **_from_rows(ledger, fitted, as_of, table, seed),
        "scorecard": _plain(details.get("scorecard", [])),
        "cautions": [str(c) for c in details.get("cautions", ())],
        "limits": list(limits(fitted.recipe)),
        "details": {name: _plain(value) for name, value in details.items() if name not in _KNOWN},
        "settings": _settings(fitted),
        "versions": {"nextbest": version("nextbest"), **sandbox.versions()},
    }
    made["cautions"] += _cautions(made, told=" ".join([report.why, *made["cautions"]]))
    made["summary"] = _summary(made)
    return made


def in_short(said: Card) -> Explanation:
    """Give the card's summary as sentences, the whole card as details."""
    return Explanation(what=said["recipe"], subject_id="", sentences=tuple(said["summary"]), details=said)


# --- what the report holds --------------------------------------------------------------------------------------------


def _data(fitted: Fitted, *, given: bool) -> dict[str, Any]:
    report, settings = fitted.report, fitted.settings
    flat = settings.get("label") is not None
    rate = None if report.positives is None or not report.rows else round(report.positives / report.rows, 4)
    return {
        "source": about.source(fitted, given=given),
        "rows": report.rows,
        "rows_are": about.rows_are(fitted),
        "positives": report.positives,
        "rate": rate,
        "label": settings.get("label"),
        "positive": fitted.extra.get("positive", settings.get("positive")),
        "horizon_days": None if flat else fitted.extra.get("horizon_days", settings.get("horizon_days")),
        "dates": dict(report.details.get("dates", {})),
        "columns": list(getattr(fitted.parts.get("model"), "columns", ())),
    }


def _settings(fitted: Fitted) -> dict[str, Any]:
    """Give the settings; of a path only the file's name, the rest says where somebody works."""
    table = fitted.settings.get("table")
    return {**_plain(fitted.settings), **({"table": PurePath(table).name} if table else {})}


# --- what needs the rows ----------------------------------------------------------------------------------------------


def _from_rows(
    ledger: Ledger, fitted: Fitted, as_of: datetime, table: str | Path | pa.Table | None, seed: int
) -> dict[str, Any]:
    """Give drivers with their stability, dependence and the surrogate tree; or the report's drivers and why no more."""
    empty: dict[str, Any] = {"dependence": [], "surrogate": None, "rows_note": "", "not_shown": ""}
    rows = seen(ledger, fitted, as_of=as_of, table=table)
    if isinstance(rows, str) or not rows.features.num_rows or not rows.features.num_columns:
        why = rows if isinstance(rows, str) else "There are no rows to look at."
        return {
            **empty,
            "drivers": _told_at_fit(fitted.report),
            "stability": "",
            "drivers_fidelity": None,
            "not_shown": why,
        }
    moved = drivers.drivers(rows, seed=seed)
    curves = dependence.dependence(rows.model, rows.features, [d.feature for d in moved.found])
    tree = surrogate.surrogate(rows.model, rows.features, seed=seed)
    return {
        **empty,
        "rows_note": rows.note,
        "drivers": [_with_levels(asdict(d), curves) for d in moved.found],
        "stability": moved.stability,
        "drivers_fidelity": moved.fidelity,
        "dependence": [_plain(asdict(c)) for c in curves[:_MOST_CURVES]],
        "surrogate": None if tree is None else _tree(tree),
    }


def _with_levels(driver: dict[str, Any], curves: Sequence[dependence.Dependence]) -> dict[str, Any]:
    """Give a driver whose direction depends on which value it is with the values of the lowest and the highest."""
    curve = next((c for c in curves if c.column == driver["feature"] and not c.graded), None)
    if curve is None or not driver["sentence"].endswith(WHICH):
        return driver
    told = curve.summary[0].lower() + curve.summary[1:].rstrip(".")
    return {**driver, "sentence": f"{name_in_words(driver['feature'])}: {told}"}


def _told_at_fit(report: Report) -> list[dict[str, Any]]:
    """Give the drivers as they were found when the model learnt, without a span of ranks."""
    whole = sum(float(t.get("weight", 0.0)) for t in report.top_features) or 1.0
    return [
        {
            "feature": t["feature"],
            "weight": float(t.get("weight", 0.0)),
            "share": round(float(t.get("weight", 0.0)) / whole, 4),
            "rank": rank,
            "rank_low": None,
            "rank_high": None,
            "sentence": t.get("sentence", ""),
        }
        for rank, t in enumerate(report.top_features, start=1)
    ]


def _tree(tree: surrogate.Surrogate) -> dict[str, Any]:
    rules = [{"when": list(r.when), "prediction": r.prediction, "share": r.share} for r in tree.rules]
    return {"fidelity": tree.fidelity, "rules": rules}


# --- in words ---------------------------------------------------------------------------------------------------------


def _cautions(made: Card, *, told: str) -> list[str]:
    """Give what the figures themselves warn of, without what is told already."""
    unbeaten = [v for v in made["verdicts"] if not v["surely"] and not _is_told(v["baseline"], told)]
    found = list(dict.fromkeys(v["sentence"] for v in unbeaten))
    unsure = [d["feature"] for d in made["drivers"][:3] if (d["rank_high"] or 0) > len(made["drivers"])]
    if unsure:
        found.append(f"The rank of {', '.join(unsure)} moves with the draw: do not build on it.")
    tree = made["surrogate"]
    if tree and tree["fidelity"] is not None and tree["fidelity"] < _FAITHFUL:
        found.append(f"The small tree follows the model loosely (R² {tree['fidelity']:.2f}): read it as a sketch.")
    return found


def _is_told(baseline: str, told: str) -> bool:
    return any(
        f"{words} {baseline.replace('_', ' ')}" in told
        for words in ("rank better than", "surely beat", "answer is the")
    )


def _summary(made: Card) -> list[str]:
    """Give the card in a few sentences."""
    data = made["data"]
    if made["status"] != "ok":
        return [f"{made['recipe']}: {made['status'].replace('_', ' ')}. {made['why']}"]
    rate = "" if data["rate"] is None or made["kind"] != "probability" else f", {data['rate']:.1%} of them positive"
    lines = [f"{made['about']} Learnt from {data['source']}: {data['rows']:,} {data['rows_are']}{rate}."]
    main = next((m for name in _FOR_SUMMARY for m in made["metrics"] if m["name"] == name), None)
    if main is not None:
        judged = made["evaluation"] if made["evaluation"].startswith("out of time") else f"by {made['evaluation']}"
        span = "" if main["low"] is None else f" ({main['low']:.3f} to {main['high']:.3f})"
        lines.append(f"{METRICS[main['name']].words} {main['value']:.3f}{span}, judged {judged}.")
    lines += _why(made)
    lines += [v["sentence"] for v in made["verdicts"] if v["surely"]]
    lines += [f"Moves it: {d['sentence']}{_span(d)}." for d in made["drivers"][:3]]
    lines += [f"Left out: {x['column']} ({x['why']})." for x in made["left_out"][:3]]
    more = len(made["left_out"]) - 3
    lines += [f"And {more} more columns were left out."] if more > 0 else []
    return [*lines, *(f"Caution: {c}" for c in made["cautions"]), f"Model {made['model_id']}, of {made['as_of'][:10]}."]


def _why(made: Card) -> list[str]:
    """Give what the recipe says of its result, without the cautions, which are told on their own."""
    why = made["why"]
    for told in made["cautions"]:
        why = why.replace(told, "")
    return [" ".join(why.split())] if why.strip() else []


def _span(driver: Mapping[str, Any]) -> str:
    if driver["rank_low"] is None:
        return ""
    low, high = driver["rank_low"], driver["rank_high"]
    return f" (rank {low})" if low == high else f" (rank {low} to {high})"


def _plain(value: Any) -> Any:  # noqa: ANN401 (any JSON-able value)
    """Give tuples as lists and mappings as dicts, so that the document is what its JSON says."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value
