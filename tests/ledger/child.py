"""A child process that writes to a workspace until it is killed, and says what was acknowledged on standard output.

python child.py <workspace> <ingest|decide> <prefix>
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

from tests.ledger.makers import NOW, decision, event

from nextbest.ledger import Ledger, consent, decisions, events, open_ledger, outbox

if TYPE_CHECKING:
    import sqlite3
    from multiprocessing.connection import Connection

THREADS = 4
RESENT = 0.1


class Pipe:
    """The way to the parent, shared by the threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def say(self, *words: str) -> None:
        """Tell the parent at once."""
        with self._lock:
            self._connection.send_bytes(" ".join(words).encode())


def ingest(ledger: Ledger, prefix: str, pipe: Pipe) -> None:
    """Send batches of events for ever; every tenth event is sent again in a later batch."""
    chance, sent, number = random.Random(prefix), [], 0
    while True:
        batch = []
        for _ in range(chance.randint(1, 20)):
            if sent and chance.random() < RESENT:
                batch.append(chance.choice(sent))
            else:
                batch.append(event(f"{prefix}-{number}"))
                sent.append(batch[-1])
                number += 1
        pipe.say(*(r.message_id for r in events.ingest(ledger, batch, source="child") if r.status != "rejected"))


def decide(ledger: Ledger, prefix: str, pipe: Pipe) -> None:
    """Decide for ever, each decision with its message in the outbox, if the subject has agreed."""
    number = 0
    while True:
        made = decision(f"{prefix}-{number}", subject_id=f"c{number % 10}")
        if ledger.journal.write(lambda connection, made=made: log(connection, ledger, made)):
            pipe.say(made.decision_id)
        number += 1


def log(connection: sqlite3.Connection, ledger: Ledger, made: decisions.Decision) -> bool:
    """Log one decision and its message in one transaction, if it is permitted there."""
    channel = "email"
    rule = consent.removed(
        connection, ledger.config, ledger.secret, made.subject_id, purpose="marketing", channel=channel
    )
    if rule is None:
        decisions.log(connection, ledger, [made])
        message = outbox.Message(
            key=f"key-{made.decision_id}",
            decision_id=made.decision_id,
            play=made.play,
            subject_id=made.subject_id,
            channel=channel,
            action_id=made.action_id,
            due=NOW,
        )
        outbox.enqueue(connection, [message])
    return rule is None


def main(path: str, what: str, prefix: str, connection: Connection) -> None:
    """Start the threads and wait to be killed."""
    pipe, work = Pipe(connection), {"ingest": ingest, "decide": decide}[what]
    ledger = open_ledger(path, clock=lambda: NOW)
    threads = [threading.Thread(target=work, args=(ledger, f"{prefix}-{i}", pipe)) for i in range(THREADS)]
    pipe.say("ready")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
