"""Which system a file comes from, by its headers: rare headers say more than common ones.

Every table that has a header speaks for it by the header's inverse document frequency, log(tables / tables with it).
To that sum is added how likely it is to see this many of the table's columns when any share of them may be exported,
log B(seen + 1, missing + 1). The confidence is the table's share of exp(score) over all tables and "none of them".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from nextbest.channels.headers import normalised
from nextbest.channels.profile import moment
from nextbest.channels.systems import Table, table, tables
from nextbest.channels.used import completed
from nextbest.errors import unknown
from nextbest.ledger.kinds import kind as find_kind
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

SURE = 0.9
NAMED = 2.0  # what it is worth that the file is named after the table, and again that it names the system
NONE_OF_THEM = 2.0  # what headers must be worth together, shape included, before they outweigh "none of them"
DAMPING = 0.8  # headers of a table come together: each is worth less than if it came alone
ALTERNATIVES = 3
_NEVER = "\x00"  # no cell holds it: the lines of a table without facts are read, counted, and give nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognition:
    """The likeliest table, how sure that is (0 to 1; below `SURE`: ask), and the next ones with their confidence."""

    system: str
    table: str
    confidence: float
    alternatives: tuple[tuple[str, str, float], ...] = ()


def recognise(columns: Sequence[str], *, name: str = "") -> Recognition:
    """Give the table whose headers a file has; a file name that names the table helps where headers leave a doubt."""
    seen = {normalised(c) for c in columns}
    scored = sorted(((_score(t, seen, name), t) for t in tables()), key=lambda s: (-s[0], s[1].system, s[1].name))
    best, first = scored[0]
    if best == -math.inf:
        return Recognition(system="", table="", confidence=0.0)
    highest = max(best, NONE_OF_THEM)
    shares = [math.exp(DAMPING * (score - highest)) for score, _ in scored]
    total = sum(shares) + math.exp(DAMPING * (NONE_OF_THEM - highest))
    rivals = tuple(
        (t.system, t.name, round(share / total, 3))
        for share, (_, t) in zip(shares[1 : 1 + ALTERNATIVES], scored[1:], strict=False)
    )
    sure = round(shares[0] / total, 3)
    return Recognition(system=first.system, table=first.name, confidence=sure, alternatives=rivals)


def mapping(
    system: str, name: str, columns: Sequence[str], *, confidence: float = 1.0, sample: pa.Table | None = None
) -> FileMapping:
    """Give what a table of the dictionary means for a file: the rules whose header is there, read as the *sample* asks.

    An emit is left out when a column it needs is not in the file.
    """
    entry = table(system, name)
    if entry is None:
        raise unknown("known table", f"{system}.{name}", [f"{t.system}.{t.name}" for t in tables()])
    present = _present(entry, columns)
    found = (_emit(said, p, sample) for said in entry.emits for p in _each(said, entry, present, columns))
    emits = tuple(e for e in found if e is not None)
    if entry.empty:
        emits = (Emit(kind="links", columns=(), where={columns[0]: (_NEVER,)}),)
    made = FileMapping(
        system=system, table=name, confidence=confidence, emits=emits, namespace=entry.namespace, ignore_unmatched=True
    )
    return completed(made, columns)


# --- likeness ---------------------------------------------------------------------------------------------------------


@cache
def _weights() -> dict[str, float]:
    counted = Counter(spelling for t in tables() for spelling in {s for s, _ in t.spellings()})
    return {spelling: math.log((len(tables()) + 1) / n) for spelling, n in counted.items()}


@cache
def _known(system: str, name: str) -> dict[str, str]:
    found = table(system, name)
    return dict(found.spellings()) if found else {}


def _score(candidate: Table, seen: set[str], name: str) -> float:
    known = _known(candidate.system, candidate.name)
    worth: dict[str, float] = {}
    for spelling in seen & known.keys():
        column = known[spelling]
        worth[column] = max(worth.get(column, 0.0), _weights()[spelling])
    if not worth:
        return -math.inf
    missing = len(set(known.values())) - len(worth)
    shape = math.lgamma(len(worth) + 1) + math.lgamma(missing + 1) - math.lgamma(len(worth) + missing + 2)
    return sum(worth.values()) + shape + _named(candidate, name)


def _named(candidate: Table, name: str) -> float:
    """Give what a file's name says for a table: 'hubspot_deal_contact.csv' says more than 'deal_contact_2025.csv'."""
    stem = normalised(re.sub(r"(\.[a-z0-9]{1,8})+$", "", name.lower().rsplit("/", 1)[-1])).rstrip("0123456789")
    system, own = normalised(candidate.system), normalised(candidate.name)
    if not stem:
        return 0.0
    if stem == system + own:
        return 2 * NAMED
    return NAMED if stem == own or stem in map(normalised, candidate.file_names) else 0.0


