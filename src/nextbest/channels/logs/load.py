"""A log of another engine into the decision log: recognised, read, completed, stored, and every line accounted for."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nextbest.channels.files import open_file
from nextbest.channels.logs import answers, feedback, pega, plain, ranked
from nextbest.channels.logs.rows import prepared
from nextbest.channels.logs.sheet import sheet
from nextbest.channels.logs.systems import mapped
from nextbest.channels.outcome_file import resolved
from nextbest.channels.reading import LoadedFile
from nextbest.ledger import archive, logs, rejects
from nextbest.ledger.catalogue import FileRecord
from nextbest.ledger.workspace import keyed
from nextbest.types import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nextbest.channels.files import Opened
    from nextbest.channels.logs.rows import Prepared
    from nextbest.channels.logs.seen import Came, Read, Seen
    from nextbest.channels.logs.sheet import Sheet
    from nextbest.channels.logs.systems import Mapped
    from nextbest.ledger import Ledger

    Reader = Callable[..., Read]

DECISIONS = "decisions"
_DIGITS = 32
_READERS: dict[str, Reader] = {
    "plain": plain.read,
    "answers": answers.read,
    "pega_history": pega.history,
    "pega_extract": pega.extract,
    "metarank": ranked.metarank,
    "personalize": ranked.personalize,
    "gorse": feedback.read,
    "personalize_actions": feedback.read,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Log:
    """One table of a log under way: what it is, what was read of it, and under which digest it is remembered."""

    ledger: Ledger
    sheet: Sheet
    mapped: Mapped
    read: Read
    play: str
    digest: str


def load_log(
    ledger: Ledger,
    path: str | Path,
    *,
    play: str | None = None,
    overrides: Mapping[str, str] | None = None,
    dry_run: bool = False,
) -> list[LoadedFile]:
    """Bring another engine's log into the decision log; one entry per table of the file.

    `play` names the play of all its decisions (default: what the log calls the experiment, else the system);
    `overrides` say which column is which field. The same file again changes nothing. Raises `DataError` for a log that
    is not understood or holds no decisions.
    """
    with archive.pending(ledger) as scratch, open_file(Path(path), scratch=scratch) as tables:
        return [_load(ledger, opened, play or "", overrides or {}, dry_run=dry_run) for opened in tables]


def _load(ledger: Ledger, opened: Opened, play: str, said: Mapping[str, str], *, dry_run: bool) -> LoadedFile:
    found = mapped(opened.columns, said, name=opened.name)
    digest = _digest(opened.digest, DECISIONS, play, json.dumps(dict(found.headers), sort_keys=True))
    before = logs.loaded(ledger, digest)
    if before is not None:
        return _report(found, opened, before, {}, already=True)
    table = sheet(opened)
    latest = ledger.clock() + timedelta(days=ledger.config.limits.future_days)
    read = _READERS[found.log.reader](table, found, timezone=ledger.config.timezone, latest=latest)
    log = _Log(ledger=ledger, sheet=table, mapped=found, read=read, play=play, digest=digest)
    made = _prepared(log)
    outcomes = _outcomes(log, made)
    return _stored(log, opened, made, outcomes, dry_run=dry_run)


def _stored(log: _Log, opened: Opened, made: Prepared, outcomes: Sequence[Outcome], *, dry_run: bool) -> LoadedFile:
    known = logs.logged(log.ledger, made.ids)
    new = _without(made, known) if known else made
    refused = sorted((*log.sheet.broken, *log.read.rejects), key=lambda r: r.line)
    relative = f"{rejects.FOLDER}/{rejects.file_name(opened.name, log.digest)}" if refused else None
    if relative and not dry_run:
        rejects.write(log.ledger.path / relative, refused)
    record = FileRecord(
        digest=log.digest,
        name=opened.name,
        rows_read=log.sheet.rows_read,
        rows_accepted=log.sheet.rows_read - len(refused),
        rows_rejected=len(refused),
        rejected_path=None if dry_run else relative,
        mapping=json.dumps({"log": [log.mapped.log.system, log.mapped.log.table], "headers": dict(log.mapped.headers)}),
    )
    counts = len(new.decisions), len(outcomes)
    if not dry_run:
        counts = logs.adopt(log.ledger, new.batches(), outcomes, file=record, source=log.mapped.log.system)
    by_kind = dict(zip(("decisions", "outcomes"), counts, strict=True))
    return _report(log.mapped, opened, record, by_kind, notes=tuple(_notes(log, made)))


# --- ids --------------------------------------------------------------------------------------------------------------


def _prepared(log: _Log) -> Prepared:
    """Give the decisions with ids that are the same however often, and in however many files, they come."""
    decisions, system, secret = log.read.decisions, log.mapped.log.system, log.ledger.secret
    plays = [log.play or seen.play or system for seen in decisions]
    pairs = list(zip(decisions, plays, strict=True))
    ids = [f"d_{keyed(secret, _joined(system, play, *seen.key))[:_DIGITS]}" for seen, play in pairs]
    requests = [
        f"r_{keyed(secret, _joined(system, play, *seen.request))[:_DIGITS]}" if seen.request else ""
        for seen, play in pairs
    ]
    people = _people(log.ledger, {s.subject_id for s in decisions} | {o.subject_id for o in log.read.outcomes})
    nobody = [r or i for r, i in zip(requests, ids, strict=True)]
    subjects = [people.get(s.subject_id) or f"unknown_{n[2:]}" for s, n in zip(decisions, nobody, strict=True)]
    return prepared(system, decisions, ids=ids, request_ids=requests, subjects=subjects, plays=plays)


def _people(ledger: Ledger, texts: set[str]) -> dict[str, str]:
    """Give the subject of every id; an address is looked up and, where nobody has it yet, known by its pseudonym."""
    return {text: resolved(ledger, text, few=False) for text in texts if text}


def _outcomes(log: _Log, made: Prepared) -> list[Outcome]:
    """Give the outcomes with their decisions; those of a decision without a person are of that decision's subject."""
    people = _people(log.ledger, {o.subject_id for o in log.read.outcomes})
    secret, system = log.ledger.secret, log.mapped.log.system
    seen: Counter[str] = Counter()
    found = []
    for o in log.read.outcomes:
        decision = made.ids[o.decision] if o.decision is not None else _named(log, o)
        subject = people.get(o.subject_id) or (made.subjects[o.decision] if o.decision is not None else "")
        text = _joined(system, decision or "", subject, o.name, o.ts.isoformat(), repr(o.value))
        seen[text] += 1
        found.append(
            Outcome(
                outcome_id=f"o_{keyed(secret, _joined(text, str(seen[text])))[:_DIGITS]}",
                subject_id=subject,
                ts=o.ts,
                name=o.name,
                value=o.value,
                decision_id=decision,
                source=system,
            )
        )
    return found


