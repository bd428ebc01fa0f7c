"""What the columns of an unknown file may be: by the words of their headers, checked against their values."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nextbest.channels.headers import normalised, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nextbest.channels.profile import Profile

EXACT, PART, BY_VALUES, WEAK = 0.95, 0.6, 0.8, 0.5
_MOMENTS = frozenset(
    {"ts", "created_ts", "closed_ts", "opened_ts", "clicked_ts", "bounced_ts", "unsubscribed_ts", "sent_ts"}
)
_NUMBERS = frozenset(
    {"quantity", "price", "money", "discount", "shipping", "tax", "rating", "cost", "impressions", "clicks", "stock",
     "unit_cost", "employees", "annual_revenue", "historic_value", "order_count", "turn", "value"}
)  # fmt: skip
_SHORT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A column in a role, and how sure that is."""

    profile: Profile
    confidence: float


def roles(profiles: Iterable[Profile], *, said: Mapping[int, str] | None = None) -> dict[str, Role]:
    """Give the best column per role; a column has one role. *said* fixes the role of a position."""
    fixed = said or {}
    free = [p for p in profiles if p.position not in fixed]
    found = {name: Role(profile=p, confidence=1.0) for p in profiles for at, name in fixed.items() if p.position == at}
    claims = sorted(
        ((confidence, -p.position, name, p) for p in free for name, confidence in _claims(p)),
        key=lambda claim: claim[:2],
        reverse=True,
    )
    taken: set[int] = set()
    for confidence, _, name, profile in claims:
        if name not in found and profile.position not in taken:
            found[name] = Role(profile=profile, confidence=confidence)
            taken.add(profile.position)
    return found


@cache
def dictionary() -> dict[str, Any]:
    """Give the words of roles and where roles go in kinds."""
    text = files("nextbest.channels").joinpath("dictionary/words.json").read_text(encoding="utf-8")
    said: dict[str, Any] = json.loads(text)
    return said


@cache
def _by_word() -> dict[str, str]:
    return {normalised(word): role for role, listed in reversed(dictionary()["roles"].items()) for word in listed}


def _claims(profile: Profile) -> list[tuple[str, float]]:
    """Give the roles a column may have, best first."""
    if not profile.filled:
        return []
    found: dict[str, float] = {}
    exact = _by_word().get(normalised(profile.name))
    if exact is not None:
        found[exact] = WEAK if normalised(profile.name) == "id" else EXACT
    for phrase in _phrases(words(profile.name)):
        role = _by_word().get(phrase)
        if role is not None and len(phrase) > _SHORT:
            found.setdefault(role, PART)
    if profile.email:
        found["email"] = max(found.get("email", 0), BY_VALUES)
    if profile.moment and profile.moment in {"timestamp", "date_dmy", "date_mdy"} and not found.keys() & _MOMENTS:
        found.setdefault("ts", WEAK)
    return [(role, sure * (1.0 if profile.sure else 0.8)) for role, sure in found.items() if _fits(role, profile)]


def _phrases(parts: tuple[str, ...]) -> list[str]:
    """Give every run of two or three words within a header, joined, and its last word, which is what it is about."""
    spans = [(i, n) for n in (3, 2) for i in range(len(parts) - n + 1)]
    return [*("".join(parts[i : i + n]) for i, n in spans), *parts[-1:]]


def _fits(role: str, profile: Profile) -> bool:
    """Tell whether the values of a column allow a role."""
    if role in _MOMENTS:
        return profile.moment is not None
    if role in _NUMBERS:
        return profile.number
    if role == "email":
        return profile.email
    if role == "phone":
        return profile.phone
    if role in {"subject_id", "order_id", "deal_id", "ticket_id"}:
        return not profile.boolean and profile.moment in {None, "epoch_s", "yyyymmdd", "epoch_ms"}
    return role not in {"consent_email", "refused_email", "refused_phone"} or profile.boolean
