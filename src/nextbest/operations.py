"""What an operator and a surface need beside the ten verbs: open, permit, check, prove, back up, look up.

The command line and the HTTP service use only this file and `verbs.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nextbest import registry
from nextbest.errors import LedgerError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    import pyarrow as pa

    from nextbest.ledger import Ledger
    from nextbest.ledger.feedback import Verdict
    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.keys import KeyInfo
    from nextbest.ledger.profile import Profile
    from nextbest.models.serving import Version
    from nextbest.trust.today import Today
    from nextbest.types import Decision
    from nextbest.watching.rollout import Rolled

GROUPS = ("recipes", "policies", "models", "measures", "channels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Whether the audit chain, the segments and the models' signatures hold, and what does not."""

    ok: bool
    links: int
    head: str
    problems: tuple[str, ...] = field(default=())


# --- the workspace --------------------------------------------------------------------------------------------------


def open(path: str | Path | None = None, *, clock: Callable[[], datetime] | None = None) -> Ledger:  # noqa: A001 (nb.open reads as it should)
    """Open the workspace at *path*, or the nearest one upwards from here, as git does."""
    from nextbest.ledger import open_ledger

    return open_ledger(path, clock=clock)


def create(
    path: str | Path = ".", *, config_text: str | None = None, clock: Callable[[], datetime] | None = None
) -> Ledger:
    """Make a workspace in a folder, with a commented `nextbest.toml`, and open it."""
    from nextbest import ledger

    return ledger.create(path, config_text=config_text, clock=clock)


def backup(ledger: Ledger, file: str | Path) -> dict[str, Any]:
    """Write the whole workspace to one file while it goes on working; gives what is in it."""
    from nextbest.ledger import backup as archive

    return dict(archive.backup(ledger, Path(file)))


def restore(file: str | Path, path: str | Path) -> Ledger:
    """Bring a backup back, replay later consent and erasures found at *path*, and open it."""
    from nextbest.ledger import backup as archive

    return archive.restore(Path(file), Path(path))


# --- is it right ----------------------------------------------------------------------------------------------------


def check(ledger: Ledger) -> list[dict[str, Any]]:
    """Give the data's problems per table: missing, duplicates, inconsistent, suspicious, and what to do about each."""
    from nextbest.ledger import quality

    return [dict(table) for table in quality.check(ledger)]


def verify(ledger: Ledger) -> Verified:
    """Recompute the audit chain, the hashes of all segments and the signatures of all models."""
    from nextbest.ledger import archive, chain
    from nextbest.models import store

    verified = chain.verify(ledger)
    problems = [*verified.problems, *archive.verify(ledger), *store.verify(ledger)]
    return Verified(ok=not problems, links=verified.links, head=verified.head, problems=tuple(map(str, problems)))


def names(group: str) -> list[str]:
    """Give the names of recipes, policies, models, measures or channels that can be used here."""
    return registry.names(group)


# --- permission -----------------------------------------------------------------------------------------------------


def consent(
    ledger: Ledger,
    subject_id: str,
    *,
    allow: bool,
    proof: str,
    purpose: str = "marketing",
    channel: str = "*",
    source: str = "",
    also: Also | None = None,
) -> int:
    """Store a yes or a no with its proof, durable before this returns; gives the consent version.

    The subject may be given by e-mail or phone, also before anything about the person is loaded.
    """
    from nextbest.ledger import consent as ledger_consent
    from nextbest.ledger import identities

    if not proof.strip():
        raise UsageError(
            "Consent needs a proof: say where and how it was given, such as 'newsletter form, 2026-03-01'."
        )
    known = identities.resolve_or_expect(ledger, subject_id)
    return ledger_consent.record(
        ledger, known, purpose=purpose, channel=channel, allow=allow, proof=proof, source=source, also=also
    )


