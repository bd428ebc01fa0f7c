"""A workspace with one play per class of action, and a model that fails as a test wants it to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from tests.clocks import Clock

from nextbest.ledger import create, published
from nextbest.policies.live.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from nextbest.ledger import Ledger
    from nextbest.policies.live.ask import Offers

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
CLASSES = ("content", "outbound", "money", "significant", "internal")
CHANNEL = {"outbound": "email", "significant": "phone"}
SUBJECT = "c1"


def play_text(kind: str, more: str = "") -> str:
    """Give a play with two actions of one class; `b` is its default, and `a` is what the model likes."""
    channel = f', channel = "{CHANNEL[kind]}"' if kind in CHANNEL else ""
    amount = ", amount = 10.0, floor = 5.0, ceiling = 20.0" if kind == "money" else ""
    actions = ", ".join(f'{{ id = "{name}", class = "{kind}"{channel}{amount} }}' for name in "ab")
    return (
        f'[plays.{kind}]\nholdout = 0.0\nvalue = "worth"\ndefault = "b"\nlearner = {{ name = "linear" }}\n'
        f'caps = [{{ count = 3, days = 7 }}]\npolicy = {{ name = "greedy", explore = 0.2 }}\n{more}\n'
        f"actions = [{actions}]\n"
    )


@dataclass
class FakeState:
    """A model whose answer a test replaces; sound, it likes `a` best."""

    fault: Callable[[np.ndarray[Any, Any]], Any] = field(default=lambda response: response)
    version: str = "fake-1"

    def response(self, row: Mapping[str, Any], offers: Offers) -> tuple[Any, Any]:
        """Give mean and spread per offer."""
        mean = np.array([{"a": 0.6, "b": 0.3}.get(name, 0.1) for name in offers.ids])
        return self.fault(mean), np.full(len(mean), 0.01)


@dataclass
class Place:
    """A workspace, its clock, its engine and the model behind it."""

    ledger: Ledger
    clock: Clock
    engine: Engine
    state: FakeState


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at noon."""
    return Clock(NOW)


@pytest.fixture
def place(tmp_path: Path, clock: Clock) -> Iterator[Place]:
    """Give a workspace with one play per class, in which one subject is known."""
    text = '[consent]\nregime = "opt_out"\n' + "".join(play_text(kind) for kind in CLASSES)
    with create(tmp_path / "w", config_text=text, clock=clock) as ledger:
        known = pa.table({"subject_id": [SUBJECT], "worth": [50.0], "churn_probability": [0.5]})
        published.publish(ledger, "churn", "m1", NOW, known)
        state = FakeState()
        yield Place(ledger=ledger, clock=clock, engine=Engine(ledger, states=lambda _: state, salt="s"), state=state)
