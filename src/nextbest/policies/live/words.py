"""The sentence of one decision, as `policies.reasons` writes it for many."""

from __future__ import annotations

from nextbest.policies.reasons import HELD_OUT, MISSING, NOTHING_DRAWN, NOTHING_PAYS, USUAL


def usual(action_id: str) -> str:
    """Say that a subject got what business as usual gives."""
    return action_id + USUAL


def pays(action_id: str, gain: float, response: float, without: float, *, assumed: bool) -> str:
    """Say what the best action is worth, and why."""
    effect = "assumed, not measured yet" if assumed else "measured"
    return (
        f"{action_id}: worth {_money(gain)} more than doing nothing, as a response becomes {_percent(response)} "
        f"likely instead of {_percent(without)} (effect {effect})."
    )


def drawn(action_id: str) -> str:
    """Say that chance chose, not worth."""
    return f"{action_id}: drawn by chance, to learn what it does."


def nothing(*, held_out: bool, top: str, wanted: str, rule: str | None) -> str:
    """Say why nothing is done: *top* is the best of what is allowed, *wanted* the best of all, removed by *rule*."""
    if held_out:
        return HELD_OUT
    if top != "none":
        return NOTHING_DRAWN
    return f"Nothing: {wanted} was ruled out by {rule}." if wanted != "none" else NOTHING_PAYS


def missing(told: str) -> str:
    """Add that predictions were missing."""
    return told + MISSING


def _money(amount: float) -> str:
    cents = round(abs(amount) * 100)
    sign = "-" if amount < 0 and cents > 0 else ""
    return f"{sign}{cents // 100}.{cents % 100:02d}"


def _percent(share: float) -> str:
    tenths = round(share * 1000)
    return f"{tenths // 10}.{tenths % 10}%"
