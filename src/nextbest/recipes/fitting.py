"""What recipes share: their ids and settings, what they keep of who taught them, the answer of a probability."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from nextbest.models import store
from nextbest.types import Fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nextbest.types import Model, Report

Taught = TypeVar("Taught", bound="Model")


def model_id(recipe: str, parts: Mapping[str, Model], as_of: str) -> str:
    """Give an id that follows from what was learnt and when: the same data and seed give the same model."""
    digest = hashlib.sha256(as_of.encode())
    for name in sorted(parts):
        for file in sorted(set(parts[name].files) - {store.SUBJECTS}):  # keyed by the workspace, not learnt
            digest.update(f"{name}/{file}\0".encode())
            digest.update(parts[name].files[file])
    return f"{recipe}-{digest.hexdigest()[:16]}"


def training_subjects(ledger: Any, model: Taught, subject_ids: Sequence[str]) -> Taught:  # noqa: ANN401 (a ledger)
    """Give the model with the keyed list of who taught it, so that erasing one of them can mark it."""
    if ledger is None:
        return model
    return replace(model, files={**model.files, store.SUBJECTS: store.subject_list(ledger, subject_ids)})  # type: ignore[type-var]  # models are dataclasses


def not_enough(recipe: str, settings: Mapping[str, Any], report: Report) -> Fitted:
    """Give the fitted recipe that has learnt nothing and says what is missing."""
    said = replace(report, recipe=recipe, status="not_enough_data")
    return Fitted(model_id="", recipe=recipe, settings=settings, as_of=report.as_of, parts={}, report=said)


def probabilities(fitted: Fitted, subject_ids: pa.Array | pa.ChunkedArray, features: pa.Table, name: str) -> pa.Table:
    """Give `subject_id`, the probability by its public name and its `_low`, `_high`; null when nothing was learnt."""
    if "model" not in fitted.parts:
        none = pa.nulls(len(subject_ids), pa.float64())
        return pa.table({"subject_id": subject_ids, name: none, f"{name}_low": none, f"{name}_high": none})
    said = fitted.parts["model"].predict(features)
    return pa.table({
        "subject_id": subject_ids,
        name: said["prediction"],
        f"{name}_low": said["low"],
        f"{name}_high": said["high"],
    })  # fmt: skip


def settings_of(recipe: Any) -> dict[str, Any]:  # noqa: ANN401 (any recipe)
    """Give a recipe's settings as plain values; a table that was handed over in memory is not one of them."""
    return {f.name: _plain(getattr(recipe, f.name)) for f in fields(recipe) if f.init}


def _plain(value: Any) -> Any:  # noqa: ANN401 (a setting)
    """Give a setting as JSON can hold it."""
    if isinstance(value, pa.Table):
        return None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
