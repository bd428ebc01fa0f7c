"""Why a prediction is what it is: what moved it, in the user's words, and what would change it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import UnknownNameError, UsageError
from nextbest.features.build import vector
from nextbest.features.defaults import default_features
from nextbest.ledger import analysis
from nextbest.models import columns, contributions
from nextbest.trust import changes
from nextbest.trust.explain import Explanation
from nextbest.trust.seen import Seen, seen
from nextbest.trust.told import percent as _percent
from nextbest.trust.told import told
from nextbest.trust.words import teller

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.trust.changes import Alternative, Changes
    from nextbest.trust.words import Teller
    from nextbest.types import Fitted

MOST_REASONS = 5
BOUGHT = ("orders_ever", "days_since_last_order", "average_days_between_orders", "average_order_value")
FAITHFUL = 0.7  # R²: below, a straight line near the row misses more than it should of what the model does
_BOUNDS = ("_low", "_high")
_PROBABILITY = "_probability"
_MOST_COMPARED = 500


def explain_prediction(
    ledger: Ledger,
    fitted: Fitted,
    subject_id: str,
    *,
    as_of: datetime,
    table: str | Path | pa.Table | None = None,
    changeable: Sequence[str] = (),
    threshold: float | None = None,
) -> Explanation:
    """Say what a recipe predicts for a subject, what moved the prediction most, and what would carry it across.

    *table* stands in for the flat table of the recipe; *changeable* names the columns that can be changed. The
    threshold is the average prediction unless one is given. Raises `UnknownNameError` for an unknown subject.
    """
    recipe = _recipe(fitted, table)
    predicted = _predicted(recipe, ledger, fitted, subject_id, as_of=as_of)
    tell = _words_for(ledger, fitted, None)
    said = [_told(tell, name, value) for name, value in predicted.items() if not name.endswith(_BOUNDS)]
    own = recipe.words(ledger, fitted, subject_id, as_of=as_of) if hasattr(recipe, "words") else ()
    predicts = "; ".join(s for s in said if s) or f"nothing is predicted for '{subject_id}'"
    lines = [f"{fitted.recipe}: {predicts}."]
    details: dict[str, Any] = {
        "prediction": predicted, "model_id": fitted.model_id, "as_of": as_of.isoformat(), "rests_on": list(own),
    }  # fmt: skip
    if all(value is None for value in predicted.values()):
        return Explanation(what=fitted.recipe, subject_id=subject_id, sentences=(*lines, *own), details=details)
    row = seen(ledger, fitted, as_of=as_of, table=table, subject_ids=(subject_id,))
    others = row if isinstance(row, str) else seen(ledger, fitted, as_of=as_of, table=table)
    if isinstance(row, str) or isinstance(others, str):
        details["reasons"] = [] if own else _known(ledger, subject_id, as_of)
    else:
        tell = _words_for(ledger, fitted, others)
        details["reasons"] = contributions.reasons(
            row.model, row.features, count=MOST_REASONS, sentence=tell, background=others.features
        )[0]
        # Where the model's number is not what the recipe predicts, a threshold on it would say nothing.
        wanted = tuple(changeable) or tuple(fitted.settings.get("changeable") or ())
        details["changes"] = None if row.note else _changes(row, others, wanted, threshold)
        lines += _unread(wanted, row)
        lines += _faithful(details["reasons"])
    lines[1:1] = [*own, *(_because(reason) for reason in details["reasons"])]
    lines += _would(details.get("changes"), share=_is_share(predicted))
    return Explanation(what=fitted.recipe, subject_id=subject_id, sentences=tuple(lines), details=details)


def _recipe(fitted: Fitted, table: str | Path | pa.Table | None) -> Any:  # noqa: ANN401 (any recipe)
    given = {} if table is None else {"table": table}
    return registry.make("recipes", fitted.recipe, {**fitted.settings, **given})


def _predicted(recipe: Any, ledger: Ledger, fitted: Fitted, subject_id: str, *, as_of: datetime) -> dict[str, Any]:  # noqa: ANN401
    if not getattr(recipe, "per_subject", True):
        raise UsageError(
            f"The recipe '{fitted.recipe}' says nothing about single subjects. Its rows: nextbest predict "
            f"{fitted.recipe} --out FILE. Its card: nextbest explain {fitted.recipe}, without a subject."
        )
    rows = recipe.predict(ledger, fitted, as_of=as_of)
    row = rows.filter(pc.equal(rows["subject_id"], subject_id)).to_pylist()
    if not row:
        raise UnknownNameError(f"Recipe '{fitted.recipe}' says nothing about '{subject_id}' as of {as_of:%Y-%m-%d}.")
    return {name: value for name, value in row[0].items() if name != "subject_id"}


def _known(ledger: Ledger, subject_id: str, as_of: datetime) -> list[dict[str, Any]]:
    """Give what a buying process knows of its subject, where no model says what each column adds.

    Nothing where there are no orders: a deal whose answer is the rate of its stage has nothing else to tell.
    """
    tell = teller(ledger)
    bought = [f for f in default_features(analysis.kinds_present(ledger)) if f.name in BOUGHT]
    row = vector(ledger, bought, subject_id, as_of=as_of) if bought else {}
    return [{"feature": n, "value": v, "sentence": tell(n, v), "contribution": None} for n, v in row.items()]


def _changes(row: Seen, others: Seen, changeable: Sequence[str], threshold: float | None) -> Changes:
    step = max(1, -(-others.features.num_rows // _MOST_COMPARED))
    some = others.features.take(pa.array(np.arange(0, others.features.num_rows, step)))
    free = changes.changeable_of(some.column_names, changeable)
    return changes.changes(row.model, row.features, some, changeable=free, threshold=threshold)


# --- in words ---------------------------------------------------------------------------------------------------------


def _words_for(ledger: Ledger, fitted: Fitted, others: Seen | None) -> Teller:
    """Give what says a value: of a flat table beside the rest of the table, else in the words of the features."""
    label = fitted.settings.get("label")
    plain = _of_event(teller(ledger), fitted)

    def tell(name: str, value: Any) -> str:  # noqa: ANN401 (any value of a feature or prediction)
        return told(fitted, name, value) or plain(name, value)

    if label is None:
        return tell
    positive = fitted.extra.get("positive", fitted.settings.get("positive"))
    known = {} if others is None else columns.read_all(others.features, others.features.column_names)

    def said(name: str, value: Any) -> str:  # noqa: ANN401 (any value of a flat table)
        if meant := told(fitted, name, value):
            return meant
        if name in known:
            return beside(known[name], value)
        if name.endswith(_PROBABILITY) and isinstance(value, float):
            return f"{_percent(value)} likely that '{label}' is '{positive}'"
        return tell(name, value)

    return said


def _of_event(tell: Teller, fitted: Fitted) -> Teller:
    """Give a propensity without a name of its own the words of its event: "last coupon redeem 54 days ago"."""
    event = fitted.settings.get("event")
    if fitted.recipe != "propensity" or not event:
        return tell
    return lambda name, value: tell(name.replace(fitted.recipe, event, 1), value)


def beside(column: columns.Column, value: Any) -> str:  # noqa: ANN401
    """Give "tenure is 2, lower than in 93% of rows", or "Contract is One year, as in 21% of rows"."""
    words = f"{column.name} is {columns.value_of(value)}"
    if value is None or not len(column.codes):
        return words
    if not column.graded:
        at = column.levels.index(str(value).strip()) if str(value).strip() in column.levels else -1
        return words if at < 0 else f"{words}, as in {_percent(column.counts[at] / len(column.codes))} of rows"
    own = columns.read(pa.table({"own": pa.array([value])}), "own").numbers
    if own is None or column.dated or column.numbers is None or not np.isfinite(own).all():
        return words
    rest = column.numbers[~column.missing]
    lower, higher = float((rest > own[0]).mean()), float((rest < own[0]).mean())
    if max(lower, higher) < 0.6:
        return f"{words}, near the middle"
    return f"{words}, {'lower' if lower > higher else 'higher'} than in {_percent(max(lower, higher))} of rows"


def _unread(wanted: Sequence[str], row: Seen) -> list[str]:
    """Say which columns that may change the model does not read."""
    found = [name for name in wanted if name not in row.features.column_names]
    return [f"The model does not read {', '.join(found)}: changing that changes nothing."] if found else []


def _because(reason: Mapping[str, Any]) -> str:
    if reason["contribution"] is None:
        return f"{reason['sentence']}."
    return f"{reason['sentence']}: {'raises' if reason['contribution'] > 0 else 'lowers'} it."


def _faithful(reasons: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say how far reasons that come from a line near the row can be trusted."""
    if not reasons or "fidelity" not in reasons[0]:
        return []
    fidelity = reasons[0]["fidelity"]
    doubt = "" if fidelity >= FAITHFUL else " That is little: take the reasons as hints."
    return [
        f"The reasons come from a straight line near this row, which follows the model with R² {fidelity:.2f}.{doubt}"
    ]


