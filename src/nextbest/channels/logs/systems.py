"""The headers of other engines' logs, and what each of them means here: mapped explicitly, or not at all.

Every column is one of `FIELDS`, or context that the engine knew when it chose (`context`: beginnings of headers, "*"
for every other column). A log is recognised when all of its `marks` are in the file; the one with most marks wins.

`choice_probability` is filled only by columns that their makers define as the chance of the choice; where there is
none, it is estimated (`estimate.py`) and marked.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (a field of a dataclass)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nextbest.channels.headers import normalised
from nextbest.errors import DataError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

FIELDS = (
    "decision_id", "request_id", "subject_id", "ts", "action_id", "choice_probability", "response_probability",
    "expected_value", "reward", "reward_ts", "outcome", "play", "arm", "position", "policy_version", "model_version",
    "candidates", "weights", "item_ids", "issue", "group", "name", "treatment", "channel", "direction", "stage",
    "stage_group", "stage_order", "component", "record", "rank", "value", "context_weight", "levers", "event",
    "ranking", "subject_numbers", "subject_words", "action_numbers", "action_words",
)  # fmt: skip
_NAMES_A_PERSON = frozenset({"email", "emailaddress", "phone", "phonenumber", "firstname", "lastname", "fullname"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One kind of file of one system; `reader` names the function that reads it, `refusal` says why none does.

    `confidence` is below 1 where the maker publishes no list of headers: the file's user should look at the mapping.
    """

    system: str
    table: str
    reader: str = "plain"
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    refusal: str = ""
    confidence: float = 1.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """A log and the headers of a file: by field, and those that are context."""

    log: Log
    headers: Mapping[str, str]
    context: tuple[str, ...] = ()
    features: tuple[str, ...] = ()

    @property
    def used(self) -> tuple[str, ...]:
        """The headers that are read."""
        return (*dict.fromkeys((*self.headers.values(), *self.context, *self.features)),)


def _pega(*names: str) -> tuple[str, ...]:
    return tuple(f"{start}{name}" for name in names for start in ("", "px", "py"))


_PEGA = {
    "request_id": _pega("InteractionID"),
    "subject_id": _pega("SubjectID", "CustomerID"),
    "issue": _pega("Issue"),
    "group": _pega("Group"),
    "name": _pega("Name"),
    "treatment": _pega("Treatment"),
    "channel": (*_pega("Channel"), "Primary_ContainerPayload_Channel"),
    "direction": (*_pega("Direction"), "Primary_ContainerPayload_Direction"),
    "rank": _pega("Rank"),
    "model_version": _pega("ModelTechnique"),
}
_WHO = ("subject_id", "user_id", "customer_id", "external_id", "external_customer_id", "userid")
_WHEN = ("timestamp", "ts", "sent_at", "activation_timestamp", "activated_at", "time", "event_timestamp")