def stop(
    ledger: Ledger, *, play: str = "*", channel: str = "*", action: str = "*", why: str, also: Also | None = None
) -> None:
    """Stop a play, channel or action at once, until `start`; raises `UnknownNameError` for a play that is not there."""
    from nextbest.errors import unknown
    from nextbest.ledger import switches
    from nextbest.policies.default import plays

    if play != switches.ANY and play not in plays(ledger):  # a slip must not look as if something had been stopped
        raise unknown("play", play, plays(ledger))
    switches.stop(ledger, play=play, channel=channel, action=action, why=why, also=also)


def start(
    ledger: Ledger, *, play: str = "*", channel: str = "*", action: str = "*", why: str, also: Also | None = None
) -> None:
    """Lift a stop."""
    from nextbest.ledger import switches

    switches.start(ledger, play=play, channel=channel, action=action, why=why, also=also)


def stops(ledger: Ledger) -> list[dict[str, str]]:
    """Give the stops in force: play, channel, action ('*' for all), why and since when; those of the file come first.

    The file `stop` in the workspace has no time and says no why.
    """
    from nextbest.ledger import switches
    from nextbest.ledger.times import from_micros

    with ledger.journal.read() as connection:
        written, rows = switches.written(connection), switches.listing(connection)
    scopes = (("*", "*", "*"),) if written.everything else written.scopes
    found: list[tuple[str, ...]] = [(*scope, f"the file {switches.STOP_FILE}", "") for scope in scopes]
    found += [(*scope, why, from_micros(ts).isoformat()) for *scope, why, ts in rows]
    return [dict(zip(("play", "channel", "action", "why", "since"), row, strict=True)) for row in found]


def approve_amount(ledger: Ledger, play: str, action: str, *, amount: float, by: str) -> None:
    """Put the amount that stands for a money action on record; raises `DataError` when it is outside the limits."""
    from nextbest.policies.live import approvals

    approvals.approve(ledger, play, action, amount=amount, by=by)


# --- going live, and going back --------------------------------------------------------------------------------------


def rollout(ledger: Ledger, play: str, *, to: str | None = None, force: bool = False, why: str = "") -> Rolled:
    """Give where a play stands and the evidence for its next step; with *to*, take a step.

    Steps: observe, shadow, 1%, 10%, 50%, 100%. Back always; forward one at a time, with the evidence of the present
    one, else `missing` says what lacks; *force* with *why* takes any.
    """
    from nextbest.watching import rollout as rolled

    if to is None:
        return rolled.standing(ledger, play)
    return rolled.take(ledger, play, to, force=force, why=why)


def raise_alarm(ledger: Ledger, *, play: str = "*", why: str, by: str) -> None:
    """Put a play ('*' for all) under alarm: what was learnt before goes on without exploring, money stays as it is."""
    _by_hand(ledger, play, why, by, on=True)


def lift_alarm(ledger: Ledger, *, play: str = "*", why: str, by: str) -> None:
    """Lift every alarm about a play, also those that `watch` raised; it raises these again only after a week."""
    _by_hand(ledger, play, why, by, on=False)


def alarms(ledger: Ledger) -> list[dict[str, str]]:
    """Give the alarms that stand: play, what, why, by whom and since when."""
    from nextbest.ledger import alarms as ledger_alarms

    with ledger.journal.read() as connection:
        found = [a for a in ledger_alarms.newest(connection) if a.raised]
    return [{"play": a.play, "what": a.what, "why": a.why, "by": a.by, "since": a.ts.isoformat()} for a in found]


def _by_hand(ledger: Ledger, play: str, why: str, by: str, *, on: bool) -> None:
    from nextbest import verbs
    from nextbest.ledger import alarms as ledger_alarms

    if not (why.strip() and by.strip()):
        raise UsageError("An alarm needs a reason and the name of who gives it: set `why` and `by`.")
    if play != ledger_alarms.ANY:
        verbs.find_play(ledger, play)
    ledger_alarms.by_hand(ledger, play, why=why, by=by, on=on)


def models(ledger: Ledger, recipe: str | None = None) -> list[Version]:
    """Give the versions that are kept, of all recipes or one, oldest first, with which one serves, since when and why.

    Raises `UnknownNameError` for a recipe of which nothing is kept.
    """
    from nextbest.models import serving

    return serving.versions(ledger, recipe)


