"""The clock of a workspace in tests."""

from __future__ import annotations

from datetime import datetime, timedelta


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        """Move the clock on."""
        self.now += timedelta(**span)
