"""The contracts of the four makers, as suites that any implementation can be put through.

    from nextbest.testing import check_policy

    def test_my_policy_keeps_the_contract():
        check_policy(MyPolicy(threshold=0.3))

Each suite returns nothing, or raises `AssertionError` with the property that failed and what was got.
"""

from __future__ import annotations

import csv
import math
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.errors import ChannelError, NextbestError
from nextbest.types import NONE, Action, Channel, Effect, Measure, Model, Policy, Statistics

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = 400
ACTIONS = (
    Action(id="coupon_10", channel="email", action_class="money", cost=0.5),
    Action(id="reminder", channel="email", cost=0.01),
    NONE,
)
DANGEROUS = ("=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "\t=1+1", "\r=1+1", "  =1+1")
_TOLERANCE = {"rtol": 1e-9, "atol": 1e-12}  # a vector unit may round the last bit of one row and of many differently


def _require(condition: object, message: str) -> None:
    if not condition:
        raise AssertionError(message)


# --- samples ----------------------------------------------------------------------------------------------------------


def sample_features(rows: int = ROWS, seed: int = 1) -> pa.Table:
    """Give made-up features: counts, money, days and a category, with the columns purchase models ask for."""
    draw = np.random.default_rng(seed)
    frequency = draw.poisson(draw.gamma(1.0, 2.0, rows)).astype(np.float64)
    age = draw.uniform(100.0, 300.0, rows).round(1)
    spend = draw.gamma(4.0, 10.0, rows).round(2) + 1.0
    return pa.table(
        {
            "subject_id": [f"s{i:05d}" for i in range(rows)],
            "frequency": frequency,
            "recency": np.where(frequency > 0, age * draw.uniform(0.1, 0.95, rows), 0.0),
            "T": age,
            "mean_value": np.where(frequency > 0, spend, 0.0),
            "orders_30d": draw.poisson(1.5, rows).astype(np.float64),
            "revenue_365d": spend * (frequency + 1),
            "days_since_last_order": draw.exponential(30.0, rows),
        }
    )


def sample_label(features: pa.Table, seed: int = 2) -> pa.Table:
    """Give made-up labels for `sample_features`: 1 the more likely the longer the silence."""
    days = np.asarray(features["days_since_last_order"])
    draw = np.random.default_rng(seed).random(len(days))
    return pa.table({"label": (draw < days / (days + 30)).astype(np.float64)})


def sample_predictions(actions: tuple[Action, ...] = ACTIONS, rows: int = 50, seed: int = 3) -> pa.Table:
    """Give what the engine hands to a policy; one in five expected values (never that of the last action) is null."""
    draw = np.random.default_rng(seed)
    table = sample_features(rows, seed)
    columns = {
        "churn_probability": draw.random(rows),
        "predicted_clv": draw.gamma(2.0, 50.0, rows),
        "predicted_number_of_orders": draw.gamma(1.0, 2.0, rows),
    }
    for action in actions:
        removed = (draw.random(rows) < 0.2) & (action.id != actions[-1].id)
        columns[f"expected_value:{action.id}"] = pa.array(draw.normal(1.0, 2.0, rows), mask=removed)
    for name, values in columns.items():
        table = table.append_column(name, pa.array(values))
    return table


def sample_messages(rows: int = 4) -> pa.Table:
    """Give messages to deliver; every text cell of the later rows holds what a spreadsheet would run as a formula."""
    from nextbest.channels import MESSAGE

    def cell(field: pa.Field, row: int) -> Any:  # noqa: ANN401 (any Arrow value)
        if field.name in {"decision_id", "idempotency_key"}:
            return f"d{row}"
        if pa.types.is_string(field.type):
            return DANGEROUS[(row - 1) % len(DANGEROUS)] if row else f"{field.name} 1"
        return pa.scalar(0).cast(field.type).as_py() if not pa.types.is_nested(field.type) else None

    return pa.table({f.name: pa.array([cell(f, i) for i in range(rows)], f.type) for f in MESSAGE}, schema=MESSAGE)


# --- models -----------------------------------------------------------------------------------------------------------


def check_model(model: Model, features: pa.Table | None = None, label: pa.Table | None = None) -> None:
    """Put an unfitted model through its contract; give sample tables when it asks for columns of its own."""
    features = sample_features() if features is None else features
    label = sample_label(features) if label is None else label
    _require(isinstance(model, Model), f"{model!r} lacks a method of Model: files, fit, predict.")
    fitted = _check_fit(model, features, label)
    _check_predictions(fitted.predict(features), features.num_rows)
    _check_restore(model, fitted, features)
    _check_rows_alone(fitted, features)
    _check_missing(fitted, features)


def _check_fit(model: Model, features: pa.Table, label: pa.Table) -> Model:
    _require(is_dataclass(model) and not isinstance(model, type), f"{model!r} is no dataclass instance.")
    _require(not model.files, "An unfitted model has files; `files` is empty before fit.")
    before = _settings(model)
    fitted = model.fit(features, label)
    _require(type(fitted) is type(model), f"fit gave a {type(fitted).__name__}, not a {type(model).__name__}.")
    _require(fitted is not model, "fit gave the same object; it gives a fitted copy.")
    _require(_settings(model) == before, "fit changed the model it was called on; it gives a fitted copy.")
    files = dict(fitted.files)
    _require(files, "The fitted model has no files, so it cannot be stored.")
    for name, content in files.items():
        _require(isinstance(content, bytes) and content, f"The file '{name}' is not bytes, or is empty.")
    again = dict(model.fit(features, label).files)
    _require(again == files, "The same data fitted twice gives different files; same seed, same bytes.")
    return fitted


def _settings(maker: Any) -> dict[str, str]:  # noqa: ANN401 (any dataclass)
    return {f.name: repr(getattr(maker, f.name)) for f in fields(maker)}


def _check_predictions(predictions: pa.Table, rows: int) -> None:
    _require(isinstance(predictions, pa.Table), f"predict gave a {type(predictions).__name__}, not an Arrow table.")
    names = predictions.column_names
    _require("prediction" in names, f"There is no column 'prediction' among {names}.")
    _require(predictions.num_rows == rows, f"predict gave {predictions.num_rows} rows for {rows}.")
    _require(("low" in names) == ("high" in names), f"An interval has both ends; got {names}.")
    prediction = _numbers(predictions, "prediction")
    _require(np.isfinite(prediction).all(), "A prediction is missing, NaN or infinite.")
    if "low" in names:
        low, high = _numbers(predictions, "low"), _numbers(predictions, "high")
        _require((low <= prediction).all() and (prediction <= high).all(), "A prediction is outside [low, high].")


def _numbers(table: pa.Table, column: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give a column as float64, missing as NaN."""
    return np.asarray(pc.cast(table[column].combine_chunks(), pa.float64()).to_numpy(zero_copy_only=False))


def _check_restore(model: Model, fitted: Model, features: pa.Table) -> None:
    restored: Model = replace(model, files=fitted.files)  # type: ignore[type-var]  # a dataclass, see _check_fit
    same = restored.predict(features).equals(fitted.predict(features))
    _require(same, "A model restored from its files predicts differently; `files` must hold all that fit has learnt.")


def _check_rows_alone(fitted: Model, features: pa.Table) -> None:
    """A prediction depends on its own row: not on the batch, not on the order."""
    whole = fitted.predict(features)
    for i in range(0, features.num_rows, max(1, features.num_rows // 20)):
        single = fitted.predict(features.slice(i, 1))
        _require_close(single, whole.slice(i, 1), f"Row {i} alone is predicted differently than in a batch")
    order = pa.array(np.random.default_rng(4).permutation(features.num_rows))
    _require_close(fitted.predict(features.take(order)), whole.take(order), "The order of rows changes predictions")


def _require_close(got: pa.Table, wanted: pa.Table, message: str) -> None:
    _require(got.column_names == wanted.column_names, f"{message}: columns {got.column_names}.")
    for name in wanted.column_names:
        if pa.types.is_floating(wanted.schema.field(name).type):
            a, b = _numbers(got, name), _numbers(wanted, name)
            same = np.allclose(a, b, equal_nan=True, **_TOLERANCE)
        else:
            same = got[name].to_pylist() == wanted[name].to_pylist()
        _require(same, f"{message}, column '{name}'.")


def _check_missing(fitted: Model, features: pa.Table) -> None:
    """A missing value gives a prediction, a null or a refusal in the house's words; never NaN, never a crash."""
    few = features.slice(0, 20)
    for name in [n for n in few.column_names if n != "subject_id"]:
        gaps = pc.if_else(pa.array([i % 2 == 0 for i in range(few.num_rows)]), few[name], None)
        holed = few.set_column(few.column_names.index(name), name, gaps.cast(few.schema.field(name).type))
        try:
            predictions = fitted.predict(holed)
        except NextbestError:
            continue
        known = predictions["prediction"].drop_null()
        _require(pc.all(pc.is_finite(known), min_count=0).as_py(), f"A missing '{name}' gives NaN or infinity.")
        _require(predictions.num_rows == few.num_rows, f"A missing '{name}' loses rows.")


# --- policies ---------------------------------------------------------------------------------------------------------


def check_policy(policy: Policy, predictions: pa.Table | None = None, actions: tuple[Action, ...] = ACTIONS) -> None:
    """Put a policy through its contract; give predictions and actions when it asks for columns of its own."""
    predictions = sample_predictions(actions) if predictions is None else predictions
    _require(isinstance(policy, Policy), f"{policy!r} lacks the method of Policy: probabilities.")
    whole = policy.probabilities(predictions, actions)
    _check_probabilities(whole, predictions.num_rows, actions)
    _check_probabilities(policy.probabilities(predictions.slice(0, 0), actions), 0, actions)
    again = policy.probabilities(predictions, actions)
    _require(again.equals(whole), "The same predictions give other probabilities; the engine draws, not the policy.")
    for i in range(predictions.num_rows):
        single = policy.probabilities(predictions.slice(i, 1), actions)
        _require_close(single, whole.slice(i, 1), f"Subject {i} alone is decided differently than in a batch")
    order = pa.array(np.random.default_rng(5).permutation(predictions.num_rows))
    turned = policy.probabilities(predictions.take(order), actions)
    _require_close(turned, whole.take(order), "The order of subjects changes probabilities")
    for only in actions:
        _check_probabilities(policy.probabilities(_only(predictions, only, actions), actions), len(order), actions)


def _only(predictions: pa.Table, only: Action, actions: tuple[Action, ...]) -> pa.Table:
    """Give the predictions as if rules had removed every action but one."""
    for action in actions:
        values = np.ones(predictions.num_rows)
        column = pa.array(values, mask=values > 0) if action.id != only.id else pa.array(values)
        at = predictions.schema.get_field_index(f"expected_value:{action.id}")
        if at >= 0:
            predictions = predictions.set_column(at, predictions.schema.field(at).name, column)
    return predictions


def _check_probabilities(table: pa.Table, rows: int, actions: tuple[Action, ...]) -> None:
    wanted = [a.id for a in actions]
    _require(sorted(table.column_names) == sorted(wanted), f"Columns {table.column_names}, actions {wanted}.")
    _require(table.num_rows == rows, f"{table.num_rows} rows of probabilities for {rows} subjects.")
    for name in wanted:
        _require(table.schema.field(name).type == pa.float64(), f"'{name}' is {table.schema.field(name).type}.")
    p = np.column_stack([_numbers(table, name) for name in wanted])
    _require(np.isfinite(p).all(), "A probability is missing, NaN or infinite; null expected values must be handled.")
    _require((p >= 0).all(), f"A probability is below 0: {p.min(initial=0.0)}.")
    _require(np.allclose(p.sum(axis=1), 1.0, rtol=0, atol=1e-9), "A row of probabilities does not sum to 1.")


# --- measures ---------------------------------------------------------------------------------------------------------


def check_measure(measure: Measure) -> None:
    """Put a measure through its contract, on arms whose difference is known."""
    _require(isinstance(measure, Measure), f"{measure!r} lacks the method of Measure: effect.")
    arm, better = _arm(0.10, 5000), _arm(0.20, 5000)
    _check_known(measure, arm, better)
    _check_swap(measure, better, arm)
    _check_too_little(measure, arm)
    narrow, wide = measure.effect(better, arm, level=0.5), measure.effect(better, arm, level=0.99)
    _require(_width(wide) > _width(narrow), "The interval at 99% is not wider than the one at 50%.")
    half = _arm(0.20, 2500)
    parts = measure.effect(half + half, arm)
    _require_same(parts, measure.effect(better, arm), "Statistics added up over partitions give another effect")


def _arm(rate: float, n: int) -> Statistics:
    """Give the statistics of n subjects of whom a share responded, value 1 each."""
    return Statistics(n=n, total=rate * n, total_squares=rate * n)


def _check_known(measure: Measure, arm: Statistics, better: Statistics) -> None:
    nothing, something = measure.effect(arm, arm), measure.effect(better, arm)
    for effect in (nothing, something):
        _require(isinstance(effect, Effect), f"effect gave a {type(effect).__name__}, not an Effect.")
        _require(effect.status == "ok", f"Two arms of 5,000 give status '{effect.status}': {effect.why}")
        low, estimate, high = _interval(effect)
        _require(low <= estimate <= high, f"The estimate {estimate} is outside [{low}, {high}].")
    low, _, high = _interval(nothing)
    _require(low <= 0 <= high, f"Equal arms give an interval without 0: [{low}, {high}].")
    low, estimate, _ = _interval(something)
    _require(estimate > 0, f"A better treated arm gives {estimate}; the effect is treated minus control.")
    _require(low > 0, f"20% against 10% of 5,000 each is not told apart from nothing: low is {low}.")


def _interval(effect: Effect) -> tuple[float, float, float]:
    low, estimate, high = effect.low, effect.estimate, effect.high
    if low is None or estimate is None or high is None:
        raise AssertionError(f"Status 'ok' without estimate and interval: {effect}.")
    _require(all(map(math.isfinite, (low, estimate, high))), f"NaN or infinity in {effect}.")
    return low, estimate, high


def _width(effect: Effect) -> float:
    low, _, high = _interval(effect)
    return high - low


def _check_swap(measure: Measure, treated: Statistics, control: Statistics) -> None:
    low, estimate, high = _interval(measure.effect(treated, control))
    mirrored = _interval(measure.effect(control, treated))
    same = np.allclose(mirrored, (-high, -estimate, -low), rtol=1e-6, atol=1e-9)
    _require(same, f"Swapped arms do not mirror the effect: {(low, estimate, high)} and {mirrored}.")


def _check_too_little(measure: Measure, arm: Statistics) -> None:
    for few in (_arm(0.0, 0), _arm(1.0, 1)):
        for treated, control in ((few, arm), (arm, few), (few, few)):
            effect = measure.effect(treated, control)
            told = f"Arms of {treated.n} and {control.n} subjects give"
            _require(effect.status != "ok", f"{told} status 'ok'; say 'not_enough_data' and why.")
            _require(effect.why, f"{told} status '{effect.status}' without saying why.")


def _require_same(got: Effect, wanted: Effect, message: str) -> None:
    _require(np.allclose(_interval(got), _interval(wanted), rtol=1e-9, atol=1e-12), f"{message}: {got}, {wanted}.")


# --- channels ---------------------------------------------------------------------------------------------------------


def check_channel(
    channel: Channel, *, location: str | None = None, messages: pa.Table | None = None, written: Path | None = None
) -> None:
    """Put a channel through its contract.

    `location` is something it can read; without it, only the refusal of a place that does not exist is checked.
    `written` is the file or folder where a file channel writes: its cells are searched for formulas.
    """
    _require(isinstance(channel, Channel), f"{channel!r} lacks a method of Channel: read, deliver.")
    _check_read(channel, location)
    messages = sample_messages() if messages is None else messages
    for batch in (messages, messages.slice(0, 0)):
        try:
            _check_receipt(channel.deliver(batch), batch)
        except ChannelError as error:
            _require(str(error), "deliver is refused without saying why.")
            _require(location is not None, f"A channel that does not deliver must read; give a location. ({error})")
    if written is not None:
        _check_cells(written)


def _check_read(channel: Channel, location: str | None) -> None:
    if location is not None:
        for batch in channel.read(location):
            _require(isinstance(batch, pa.RecordBatch), f"read gave a {type(batch).__name__}, not a RecordBatch.")
        return
    try:
        rows = sum(batch.num_rows for batch in channel.read("no-such-place/nextbest-contract"))
    except ChannelError as error:
        _require(str(error), "read is refused without saying why.")
    else:
        _require(not rows, f"A place that does not exist gives {rows} rows.")


def _check_receipt(receipt: pa.Table, messages: pa.Table) -> None:
    wanted = ["decision_id", "status", "detail"]
    _require(receipt.column_names == wanted, f"deliver gave columns {receipt.column_names}, not {wanted}.")
    same = receipt["decision_id"].to_pylist() == messages["decision_id"].to_pylist()
    _require(same, "deliver does not give one row per message, in order.")
    for status, detail in zip(receipt["status"].to_pylist(), receipt["detail"].to_pylist(), strict=True):
        _require(status in {"sent", "retry", "failed"}, f"'{status}' is no status; it is sent, retry or failed.")
        _require(status == "sent" or detail, f"A message has {status} and `detail` does not say why.")


def _check_cells(written: Path) -> None:
    found = [f for f in (written.rglob("*") if written.is_dir() else [written]) if f.is_file()]
    _require(found, f"Nothing was written at {written}.")
    for cell in (cell for file in found for cell in _cells(file)):
        _require(not _is_formula(cell), f"A spreadsheet would run the cell {cell!r} as a formula.")


def _cells(file: Path) -> Iterator[str]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.reader(lines):
            yield from row


def _is_formula(cell: str) -> bool:
    """Tell whether a spreadsheet might run a cell; a plain number may start with a sign."""
    if not cell.lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
        return False
    try:
        return not math.isfinite(float(cell))
    except ValueError:
        return True