def rollback(ledger: Ledger, recipe: str, *, to: str | None = None, why: str) -> Version:
    """Bring the previous model of a recipe back, or the one named, once it is verified; binds within a second."""
    from nextbest.models import serving

    return serving.rollback(ledger, recipe, to=to, why=why)


# --- keys -----------------------------------------------------------------------------------------------------------


def create_key(
    ledger: Ledger,
    scope: str,
    *,
    days: float | None = None,
    expires: str | None = None,
    rate: float | None = None,
    kinds: Sequence[str] = (),
    origins: Sequence[str] = (),
) -> tuple[str, str]:
    """Give (id, key) of a new API key; the key is shown once and stored only as its SHA-256.

    `expires` is a date or "30d"; `rate` requests per second instead of `[server] rate`; `kinds` and `origins` are for
    the scope `write`: which events a page may hand in, and which pages.
    """
    from nextbest.ledger import keys

    if expires is not None:
        days = keys.days_until(expires, ledger.clock())
    terms = keys.Terms(rate=rate, kinds=tuple(kinds), origins=tuple(origins))
    return keys.create(ledger, scope, days=days, terms=terms)


def list_keys(ledger: Ledger) -> list[KeyInfo]:
    """Give all API keys, without the keys themselves."""
    from nextbest.ledger import keys

    return keys.listing(ledger)


def find_key(ledger: Ledger, key: str) -> KeyInfo | None:
    """Give what a presented key may do, or None when it is unknown, revoked or past its days."""
    from nextbest.ledger import keys

    with ledger.journal.read() as connection:
        found = keys.find(connection, key, now=ledger.clock())
    if found is not None:
        keys.used(ledger, found)
    return found


def revoke_key(ledger: Ledger, key_id: str) -> None:
    """End an API key now."""
    from nextbest.ledger import keys

    keys.revoke(ledger, key_id)


# --- look up and give back ------------------------------------------------------------------------------------------


def kinds(ledger: Ledger) -> frozenset[str]:
    """Give the kinds of facts of which the workspace holds any."""
    from nextbest.ledger import analysis

    return frozenset(analysis.kinds_present(ledger))


def subject(ledger: Ledger, subject_id: str) -> Profile:
    """Give what the workspace knows about one subject: attributes, predictions, consent, decisions, events per kind."""
    from nextbest.ledger import identities, profile

    return profile.profile(ledger, identities.resolve(ledger, subject_id))