LOGS: tuple[Log, ...] = (
    Log(
        system="pega",
        table="interaction_history",
        reader="pega_history",
        fields={**_PEGA, "outcome": _pega("Outcome"), "ts": _pega("OutcomeTime"),
                "response_probability": _pega("Propensity")},
        marks=("request_id", "subject_id", "outcome", "ts", "name"),
        notes=("Propensity is the chance that a customer responds; the chance of the choice is not in this log.",),
    ),
    Log(
        system="pega",
        table="decision_extract",
        reader="pega_extract",
        fields={**_PEGA, "ts": _pega("DecisionTime"), "stage": ("Stage", "Stage_pyName", "StageName"),
                "stage_group": ("StageGroup", "Stage_pyStageGroup"), "stage_order": ("StageOrder", "Stage_pyOrder"),
                "component": ("Component", *_pega("ComponentName")), "record": _pega("RecordType"), "value": ("Value",),
                "context_weight": ("ContextWeight",), "levers": ("Levers", "Weight"),
                "response_probability": ("FinalPropensity",), "expected_value": ("Priority",)},
        marks=("request_id", "subject_id", "ts", "name", "stage", "expected_value"),
        notes=("FinalPropensity is the chance of a response; expected values are Pega's priorities.",),
    ),
    Log(
        system="eppo",
        table="bandit_assignments",
        fields={"ts": ("timestamp",), "policy_version": ("key", "bandit_key"), "subject_id": ("subject",),
                "action_id": ("action",), "play": ("experiment", "flag_key"),
                "choice_probability": ("action_probability",), "model_version": ("model_version",),
                "subject_numbers": ("subject_numeric_attributes",),
                "subject_words": ("subject_categorical_attributes",),
                "action_numbers": ("action_numeric_attributes",), "action_words": ("action_categorical_attributes",)},
        marks=("ts", "subject_id", "action_id", "choice_probability"),
    ),
    Log(
        system="growthbook",
        table="contextual_bandit",
        fields={"ts": ("timestamp",), "subject_id": ("user_id",), "action_id": ("variation_id",),
                "play": ("experiment_id",), "weights": ("variation_weights",), "policy_version": ("bandit_version",)},
        marks=("ts", "subject_id", "action_id", "play", "weights"),
        context=("*",),
    ),
    Log(
        system="banditdb",
        table="interactions",
        fields={"decision_id": ("interaction_id",), "action_id": ("arm_id",), "reward": ("reward",),
                "ts": ("predicted_at",), "reward_ts": ("rewarded_at",), "choice_probability": ("propensity",)},
        marks=("decision_id", "action_id", "ts", "choice_probability"),
        context=("feature_",),
    ),
    Log(
        system="open_bandit",
        table="impressions",
        fields={"ts": ("timestamp",), "action_id": ("item_id",), "position": ("position",), "reward": ("click",),
                "choice_probability": ("propensity_score", "action_prob", "pscore")},
        marks=("ts", "action_id", "position", "reward", "choice_probability"),
        context=("user_feature_",),
        features=("user-item_affinity_",),
    ),
    Log(
        system="braze",
        table="engagements",
        confidence=0.8,
        reader="answers",
        fields={"decision_id": ("activation_id",), "subject_id": _WHO, "ts": ("engagement_timestamp", *_WHEN),
                "outcome": ("engagement_type", "engagement")},
        marks=("subject_id", "ts", "outcome"),
    ),
    Log(
        system="braze",
        table="conversions",
        confidence=0.8,
        reader="answers",
        fields={"decision_id": ("activation_id",), "subject_id": _WHO, "ts": ("conversion_timestamp", *_WHEN),
                "outcome": ("conversion_type", "conversion"), "reward": ("conversion_value", "value", "revenue")},
        marks=("subject_id", "ts", "outcome"),
    ),
    Log(
        system="braze",
        table="activations",
        confidence=0.8,
        fields={"decision_id": ("activation_id",), "subject_id": _WHO, "ts": _WHEN,
                "arm": ("arm", "treatment_group", "experiment_group"),
                "action_id": ("action", "action_id", "variant", "template_id", "offer_id", "recommendation"),
                "play": ("agent", "agent_id", "use_case", "experimenter")},
        marks=("subject_id", "ts", "arm", "action_id"),
        context=("*",),
    ),
    Log(
        system="hightouch",
        table="message_interactions",
        confidence=0.8,
        fields={"decision_id": ("message_interaction_id", "interaction_id"), "subject_id": _WHO, "ts": _WHEN,
                "play": ("agent", "agent_id", "agent_name"), "action_id": ("message", "message_id", "message_name"),
                "channel": ("channel",), "action_words": ("tags",)},
        marks=("subject_id", "ts", "play", "action_id"),
    ),
    Log(
        system="hightouch",
        table="outcome_events",
        confidence=0.8,
        reader="answers",
        fields={"decision_id": ("message_interaction_id",), "subject_id": _WHO, "ts": _WHEN,
                "outcome": ("outcome", "outcome_name", "outcome_event"), "reward": ("value", "revenue", "amount")},
        marks=("subject_id", "ts", "outcome"),
    ),
    Log(
        system="metarank",
        table="events",
        reader="metarank",
        fields={"event": ("event",), "decision_id": ("id",), "ts": ("timestamp",), "subject_id": ("user",),
                "request_id": ("session",), "candidates": ("items",), "ranking": ("ranking",), "outcome": ("type",),
                "action_id": ("item",), "subject_words": ("fields",)},
        marks=("event", "decision_id", "ts", "candidates"),
    ),
    Log(
        system="gorse",
        table="feedback",
        reader="gorse",
        fields={"outcome": ("FeedbackType",), "subject_id": ("UserId",), "action_id": ("ItemId",),
                "reward": ("Value",), "ts": ("Timestamp",)},
        marks=("outcome", "subject_id", "action_id", "ts"),
    ),
    Log(
        system="personalize",
        table="interactions",
        reader="personalize",
        fields={"subject_id": ("USER_ID",), "action_id": ("ITEM_ID",), "ts": ("TIMESTAMP",),
                "outcome": ("EVENT_TYPE",), "reward": ("EVENT_VALUE",), "item_ids": ("IMPRESSION",)},
        marks=("subject_id", "action_id", "ts", "item_ids"),
    ),
    Log(
        system="personalize",
        table="interactions",
        fields={"subject_id": ("USER_ID",), "action_id": ("ITEM_ID",), "ts": ("TIMESTAMP",)},
        marks=("subject_id", "action_id", "ts"),
        refusal="it says what users did and not what they were shown: without a column IMPRESSION nobody knows what "
        "was chosen for them. Load it as events instead, without --as decisions.",
    ),
    Log(
        system="personalize",
        table="action_interactions",
        reader="personalize_actions",
        fields={"subject_id": ("USER_ID",), "action_id": ("ACTION_ID",), "ts": ("TIMESTAMP",),
                "outcome": ("EVENT_TYPE",)},
        marks=("subject_id", "action_id", "ts", "outcome"),
    ),
    Log(
        system="gong",
        table="stats",
        fields={"subject_id": ("userId",), "value": ("talkRatio",), "rank": ("longestMonologue",),
                "levers": ("patience", "interactivity")},
        marks=("subject_id", "value", "rank"),
        refusal="it counts how people talk in calls. These are no decisions: nobody chose an action for anyone.",
    ),
    Log(
        system="gorse",
        table="items",
        fields={"action_id": ("ItemId",), "value": ("IsHidden",)},
        marks=("action_id", "value"),
        refusal="it lists items and no decisions. Load Gorse's feedback as decisions.",
    ),
    Log(
        system="gorse",
        table="users",
        fields={"subject_id": ("UserId",), "value": ("Labels",)},
        marks=("subject_id", "value"),
        refusal="it lists users and no decisions. Load Gorse's feedback as decisions.",
    ),
)  # fmt: skip
GENERIC = Log(system="file", table="decisions", marks=("subject_id", "ts", "action_id"), context=("*",))


