"""What the readers of foreign logs give: decisions as they were seen, what came of them, and refused lines."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import msgspec

from nextbest.channels.profile import moment
from nextbest.channels.times import read_time
from nextbest.errors import DataError
from nextbest.types import Arm, Candidate  # noqa: TC001 (fields of a dataclass)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextbest.ledger.mapping import Parse
    from nextbest.ledger.rejects import Reject

_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\.\d+)?(?: ?(?:GMT|UTC|Z))?")  # as Pega writes times
_EPOCH = re.compile(r"\d{9,17}(?:\.\d+)?")
_ARMS: dict[str, Arm] = {
    **dict.fromkeys(("policy", "ai", "model", "treatment", "decisioning", "agent"), "policy"),
    **dict.fromkeys(("random", "random control", "explore", "exploration"), "random"),
    **dict.fromkeys(("business as usual", "bau"), "business_as_usual"),
    **dict.fromkeys(("holdout", "hold out", "held out", "no treatment", "universal holdout"), "holdout"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One decision of another engine; None where its log does not say.

    `listed` are the other candidates, where the log has them (empty: it has none); `above` the choices of the earlier
    positions of the same list; `key` is what tells this decision from every other of the system.
    """

    line: int
    key: tuple[str, ...]
    subject_id: str
    ts: datetime
    action_id: str
    choice_probability: float | None = None
    response_probability: float | None = None
    expected_value: float | None = None
    listed: tuple[Candidate, ...] = ()
    known: bool = False
    above: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    position: int = 1
    play: str = ""
    arm: Arm = "policy"
    context: Mapping[str, Any] = field(default_factory=dict)
    action_features: Mapping[str, Any] = field(default_factory=dict)
    policy_version: str = ""
    model_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """One outcome of the log: of the decision at that place of the list, or of a subject alone."""

    line: int
    subject_id: str
    ts: datetime
    name: str
    value: float = 1.0
    decision: int | None = None
    decision_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a reader made of a sheet: every line is in a decision or an outcome, or among the rejects."""

    decisions: Sequence[Seen] = ()
    outcomes: Sequence[Came] = ()
    rejects: Sequence[Reject] = ()
    notes: tuple[str, ...] = ()


class RefusedError(Exception):
    """A line that cannot be taken; arguments: column, value, reason, remedy."""


# --- cells ------------------------------------------------------------------------------------------------------------


def number(text: str | None, column: str) -> float | None:
    """Give a cell as a finite number, None where it is empty; raises `RefusedError`."""
    if text is None or not text.strip():
        return None
    plain = text.strip()
    try:
        value = float({"true": "1", "false": "0"}.get(plain.lower(), plain))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RefusedError(column, text, "is not a finite number", "Correct the value, or leave it empty.")
    return value


def probability(text: str | None, column: str, *, chosen: bool = True) -> float | None:
    """Give a cell as a probability, None where it is empty; that of what was chosen lies above 0."""
    value = number(text, column)
    if value is not None and not (0 < value <= 1 if chosen else 0 <= value <= 1):
        where = "above 0 and at most 1" if chosen else "between 0 and 1"
        raise RefusedError(column, text, f"a probability must be {where}", "Correct the value, or leave it empty.")
    return value


def whole(text: str | None, column: str) -> int | None:
    """Give a cell as a whole number from 1, None where it is empty."""
    value = number(text, column)
    if value is None:
        return None
    if value != int(value) or value < 1:
        raise RefusedError(column, text, "is not a whole number from 1", "Positions count 1, 2, 3.")
    return int(value)


def arm(text: str | None, column: str) -> Arm:
    """Give the arm that a cell names; an empty one is the policy's."""
    if text is None or not text.strip():
        return "policy"
    said = _ARMS.get(re.sub(r"[^a-z]+", " ", text.lower()).strip())
    if said is None:
        raise RefusedError(
            column, text, "is no arm that is known", "Write policy, random, business_as_usual or holdout."
        )
    return said


def document(text: str | None, column: str) -> Any:  # noqa: ANN401 (any JSON)
    """Give a cell of JSON as values, None where it is empty; raises `RefusedError`."""
    if text is None or not text.strip():
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        raise RefusedError(column, text, "is not JSON", "Correct the value, or leave it empty.") from None


def object_of(text: str | None, column: str) -> dict[str, Any]:
    """Give a cell that holds a JSON object; raises `RefusedError` for other JSON."""
    value = document(text, column)
    if value is not None and not isinstance(value, dict):
        raise RefusedError(column, text, "is not a JSON object", "Give names and values: {...}.")
    return value or {}


def needed(text: str | None, column: str) -> str:
    """Give a cell that must not be empty; raises `RefusedError`."""
    if text is None or not text.strip():
        raise RefusedError(column, "", "is empty", "Fill it in, or remove the line.")
    return text.strip()


def clock(
    values: Sequence[str | None], column: str, timezone: str, latest: datetime
) -> Callable[[str | None], datetime]:
    """Give what reads the moments of a column; how they are written is decided once, from all of its values."""
    filled = [v for v in values if v and v.strip()]
    parse: Parse = (moment(filled)[0] if filled else None) or "timestamp"
    zone = ZoneInfo(timezone)

    def read(text: str | None) -> datetime:
        plain = needed(text, column)
        try:
            found = _moment(plain, parse, column, zone)
        except (DataError, ValueError, OverflowError):
            raise RefusedError(column, text, "is not a time", "Write it as 2026-03-31T12:00:00+02:00.") from None
        if not datetime(1900, 1, 1, tzinfo=UTC) <= found <= latest:
            raise RefusedError(column, text, "lies before 1900 or in the future", "Correct the time.")
        return found

    return read


def _moment(text: str, parse: Parse, column: str, zone: ZoneInfo) -> datetime:
    compact = _COMPACT.fullmatch(text)
    if compact:
        year, month, day, hour, minute, second = (int(compact[i]) for i in range(1, 7))
        micros = int(float(compact[7] or 0) * 1_000_000)
        return datetime(year, month, day, hour, minute, second, micros, tzinfo=UTC)
    if _EPOCH.fullmatch(text) and parse != "yyyymmdd":
        seconds = float(text)
        while seconds > 1e11:  # milliseconds and microseconds: no log is of the year 5138
            seconds /= 1000
        return datetime.fromtimestamp(seconds, UTC)
    return read_time(text, parse, column, zone)
