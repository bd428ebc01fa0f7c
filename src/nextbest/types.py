"""The nouns of nextbest, and the four makers that turn one into the next.

    Channel -> events -> Model -> predictions -> Policy -> decisions -> Channel -> outcomes -> Measure -> effects

Small things are frozen dataclasses; many things are Arrow tables. Read this file first, `verbs.py` second.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (the configuration builds these classes from their annotations)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import pyarrow as pa

ActionClass = Literal["content", "outbound", "money", "significant", "internal"]
Arm = Literal["policy", "random", "business_as_usual", "holdout"]
Mode = Literal["live", "shadow", "replay"]
Status = Literal["ok", "not_enough_data", "cannot_tell"]
Design = Literal["randomised", "off_policy", "simulated", "observational"]

NO_ACTION = "none"
ANY_ITEM = "*"


# --- what we can do -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something we can do; `none` is always among a play's actions. The id `*` stands for items that a request brings.

    `eligibility` and `weight` are expressions of the feature language: who may get it, and how much its worth counts in
    this context; `lever` is the marketer's own factor on its worth. `cost` is money per use. `assumed_log_odds` is what
    the action is taken to add to the log-odds of the response until its effect has been measured. `features` describe
    it to value models. `amount` is the price, bid or discount that a money action sets, held between `floor` and
    `ceiling`, and moved by at most the share `max_change` of the last approved amount a day. At most `max_per_day` are
    decided a day, and a list tries for at least `min_per_day`. A message not sent within `valid_hours` is never sent.
    """

    id: str
    channel: str = ""
    action_class: ActionClass = "outbound"
    cost: float = 0.0
    eligibility: str = ""
    weight: str = ""
    lever: float = 1.0
    assumed_log_odds: float = 0.2
    features: Mapping[str, float | str] = field(default_factory=dict)
    amount: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    max_change: float | None = None
    max_per_day: int | None = None
    min_per_day: int | None = None
    valid_hours: float | None = None
    text: str = ""


