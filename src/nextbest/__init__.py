"""nextbest: the open decision engine for marketing and sales.

    load -> fit -> predict -> decide -> send -> record -> measure, and explain, watch, erase

Every verb is a free function that takes the ledger first. Nothing heavy is imported until it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nextbest.errors import NextbestError
    from nextbest.operations import backup, check, consent, create, open, restore, verify  # noqa: A004
    from nextbest.types import Action, Decision, Effect, Fitted, Outcome, Play, Report
    from nextbest.verbs import decide, erase, explain, fit, load, measure, predict, record, send, watch

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(
        ("load", "fit", "predict", "decide", "send", "record", "measure", "explain", "watch", "erase"), "verbs"
    ),
    **dict.fromkeys(("open", "create", "check", "consent", "verify", "backup", "restore"), "operations"),
    **dict.fromkeys(("Action", "Decision", "Effect", "Fitted", "Outcome", "Play", "Report"), "types"),
    "NextbestError": "errors",
}

__all__ = [
    "Action",
    "Decision",
    "Effect",
    "Fitted",
    "NextbestError",
    "Outcome",
    "Play",
    "Report",
    "backup",
    "check",
    "consent",
    "create",
    "decide",
    "erase",
    "explain",
    "fit",
    "load",
    "measure",
    "open",
    "predict",
    "record",
    "restore",
    "send",
    "verify",
    "watch",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401 (a module attribute may be anything)
    if name in _HOME:
        return getattr(importlib.import_module(f"nextbest.{_HOME[name]}"), name)
    raise AttributeError(f"module 'nextbest' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *globals()])
