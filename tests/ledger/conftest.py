"""A fresh workspace for every test of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.clocks import Clock
from tests.ledger.makers import CONFIG, NOW

from nextbest.ledger import Ledger, create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands at 2026-03-01 12:00 UTC."""
    return Clock(NOW)


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    """Give an empty workspace named acme with one play, on the clock of the test."""
    with create(tmp_path / "acme", config_text=CONFIG, clock=clock) as made:
        yield made
