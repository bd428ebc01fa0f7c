"""Send: put decisions in the outbox, ask once more whether each may go, hand over, and remember what became of it.

A message keeps one key for life, so sending twice changes nothing. Permission, the stop switch, caps, quiet hours and a
person's veto are read in the transaction that hands a message over. What a dead target does not take waits, longer each
time, and expires: nothing is sent late.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nextbest.channels import MESSAGE
from nextbest.channels.clearance import Clearance
from nextbest.channels.outgoing import outgoing, people
from nextbest.policies.draw import seed_of
from nextbest.policies.gates import KILL_SWITCH, NEEDS_CONSENT
from nextbest.policies.live.outlets import VALID_HOURS
from nextbest.types import ANY_ITEM, Action

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nextbest.ledger import Ledger
    from nextbest.ledger.outbox import Mark, Message
    from nextbest.types import Channel, Play

VALID = timedelta(hours=VALID_HOURS)
LIST_PART = 2_000  # how many go to a file at once; whoever is reached at once is claimed alone, just before
CIRCUIT = 5  # failures in a row after which the target is left alone until the next call
FIRST_WAIT_S, LONGEST_WAIT_S = 30.0, 6 * 3600.0
NEEDS_A_PERSON, OVERDUE = "needs_a_person", "expired"
_RETRY_AFTER = re.compile(r"retry after (\d+) s")
_FULL = 2.0**63


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of a play's decisions on their way out; `removed` and `held` count by rule.

    In a dry run `sent` says how many would be handed over now.
    """

    play: str
    channel: str
    decisions: int = 0
    sent: int = 0
    already_sent: int = 0
    retry: int = 0
    failed: int = 0
    removed: Mapping[str, int] = field(default_factory=dict)
    held: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False
    out: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trip:
    """One call of `dispatch`: what is ready to go, by key, and who decides whether it may."""

    ledger: Ledger
    play: Play
    channel: Channel
    name: str
    now: datetime
    messages: Mapping[str, Mapping[str, Any]]
    clearance: Clearance

    @property
    def keys(self) -> list[str]:
        """The keys of all messages that are ready."""
        return list(self.messages)


def dispatch(ledger: Ledger, play: Play, channel: Channel, *, name: str, dry_run: bool = False) -> Sent:
    """Carry out the newest decision of every subject of a play that has not gone out by this channel yet."""
    table, now = outgoing(ledger, play), ledger.clock()
    contacts_now = bool(getattr(channel, "contacts_now", True))
    rows = {f"{name}:{row['decision_id']}": row for row in table.to_pylist()}
    actions = {key: _action(play, row["action_id"]) for key, row in rows.items()}
    kept = {k: why for k, row in rows.items() if (why := _kept_back(row, actions[k], now, contacts_now=contacts_now))}
    known = people(ledger, table["subject_id"])
    trip = _Trip(
        ledger=ledger,
        play=play,
        channel=channel,
        name=name,
        now=now,
        messages={k: {**row, **_address(known, row)} for k, row in rows.items() if k not in kept},
        clearance=Clearance(
            play=play,
            config=ledger.config,
            now=now,
            actions=actions,
            decided={k: row["decided_ts"] for k, row in rows.items()},
            people=known,
            contacts_now=contacts_now,
        ),
    )
    told = _dry_run(trip) if dry_run else _carry_out(trip)
    return replace(told, held={**told.held, **Counter(kept.values())}, decisions=len(rows), dry_run=dry_run)


def _action(play: Play, action_id: str) -> Action:
    """Give the action of that id, or `*` for an item of a request; one that the play no longer has is outbound."""
    by_id = {a.id: a for a in play.actions}
    return by_id.get(action_id) or by_id.get(ANY_ITEM) or Action(id=action_id)


def _validity(action: Action) -> timedelta:
    """Give how long after its decision a message may still go."""
    return VALID if action.valid_hours is None else timedelta(hours=action.valid_hours)


def _address(known: Mapping[str, Mapping[str, Any]], row: Mapping[str, Any]) -> dict[str, Any]:
    person = known.get(row["subject_id"], {})
    return {"email": person.get("email"), "phone": person.get("phone")}


def _kept_back(row: Mapping[str, Any], action: Action, now: datetime, *, contacts_now: bool) -> str:
    """Say what keeps a decision from being queued at all: too old to contact anyone, or a person's to decide."""
    if not contacts_now:
        return ""
    if action.action_class == "significant":
        return NEEDS_A_PERSON
    return OVERDUE if row["decided_ts"] + _validity(action) < now else ""


def _carry_out(trip: _Trip) -> Sent:
    from nextbest.ledger import outbox

    before = _states(trip)
    for part in _parts(trip.keys, LIST_PART):
        trip.ledger.journal.write(partial(outbox.enqueue, rows=[_queued(trip, key) for key in part], now=trip.now))
    failures = 0
    for part in _parts(
        [k for k in trip.keys if before.get(k, ("",))[0] != "sent"], 1 if trip.clearance.contacts_now else LIST_PART
    ):
        for channel in sorted({trip.messages[k]["channel"] for k in part}):
            if failures < CIRCUIT:
                failures = _hand_over(trip, channel, part, failures)
    return _told(trip, before, _states(trip))


