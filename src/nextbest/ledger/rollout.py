"""How far each play is rolled out, and which model of each recipe serves: appended, chained, the latest row counts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from nextbest.ledger import chain
from nextbest.ledger.statements import load
from nextbest.ledger.times import from_micros, to_micros
from nextbest.ledger.workspace import new_id

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from datetime import datetime

    from nextbest.ledger.workspace import Ledger

Stage = Literal["observe", "shadow", "live"]
_FILE = "rollout.sql"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: `observe` logs what the caller does, `shadow` decides beside it, `live` acts for a share."""

    step_id: str
    play: str
    stage: Stage
    share: float
    why: str
    ts: datetime
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """One model that began to serve for its recipe, and why."""

    serving_id: str
    recipe: str
    model_id: str
    why: str
    ts: datetime


def take(ledger: Ledger, play: str, stage: Stage, share: float, *, why: str, evidence: Mapping[str, Any]) -> str:
    """Store a step and give its id; it binds every worker within a second."""
    said = msgspec.json.encode(evidence, order="deterministic").decode()
    return _append(ledger, "rollout", "insert_step", (new_id("ro"), play, stage, share, why, said))


def serve(ledger: Ledger, recipe: str, model_id: str, *, why: str) -> str:
    """Say which model serves for a recipe from now on, and give the id of the row."""
    return _append(ledger, "serving", "insert_serving", (new_id("sv"), recipe, model_id, why))


def steps(connection: sqlite3.Connection, play: str) -> list[Step]:
    """Give the steps of a play, oldest first."""
    rows = connection.execute(load(_FILE, "steps"), (play,)).fetchall()
    return [
        Step(
            step_id=i, play=p, stage=stage, share=share, why=why, evidence=msgspec.json.decode(said), ts=from_micros(t)
        )
        for i, p, stage, share, why, said, t in rows
    ]


def stages(connection: sqlite3.Connection) -> dict[str, tuple[Stage, float]]:
    """Give the stage and share of every play that ever took a step."""
    return {play: (stage, share) for play, stage, share in connection.execute(load(_FILE, "stages"))}


def servings(connection: sqlite3.Connection, recipe: str) -> list[Serving]:
    """Give the models that served for a recipe, oldest first; the last one serves."""
    rows = connection.execute(load(_FILE, "servings"), (recipe,)).fetchall()
    return [
        Serving(serving_id=i, recipe=r, model_id=model_id, why=why, ts=from_micros(ts))
        for i, r, model_id, why, ts in rows
    ]


def serving(connection: sqlite3.Connection) -> dict[str, str]:
    """Give the model that serves for each recipe, where that was ever said."""
    return dict(connection.execute(load(_FILE, "all_servings")).fetchall())


def stamp(connection: sqlite3.Connection) -> tuple[int, int]:
    """Give numbers that change with every step and every serving, in a microsecond."""
    found: tuple[int, int] = connection.execute(load(_FILE, "stamp")).fetchone()
    return found


def _append(ledger: Ledger, what: str, statement: str, row: tuple[Any, ...]) -> str:
    whole = (*row, to_micros(ledger.clock()))

    def write(connection: sqlite3.Connection) -> str:
        connection.execute(load(_FILE, statement), whole)
        chain.add(connection, what, str(whole[0]), chain.row_bytes(whole))
        return str(whole[0])

    return ledger.journal.write(write)
