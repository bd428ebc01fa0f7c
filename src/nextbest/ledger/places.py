"""The data map: every place of a workspace that may hold a person's data, and what erasure does there.

A test lists every table of the journal and every file of a workspace and fails when one is not named here, so whoever
adds a place must say how it is erased.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Literal

How = Literal["delete_rows", "rewrite", "drop_lines", "mark", "sweep", "keyed_hash", "nothing_personal", "kept"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A table or a pattern of files; `why` says why erasure may leave it, where it does."""

    name: str
    how: How
    why: str = ""


TABLES: tuple[Place, ...] = (
    Place(name="event", how="delete_rows"),
    Place(name="outcome", how="delete_rows"),
    Place(name="consent", how="delete_rows"),
    Place(name="identity", how="delete_rows"),
    Place(name="merge", how="delete_rows"),
    Place(name="decision", how="delete_rows"),
    Place(name="contact", how="delete_rows"),
    Place(name="feedback", how="delete_rows"),
    Place(name="outbox", how="delete_rows"),
    Place(name="published", how="delete_rows"),
    Place(name="idempotency", how="delete_rows"),
    Place(name="learnt", how="delete_rows"),
    Place(name="learner_state", how="mark", why="sums over many people; learnt again from the log without the person"),
    Place(name="message", how="keyed_hash", why="so that a message that is sent again is not taken in again"),
    Place(name="suppression", how="keyed_hash", why="so that an erased person is never contacted again"),
    Place(name="erased", how="keyed_hash", why="the receipt, and so that a restore erases the person again"),
    Place(name="chain_link", how="keyed_hash", why="salted digests; the salt goes with the row"),
    Place(name="chain_salt", how="delete_rows", why="by `chain.forget`"),
    Place(name="chain_forgotten", how="nothing_personal", why="numbers of links"),
    Place(name="chain_group", how="keyed_hash", why="salted digests; each salt goes with its row"),
    Place(name="chain_erased", how="nothing_personal", why="numbers of links and places"),
    Place(name="model_mark", how="nothing_personal", why="models and receipts"),
    Place(name="segment", how="nothing_personal", why="names of files and sources"),
    Place(name="file", how="nothing_personal", why="names of loaded files and of their columns"),
    Place(name="publication", how="nothing_personal", why="recipes and models"),
    Place(name="switch", how="nothing_personal", why="plays, channels, actions and an operator's reason"),
    Place(name="spent", how="nothing_personal", why="sums per play, action and quarter of an hour"),
    Place(name="approved_amount", how="nothing_personal", why="amounts of plays and actions, and who approved them"),
    Place(name="clock_mark", how="nothing_personal", why="one moment"),
    Place(name="alarm", how="nothing_personal", why="plays, checks, figures, and who raised or lifted it"),
    Place(name="rollout", how="nothing_personal", why="stages of plays, and an operator's reason"),
    Place(name="serving", how="nothing_personal", why="models of recipes, and an operator's reason"),
    Place(name="key", how="nothing_personal", why="hashes of API keys"),
    Place(name="key_terms", how="nothing_personal", why="rates, kinds of events and origins of API keys"),
    Place(name="key_revoked", how="nothing_personal", why="ids of API keys"),
    Place(name="key_used", how="nothing_personal", why="ids of API keys"),
    Place(name="config_change", how="nothing_personal", why="hashes of nextbest.toml"),
    Place(name="counter", how="nothing_personal", why="counters"),
)

FILES: tuple[Place, ...] = (
    Place(name="nextbest.toml", how="kept", why="written by the operator; no place for a person's data"),
    Place(name=".secret", how="nothing_personal", why="random bytes"),
    Place(name=".door", how="nothing_personal", why="an empty file that processes lock"),
    Place(name=".room", how="nothing_personal", why="an empty file that processes lock"),
    Place(name="stop", how="nothing_personal", why="the kill switch"),
    Place(name="restoring", how="nothing_personal", why="the mark of a restore that is not done"),
    Place(name="ledger.sqlite", how="delete_rows", why="and written anew"),
    Place(name="ledger.sqlite-wal", how="sweep", why="emptied after the deletion"),
    Place(name="ledger.sqlite-shm", how="nothing_personal", why="page numbers"),
    Place(name="archive/.pending/*", how="sweep"),
    Place(name=".tmp/*", how="sweep"),
    Place(name="archive/*/*.parquet", how="rewrite"),
    Place(name="rejects/*", how="drop_lines"),
    Place(name="mappings/*", how="nothing_personal", why="names of columns; no samples"),
    Place(name="models/*", how="mark", why="a model is retrained without the person, or retired; ids only as hashes"),
)

DELETED: tuple[str, ...] = tuple(p.name for p in TABLES if p.how == "delete_rows" and not p.why)


def place_of(path: str) -> Place | None:
    """Give the place that a file belongs to, by its path within the workspace; None when nobody has named it."""
    return next((p for p in FILES if fnmatch(path, p.name)), None)
