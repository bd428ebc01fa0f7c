"""What an operator and a surface need beside the ten verbs: open, permit, check, prove, back up, look up.

The command line and the HTTP service use only this package and `verbs.py`.
"""

from nextbest.operations.files import card, card_page, notes_of, write_card, write_table
from nextbest.operations.keys import create_key, find_key, list_keys, revoke_key
from nextbest.operations.live import alarms, lift_alarm, models, raise_alarm, rollback, rollout
from nextbest.operations.looking import decision, kinds, names, predictions, rule_in_words, settings_of, subject, today
from nextbest.operations.people import approve_amount, feedback
from nextbest.operations.permission import consent, start, stop, stops
from nextbest.operations.service import gauges, not_ready, warnings
from nextbest.operations.workspace import Verified, backup, check, create, open, restore, verify  # noqa: A004 (nb.open reads as it should)

__all__ = [
    "Verified",
    "alarms",
    "approve_amount",
    "backup",
    "card",
    "card_page",
    "check",
    "consent",
    "create",
    "create_key",
    "decision",
    "feedback",
    "find_key",
    "gauges",
    "kinds",
    "lift_alarm",
    "list_keys",
    "models",
    "names",
    "not_ready",
    "notes_of",
    "open",
    "predictions",
    "raise_alarm",
    "restore",
    "revoke_key",
    "rollback",
    "rollout",
    "rule_in_words",
    "settings_of",
    "start",
    "stop",
    "stops",
    "subject",
    "today",
    "verify",
    "warnings",
    "write_card",
    "write_table",
]