def _queued(trip: _Trip, key: str) -> Message:
    from nextbest.ledger import outbox

    row, action = trip.messages[key], trip.clearance.actions[key]
    start = row["decided_ts"] if trip.clearance.contacts_now else trip.now
    return outbox.Message(
        key=key,
        decision_id=row["decision_id"],
        play=trip.play.name,
        subject_id=row["subject_id"],
        channel=row["channel"],
        action_id=row["action_id"],
        due=trip.now,
        purpose=trip.play.purpose if action.action_class in NEEDS_CONSENT else "",
        valid_until=start + _validity(action),
    )


def _hand_over(trip: _Trip, channel: str, keys: Sequence[str], failures: int) -> int:
    """Claim, deliver and mark one part; give how many deliveries in a row have failed by now."""
    from nextbest.ledger import outbox

    claimed = outbox.claim(trip.ledger, channel, len(keys), trip.now, only=keys, also=trip.clearance)
    if not claimed:
        return failures
    receipts = trip.channel.deliver(_messages(trip, claimed)).to_pylist()
    marks = [
        _marked(trip, message, r["status"], r["detail"] or "") for message, r in zip(claimed, receipts, strict=True)
    ]
    outbox.mark_many(trip.ledger, marks)
    for receipt in receipts:
        failures = failures + 1 if receipt["status"] == "retry" else 0
    return failures


def _messages(trip: _Trip, claimed: Sequence[Message]) -> pa.Table:
    rows = [{**trip.messages[m.key], "valid_until": m.valid_until} for m in claimed]
    return pa.Table.from_pylist([{name: row[name] for name in MESSAGE.names} for row in rows], schema=MESSAGE)


def _marked(trip: _Trip, message: Message, status: Mark, detail: str) -> tuple[str, Mark, str, datetime | None]:
    later = trip.now + wait(message.key, message.attempts, detail) if status == "retry" else None
    return message.key, status, detail, later


def wait(key: str, attempts: int, detail: str = "") -> timedelta:
    """Give how long to leave a message alone: doubled each time, jittered by its key, never less than was asked."""
    longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** max(0, attempts - 1))
    jittered = longest * (0.5 + 0.5 * seed_of("wait", key, str(attempts)) / _FULL)
    asked = _RETRY_AFTER.search(detail)
    return timedelta(seconds=max(jittered, float(asked[1]) if asked else 0.0))


def _states(trip: _Trip) -> dict[str, tuple[str, str]]:
    """Give status and detail of every message that is in the outbox."""
    from nextbest.ledger import outbox

    with trip.ledger.journal.read() as connection:
        found = {key: outbox.status(connection, key) for key in trip.keys}
    return {key: state[:2] for key, state in found.items() if state is not None}


def _told(trip: _Trip, before: Mapping[str, tuple[str, str]], after: Mapping[str, tuple[str, str]]) -> Sent:
    changed = {k: state for k, state in after.items() if before.get(k) != state}
    waiting = {k for k, (status, _) in after.items() if status in {"pending", "retry", "sending"}}
    stopped = _stopped(trip, waiting)
    removed = Counter(
        detail if status == "removed" else OVERDUE
        for status, detail in changed.values()
        if status in {"removed", "expired"}
    )
    held = Counter({**trip.clearance.held, **dict.fromkeys(stopped, KILL_SWITCH)}.values())
    return Sent(
        play=trip.play.name,
        channel=trip.name,
        sent=sum(1 for status, _ in changed.values() if status == "sent"),
        already_sent=sum(1 for status, _ in before.values() if status == "sent"),
        retry=len(waiting - stopped - set(trip.clearance.held)),
        failed=sum(1 for status, _ in changed.values() if status == "failed"),
        removed=dict(removed),
        held=dict(held),
        out=getattr(trip.channel, "path", None),
    )


def _stopped(trip: _Trip, keys: set[str]) -> set[str]:
    """Give the messages that the stop switch holds back."""
    from nextbest.ledger import switches

    scopes = {k: (trip.messages[k]["channel"], trip.messages[k]["action_id"]) for k in keys}
    with trip.ledger.journal.read() as connection:
        off = {
            s
            for s in set(scopes.values())
            if switches.stopped(connection, play=trip.play.name, channel=s[0], action=s[1])
        }
    return {k for k, scope in scopes.items() if scope in off}


def _dry_run(trip: _Trip) -> Sent:
    """Ask every question without queueing, handing over or marking anything."""
    from nextbest.ledger import consent, switches

    before = _states(trip)
    verdicts: Counter[tuple[str, str]] = Counter()
    with trip.ledger.journal.read() as connection:
        for key in trip.keys:
            if before.get(key, ("",))[0] == "sent":
                verdicts["already_sent", ""] += 1
                continue
            message = _queued(trip, key)
            if switches.stopped(connection, play=message.play, channel=message.channel, action=message.action_id):
                verdicts["held", KILL_SWITCH] += 1
                continue
            rule = message.purpose and consent.removed(
                connection,
                trip.ledger.config,
                trip.ledger.secret,
                message.subject_id,
                purpose=message.purpose,
                channel=message.channel,
            )
            verdict = ("removed", rule) if rule else trip.clearance(connection, message)
            verdicts[verdict] += 1
    return Sent(
        play=trip.play.name,
        channel=trip.name,
        sent=verdicts["claim", ""],
        already_sent=verdicts["already_sent", ""],
        removed={rule: n for (what, rule), n in verdicts.items() if what == "removed" and n},
        held={rule: n for (what, rule), n in verdicts.items() if what == "held" and n},
        out=getattr(trip.channel, "path", None),
    )


def _parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
