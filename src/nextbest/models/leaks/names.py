"""What the name of a column, or a sentence about it, says of when it is filled in: supporting evidence."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from nextbest.ledger.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping

# A name makes a column suspect; that it also tells the label must come from the data (see weigh.py).
STRONG, WEAK, SURE = 2.0, 0.5, 3.0
_TIME = r" (ts|at|on|date|time|timestamp)$"
_SHORTEST_LABEL = 4
_NO_LABEL = frozenset({"label", "target", "class", "customer", "flag", "value"})


def evidence(
    name: str, *, category: bool, label: str | None = None, meaning: str | None = None
) -> tuple[float, str | None]:
    """Give the weight of what is said about a column, and it in words; (0, None) when nothing is."""
    words = folded(name)
    if re.sub(_TIME, "", words) in _ledger():
        return SURE, "its name is one that is known only after the outcome"
    patterns = _patterns()
    if patterns["before"].search(words):
        return 0.0, None
    if patterns["outcome"].search(words) or _says_label(words, label):
        return STRONG, "its name speaks of the outcome"
    if patterns["written"].search(words):
        # the last activity is a state when it is a kind of activity; the days since then are history
        return (STRONG if category or "last" not in words else WEAK), "its name says that it is rewritten as it goes"
    if meaning and patterns["meanings"].search(meaning.lower()):
        return STRONG, "its description says that it is written along the way"
    if patterns["perhaps"].search(words):
        return WEAK, "its name may mean that it is filled in afterwards"
    return 0.0, None


def folded(name: str) -> str:
    """Give a name as lower-case words: lostReason, Lost_Reason and LOST-REASON are all 'lost reason'."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", name)
    return re.sub(r"[^a-zäöüß0-9]+", " ", spaced.lower()).strip()


@lru_cache(maxsize=1)
def _patterns() -> Mapping[str, re.Pattern[str]]:
    said = tomllib.loads(files("nextbest.models.leaks").joinpath("words.toml").read_text(encoding="utf-8"))
    return {part: re.compile(rf"\b(?:{'|'.join(words)})\b") for part, words in said.items()}


@lru_cache(maxsize=1)
def _ledger() -> frozenset[str]:
    """Give the names that the ledger itself says are known only afterwards, without their time ending."""
    listed = (c.name for kind in KINDS.values() for c in kind.columns if c.afterwards)
    return frozenset(re.sub(_TIME, "", folded(name)) for name in listed)


def _says_label(words: str, label: str | None) -> bool:
    if label is None:
        return False
    own = [w for w in folded(label).split() if len(w) >= _SHORTEST_LABEL and w not in _NO_LABEL]
    return any(re.search(rf"\b{re.escape(w)}", words) for w in own)
