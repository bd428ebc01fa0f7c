"""Logs in which one line is one decision, with what came of it where the line says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nextbest.channels.logs import seen as cells
from nextbest.channels.logs.seen import Came, Read, RefusedError, Seen
from nextbest.channels.logs.sheet import each
from nextbest.types import NO_ACTION, Candidate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from nextbest.channels.logs.sheet import Sheet
    from nextbest.channels.logs.systems import Mapped

ROUNDED = 0.01  # by so much may the weights of a log, rounded as they are, miss a sum of 1


def read(sheet: Sheet, mapped: Mapped, *, timezone: str, latest: datetime) -> Read:
    """Give one decision per line; a line without a subject is a subject of its own: nobody knows who it was."""
    line = _Line(sheet, mapped, timezone, latest)
    return each(sheet, line.take)


class _Line:
    """The columns of a sheet by field."""

    def __init__(self, sheet: Sheet, mapped: Mapped, timezone: str, latest: datetime) -> None:
        self._sheet, self._mapped = sheet, mapped
        self._columns = {to: sheet.column(header) for to, header in mapped.headers.items()}
        self._when = cells.clock(self._columns["ts"], mapped.headers["ts"], timezone, latest)
        rewarded = mapped.headers.get("reward_ts")
        self._rewarded = cells.clock(self._columns["reward_ts"], rewarded, timezone, latest) if rewarded else None
        self._context = {name: sheet.column(name) for name in mapped.context}
        self._features = {name: sheet.column(name) for name in mapped.features}
        self._seen: dict[tuple[str, ...], int] = {}

    def take(self, row: int) -> tuple[Seen, Sequence[Came]]:
        """Give the decision of a row and what came of it."""
        ts = self._when(self._text("ts", row))
        arm = cells.arm(self._text("arm", row), self._header("arm"))
        action = self._action(row, nothing=arm == "holdout")
        key = self._key(row)
        weights = self._weights(row, action)
        said = cells.probability(self._text("choice_probability", row), self._header("choice_probability"))
        subject = self._text("subject_id", row)
        found = Seen(
            line=self._sheet.lines[row],
            key=key,
            subject_id=subject.strip() if subject else "",
            ts=ts,
            action_id=action,
            choice_probability=said if said is not None else weights.get(action),
            response_probability=self._probability("response_probability", row),
            expected_value=cells.number(self._text("expected_value", row), self._header("expected_value")),
            listed=tuple(Candidate(action_id=a, choice_probability=p) for a, p in weights.items() if a != action),
            known=bool(weights),
            request=(r,) if (r := self._text("request_id", row)) else (),
            position=cells.whole(self._text("position", row), self._header("position")) or 1,
            play=(self._text("play", row) or "").strip(),
            arm=arm,
            context=self._known(row),
            action_features=self._features_of(row, action),
            policy_version=self._text("policy_version", row) or "",
            model_version=self._text("model_version", row) or "",
        )
        return found, tuple(self._came(row, found))

    def _text(self, to: str, row: int) -> str | None:
        column = self._columns.get(to)
        return None if column is None else column[row]

    def _header(self, to: str) -> str:
        return self._mapped.headers.get(to, to)

    def _action(self, row: int, *, nothing: bool) -> str:
        text = self._text("action_id", row)
        if nothing and not (text and text.strip()):
            return NO_ACTION
        return cells.needed(text, self._header("action_id"))

    def _key(self, row: int) -> tuple[str, ...]:
        """Give the log's own id, or all that the line says and how often it was said before."""
        own = self._text("decision_id", row)
        key: tuple[str, ...]
        if own and own.strip():
            key = (own.strip(), self._text("position", row) or "")
        else:
            key = tuple(str(c[row]) for name, c in self._sheet.columns.items() if name)
        self._seen[key] = self._seen.get(key, 0) + 1
        if own and self._seen[key] > 1:
            raise RefusedError(self._header("decision_id"), own, "came before in this file", "Remove the second line.")
        return (*key, str(self._seen[key]))

    def _probability(self, to: str, row: int) -> float | None:
        return cells.probability(self._text(to, row), self._header(to), chosen=False)

    def _weights(self, row: int, action: str) -> dict[str, float]:
        """Give the chance of every action, where the log has it: by name, or in the order of whole numbers from 0."""
        said = cells.document(self._text("weights", row), self._header("weights"))
        if said is None:
            return {}
        by_name = said if isinstance(said, dict) else dict(enumerate(said)) if isinstance(said, list) else {}
        found = {str(name): value for name, value in by_name.items()}
        sound = all(isinstance(v, int | float) and not isinstance(v, bool) and 0 <= v <= 1 for v in found.values())
        if not sound or abs(sum(found.values()) - 1) > ROUNDED or not found.get(action):
            text = json.dumps(said)
            reason = f"does not give '{action}' a chance among chances that sum to 1"
            raise RefusedError(self._header("weights"), text, reason, "Correct the weights.")
        return {name: float(value) for name, value in found.items()}

    def _known(self, row: int) -> dict[str, Any]:
        """Give what the engine knew of the subject: the context columns and the attributes in JSON."""
        found = {name: _value(column[row]) for name, column in self._context.items() if column[row] is not None}
        for to in ("subject_numbers", "subject_words"):
            found |= _flat(cells.object_of(self._text(to, row), self._header(to)))
        channel = self._text("channel", row)
        return found | ({"channel": channel} if channel else {})

    def _features_of(self, row: int, action: str) -> Mapping[str, Any]:
        """Give what the log knows of the chosen action."""
        found: dict[str, Any] = {n: v for n, c in self._features.items() if (v := _value(c[row])) not in (None, 0.0)}
        for to in ("action_numbers", "action_words"):
            text = self._text(to, row)
            if text and text.lstrip().startswith("{"):
                found |= _flat(cells.object_of(text, self._header(to)))
            elif text:
                found["tags"] = text
        return {action: found} if found else {}

    def _came(self, row: int, found: Seen) -> Sequence[Came]:
        reward = cells.number(self._text("reward", row), self._header("reward"))
        if reward is None:
            return ()
        late = self._text("reward_ts", row)
        if self._rewarded is not None and not late:
            return ()  # not rewarded yet: pending is not no
        ts = self._rewarded(late) if self._rewarded is not None else found.ts
        name = self._text("outcome", row) or self._header("reward")
        return (Came(line=found.line, subject_id=found.subject_id, ts=max(ts, found.ts), name=name, value=reward),)


def _value(text: str | None) -> Any:  # noqa: ANN401 (a number where it is one)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        return text
    return value if abs(value) != float("inf") and value == value else text  # noqa: PLR0124 (not a number)


def _flat(said: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in said.items() if isinstance(v, str | int | float | bool)}
