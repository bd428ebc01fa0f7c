"""Why a decision came about, in sentences and as data; why a prediction is what it is stands in `prediction.py`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from nextbest.errors import NextbestError, UnknownNameError
from nextbest.features import expression
from nextbest.ledger import analysis, decisions
from nextbest.policies.default import plays
from nextbest.trust.rules import rule_in_words
from nextbest.trust.words import teller
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.ledger import Ledger
    from nextbest.types import Candidate, Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is explained, for whom, in sentences; `details` is the same for a program."""

    what: str
    subject_id: str
    sentences: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Give the sentences, one per line."""
        return "\n".join(self.sentences)


# --- a decision -------------------------------------------------------------------------------------------------------


def explain_latest_decision(ledger: Ledger, play: str, subject_id: str) -> Explanation:
    """Explain the newest decision of a play for a subject; raises `UnknownNameError` when there is none."""
    log = analysis.table(ledger, "decisions", columns=("decision_id", "subject_id", "play", "ts"))
    ours = log.filter(pc.and_(pc.equal(log["play"], play), pc.equal(log["subject_id"], subject_id)))
    if not ours.num_rows:
        raise UnknownNameError(f"Play '{play}' has decided nothing for '{subject_id}' yet. Run: nextbest decide {play}")
    newest = ours.sort_by([("ts", "descending"), ("decision_id", "descending")])["decision_id"][0].as_py()
    return explain_decision(ledger, decisions.get(ledger, newest))


def explain_decision(ledger: Ledger, decision: Decision) -> Explanation:
    """Say what was decided, what was ruled out by which rule, what came second and by how much, and what was known."""
    second = runner_up(decision)
    lines = [
        f"On {decision.ts:%Y-%m-%d} '{decision.play}' decided {decision.action_id} for {decision.subject_id}.",
        decision.reason,
        *(f"{c.action_id} was ruled out: {rule_in_words(c.removed_by)}." for c in decision.candidates if c.removed_by),
        *_second(decision, second, ledger.config.currency),
        *_known(ledger, decision),
        *_chance(decision),
    ]
    details = {
        "decision_id": decision.decision_id,
        "arm": decision.arm,
        "action_id": decision.action_id,
        "candidates": [asdict(c) for c in decision.candidates],
        "removed_by": {c.action_id: c.removed_by for c in decision.candidates if c.removed_by},
        "runner_up": second.action_id if second else None,
        "margin": _margin(decision, second),
        "choice_probability": decision.choice_probability,
        "policy_version": decision.policy_version,
        "model_versions": dict(decision.model_versions),
        "consent_version": decision.consent_version,
        "degraded": decision.degraded,
    }
    return Explanation(
        what=decision.play, subject_id=decision.subject_id, sentences=tuple(x for x in lines if x), details=details
    )


def runner_up(decision: Decision) -> Candidate | None:
    """Give the candidate of highest expected value among those that were allowed and not chosen."""
    others = [
        c
        for c in decision.candidates
        if c.removed_by is None and c.action_id != decision.action_id and c.expected_value is not None
    ]
    return max(others, key=lambda c: c.expected_value or 0.0, default=None)


def _margin(decision: Decision, second: Candidate | None) -> float | None:
    mine = decision.chosen.expected_value
    if second is None or mine is None or second.expected_value is None:
        return None
    return mine - second.expected_value


def _second(decision: Decision, second: Candidate | None, currency: str) -> list[str]:
    margin = _margin(decision, second)
    if second is None or margin is None:
        return ["Nothing else was allowed."]
    name = "doing nothing" if second.action_id == NO_ACTION else second.action_id
    if margin >= 0:
        return [f"Second was {name}, worth {margin:.2f} {currency} less."]
    return [f"By value alone {name} would have won, by {-margin:.2f} {currency}."]


def _known(ledger: Ledger, decision: Decision) -> list[str]:
    """Give what was known of the things that the play looks at."""
    names = _looked_at(ledger, decision)
    tell = teller(ledger)
    told = [tell(name, decision.features[name]) for name in names if name in decision.features]
    return [f"What was known: {'; '.join(told)}."] if told else []


def _looked_at(ledger: Ledger, decision: Decision) -> list[str]:
    play = plays(ledger).get(decision.play)
    if play is None:
        return []
    texts = [play.audience, play.response or "1 - churn_probability", play.value]
    texts += [a.eligibility for a in play.actions]
    try:
        found = [name for text in texts for name in sorted(expression.parse(text).columns)]
    except NextbestError:  # the play was changed since, and no longer parses: the rest still explains
        return []
    return list(dict.fromkeys(found))


def _chance(decision: Decision) -> Sequence[str]:
    if decision.choice_probability is None:
        return ["It was a fallback, not a choice."]
    return [f"The chance of this choice was {decision.choice_probability:.1%}, the draw into its arm included."]
