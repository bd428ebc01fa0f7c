"""Every error that nextbest raises on purpose.

NextbestError
├── UsageError            the call itself is off: unknown option, unknown name      (exit status 2)
│   ├── ConfigError       nextbest.toml: unknown key, wrong type, bad expression
│   ├── UnknownNameError  no such recipe, play, policy, subject, channel ...
│   └── MissingExtraError an optional part is not installed
├── DataError             a file or table cannot be understood at all
├── LedgerError           the workspace is missing, damaged, locked or newer than this version
│   ├── ConflictError     same idempotency key, other content
│   └── IntegrityError    audit chain, hash or signature does not verify
├── ModelError            a model file is damaged, unsigned, or fails its canaries
└── ChannelError          a channel refuses or cannot reach its target
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class NextbestError(Exception):
    """The root of the tree: what went wrong and what to do, in the user's words."""

    code = "error"


class UsageError(NextbestError):
    """The call is off; nothing was done."""

    code = "usage"


class ConfigError(UsageError):
    """A setting is unknown, mistyped or impossible."""

    code = "config"


class UnknownNameError(UsageError):
    """There is no such thing under this name."""

    code = "unknown_name"


class MissingExtraError(UsageError):
    """An optional part is needed and not installed."""

    code = "missing_extra"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f'{package} is not installed. Install it with: pip install "nextbest[{extra}]"')


class DataError(NextbestError):
    """A file or table cannot be understood."""

    code = "data"


class LedgerError(NextbestError):
    """The workspace is missing, damaged, locked or of a newer version."""

    code = "ledger"


class ConflictError(LedgerError):
    """The same key came with other content."""

    code = "conflict"


class IntegrityError(LedgerError):
    """A hash, signature or chain link does not verify."""

    code = "integrity"


class ModelError(NextbestError):
    """A model cannot be trusted or used."""

    code = "model"


class ChannelError(NextbestError):
    """A channel refuses, or its target cannot be reached."""

    code = "channel"


def nearest(name: str, known: Iterable[str]) -> str:
    """Give ' Did you mean X?' for the closest known name, or '' when none is close."""
    folded = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return f" Did you mean '{folded[close[0]]}'?" if close else ""


def unknown(what: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Give the error for a name that does not exist, with the near word and the full list."""
    names = sorted(known)
    listed = ", ".join(names) if names else "none yet"
    return UnknownNameError(f"There is no {what} '{name}'.{nearest(name, names)} Known: {listed}.")
