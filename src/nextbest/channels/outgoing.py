"""What a play has to say: its newest live decision per subject, as messages; addresses are looked up, never queued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.channels import MESSAGE
from nextbest.errors import ConfigError
from nextbest.types import NO_ACTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger import Ledger
    from nextbest.types import Action, Play

_MESSAGES = frozenset({"outbound", "money"})  # what is sent to a person; a page's own content has no list to leave
_COLUMNS = ("decision_id", "subject_id", "action_id", "ts", "reason", "play", "mode", "candidates", "policy_version")
PEOPLE = ("subject_id", "email", "phone", "timezone", "country")


def outgoing(ledger: Ledger, play: Play) -> pa.Table:
    """Give the messages of a play without addresses, with `decided_ts`; a subject's older decisions are overtaken.

    What another engine decided, and its log told us, is never carried out.
    """
    from nextbest.ledger import analysis, logs

    log = logs.ours(analysis.table(ledger, "decisions", columns=_COLUMNS))
    log = log.filter(pc.and_(pc.equal(log["play"], play.name), pc.equal(log["mode"], "live")))
    newest = _newest(log)
    rows = newest.filter(pc.not_equal(newest["action_id"], NO_ACTION))
    actions = {a.id: a for a in play.actions}
    n = rows.num_rows
    columns: dict[str, Any] = {
        "decision_id": rows["decision_id"],
        "play": pa.repeat(pa.scalar(play.name), n),
        "subject_id": rows["subject_id"],
        "action_id": rows["action_id"],
        "channel": _of_action(rows["action_id"], actions, "channel"),
        "text": _of_action(rows["action_id"], actions, "text"),
        "email": pa.nulls(n, pa.string()),
        "phone": pa.nulls(n, pa.string()),
        "reason": rows["reason"],
        "expected_value": _chosen_value(rows),
        "valid_until": pa.nulls(n, MESSAGE.field("valid_until").type),
        **_unsubscribing(ledger, play, rows, actions),
    }
    return pa.table(columns, schema=MESSAGE).append_column("decided_ts", rows["ts"])


def _unsubscribing(ledger: Ledger, play: Play, rows: pa.Table, actions: Mapping[str, Action]) -> dict[str, pa.Array]:
    """Give the headers with which a message says how to end it: a link of its own per person, play and channel."""
    from nextbest.ledger import unsubscribe

    url = ledger.config.server.public_url
    if url and urlsplit(url).scheme not in {"https", "http"}:
        raise ConfigError(f"[server] public_url is '{url}'. It is an address such as https://next.example.com.")
    headers: list[tuple[str | None, str | None]] = []
    for subject_id, action_id in zip(rows["subject_id"].to_pylist(), rows["action_id"].to_pylist(), strict=True):
        action = actions.get(action_id)
        if not url or action is None or action.action_class not in _MESSAGES:
            headers.append((None, None))
            continue
        link = unsubscribe.Link(
            subject_id=subject_id, play=play.name, purpose=play.purpose, channel=action.channel or unsubscribe.ANY
        )
        headers.append(unsubscribe.headers(ledger.secret, url, link))
    return {
        "list_unsubscribe": pa.array([h[0] for h in headers], pa.string()),
        "list_unsubscribe_post": pa.array([h[1] for h in headers], pa.string()),
    }


def _newest(log: pa.Table) -> pa.Table:
    ordered = log.sort_by([("subject_id", "ascending"), ("ts", "ascending"), ("decision_id", "ascending")])
    ids = ordered["subject_id"].combine_chunks()
    if not len(ids):
        return ordered
    last = np.ones(len(ids), dtype=bool)
    last[:-1] = pc.not_equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return ordered.filter(pa.array(last))


def _of_action(ids: pa.ChunkedArray, actions: Mapping[str, Action], name: str) -> pa.Array:
    coded = ids.combine_chunks().dictionary_encode()
    words = [getattr(actions[i], name) if i in actions else "" for i in coded.dictionary.to_pylist()]
    return pa.array(words, pa.string()).take(coded.indices)


def _chosen_value(rows: pa.Table) -> pa.Array:
    """Give the expected value of the chosen candidate of each decision."""
    lists = rows["candidates"].combine_chunks()
    if not len(lists):
        return pa.array([], pa.float64())
    parents, flat = pc.list_parent_indices(lists), pc.list_flatten(lists)
    chosen = pc.equal(pc.struct_field(flat, "action_id"), rows["action_id"].combine_chunks().take(parents))
    out = np.full(rows.num_rows, np.nan)
    values = pc.struct_field(flat, "expected_value").filter(chosen).to_numpy(zero_copy_only=False)
    out[parents.filter(chosen).to_numpy(zero_copy_only=False)] = values
    return pa.array(out, from_pandas=True)


def people(ledger: Ledger, subject_ids: pa.ChunkedArray) -> dict[str, dict[str, str | None]]:
    """Give e-mail, phone, time zone and country of the subjects, as they are known now."""
    from nextbest.ledger import analysis

    known = analysis.table(ledger, "subjects", columns=PEOPLE)
    wanted = known.filter(pc.is_in(known["subject_id"], value_set=subject_ids.combine_chunks()))
    return {row["subject_id"]: row for row in wanted.to_pylist()}
