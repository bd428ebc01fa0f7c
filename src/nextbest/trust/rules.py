"""What the rules of the log mean, in words that a customer's question can be answered with."""

from __future__ import annotations

_WORDS = {
    "kill_switch": "somebody stopped it",
    "consent:denied": "the person said no",
    "consent:unknown": "there is no permission on record",
    "consent:erased": "the person was erased",
    "consent:gpc": "the person's browser objects (Sec-GPC)",
    "consent:unreadable": "permission could not be read, so it was taken as no",
    "suppressed": "the address must never be contacted",
    "eligibility": "its own condition does not hold",
    "quiet_hours": "it was too late or too early where the person is",
    "max_per_day": "today's places went to those who gain more",
    "max_actions": "today's places in the play went to those who gain more",
    "per_group": "another member of the same group gains more by a contact",
    "degraded": "predictions were missing, and money and grave matters do not rest on guesses",
    "audience": "the person is not in the play's audience",
    "not_offered": "the caller did not offer it",
    "cap:unreadable": "the number of contacts could not be read",
    "chosen_above": "it stands higher up in the same list already",
    "limit:amount": "no amount was given for it",
    "limit:floor": "its amount is below the floor",
    "limit:ceiling": "its amount is above the ceiling",
    "limit:max_change": "its amount would move by more than a day allows",
    "limit:budget": "the day's budget is spent",
    "limit:budget_per_hour": "the hour's budget is spent",
}
_WITHOUT = {
    "consent:denied": "Had the person not said no,",
    "consent:unknown": "With permission on record,",
    "eligibility": "Had its own condition held,",
    "quiet_hours": "At another time of day,",
    "failsafe:timezone": "Were it known to be day where the person is,",
    "failsafe:outbox": "Had its target taken what was sent before,",
    "consent:gpc": "Had the person's browser not objected,",
    "kill_switch": "Had nobody stopped it,",
    "suppressed": "Were the address not on the list of those never to contact,",
    "audience": "Were the person in the play's audience,",
    "max_per_day": "With more places a day,",
    "max_actions": "With more places in the play,",
    "per_group": "Were another member of the group not contacted,",
    "limit:budget": "With more budget for the day,",
    "limit:budget_per_hour": "With more budget for the hour,",
}
_FAILURE = "failsafe:"
_FAILED = {
    "model": "the model could not be used, and this does not rest on a guess",
    "deadline": "ranking took too long",
    "features": "what is known of the person was missing or too old, and this does not rest on guesses",
    "consent": "permissions could not be read",
    "signals": "the signals about consent do not agree, and the most restrictive counts",
    "caps": "earlier contacts could not be counted",
    "timezone": "nobody knows whether it is day or night where the person is",
    "clock": "the clock could not be trusted",
    "log": "the decision could not be logged",
    "outbox": "its target has not taken anything for too long, so it would only wait",
    "restored": "the workspace was being restored",
    "alarm": "an alarm was on",
    "config": "the settings could not be used",
}


def rule_in_words(rule: str) -> str:
    """Give what a rule means: `cap:1 in 7 days` is "the person was contacted often enough: 1 in 7 days"."""
    if rule in _WORDS:
        return _WORDS[rule]
    kind, _, limit = rule.partition(":")
    if kind == "cap":
        return f"the person was contacted often enough: at most {limit}"
    if rule.startswith(_FAILURE):
        return _FAILED.get(limit, f"something had failed ({limit}), and what it may do does not rest on that")
    return f"the other engine removed it at {limit}" if kind == "pega" else rule


def without_rule(rule: str) -> str:
    """Give how a sentence begins about what would have been without a rule: `consent:unknown` is "With permission"."""
    if rule in _WITHOUT:
        return _WITHOUT[rule]
    kind, _, limit = rule.partition(":")
    return f"Without the cap of {limit}," if kind == "cap" else f"Without the rule '{rule}',"