def mapped(columns: Sequence[str], said: Mapping[str, str], *, name: str) -> Mapped:
    """Give what the columns of a file mean: as its user *said* (column to field), else as its headers are known.

    Raises `DataError` for a log that is not understood or holds no decisions, `UsageError` for a field that is none.
    """
    for column, to in said.items():
        if to not in FIELDS:
            raise UsageError(f"Decisions have no field '{to}'.{nearest(to, FIELDS)} Known: {', '.join(FIELDS[:16])}.")
        if column not in columns:
            raise UsageError(
                f"{name} has no column '{column}'.{nearest(column, columns)} It has: {', '.join(columns)}."
            )
    found = [m for log in LOGS if (m := _matched(log, columns, said)) is not None]
    best = max(found, key=lambda m: (len(m.log.marks), not m.log.refusal), default=None) or _generic(columns, said)
    if best is None:
        raise DataError(_not_understood(name, columns))
    if best.log.refusal and said:
        best = _generic(columns, said) or best
    if best.log.refusal:
        raise DataError(f"{name} looks like {best.log.system} {best.log.table}: {best.log.refusal}")
    return best


def _matched(log: Log, columns: Sequence[str], said: Mapping[str, str]) -> Mapped | None:
    by_name = {normalised(c): c for c in reversed(columns)}
    headers = {to: column for column, to in said.items()}
    for to, spellings in log.fields.items():
        here = next((by_name[normalised(s)] for s in spellings if normalised(s) in by_name), None)
        if here is not None and to not in headers and here not in said:
            headers[to] = here
    if any(mark not in headers for mark in log.marks) or all(headers[mark] in said for mark in log.marks):
        return None  # nothing, or nothing but what its user said, speaks for this engine
    rest = [c for c in columns if c not in headers.values()]
    return Mapped(log=log, headers=headers, context=_of(rest, log.context), features=_of(rest, log.features))


def _generic(columns: Sequence[str], said: Mapping[str, str]) -> Mapped | None:
    """Give the reading of a file of no known engine: what was said, and columns that have the very names of fields."""
    headers = {c: c for c in columns if c in FIELDS and c not in said} | {to: c for c, to in said.items()}
    if not {"ts", "action_id"} <= headers.keys():
        return None
    rest = [c for c in columns if c not in headers.values()]
    return Mapped(log=GENERIC, headers=headers, context=_of(rest, GENERIC.context))


def _of(columns: Sequence[str], starts: tuple[str, ...]) -> tuple[str, ...]:
    """Give the columns that begin as said; what names a person is never context."""
    if starts == ("*",):
        return tuple(c for c in columns if c and normalised(c) not in _NAMES_A_PERSON)
    return tuple(c for c in columns if starts and c.startswith(starts))


def _not_understood(name: str, columns: Sequence[str]) -> str:
    said = ", ".join(columns[:40])
    hint = "" if not any("propensity" in c.lower() for c in columns) else (
        " A column called propensity may be the chance of the choice (choice_probability) or of a response "
        "(response_probability): say which."
    )  # fmt: skip
    return (
        f"{name} is no log that is known. It has: {said}. Say which column is what: --as decisions "
        f'--map "...=ts,...=subject_id,...=action_id,...=choice_probability,...=reward".{hint}'
    )