NONE = Action(id=NO_ACTION, action_class="internal", assumed_log_odds=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietHours:
    """No outbound action between these local times ("21:00" to "08:00" spans midnight)."""

    start: str
    end: str
    timezone: str = "UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most `count` outbound actions per subject within `days`, over all plays, on `channel` or on all."""

    count: int
    days: int
    channel: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """A named decision problem: whom (audience), what (actions), why (goal, value), how (policy), how far (limits).

    `subject_type` says whom the audience is taken from: customers (and leads, households: people), or open deals. A
    deal responds by `win_probability` and is worth its `amount` unless the play says otherwise.

    `learner` says what the chance of a response per action is learnt by; an outcome counts within `goal_days` (0.01 is
    about a quarter of an hour), and until then a decision is pending. `holdout`, `random` and `business_as_usual` are
    shares of subjects; `habit` is the action that business as usual takes, unless the caller says what it would do.
    `default` is the action for when the model cannot be trusted. `budget` is money a day, `budget_per_hour` money an
    hour. `group` is a column (a household, an account) of which at most `per_group` members are contacted in one list.
    `places` is how many actions one request may ask for; `deadline_ms` how long ranking may take.
    """

    name: str
    actions: tuple[Action, ...]
    audience: str = ""
    subject_type: Literal["customer", "deal"] = "customer"
    goal: str = "order"
    goal_days: float = 30
    response: str = ""
    value: str = "average_order_value"
    purpose: str = "marketing"
    policy: Mapping[str, Any] = field(default_factory=lambda: {"name": "greedy"})
    learner: Mapping[str, Any] = field(default_factory=lambda: {"name": "lift"})
    mode: Literal["live", "shadow"] = "live"
    holdout: float = 0.05
    random: float = 0.0
    business_as_usual: float = 0.0
    habit: str = NO_ACTION
    default: str = ""
    places: int = 1
    deadline_ms: float = 50.0
    caps: tuple[Cap, ...] = ()
    quiet_hours: QuietHours | None = None
    max_actions: int | None = None
    budget: float | None = None
    budget_per_hour: float | None = None
    group: str = ""
    per_group: int = 1


# --- what we knew and did -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One action that was considered for one subject, and the rule that removed it, if any.

    `spread` is the standard deviation of the expected value as the learner knew it: 0 where it was sure, or silent.
    """

    action_id: str
    removed_by: str | None = None
    response_probability: float | None = None
    expected_value: float | None = None
    cost: float = 0.0
    choice_probability: float = 0.0
    spread: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One row of the decision log, whole: enough to explain, replay and evaluate it later.

    A slate is one row per position under one `request_id`: a later position has the earlier choices among its
    candidates, removed by `chosen_above`, and a choice probability given those. `features` are the subject's, and
    `action_features` those that came with the candidates, both as served.
    """

    decision_id: str
    play: str
    subject_id: str
    ts: datetime
    action_id: str
    choice_probability: float | None
    candidates: tuple[Candidate, ...]
    arm: Arm = "policy"
    mode: Mode = "live"
    request_id: str = ""
    context: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, float | None] = field(default_factory=dict)
    action_features: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    position: int = 1
    seed: int = 0
    consent_version: int = 0
    policy_version: str = ""
    model_versions: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    degraded: bool = False
    latency_us: int = 0

    @property
    def chosen(self) -> Candidate:
        """The candidate that won."""
        return next(c for c in self.candidates if c.action_id == self.action_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a decision, or what a subject did when nobody decided anything."""

    outcome_id: str
    subject_id: str
    ts: datetime
    name: str
    value: float = 1.0
    decision_id: str | None = None
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Sufficient statistics of one arm: SQL sums people, Python infers from the sums. They add up over partitions.

    `answered` is how many of the `n` have an outcome other than 0; None where nobody counted.
    """

    n: int
    total: float
    total_squares: float
    answered: int | None = None

    @property
    def mean(self) -> float:
        """Mean outcome per subject."""
        return self.total / self.n if self.n else float("nan")

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            n=self.n + other.n,
            total=self.total + other.total,
            total_squares=self.total_squares + other.total_squares,
            answered=None if self.answered is None or other.answered is None else self.answered + other.answered,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A causal difference with its interval, design and baseline; `status` says when it cannot be told, and `why`."""

    outcome: str
    design: Design
    baseline: str
    status: Status
    estimate: float | None = None
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    why: str = ""
    play: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)


# --- what we learnt -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a fitted recipe did on data it did not learn from, beside its baselines.

    `details` holds what the model card shows beyond that, as plain JSON values: `calibration` and `capture` (lists of
    points), `preparation` (`column`, `step`), `cautions` (sentences), `dates`, `groups`, and what a recipe adds.
    """

    recipe: str
    status: Status
    why: str = ""
    as_of: str = ""
    rows: int = 0
    positives: int | None = None
    seconds: float = 0.0
    evaluation: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    left_out: tuple[Mapping[str, str], ...] = ()
    top_features: tuple[Mapping[str, Any], ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Give the report as a few plain lines."""
        if self.status != "ok":
            return f"{self.recipe}: {self.status}. {self.why}"
        head = f"{self.recipe} as of {self.as_of}: {self.rows:,} rows, judged by {self.evaluation}"
        ours = "  ours: " + ", ".join(f"{k} {v:.3f}" for k, v in self.metrics.items())
        theirs = [
            f"  {name}: " + ", ".join(f"{k} {v:.3f}" for k, v in values.items())
            for name, values in self.baselines.items()
        ]
        return "\n".join([head, ours, *theirs])


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A recipe that has learnt: its parts (fitted models by name), the columns they read, and its report.

    `settings` rebuild the recipe (`registry.make("recipes", recipe, settings)`); `extra` holds small JSON-able facts
    the recipe needs to predict (calibration factors, cut dates).
    """

    model_id: str
    recipe: str
    settings: Mapping[str, Any]
    as_of: str
    parts: Mapping[str, Model]
    report: Report
    extra: Mapping[str, Any] = field(default_factory=dict)


# --- the four makers ------------------------------------------------------------------------------------------------


@runtime_checkable
class Model(Protocol):
    """Features to predictions. A fitted model is the same frozen class with `files` filled in its native format."""

    @property
    def files(self) -> Mapping[str, bytes]:
        """The native model files of a fitted model by file name; empty before `fit`."""
        ...

    def fit(self, features: pa.Table, label: pa.Table) -> Self:
        """Give a fitted copy. `features`: one row per subject; `label`: same rows, the columns the model asks for."""
        ...

    def predict(self, features: pa.Table) -> pa.Table:
        """Give one row per row of `features`: at least `prediction`, with `low` and `high` where it has an interval."""
        ...


@runtime_checkable
class Policy(Protocol):
    """Predictions and actions to choice probabilities."""

    def probabilities(self, predictions: pa.Table, actions: tuple[Action, ...]) -> pa.Table:
        """Give one row per subject, one float64 column per action id, rows summing to 1.

        `predictions` holds the subject's features and predictions by name and, for each action, a column
        `expected_value:<action id>` (money, null where a rule removed the action). The engine sets removed actions
        to zero and renormalises, so a policy need not know the rules.
        """
        ...


@runtime_checkable
class Measure(Protocol):
    """Sufficient statistics to an effect."""

    def effect(self, treated: Statistics, control: Statistics, *, level: float = 0.95) -> Effect:
        """Give the difference per subject with its interval, or why it cannot be told."""
        ...


@runtime_checkable
class Channel(Protocol):
    """The world to events, decisions to the world. A one-way channel raises `ChannelError` in the other direction."""

    def read(self, location: str) -> Iterator[pa.RecordBatch]:
        """Give the rows found at a location, as they are, all columns text unless the source is typed."""
        ...

    def deliver(self, messages: pa.Table) -> pa.Table:
        """Carry out decisions. Takes the columns of `nextbest.channels.MESSAGE`; gives `decision_id, status, detail`.

        `status` is `sent`, `retry` (later, same key) or `failed` (never again); `detail` says why.
        """
        ...


@runtime_checkable
class Recipe(Protocol):
    """One business question answered with the parts of the house: a frozen, keyword-only settings class.

    A recipe whose rows are no subjects (a product on a day, a quarter, a rep) has a field `per_subject` that is False:
    its predictions are neither published for live decisions nor joined to what is known about subjects. One whose
    subjects are deals has a field `subject_type` that is "deal": plays for deals ask it, plays for customers do not.
    """

    name: str

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (the ledger lives above this file)
        """Learn from what was known before `as_of`; `report.status` says when there is too little data."""
        ...

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id`, the prediction columns by their public names and their `_low`, `_high`; a row per subject.

        A recipe with `per_subject` False gives its own keys instead of `subject_id`.
        """
        ...
