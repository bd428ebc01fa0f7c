"""How headers are compared: without capitals, accents, signs and spaces; and as words."""

from __future__ import annotations

import re
import unicodedata

_SIGN = re.compile(r"[^a-z0-9]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PLAIN = str.maketrans({"ß": "ss", "ø": "o", "æ": "ae", "ł": "l", "đ": "d"})


def normalised(header: str) -> str:
    """Give a header in lower case, letters and digits only; one of other scripts as it is, in lower case."""
    return _SIGN.sub("", _folded(header)) or header.strip().lower()


def words(header: str) -> tuple[str, ...]:
    """Give the words of a header: 'OrderTotal (EUR)' is order, total, eur."""
    parted = _HUMP.sub(" ", header)
    return tuple(w for w in _SIGN.split(_folded(parted)) if w)


def _folded(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.lower().translate(_PLAIN))
    return "".join(c for c in parts if not unicodedata.combining(c))