# --- rules ------------------------------------------------------------------------------------------------------------


def _present(entry: Table, columns: Sequence[str]) -> dict[str, str]:
    """Give the file's own header per canonical header, for those it has; dropped columns are not there."""
    known, dropped = dict(entry.spellings()), {normalised(d) for d in entry.drop}
    found: dict[str, str] = {}
    for column in columns:
        spelling = normalised(column)
        if spelling in known and spelling not in dropped:
            found.setdefault(known[spelling], column)
    return found


def _each(
    said: Mapping[str, Any], entry: Table, present: Mapping[str, str], columns: Sequence[str]
) -> Iterator[Mapping[str, str]]:
    """Give the file's headers once, or once per column that the starred header of the emit stands for."""
    if "each" not in said:
        yield present
        return
    taken = set(present.values())
    starts = tuple(start for start, column in entry.starred() if column == said["each"])
    for column in columns:
        if column not in taken and normalised(column).startswith(starts):
            yield {**present, said["each"]: column}


def _emit(said: Mapping[str, Any], present: Mapping[str, str], sample: pa.Table | None) -> Emit | None:
    """Give one emit of a table, or None when the file lacks what it needs."""
    needed = [*said.get("needs", ()), *said.get("group_by", ()), *said.get("where", {})]
    if "unnest" in said:
        needed.append(said["unnest"].split(".", 1)[0])
    if any(n not in present for n in needed):
        return None
    nested = said.get("unnest", "")
    within = {**present, nested: _unnest(nested, present)} if "." in nested else present
    columns = [r for to, rule in said["columns"].items() if (r := _rule(to, rule, within, sample)) is not None]
    subject = [r for rule in said.get("subject", ()) if (r := _rule("subject_id", rule, present, sample)) is not None]
    if said.get("subject") and not subject:
        return None
    given = {r.to for r in columns} | set(said.get("constants", {}))
    kind = find_kind(said["kind"])
    provided = {"event_id", "received_ts", "subject_id", *(("ts",) if kind.name == "consent" else ())}
    if any(c.required and c.name not in given | provided for c in kind.columns):
        return None
    return Emit(
        kind=kind.name,
        columns=tuple(columns),
        subject=tuple(subject),
        subject_type=said.get("subject_type", "customer"),
        constants=said.get("constants", {}),
        group_by=tuple(present[g] for g in said.get("group_by", ())),
        unnest=_unnest(nested, present),
        where={present[c]: tuple(values) for c, values in said.get("where", {}).items()},
    )


def _unnest(said: str, present: Mapping[str, str]) -> str:
    head, dot, path = said.partition(".")
    return f"{present[head]}{dot}{path}" if said else ""


def _rule(to: str, said: Any, present: Mapping[str, str], sample: pa.Table | None) -> ColumnRule | None:  # noqa: ANN401 (JSON)
    """Give one rule: a header, a header and how to read it, or all of it."""
    if isinstance(said, str):
        said = {"source": said}
    elif isinstance(said, list):
        said = {"source": said[0], "parse": said[1]}
    choices = said["source"] if isinstance(said["source"], list) else [said["source"]]
    source = next((present[c] for c in choices if c in present), None)
    if source is None:
        return None
    more = {k: v for k, v in said.items() if k not in {"source", "path"}}
    if more.get("parse") == "timestamp" and "path" not in said:
        more["parse"] = _as_written(source, sample)
    return ColumnRule(**{"to": to, **more, "source": source, "path": tuple(said.get("path", ()))})


def _as_written(source: str, sample: pa.Table | None) -> str:
    """Give how the times of a column are written: exports of one table differ by tool and language."""
    if sample is None or source not in sample.column_names:
        return "timestamp"
    values = [v for v in sample[source].to_pylist() if v]
    found, _ = moment(values) if values else (None, True)
    return found or "timestamp"
