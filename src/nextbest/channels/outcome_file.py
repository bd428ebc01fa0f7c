"""Outcomes from a file or table: who or which decision, when, how much; the same row is the same outcome every time."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from nextbest.channels.files.parquet import as_text
from nextbest.channels.files.rows import read_all
from nextbest.channels.headers import normalised
from nextbest.channels.profile import profiles
from nextbest.channels.roles import roles
from nextbest.channels.times import read_times
from nextbest.errors import DataError, UnknownNameError
from nextbest.ledger import analysis, identities
from nextbest.ledger.workspace import keyed
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nextbest.ledger import Ledger

_WHO = ("subject_id", "email", "phone")
_WHEN = ("ts", "created_ts", "closed_ts", "opened_ts", "clicked_ts", "sent_ts")
_HOW_MUCH = ("value", "money")
_PSEUDONYM_DIGITS = 20
_ID_DIGITS = 32
_FEW = 200


def outcomes_from(ledger: Ledger, source: pa.Table | str | Path, *, name: str | None = None) -> list[Outcome]:
    """Give the outcomes of a file or table with a `decision_id` or a subject (id, e-mail, phone), a time and a value.

    Without a value column each row counts 1; without *name* a column `name` must say it. Raises `DataError`.
    """
    table = as_text(source) if isinstance(source, pa.Table) else read_all(Path(source))
    label = "table" if isinstance(source, pa.Table) else Path(source).name
    if not table.num_rows:
        return []
    columns = _columns(table, label)
    decisions = _texts(table, columns.get("decision_id"))
    subjects = _subjects(ledger, table, columns, decisions, label)
    times = read_times(_required(table, columns["ts"], label), name=columns["ts"], timezone=ledger.config.timezone)
    values = [_value(v, columns.get("value", ""), at) for at, v in enumerate(_texts(table, columns.get("value")), 1)]
    names = [name] * table.num_rows if name else _required(table, columns.get("name", ""), label)
    given = _texts(table, columns.get("outcome_id"))
    found = [
        Outcome(outcome_id=i or "", subject_id=s, ts=t, name=str(n), value=v, decision_id=d, source=label)
        for i, s, t, n, v, d in zip(given, subjects, times, names, values, decisions, strict=True)
    ]
    return _identified(found)


def _columns(table: pa.Table, label: str) -> dict[str, str]:
    """Give the header per part of an outcome."""
    plain = {normalised(c): c for c in table.column_names}
    found = {n: plain[k] for n, k in (("decision_id", "decisionid"), ("outcome_id", "outcomeid")) if k in plain}
    named = next((plain[k] for k in ("name", "outcomename", "outcome") if k in plain), None)
    found |= {} if named is None else {"name": named}
    rest = [p for p in profiles(table.slice(0, 1000)) if p.name not in found.values()]
    by_role = roles(rest)
    for part, choices in (("ts", _WHEN), ("value", _HOW_MUCH)):
        role = next((by_role[c] for c in choices if c in by_role), None)
        if role is not None:
            found[part] = role.profile.name
    found |= {who: by_role[who].profile.name for who in _WHO if who in by_role}
    said = {part: plain[normalised(part)] for part in (*_WHO, "ts", "value") if normalised(part) in plain}
    found |= said  # a column that has the very name is meant, whatever stands in it
    if "ts" not in found or not {"decision_id", *_WHO} & found.keys():
        listed = ", ".join(table.column_names)
        raise DataError(
            f"{label} does not say {'when' if 'ts' not in found else 'who'}: it has {listed}. An outcome needs "
            f"decision_id or subject_id (or an e-mail), ts, and may have value: name its columns so."
        )
    return found


def _texts(table: pa.Table, column: str | None) -> list[str | None]:
    return [None] * table.num_rows if column is None else table[column].to_pylist()


def _required(table: pa.Table, column: str, label: str) -> list[str]:
    if column not in table.column_names:
        raise DataError(f"{label} does not say which outcome this is. Give --name, or a column 'name'.")
    values: list[str] = table[column].to_pylist()
    if table[column].null_count:
        row = next(i for i, v in enumerate(values, 1) if v is None)
        raise DataError(f"{label}, row {row}: '{column}' is empty. Fill it in, or remove the row.")
    return values


def _value(text: str | None, column: str, row: int) -> float:
    if not column:
        return 1.0
    plain = (text or "").strip()
    if "," in plain and "." not in plain:
        plain = plain.replace(",", ".")
    try:
        value = float({"true": "1", "false": "0", "yes": "1", "no": "0"}.get(plain.lower(), plain))
    except ValueError as error:
        raise DataError(f"Row {row}: '{plain[:40]}' in column '{column}' is not a number.") from error
    if not math.isfinite(value):
        raise DataError(f"Row {row}: '{plain[:40]}' in column '{column}' is not a finite number.")
    return value


def _identified(found: Sequence[Outcome]) -> list[Outcome]:
    """Give every outcome without an id one made of what it says, and of how often the same was said before it."""
    seen: Counter[str] = Counter()
    made = []
    for o in found:
        text = "\x1f".join([o.name, o.decision_id or "", o.subject_id, o.ts.isoformat(), repr(o.value)])
        seen[text] += 1
        digest = hashlib.sha256(f"{text}\x1f{seen[text]}".encode()).hexdigest()[:_ID_DIGITS]
        made.append(
            Outcome(
                outcome_id=o.outcome_id or f"o_{digest}",
                subject_id=o.subject_id,
                ts=o.ts,
                name=o.name,
                value=o.value,
                decision_id=o.decision_id,
                source=o.source,
            )
        )
    return made


# --- who --------------------------------------------------------------------------------------------------------------


def _subjects(
    ledger: Ledger, table: pa.Table, columns: Mapping[str, str], decisions: Sequence[str | None], label: str
) -> list[str]:
    """Give the canonical subject of every row: by its identifiers, else by its decision."""
    said = [_texts(table, columns.get(who)) for who in _WHO]
    texts = [next((v for v in row if v), None) for row in zip(*said, strict=True)]
    distinct = [text for text in dict.fromkeys(texts) if text]
    known = {text: resolved(ledger, text, few=len(distinct) <= _FEW) for text in distinct}
    decided = _decided(ledger, {d for d, t in zip(decisions, texts, strict=True) if d and not t})
    found = []
    for row, (text, decision) in enumerate(zip(texts, decisions, strict=True), 1):
        subject = known[text] if text else decided.get(decision or "")
        if subject is None:
            what = f"there is no decision '{decision}'" if decision else "it names neither a decision nor a subject"
            raise DataError(f"{label}, row {row}: {what}. Correct the row, or remove it.")
        found.append(subject)
    return found


def resolved(ledger: Ledger, text: str, *, few: bool) -> str:
    """Give the subject of an identifier; an address nobody has yet becomes its pseudonym, an id stays as it is.

    Looking up whether an id is another system's is slow, and done only for a *few* of them.
    """
    is_address = "@" in text or text.startswith("+")
    with ledger.journal.read() as connection:
        canonical = identities.canonical(connection, text)
    if canonical != text or not (few or is_address):
        return canonical
    try:
        return identities.resolve(ledger, text)
    except UnknownNameError:
        hashed = keyed(ledger.secret, identities.normalise(text))
        return f"p_{hashed[:_PSEUDONYM_DIGITS]}" if is_address else text


def _decided(ledger: Ledger, wanted: set[str]) -> dict[str, str]:
    if not wanted:
        return {}
    rows = analysis.table(ledger, "decisions", columns=["decision_id", "subject_id"])
    rows = rows.filter(pc.is_in(rows["decision_id"], pa.array(sorted(wanted), pa.string())))
    return dict(zip(rows["decision_id"].to_pylist(), rows["subject_id"].to_pylist(), strict=True))
