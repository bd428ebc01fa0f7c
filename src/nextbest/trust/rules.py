"""What the rules of the log mean, in words that a customer's question can be answered with."""

from __future__ import annotations

_WORDS = {
    "kill_switch": "somebody stopped it",
    "consent:denied": "the person said no",
    "consent:unknown": "there is no permission on record",
    "consent:erased": "the person was erased",
    "consent:unreadable": "permission could not be read, so it was taken as no",
    "suppressed": "the address must never be contacted",
    "eligibility": "its own condition does not hold",
    "quiet_hours": "it was too late or too early where the person is",
    "max_per_day": "today's places went to those who gain more",
    "max_actions": "today's places in the play went to those who gain more",
    "degraded": "predictions were missing, and money and grave matters do not rest on guesses",
    "audience": "the person is not in the play's audience",
    "not_offered": "the caller did not offer it",
    "cap:unreadable": "the number of contacts could not be read",
}


def rule_in_words(rule: str) -> str:
    """Give what a rule means: `cap:1 in 7 days` is "the person was contacted often enough: 1 in 7 days"."""
    if rule in _WORDS:
        return _WORDS[rule]
    kind, _, limit = rule.partition(":")
    return f"the person was contacted often enough: at most {limit}" if kind == "cap" else rule
