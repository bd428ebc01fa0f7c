"""One position of one request, decided: what the log keeps and what the caller is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nextbest.ledger import decisions
from nextbest.types import Candidate, Decision

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.policies.live.ask import Offers
    from nextbest.types import Arm, Mode


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Chosen:
    """One decided position; lists are by candidate. `decision()` gives the same as the row of the log."""

    decision_id: str
    request_id: str
    play: str
    mode: Mode
    arm: Arm
    subject_id: str
    ts: datetime
    at: int
    position: int
    ids: tuple[str, ...]
    costs: tuple[float, ...]
    removed: list[str | None]
    response: list[float]
    worth: list[float]
    probability: list[float]
    seed: int
    context: Mapping[str, Any]
    features: Mapping[str, Any]
    offers: Offers | None
    consent_version: int
    policy_version: str
    model_versions: Mapping[str, str]
    reason: str
    degraded: bool
    latency_us: int
    reaches: bool

    @property
    def action_id(self) -> str:
        """The action that was chosen."""
        return self.ids[self.at]

    @property
    def choice_probability(self) -> float:
        """The probability with which it was chosen, over all that is drawn, given the positions above."""
        return self.probability[self.at]

    @property
    def response_probability(self) -> float:
        """The chance of a response to it."""
        return self.response[self.at]

    @property
    def expected_value(self) -> float:
        """What it is worth."""
        return self.worth[self.at]

    def decision(self) -> Decision:
        """Give the decision as `decisions.get` would."""
        return Decision(
            decision_id=self.decision_id,
            play=self.play,
            subject_id=self.subject_id,
            ts=self.ts,
            action_id=self.action_id,
            choice_probability=self.choice_probability,
            candidates=self.candidates(),
            arm=self.arm,
            mode=self.mode,
            request_id=self.request_id,
            context=dict(self.context),
            features=dict(self.features),
            action_features={} if self.offers is None else decisions.by_action(self.table()),
            position=self.position,
            seed=self.seed,
            consent_version=self.consent_version,
            policy_version=self.policy_version,
            model_versions=dict(self.model_versions),
            reason=self.reason,
            degraded=self.degraded,
            latency_us=self.latency_us,
        )

    def candidates(self) -> tuple[Candidate, ...]:
        """Give every candidate with what removed it, its worth and its probability."""
        columns = zip(self.ids, self.removed, self.response, self.worth, self.costs, self.probability, strict=True)
        return tuple(
            Candidate(
                action_id=i, removed_by=rule, response_probability=r, expected_value=w, cost=c, choice_probability=p
            )
            for i, rule, r, w, c, p in columns
        )

    def table(self) -> decisions.Described:
        """Give what described the candidates, as served."""
        offers = self.offers
        if offers is None:
            return decisions.Described((), (), b"")
        return decisions.Described(offers.ids, offers.names, offers.values.tobytes())

    def row(self) -> decisions.Row:
        """Give the row of the log."""
        return decisions.row(
            (self.decision_id, self.request_id, self.play, self.mode, self.arm, self.subject_id, self.ts),
            context=self.context,
            candidates=(self.ids, self.removed, self.response, self.worth, self.costs, self.probability),
            chosen=(self.action_id, self.choice_probability, self.seed),
            features=self.features,
            versions=(self.consent_version, self.policy_version, self.model_versions),
            told=(self.reason, self.degraded, self.latency_us),
            shown=(self.position, None if self.offers is None else self.table()),
        )
