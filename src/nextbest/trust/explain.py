"""Why a decision came about, in sentences and as data; why a prediction is what it is stands in `prediction.py`."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (a field of a dataclass)
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from nextbest.errors import NextbestError, UnknownNameError
from nextbest.features import expression
from nextbest.ledger import analysis, decisions
from nextbest.ledger.logs import FOREIGN
from nextbest.policies.default import plays
from nextbest.trust.decision_changes import ABOVE, changes
from nextbest.trust.decision_value import best, by_value, parts
from nextbest.trust.rules import rule_in_words
from nextbest.trust.words import teller
from nextbest.types import ANY_ITEM, NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextbest.ledger import Ledger
    from nextbest.trust.decision_value import Parts
    from nextbest.types import Candidate, Decision

_ONE = 5e-4  # a factor as near to 1 as this is not worth a word


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
    """Say what was decided and how: by choice or by chance, what was ruled out by which rule, and what came second.

    The first sentence of `details["rep"]` is for the person who carries it out; `details["would_change"]` says what
    would have made another action the choice.
    """
    # What another engine's log counts in (priorities, say) need not be money.
    second, currency = runner_up(decision), "units" if _kind(decision) == "imported" else ledger.config.currency
    known, would = parts(decision), changes(decision, currency=currency)
    lines = [
        f"On {decision.ts:%Y-%m-%d} '{decision.play}' decided {decision.action_id} for {decision.subject_id}.",
        _place(decision),
        decision.reason,
        *(
            f"{c.action_id} was ruled out: {rule_in_words(c.removed_by or '')}."
            for c in decision.candidates
            if _told(c)
        ),
        *_second(decision, second, currency),
        *_worth(known.get(decision.action_id), currency),
        *(change.sentence for change in would),
        *_known(ledger, decision),
        *_how(decision),
        *_served(decision),
    ]
    details = {
        **_facts(decision),
        "rep": _rep(ledger, decision, second, currency),
        "how": _kind(decision),
        "runner_up": second.action_id if second else None,
        "margin": _margin(decision, second),
        "parts": {name: {**asdict(p), "gain": p.gain} for name, p in known.items()},
        "would_change": [change.plain() for change in would],
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


def _facts(decision: Decision) -> dict[str, Any]:
    """Give what the row of the log says, as plain values."""
    return {
        "decision_id": decision.decision_id,
        "request_id": decision.request_id,
        "position": decision.position,
        "mode": decision.mode,
        "arm": decision.arm,
        "action_id": decision.action_id,
        "candidates": [asdict(c) for c in decision.candidates],
        "removed_by": {c.action_id: c.removed_by for c in decision.candidates if c.removed_by},
        "choice_probability": decision.choice_probability,
        "policy_version": decision.policy_version,
        "model_versions": dict(decision.model_versions),
        "consent_version": decision.consent_version,
        "degraded": decision.degraded,
    }


def _told(candidate: Candidate) -> bool:
    return candidate.removed_by is not None and candidate.removed_by != ABOVE


def _name(action_id: str) -> str:
    return "doing nothing" if action_id == NO_ACTION else action_id


def _place(decision: Decision) -> str:
    """Say where in a list of several the action stands, and what stands above it."""
    above = [c.action_id for c in decision.candidates if c.removed_by == ABOVE]
    if decision.position == 1 and not above:
        return ""
    place = max(decision.position, len(above) + 1)
    return (
        f"It stands at place {place} of the list, below {', '.join(above)}." if above else f"It stood at place {place}."
    )


def _margin(decision: Decision, second: Candidate | None) -> float | None:
    mine = decision.chosen.expected_value
    if second is None or mine is None or second.expected_value is None:
        return None
    return mine - second.expected_value


def _second(decision: Decision, second: Candidate | None, currency: str) -> list[str]:
    margin = _margin(decision, second)
    if second is None or margin is None:
        allowed = sum(c.removed_by is None for c in decision.candidates)
        return ["Nothing else was allowed."] if allowed == 1 else []
    if margin >= 0:
        return [f"Second was {_name(second.action_id)}, worth {margin:.2f} {currency} less."]
    return [f"By value alone {_name(second.action_id)} would have won, by {-margin:.2f} {currency}."]


def _worth(mine: Parts | None, currency: str) -> list[str]:
    """Say what the chosen action's worth is made of."""
    if mine is None or mine.action_id == NO_ACTION:
        return []
    plain = mine.factor is None or abs(mine.factor - 1) < _ONE
    factor = "" if plain else f" x {mine.factor:.2f} (weight and lever)"
    cost = f" - {mine.cost:.2f} {currency} cost" if mine.cost else ""
    response = f"({mine.response:.1%} - {mine.without:.1%} response without it)"
    return [
        f"Its gain of {mine.gain:.2f} {currency} is {response}{factor} x {mine.value:.2f} {currency} a response{cost}."
    ]


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