def predictions(ledger: Ledger, subject_id: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Give a subject's published predictions by name, and the model behind each recipe; empty for someone unknown."""
    from nextbest.ledger import identities, published

    try:
        known = identities.resolve(ledger, subject_id)
    except UnknownNameError:
        return {}, {}
    with ledger.journal.read() as connection:
        values, versions = published.published(connection, known)
    return values, {recipe: version for recipe, version in versions.items() if version}


def decision(ledger: Ledger, decision_id: str) -> Decision:
    """Give one row of the decision log, whole."""
    from nextbest.ledger import decisions

    return decisions.get(ledger, decision_id)


def today(ledger: Ledger, *, limit: int = 100) -> Today:
    """Give the newest list: one line per decided action other than none, best money first, and its totals."""
    from nextbest import verbs
    from nextbest.trust import today as listing

    return listing.today(ledger, verbs.plays(ledger), limit=limit)


def feedback(
    ledger: Ledger,
    decision_id: str,
    *,
    verdict: Verdict,
    by: str,
    action_id: str | None = None,
    also: Also | None = None,
) -> str:
    """Store what a person said of a decision: approve, change (to `action_id`) or reject.

    Raises `DataError` for a change to an action whose amount is outside its limits: they bind people too.
    """
    from nextbest.ledger import feedback as given
    from nextbest.policies.live import approvals

    if verdict == "change" and action_id is not None:
        approvals.check_change(ledger, decision(ledger, decision_id), action_id)
    return given.record(ledger, decision_id, verdict=verdict, action_id=action_id, by=by, also=also)


def rule_in_words(rule: str) -> str:
    """Give what a rule of the log means, as the end of a sentence."""
    from nextbest.trust import rules

    return rules.rule_in_words(rule)


def write_table(table: pa.Table, file: str | Path) -> Path:
    """Write a table to CSV (through the one safe writer) or Parquet, by the file's ending."""
    from nextbest.channels import csv

    csv.write_table(Path(file), table)
    return Path(file)


def settings_of(ledger: Ledger, recipe: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Give a recipe's settings from texts such as "horizon_days=90"; raises `UsageError` for what has no '='.

    A recipe that is declared in nextbest.toml under a name of its own has those of the recipe behind it.
    """
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(f"--set takes name=value, such as --set horizon_days=90. Got '{pair}'.")
    if not pairs:
        return {}
    behind = str(ledger.config.recipes.get(recipe, {}).get("recipe", recipe))
    return registry.from_text("recipes", behind, dict(pair.split("=", 1) for pair in pairs))


def notes_of(table: pa.Table) -> tuple[str, ...]:
    """Give what is to be said about a table of predictions: values that the model could not read."""
    from nextbest.models import unread

    return unread.notes_of(table)


# --- the model card -------------------------------------------------------------------------------------------------


def card(
    ledger: Ledger,
    recipe: str,
    *,
    as_of: datetime | str | None = None,
    table: pa.Table | str | Path | None = None,
) -> dict[str, Any]:
    """Give the card of a recipe's newest model as plain JSON values: data, figures, what moves it, limits.

    *table* stands in for the flat table that the recipe learnt from. Raises `UnknownNameError` when nothing was fitted.
    """
    from nextbest import verbs

    return dict(verbs.explain(ledger, recipe, as_of=as_of, table=table).details)


def card_page(card: Mapping[str, Any]) -> str:
    """Give a card as one HTML page that opens on its own."""
    from nextbest.trust import page

    return page.page(card)


def write_card(card: Mapping[str, Any], file: str | Path) -> Path:
    """Write a card as .html or .json, by the file's ending."""
    import json

    path = Path(file)
    if path.suffix.lower() not in {".html", ".htm", ".json"}:
        raise UsageError(f"A card is written as .html or .json. Got '{path.name}'.")
    if path.suffix.lower() == ".json":
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        path.write_text(card_page(card), encoding="utf-8")
    return path


# --- what a service needs -------------------------------------------------------------------------------------------


def not_ready(ledger: Ledger) -> tuple[str, ...]:
    """Give why the workspace must not serve now: a restore under way, a journal or a model that cannot be trusted."""
    from nextbest.ledger import backup as archive
    from nextbest.ledger import chain
    from nextbest.models import store

    if (ledger.path / archive.RESTORING).exists():
        return ("A restore is not done yet.",)
    if ledger.journal.replaced:
        return ("The workspace was restored while this program ran. Start it again; until then nothing is written.",)
    try:
        chain.head(ledger)
    except LedgerError as error:
        return (str(error),)
    return tuple(store.verify(ledger))


def warnings(ledger: Ledger) -> tuple[str, ...]:
    """Give what an operator should know although the workspace can serve: a refused nextbest.toml, alarms."""
    from nextbest.ledger import alarms as ledger_alarms
    from nextbest.ledger import rereading

    refused = rereading.refused(ledger)
    with ledger.journal.read() as connection:
        standing = [a for a in ledger_alarms.newest(connection) if a.raised]
    told = [f"Alarm about '{a.play}' since {a.ts.isoformat()}, by {a.by}: {a.what}: {a.why}" for a in standing]
    return (*((refused,) if refused else ()), *told)


def gauges(ledger: Ledger) -> dict[str, int]:
    """Give what is waiting and stored now, and how many `warnings` there are."""
    from nextbest.ledger import catalogue

    stored = {"journal_queue": ledger.journal.waiting, "segments": len(catalogue.listing(ledger))}
    return {**stored, "warnings": len(warnings(ledger))}
