"""The contract suites pass honest makers and name what is wrong with broken ones."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import ChannelError
from nextbest.testing import (
    check_channel,
    check_measure,
    check_model,
    check_policy,
    sample_features,
    sample_label,
    sample_messages,
    sample_predictions,
)
from nextbest.types import Effect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nextbest.types import Action, Statistics


# --- models -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A straight line through the first number, with an interval of one on each side."""

    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give the mean label."""
        return replace(self, files={"mean.txt": repr(float(np.mean(np.asarray(label["label"])))).encode()})

    def predict(self, features: pa.Table) -> pa.Table:
        """Give mean plus days."""
        days = np.nan_to_num(features["days_since_last_order"].to_numpy().astype(float), nan=0.0)
        value = float(self.files["mean.txt"]) + days
        return pa.table({"prediction": value, "low": value - 1, "high": value + 1})


@dataclass(frozen=True, slots=True, kw_only=True)
class FitsNothing(Line):
    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        return replace(self)


@dataclass(slots=True, kw_only=True)
class FitsItself:
    files: Mapping[str, bytes] = field(default_factory=dict)

    def fit(self, features: pa.Table, label: pa.Table) -> FitsItself:
        self.files = {"x": b"1"}
        return FitsItself(files=self.files)

    def predict(self, features: pa.Table) -> pa.Table:
        return pa.table({"prediction": np.zeros(features.num_rows)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Moody(Line):
    count: ClassVar[list[int]] = []

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        self.count.append(1)
        return replace(self, files={"mean.txt": str(len(self.count)).encode()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgetful(Line):
    memory: float = 0.0

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        return replace(self, files={"mean.txt": b"0"}, memory=7.0)

    def predict(self, features: pa.Table) -> pa.Table:
        return pa.table({"prediction": np.full(features.num_rows, self.memory)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LooksAround(Line):
    def predict(self, features: pa.Table) -> pa.Table:
        days = np.asarray(features["days_since_last_order"])
        return pa.table({"prediction": days - days.mean()})


@dataclass(frozen=True, slots=True, kw_only=True)
class NumbersRows(Line):
    def predict(self, features: pa.Table) -> pa.Table:
        # the position in a batch of more than one row leaks in
        position = np.arange(features.num_rows) if features.num_rows == sample_features().num_rows else 0
        return pa.table({"prediction": np.zeros(features.num_rows) + position})


@dataclass(frozen=True, slots=True, kw_only=True)
class Nans(Line):
    def predict(self, features: pa.Table) -> pa.Table:
        return pa.table({"prediction": features["days_since_last_order"].to_numpy().astype(float)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Crooked(Line):
    def predict(self, features: pa.Table) -> pa.Table:
        value = np.zeros(features.num_rows)
        return pa.table({"prediction": value, "low": value + 1, "high": value + 2})


def test_an_honest_model_passes() -> None:
    """A model that keeps its contract passes the suite."""
    check_model(Line())


def test_sample_tables_can_be_given() -> None:
    """A model that asks for columns of its own is checked on the tables it is given."""
    features = sample_features(60, seed=9)
    check_model(Line(), features, sample_label(features))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (FitsNothing(), "no files"),
        (FitsItself(), "changed the model"),
        (Moody(), "fitted twice"),
        (Forgetful(), "restored"),
        (LooksAround(), "alone is predicted differently"),
        (NumbersRows(), "alone is predicted differently"),
        (Nans(), "A missing 'days_since_last_order' gives NaN"),
        (Crooked(), "outside \\[low, high\\]"),
        (object(), "lacks a method"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_a_broken_model_is_named(broken: Any, message: str) -> None:
    """Each breach of the model contract fails with its own message."""
    with pytest.raises(AssertionError, match=message):
        check_model(broken)


# --- policies ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Give every action what `rule` gives its column of expected values, scaled to sum to 1."""

    rule: Callable[[np.ndarray], np.ndarray]
    scale: bool = True

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject."""
        values = np.column_stack([predictions[f"expected_value:{a.id}"].to_numpy().astype(float) for a in actions])
        p = self.rule(values)
        p = p / p.sum(axis=1, keepdims=True) if self.scale else p
        return pa.table({a.id: p[:, i].astype(float) for i, a in enumerate(actions)})


def _even(values: np.ndarray) -> np.ndarray:
    return np.where(np.isnan(values), 0.0, 1.0)


def _shuffled(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng().random(values.shape)


def _by_batch(values: np.ndarray) -> np.ndarray:
    known = np.nan_to_num(values)
    return np.ones(values.shape) + (known > known.sum() / max(known.size, 1))


def _by_position(values: np.ndarray) -> np.ndarray:
    return np.ones(values.shape) + np.arange(len(values))[:, None] * np.arange(values.shape[1]) * (len(values) == 50)


def test_an_honest_policy_passes() -> None:
    """A policy that keeps its contract passes the suite."""
    check_policy(Share(rule=_even))


@pytest.mark.parametrize(
    ("rule", "scale", "message"),
    [
        (lambda v: np.ones(v.shape), False, "does not sum to 1"),
        (lambda v: np.where(np.arange(v.shape[1]) == 0, -1.0, 1.0) * np.ones(v.shape), True, "below 0"),
        (np.abs, True, "NaN"),
        (_shuffled, True, "the engine draws"),
        (_by_batch, True, "alone is decided differently"),
        (_by_position, True, "alone is decided differently"),
    ],
)
def test_a_broken_policy_is_named(rule: Any, scale: bool, message: str) -> None:  # noqa: FBT001
    """Each breach of the policy contract fails with its own message."""
    with pytest.raises(AssertionError, match=message):
        check_policy(Share(rule=rule, scale=scale))


def test_a_policy_that_drops_an_action_is_named() -> None:
    """A policy that leaves out the last action fails the suite."""

    @dataclass(frozen=True, kw_only=True)
    class DropsLast:
        def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
            share = np.full(predictions.num_rows, 1 / (len(actions) - 1))
            return pa.table({a.id: share for a in actions[:-1]})

    with pytest.raises(AssertionError, match="Columns"):
        check_policy(DropsLast())


def test_sample_predictions_never_remove_the_last_action() -> None:
    """The sample holds removed actions as nulls, and `none` is never removed."""
    sample = sample_predictions()
    assert sample["expected_value:coupon_10"].null_count > 0
    assert sample["expected_value:none"].null_count == 0


# --- measures ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """The difference of means with a normal interval; the faults are switched on one by one."""

    fault: str = ""

    def effect(self, treated: Statistics, control: Statistics, *, level: float = 0.95) -> Effect:
        """Give treated minus control."""
        few = min(treated.n, control.n) < 2
        if few and self.fault != "too eager":
            why = "" if self.fault == "silent" else "Too few."
            return Effect(outcome="", design="randomised", baseline="", status="not_enough_data", why=why)
        estimate = treated.mean - control.mean if self.fault != "upside down" else control.mean - treated.mean
        variance = [s.total_squares / max(s.n, 1) - s.mean**2 for s in (treated, control)]
        wide = {0.5: 0.674, 0.95: 1.96, 0.99: 2.576}[level] if self.fault != "one width" else 1.96
        half = wide * math.sqrt(sum(v / max(s.n, 1) for v, s in zip(variance, (treated, control), strict=True)))
        low = estimate - half if self.fault != "lopsided" else estimate - 3 * half
        return Effect(
            outcome="", design="randomised", baseline="", status="ok", estimate=estimate, low=low, high=estimate + half
        )


def test_an_honest_measure_passes() -> None:
    """A measure that keeps its contract passes the suite."""
    check_measure(Difference())


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("silent", "without saying why"),
        ("upside down", "treated minus control"),
        ("one width", "not wider"),
        ("lopsided", "mirror"),
    ],
)
def test_a_broken_measure_is_named(fault: str, message: str) -> None:
    """Each breach of the measure contract fails with its own message."""
    with pytest.raises(AssertionError, match=message):
        check_measure(Difference(fault=fault))


def test_an_effect_from_nobody_is_named() -> None:
    """A measure that gives an effect for arms of one subject fails the suite."""

    @dataclass(frozen=True, kw_only=True)
    class Eager:
        def effect(self, treated: Statistics, control: Statistics, *, level: float = 0.95) -> Effect:
            told = Difference().effect(treated, control, level=level)
            return replace(told, status="ok", why="sure")

    with pytest.raises(AssertionError, match="status 'ok'; say 'not_enough_data'"):
        check_measure(Eager())


# --- channels ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFile:
    """Write messages to a file, made safe or not."""

    path: Path
    safe: bool = True
    drop: int = 0

    def read(self, location: str) -> Iterator[pa.RecordBatch]:
        """Refuse: this way is out only."""
        raise ChannelError(f"This channel only writes; it cannot read {location}.")

    def deliver(self, messages: pa.Table) -> pa.Table:
        """Write one line per message."""
        with self.path.open("a", newline="", encoding="utf-8") as file:
            for row in messages.to_pylist():
                cells = [str(cell) for cell in row.values() if cell is not None]
                csv.writer(file).writerow([f"'{c}" if self.safe else c for c in cells])
        ids = messages["decision_id"].to_pylist()[self.drop :]
        return pa.table(
            {"decision_id": ids, "status": ["sent"] * len(ids), "detail": [""] * len(ids)},
            schema=pa.schema([(name, pa.string()) for name in ("decision_id", "status", "detail")]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """Read one made-up batch; deliver nothing."""

    def read(self, location: str) -> Iterator[pa.RecordBatch]:
        """Give one row."""
        yield pa.record_batch({"location": [location]})

    def deliver(self, messages: pa.Table) -> pa.Table:
        """Refuse: this way is in only."""
        raise ChannelError(f"This channel only reads; {messages.num_rows} messages were not delivered.")


def test_honest_channels_pass(tmp_path: Path) -> None:
    """A way out and a way in that keep their contract pass the suite."""
    check_channel(ToFile(path=tmp_path / "out.csv"), written=tmp_path / "out.csv")
    check_channel(Inbound(), location="anywhere")


def test_a_formula_that_gets_out_is_named(tmp_path: Path) -> None:
    """A file channel that lets a formula through fails the suite."""
    with pytest.raises(AssertionError, match="formula"):
        check_channel(ToFile(path=tmp_path / "out.csv", safe=False), written=tmp_path / "out.csv")


def test_a_lost_message_is_named(tmp_path: Path) -> None:
    """A channel that does not answer for every message fails the suite."""
    with pytest.raises(AssertionError, match="one row per message"):
        check_channel(ToFile(path=tmp_path / "out.csv", drop=1))


def test_a_channel_that_does_nothing_is_named() -> None:
    """A channel that refuses to deliver must show that it reads."""

    @dataclass(frozen=True, kw_only=True)
    class Neither(Inbound):
        def read(self, location: str) -> Iterator[pa.RecordBatch]:
            raise ChannelError(f"No {location}.")

    with pytest.raises(AssertionError, match="must read"):
        check_channel(Neither())


def test_sample_messages_hold_formulas() -> None:
    """The sample messages hold cells that a spreadsheet would run, so that the suite bites."""
    assert any(str(cell).startswith("=") for row in sample_messages(5).to_pylist() for cell in row.values())