# --- chance or choice -------------------------------------------------------------------------------------------------


def _kind(decision: Decision) -> str:
    """Give how it came about: choice, exploration, random, business_as_usual, holdout, fallback or imported."""
    if decision.policy_version.startswith(FOREIGN):
        return "imported"
    if decision.degraded or decision.choice_probability is None:
        return "fallback"
    if decision.arm != "policy":
        return decision.arm
    return "choice" if by_value(decision) or best(decision) is None else "exploration"


def _how(decision: Decision) -> Iterator[str]:
    """Say whether it was chance or choice, and how likely it was."""
    p = decision.choice_probability
    said = {
        "choice": "It was a choice: of what was allowed, it was worth most.",
        "exploration": "It was chance: the policy tries what is not first too, to learn from it.",
        "random": "It was chance: the subject is in the arm that gets any allowed action, to measure the others by.",
        "holdout": "It was chance: the subject is held out, so that the effect of the play can be measured.",
        "business_as_usual": "It was neither: the subject is in the arm that gets what was done before.",
        "fallback": "It was a fallback, not a choice.",
        "imported": "How it was chosen, its log does not say.",
    }
    yield said[_kind(decision)]
    if p is not None and decision.context.get("estimated_probability"):
        yield f"Its log does not say the chance of this choice; it is estimated at {p:.1%}."
    elif p is not None and _kind(decision) == "imported":
        yield f"The chance of this choice was {p:.1%}, as its log says."
    elif p is not None:
        within = ", given what stands above it" if _place(decision) else ""
        yield f"The chance of this choice was {p:.1%}, the draw into its arm included{within}."


def _served(decision: Decision) -> Iterator[str]:
    """Say whether it was carried out, where that is not plain, and by which versions it was decided."""
    if decision.mode == "shadow":
        own = decision.context.get("chosen")
        yield f"It was not served: the play is in shadow{f', and the caller did {own}' if own else ''}."
    elif decision.mode == "replay":
        yield "It was not served: it was decided in replay."
    if queued := decision.context.get("queued"):
        listed = ", ".join(map(str, queued)) if isinstance(queued, list | tuple) else str(queued)
        yield f"A person is to decide about: {listed}."
    versions = ", ".join(f"{name} {version}" for name, version in decision.model_versions.items() if name != "policy")
    policy = f"policy {decision.policy_version}" if decision.policy_version else ""
    told = ", ".join(part for part in (policy, versions) if part)
    yield f"Decided by {told}." if told else ""


# --- a sentence for the rep -------------------------------------------------------------------------------------------


def _rep(ledger: Ledger, decision: Decision, second: Candidate | None, currency: str) -> str:
    """Give one sentence for the person who carries it out or is asked about it."""
    who, kind = decision.subject_id, _kind(decision)
    if decision.action_id == NO_ACTION:
        return f"Leave {who} alone: {_why_nothing(decision, kind)}."
    play = plays(ledger).get(decision.play)
    actions = {a.id: a for a in play.actions} if play else {}
    action = actions.get(decision.action_id) or actions.get(ANY_ITEM)
    text = action.text if action is not None and action.text else decision.action_id
    margin = _margin(decision, second)
    if kind == "choice" and second is not None and margin is not None:
        return f"{text} for {who}: worth {margin:.2f} {currency} more than {_name(second.action_id)}, the next best."
    why = {
        "choice": "it was all that was allowed",
        "exploration": "tried by chance, to learn what it does",
        "random": "drawn at random, to measure the others by",
        "business_as_usual": "as was done before",
        "fallback": "the safe answer, as something had failed",
        "imported": "as another engine decided",
    }
    return f"{text} for {who}: {why.get(kind, kind)}."


def _why_nothing(decision: Decision, kind: str) -> str:
    if kind == "holdout":
        return "held out by chance, so that the effect can be measured"
    removed: Sequence[Candidate] = [c for c in decision.candidates if _told(c)]
    wanted = max(removed, key=lambda c: c.expected_value or float("-inf"), default=None)
    mine = decision.chosen.expected_value or 0.0
    if kind == "choice" and wanted is not None and (wanted.expected_value or float("-inf")) > mine:
        return f"{wanted.action_id} was ruled out, {rule_in_words(wanted.removed_by or '')}"
    if kind == "choice":
        return "nothing that is allowed earns more than it costs"
    return {"fallback": "something had failed", "business_as_usual": "as was done before"}.get(kind, "drawn by chance")