def _named(log: _Log, came: Came) -> str | None:
    """Give the id of the decision that an outcome names by the log's own id, as `_prepared` makes it."""
    if not came.decision_id:
        return None
    key = (log.mapped.log.system, log.play or log.mapped.log.system, came.decision_id.strip(), "", "1")
    return f"d_{keyed(log.ledger.secret, _joined(*key))[:_DIGITS]}"


def _without(made: Prepared, known: set[str]) -> Prepared:
    """Give the decisions that the log does not have yet, with the chances that were estimated from all of them."""
    from dataclasses import replace

    keep = [i for i, id_ in enumerate(made.ids) if id_ not in known]
    chances = None if made.chances is None else replace(made.chances, weights=made.chances.weights[keep])
    return replace(
        made,
        decisions=[made.decisions[i] for i in keep],
        ids=[made.ids[i] for i in keep],
        request_ids=[made.request_ids[i] for i in keep],
        subjects=[made.subjects[i] for i in keep],
        plays=[made.plays[i] for i in keep],
        chances=chances,
    )


def _joined(*parts: str) -> str:
    return "\x1f".join(parts)


def _digest(*parts: str) -> str:
    return hashlib.sha256(_joined(*parts).encode()).hexdigest()


# --- the report -------------------------------------------------------------------------------------------------------


def _report(
    found: Mapped,
    opened: Opened,
    record: FileRecord,
    by_kind: Mapping[str, int],
    *,
    already: bool = False,
    notes: tuple[str, ...] = (),
) -> LoadedFile:
    log = found.log
    return LoadedFile(
        file=opened.name,
        recognised_as={"system": log.system, "table": log.table, "confidence": log.confidence},
        rows_read=record.rows_read,
        rows_accepted=record.rows_accepted,
        rows_rejected=record.rows_rejected,
        rejected_file=record.rejected_path,
        columns_used=found.used,
        columns_unused=tuple(c for c in opened.columns if c not in found.used),
        mapping=tuple(f"{header} -> {to}" for to, header in found.headers.items()),
        by_kind={kind: n for kind, n in by_kind.items() if n},
        rows_new=sum(by_kind.values()),
        already_loaded=already,
        notes=notes,
    )


def _notes(log: _Log, made: Prepared) -> Sequence[str]:
    """Say what the log means by its words, what was estimated, and what to add before the play can be measured."""
    notes = [*log.mapped.log.notes, *log.read.notes]
    if made.estimated and made.chances:
        told = f"by {made.chances.how}, log loss out of fold {abs(made.chances.log_loss):.3f}"
        against = f" ({made.chances.frequency_log_loss:.3f} by frequency)" if made.chances.how == "logistic" else ""
        notes.append(
            f"The log does not say the chance of the choice for {made.estimated:,} of {len(made.ids):,} decisions: it "
            f"is estimated {told}{against}, and every result that rests on it says so."
        )
    unknown = [play for play in dict.fromkeys(made.plays) if play not in log.ledger.config.plays]
    notes += [
        _to_add(play, [d for d, p in zip(made.decisions, made.plays, strict=True) if p == play]) for play in unknown[:3]
    ]
    return notes


def _to_add(play: str, decisions: Sequence[Seen]) -> str:
    """Give the lines of nextbest.toml that make a play of the log one that can be measured."""
    listed = [a for a, _ in Counter(d.action_id for d in decisions).most_common(3) if a != "none"]
    actions = ", ".join(f"{{ id = {json.dumps(a)} }}" for a in listed)
    return (
        f"To measure it, add the play to nextbest.toml: [plays.{json.dumps(play)}], then lines with its actions, "
        f"actions = [{actions}, ...], with goal_days (how long after a decision an outcome counts), and with holdout = "
        "0.0 where the log has no holdout."
    )
