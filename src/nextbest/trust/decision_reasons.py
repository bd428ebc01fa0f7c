"""What moved a decision most: what the learner's, or the recipe's, own numbers rest on, for this subject.

A learner is asked again with each thing it was told left out: what the response falls or rises by is what that was
worth here. Where a play rests on a fitted recipe, its reasons are those of the prediction (`prediction.py`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from nextbest.errors import NextbestError
from nextbest.ledger import decisions
from nextbest.models import store
from nextbest.policies.default import plays
from nextbest.policies.learners import learn
from nextbest.policies.live.ask import Offer, compact
from nextbest.trust.explain import explain_decision
from nextbest.trust.words import teller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger import Ledger
    from nextbest.policies.live.learning import State
    from nextbest.trust.explain import Explanation
    from nextbest.types import Decision

MOST = 3
LEAST = 5e-4  # of a response: less does not show in a figure with one digit
_OWN = frozenset({"policy", "learner"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One thing that moved the response to the chosen action: by `effect` (a share) where that is known."""

    feature: str
    value: Any
    effect: float | None
    sentence: str
    by: str


def explain_logged(ledger: Ledger, decision_id: str) -> Explanation:
    """Explain one decision of the log with what moved it; raises `UnknownNameError` for one that is not there (now)."""
    decision = decisions.get(ledger, decision_id)
    told, found = explain_decision(ledger, decision), reasons(ledger, decision)
    line = (f"What moved it most: {'; '.join(r.sentence for r in found)}.",) if found else ()
    details = {**told.details, "reasons": [asdict(r) for r in found]}
    return replace(told, sentences=(*told.sentences, *line), details=details)


def reasons(ledger: Ledger, decision: Decision) -> tuple[Reason, ...]:
    """Give what moved the response to the chosen action most; none where nothing can say so."""
    if "learner" in decision.model_versions:
        return by_learner(ledger, decision)
    try:
        return _by_recipe(ledger, decision)
    except NextbestError:  # a model that is gone, or a subject it does not know now: the rest still explains
        return ()


def by_learner(ledger: Ledger, decision: Decision) -> tuple[Reason, ...]:
    """Give the features whose absence would have moved the learner's response most, largest first."""
    play = plays(ledger).get(decision.play)
    if play is None or learn.settings_of(play) is None:
        return ()
    learnt = learn.newest(ledger, play)
    if learnt is None:
        return ()
    now = learnt.state.version == decision.model_versions.get("learner")
    tell, late = teller(ledger), "" if now else ", as learnt by now"
    found = [
        Reason(
            feature=name,
            value=value,
            effect=effect,
            sentence=f"{tell(name, value)} ({100 * effect:+.1f} points of response{late})",
            by="learner",
        )
        for name, value, effect in moved(learnt.state, decision)
    ]
    return tuple(found)


def moved(state: State, decision: Decision) -> list[tuple[str, Any, float]]:
    """Give (feature, value, change of the response to the chosen action when it is known), the largest first."""
    known = {**decision.context, **decision.features}
    row = {k: v for k, v in known.items() if isinstance(v, str | int | float | bool)}
    own = dict(decision.action_features.get(decision.action_id, {}))

    def response(row: Mapping[str, Any], features: Mapping[str, Any]) -> float:
        offers = compact((Offer(action_id=decision.action_id, features=features),))
        return float(state.response({**row, "subject_id": decision.subject_id}, offers)[0][0])

    whole = response(row, own)
    found = [(n, v, whole - response({k: w for k, w in row.items() if k != n}, own)) for n, v in row.items()]
    found += [(n, v, whole - response(row, {k: w for k, w in own.items() if k != n})) for n, v in own.items()]
    found.sort(key=lambda f: (-abs(f[2]), f[0]))
    return [f for f in found[:MOST] if abs(f[2]) >= LEAST]


def _by_recipe(ledger: Ledger, decision: Decision) -> tuple[Reason, ...]:
    """Give the reasons of the first recipe whose model the decision used and that is still there."""
    from nextbest.trust.prediction import explain_prediction

    for recipe, model_id in decision.model_versions.items():
        if recipe in _OWN:
            continue
        told = explain_prediction(ledger, store.load(ledger, model_id), decision.subject_id, as_of=decision.ts)
        given = told.details.get("reasons", [])[:MOST]
        return tuple(
            Reason(
                feature=r.get("feature", ""),
                value=r.get("value"),
                effect=None,
                sentence=r.get("sentence", ""),
                by=recipe,
            )
            for r in given
            if r.get("sentence")
        )
    return ()
