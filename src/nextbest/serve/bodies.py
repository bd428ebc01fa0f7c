"""What requests and replies hold: strict types, bounded lengths, finite numbers, no unknown fields."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Id = Annotated[str, Meta(min_length=1, max_length=256)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]
Channel = Annotated[str, Meta(min_length=1, max_length=64)]
Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Scalar = Annotated[str, Meta(max_length=1000)] | Whole | float | bool | None

# Described, not typed: what is wrong with one event becomes its receipt, and does not hold the others up.
EVENT = {
    "properties": {
        "kind": {"description": "A text, required: order, page_view, message_open ...", "examples": ["order"]},
        "message_id": {"description": "A text of yours, required; the same id and content again is a duplicate."},
        "subject_id": {"description": "A text, required."},
        "ts": {"description": "When it happened, required: ISO 8601, UTC when it names no offset."},
    },
    "description": "A kind, a message_id, a subject_id, a ts, and columns of the kind.",
}
Event = Annotated[dict[Name, Scalar], Meta(max_length=100, extra_json_schema=EVENT)]


class Body(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What a client sends."""


class Reply(Struct, frozen=True, kw_only=True):
    """What the service answers."""


# --- requests -------------------------------------------------------------------------------------------------------


class OfferBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One candidate with what is known of it now."""

    action_id: Name
    features: Annotated[dict[Name, Scalar], Meta(max_length=200)] = field(default_factory=dict)


class OffersBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Many candidates with the same features: row i of `values` is of `ids[i]`, in the order of `names`."""

    ids: Annotated[list[Name], Meta(min_length=1, max_length=1000)]
    names: Annotated[list[Name], Meta(max_length=200)] = field(default_factory=list)
    values: Annotated[list[Annotated[list[float], Meta(max_length=200)]], Meta(max_length=1000)] = field(
        default_factory=list
    )


class DecideBody(Body, frozen=True, kw_only=True):
    """Ask for the best action for one subject, or for the best `count` for so many places.

    `context` adds what is known only now. `candidates` narrows the actions, or brings the items of an action `*`: ids,
    ids with features, or one table for all. `chosen` is what the caller would do or does by itself (business as usual,
    shadow). Ranking takes at most `deadline_ms`, by default the play's.
    """

    play: Name
    subject_id: Id
    context: Annotated[dict[Name, Scalar], Meta(max_length=100)] = field(default_factory=dict)
    candidates: Annotated[list[Name | OfferBody], Meta(min_length=1, max_length=1000)] | OffersBody | None = None
    count: Annotated[int, Meta(ge=1, le=100)] = 1
    mode: Literal["live", "shadow"] = "live"
    chosen: Name | None = None
    deadline_ms: Annotated[float, Meta(gt=0, le=60_000)] | None = None


class EventsBody(Body, frozen=True, kw_only=True):
    """Hand in live events, each of a kind of the ledger."""

    events: Annotated[list[Event], Meta(min_length=1, max_length=1000)]


