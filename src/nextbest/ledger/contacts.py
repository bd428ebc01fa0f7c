"""Who was contacted when, for the caps: one row per live decision that reaches its subject."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa

from nextbest.ledger.identities import cluster, merge_map
from nextbest.ledger.statements import insert, load
from nextbest.ledger.times import to_micros
from nextbest.types import ANY_ITEM, NO_ACTION

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from nextbest.config import Config
    from nextbest.types import Action

_FILE = "decisions.sql"
ALL = -1  # how SQLite says that there is no limit
_COUNTS = msgspec.json.Decoder(dict[str, int])
_MOMENT = pa.timestamp("us", tz="UTC")
Row = tuple[str, int, str, str, str, str]  # subject_id, ts, decision_id, channel, play, action_id


def recent(connection: sqlite3.Connection, *, since: datetime) -> pa.Table:
    """Give the contacts since a moment: subject_id (canonical), ts, channel, play, action_id; oldest first."""
    rows = connection.execute(load(_FILE, "contacts_since"), (to_micros(since),)).fetchall()
    canonical = merge_map(connection)
    subjects, ts, *texts = zip(*rows, strict=True) if rows else [()] * 5
    columns = {
        "subject_id": pa.array([canonical.get(s, s) for s in subjects], pa.string()),
        "ts": pa.array(ts, pa.int64()).cast(_MOMENT),
    }
    for name, values in zip(("channel", "play", "action_id"), texts, strict=True):
        columns[name] = pa.array(values, pa.string())
    return pa.table(columns)


class Asked(NamedTuple):
    """What is counted: the contacts of one subject's ids since a moment, on a channel or ('') on all."""

    ids: tuple[str, ...]
    since: int  # microseconds
    channel: str = ""
    most: int = ALL  # a cap need not know by how much it is passed, and who was contacted often takes long to count


def count(
    connection: sqlite3.Connection, subject_id: str, *, since: datetime, channel: str = "", most: int = ALL
) -> int:
    """Give how often a subject (under any of its ids) was contacted since a moment, on one channel or on all.

    With *most* the counting stops there.
    """
    ids = tuple(cluster(connection, subject_id))
    return count_many(connection, [Asked(ids, to_micros(since), channel, most)])[0]


def count_many(connection: sqlite3.Connection, asked: Sequence[Asked]) -> list[int]:
    """Count many such contacts in one statement; each at least up to its own `most`."""
    most = ALL if any(one.most == ALL for one in asked) else max((one.most for one in asked), default=ALL)
    known = {"asked": msgspec.json.encode(asked).decode(), "most": most}
    found = connection.execute(load(_FILE, "count_contacts"), known).fetchone()[0]
    counts = _COUNTS.decode(found)
    return [counts[str(i)] for i in range(len(asked))]


def add(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Remember contacts inside the transaction that logs their decisions."""
    insert(connection, _FILE, "insert_contact", rows)


def reaching(config: Config, play: str) -> dict[str, str]:
    """Give the actions of a play that reach a person, with their channel.

    Those are the outbound ones, and those of class money or significant that go over a channel.
    """
    actions = config.plays[play].actions if play in config.plays else ()
    return {
        a.id: a.channel
        for a in actions
        if a.id != NO_ACTION
        and (a.action_class == "outbound" or (a.action_class in ("money", "significant") and a.channel))
    }


def declared(config: Config, play: str, action_id: str) -> Action | None:
    """Give the action that the play declares under an id; an item that a request brought is its action `*`."""
    actions = config.plays[play].actions if play in config.plays else ()
    by_id = {a.id: a for a in actions}
    return by_id.get(action_id, by_id.get(ANY_ITEM))


def channel_of(config: Config, play: str, action_id: str) -> str:
    """Give the channel over which an action reaches a person; '' when it does not, or nobody declared it."""
    action = declared(config, play, action_id)
    return "" if action is None else reaching(config, play).get(action.id, "")


def is_contact(config: Config, play: str, action_id: str) -> bool:
    """Say whether an action reaches a person; one that nobody declared is taken to."""
    if action_id == NO_ACTION:
        return False
    action = declared(config, play, action_id)
    return action is None or action.id in reaching(config, play)