def _would(found: Changes | None, *, share: bool) -> list[str]:
    """Say what would carry the prediction across the threshold."""
    if found is None or not found.changeable:
        return []
    say = _percent if share else columns.short
    if not found.found:
        return [f"{found.why} It is {say(found.prediction)}, the threshold {say(found.threshold)}."]
    lines = [
        f"The model's prediction would {'fall' if a.prediction < found.prediction else 'rise'} to {say(a.prediction)}, "
        f"{'below' if a.prediction < found.threshold else 'above'} {say(found.threshold)}, with {_listed(a)}."
        for a in found.found[:1]
    ]
    return [*lines, "That is what the model would say, not what the customer would do."]


def _listed(alternative: Alternative) -> str:
    return " and ".join(
        f"{contributions.name_in_words(c.column)} {c.to} instead of {c.value}" for c in alternative.changes
    )


def _is_share(predicted: Mapping[str, Any]) -> bool:
    return any(name.endswith(_PROBABILITY) or name == "lookalike_score" for name in predicted)


def _told(tell: Teller, name: str, value: Any) -> str:  # noqa: ANN401 (any value of a prediction)
    if value is None or not isinstance(value, int | float | str):
        return "" if value is None else f"{name.replace('_', ' ')} {value:%Y-%m-%d}"
    return tell(name, value)