class OutcomeBody(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """One thing that came of a decision, or of none; without `ts` it came now, by the server's clock."""

    outcome_id: Id
    subject_id: Id
    name: Name
    ts: Annotated[datetime, Meta(tz=True)] | None = None
    value: float = 1.0
    decision_id: Id | None = None
    source: Annotated[str, Meta(max_length=128)] = ""
    token: Annotated[str, Meta(max_length=128)] = ""


class OutcomesBody(Body, frozen=True, kw_only=True):
    """Hand in outcomes; an `outcome_id` that is there already is left as it is."""

    outcomes: Annotated[list[OutcomeBody], Meta(min_length=1, max_length=1000)]


class ConsentBody(Body, frozen=True, kw_only=True):
    """Record a yes or a no, with its proof."""

    subject_id: Id
    allow: bool
    proof: Annotated[str, Meta(min_length=1, max_length=2000)]
    purpose: Channel = "marketing"
    channel: Channel = "*"
    source: Annotated[str, Meta(max_length=128)] = ""


class PredictBody(Body, frozen=True, kw_only=True):
    """Ask for the published predictions of some subjects."""

    subject_ids: Annotated[list[Id], Meta(min_length=1, max_length=100)]


class EraseBody(Body, frozen=True, kw_only=True):
    """Remove a person; `dry_run` lists what would go."""

    subject_id: Id
    dry_run: bool = False


class FeedbackBody(Body, frozen=True, kw_only=True):
    """Say what a person thinks of a decision; a change names the new action."""

    decision_id: Id
    verdict: Literal["approve", "change", "reject"]
    action_id: Annotated[str, Meta(max_length=128)] | None = None
    csrf: Annotated[str, Meta(max_length=128)] = ""


# --- replies --------------------------------------------------------------------------------------------------------


class ErrorReply(Reply, frozen=True, kw_only=True):
    """What went wrong, as a code for programs and a message for people."""

    code: str
    message: str


class Problem(Reply, frozen=True, kw_only=True):
    """Every answer that is not the asked-for one."""

    error: ErrorReply


class PlaceReply(Reply, frozen=True, kw_only=True):
    """What to do at one place of a slate; its choice probability is given the choices above it."""

    position: int
    decision_id: str
    action_id: str
    choice_probability: float | None
    response_probability: float | None
    expected_value: float | None
    reason: str
    degraded: bool
    outcome_token: str


class DecideReply(Reply, frozen=True, kw_only=True):
    """What to do, with both probabilities; `degraded` says that something was missing, `logged` that it is on record.

    When more than one was asked for, `decisions` has one entry per position, and the other fields are the first's.
    """

    decision_id: str
    action_id: str
    choice_probability: float | None
    response_probability: float | None
    expected_value: float | None
    reason: str
    arm: str
    degraded: bool
    policy_version: str
    model_versions: dict[str, str]
    logged: bool = True
    outcome_token: str
    decisions: list[PlaceReply] | UnsetType = UNSET


class ReceiptReply(Reply, frozen=True, kw_only=True):
    """What became of one event."""

    message_id: str
    status: Literal["stored", "duplicate", "rejected"]
    why: str


class EventsReply(Reply, frozen=True, kw_only=True):
    """What became of the events, in their order."""

    stored: int
    duplicates: int
    rejected: int
    receipts: list[ReceiptReply]


class OutcomesReply(Reply, frozen=True, kw_only=True):
    """How many outcomes came, and how many of them were new."""

    received: int
    new: int


class ConsentReply(Reply, frozen=True, kw_only=True):
    """The consent version from which the answer binds."""

    version: int


class SubjectPredictions(Reply, frozen=True, kw_only=True):
    """What the models say of one subject; empty for someone they do not know."""

    subject_id: str
    predictions: dict[str, Any]
    model_versions: dict[str, str]


class PredictReply(Reply, frozen=True, kw_only=True):
    """One entry per asked-for subject, in their order."""

    subjects: list[SubjectPredictions]


class EraseReply(Reply, frozen=True, kw_only=True):
    """The receipt of an erasure: rows removed per place, and models that learnt from the person."""

    subject_id: str
    removed: dict[str, int]
    models_marked: list[str]
    receipt_id: str
    dry_run: bool
    notes: list[str]


class FeedbackReply(Reply, frozen=True, kw_only=True):
    """The id of the stored judgement."""

    feedback_id: str


class SubjectReply(Reply, frozen=True, kw_only=True):
    """What the workspace knows about one subject."""

    subject_id: str
    attributes: dict[str, Any]
    identities: list[dict[str, Any]]
    consent: list[dict[str, Any]]
    predictions: dict[str, Any]
    model_versions: dict[str, str]
    decisions: list[dict[str, Any]]
    events: dict[str, int]


class CandidateReply(Reply, frozen=True, kw_only=True):
    """One action that was considered, and the rule that removed it, if any."""

    action_id: str
    removed_by: str | None
    response_probability: float | None
    expected_value: float | None
    cost: float
    choice_probability: float
    spread: float


class ExplanationReply(Reply, frozen=True, kw_only=True):
    """Why a decision came about: in sentences, and the same as data."""

    sentences: list[str]
    details: dict[str, Any]


class DecisionReply(Reply, frozen=True, kw_only=True):
    """One row of the decision log, whole, and why it came about."""

    decision_id: str
    play: str
    subject_id: str
    ts: datetime
    action_id: str
    choice_probability: float | None
    candidates: list[CandidateReply]
    arm: str
    mode: str
    request_id: str
    context: dict[str, Any]
    features: dict[str, Any]
    seed: int
    consent_version: int
    policy_version: str
    model_versions: dict[str, str]
    reason: str
    degraded: bool
    latency_us: int
    explanation: ExplanationReply | UnsetType = UNSET


class LiveReply(Reply, frozen=True, kw_only=True):
    """The process answers."""

    live: bool


class ReadyReply(Reply, frozen=True, kw_only=True):
    """Whether the workspace may serve, and if not, why; `warnings` tell what an operator should look at meanwhile."""

    ready: bool
    why: list[str] | UnsetType = UNSET
    warnings: list[str] | UnsetType = UNSET
