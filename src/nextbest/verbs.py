"""The ten verbs: the main path of nextbest, from a file to a measured effect.

    load -> fit -> predict -> decide -> send -> (the world) -> record -> measure;  explain, watch, erase

Each verb takes the ledger first, finds the part of the house that does the work, and gives a value or an Arrow table.
Read `types.py` before this file, and `recipes/churn.py` after it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from nextbest import registry
from nextbest.asked import data_end, find_play, moment_of, plays, recipe_of
from nextbest.errors import UsageError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa

    from nextbest.asked import When
    from nextbest.channels.dispatch import Sent
    from nextbest.channels.reading import LoadedFile
    from nextbest.ledger import Ledger
    from nextbest.ledger.erasure import Erasure
    from nextbest.ledger.events import Receipt
    from nextbest.ledger.idempotency import Also
    from nextbest.ledger.mapping import FileMapping
    from nextbest.policies.decide import Decided
    from nextbest.trust.explain import Explanation
    from nextbest.types import Decision, Effect, Fitted, Outcome, Recipe
    from nextbest.watching.decisions import Watched
    from nextbest.watching.drift import Drift

    Progress = Callable[[float], None]

REPLAY = "replay"  # the method that asks what another policy would have earned
_FILES = (".csv", ".parquet", ".csv.gz", ".tsv", ".json", ".xlsx")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What came of a load: one entry per file, and how many people turned out to be the same."""

    files: tuple[LoadedFile, ...] = ()
    subjects: int = 0
    duplicates_joined: int = 0
    notes: tuple[str, ...] = field(default=())


# --- world to events ------------------------------------------------------------------------------------------------


def load(
    ledger: Ledger,
    *paths: str | Path,
    kind: str | None = None,
    columns: Mapping[str, str] | None = None,
    play: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> LoadReport:
    """Bring files or folders into the ledger; accepted + rejected = read, and the same file twice changes nothing.

    `kind` says what one row is when it cannot be recognised; `columns` maps a file's column (or its position, from 0)
    to a field of the ledger. With `kind="decisions"` the files are logs of another decision engine, all of them of the
    play named `play` if that is given. A file that cannot be understood raises `DataError` when it is the only one;
    among others it is left out and named in `notes`.
    """
    from nextbest.channels.loading import load_files
    from nextbest.ledger import compaction, identities, summary

    files, notes = load_files(
        ledger, paths, kind=kind, overrides=columns, play=play, dry_run=dry_run, progress=progress
    )
    joined = 0 if dry_run else identities.join_duplicates(ledger)
    compaction.compact(ledger)
    known = len(summary.subjects(ledger))
    return LoadReport(files=files, subjects=known, duplicates_joined=joined, notes=notes)


def load_table(ledger: Ledger, table: pa.Table, mapping: FileMapping, *, name: str) -> LoadedFile:
    """Bring an Arrow table into the ledger as *mapping* says; the same content twice changes nothing."""
    from nextbest.channels.reading import load_arrow

    return load_arrow(ledger, table, mapping, name=name)


def ingest(
    ledger: Ledger, events: Sequence[Mapping[str, Any]], *, source: str = "api", also: Also | None = None
) -> list[Receipt]:
    """Store live events, durable when this returns: one receipt per event (stored, duplicate, or rejected and why)."""
    from nextbest.ledger import events as live

    return live.ingest(ledger, events, source=source, also=also)


# --- events to predictions ------------------------------------------------------------------------------------------


def fit(ledger: Ledger, recipe: Recipe | str, *, as_of: When = None, **settings: Any) -> Fitted:  # noqa: ANN401
    """Learn a recipe from what was known before `as_of` (default: the end of the data); if it is sound, it serves.

    A recipe without enough data is not an error: `fitted.report.status` is `not_enough_data` and says what is missing.
    """
    from nextbest.models import serving

    made = recipe_of(ledger, recipe, settings)
    fitted = made.fit(ledger, as_of=moment_of(ledger, as_of))
    if fitted.report.status == "ok":
        serving.publish(ledger, fitted, why="fitted")
    return fitted


def predict(
    ledger: Ledger,
    model: Fitted | str,
    *,
    as_of: When = None,
    publish: bool = True,
    **settings: Any,  # noqa: ANN401
) -> pa.Table:
    """Give one row per subject with the recipe's predictions and intervals, and publish them for live decisions."""
    from nextbest.ledger import republished
    from nextbest.models import store
    from nextbest.recipes import about

    fitted = store.latest(ledger, model) if isinstance(model, str) else model
    moment = moment_of(ledger, as_of)
    recipe: Recipe = registry.make("recipes", fitted.recipe, {**fitted.settings, **settings})
    state = None if settings else republished.state(ledger)  # what other settings say is not what decisions read
    table = recipe.predict(ledger, fitted, as_of=moment)
    if publish and about.speaks_of_subjects(recipe):
        about.publish(ledger, recipe, fitted, table, as_of=moment, state=state)
    return table


# --- predictions to decisions ---------------------------------------------------------------------------------------


def decide(
    ledger: Ledger, play: str, *, as_of: When = None, mode: Literal["live", "shadow", "replay"] = "live"
) -> Decided:
    """Choose the best action for everyone in the play's audience, within consent and limits, and log every decision."""
    from nextbest.policies.decide import decide_bulk
    from nextbest.recipes import about

    moment = moment_of(ledger, as_of)
    chosen = find_play(ledger, play)
    table, versions = about.everyone(ledger, chosen.subject_type, as_of=moment)
    # Without as_of the list is made now, however old the data are: caps, and the days in which an outcome counts,
    # run from when people are contacted.
    when = moment if as_of is not None else max(moment, ledger.clock())
    return decide_bulk(ledger, chosen, table, as_of=when, model_versions=versions, mode=mode)


def decide_one(
    ledger: Ledger,
    play: str,
    subject_id: str,
    *,
    context: Mapping[str, Any] | None = None,
    mode: Literal["live", "shadow", "replay"] = "live",
) -> Decision:
    """Choose the best action for one subject now, from published predictions, and log it before answering."""
    from nextbest.deciding import learnt
    from nextbest.policies.live.ask import Ask
    from nextbest.policies.live.engine import Engine

    found = find_play(ledger, play)
    engine = Engine(ledger, plays={play: found}, states=partial(learnt, ledger))
    return engine.decide(Ask(play=play, subject_id=subject_id, context=dict(context or {}), mode=mode))[0]


# --- decisions to the world, and back -------------------------------------------------------------------------------


def send(ledger: Ledger, play: str, *, channel: str, dry_run: bool = False, **settings: Any) -> Sent:  # noqa: ANN401
    """Carry out a play's decisions that have not been sent yet; permission, caps and the stop switch are read again."""
    from nextbest.channels.dispatch import dispatch

    chosen = find_play(ledger, play)
    made = registry.make("channels", channel, {**ledger.config.channels.get(channel, {}), **settings})
    return dispatch(ledger, chosen, made, name=channel, dry_run=dry_run)


def record(
    ledger: Ledger,
    outcomes: Sequence[Outcome] | pa.Table | str | Path,
    *,
    name: str | None = None,
    also: Also | None = None,
) -> int:
    """Store what came of it, from rows, a table or a file; gives how many were new."""
    from nextbest.channels.reading import outcomes_from
    from nextbest.ledger import outcomes as stored

    rows = outcomes if isinstance(outcomes, list | tuple) else outcomes_from(ledger, outcomes, name=name)
    return stored.record(ledger, rows, also=also)


# --- decisions and outcomes to effects ------------------------------------------------------------------------------


def measure(
    ledger: Ledger,
    play: str,
    *,
    outcome: str,
    method: str = "randomised",
    level: float = 0.95,
    **other: Any,  # noqa: ANN401 (policy, settings, as_if, by, estimator: of the method "replay")
) -> Effect:
    """Give what the play earned per subject against its holdout, with an interval, or why that cannot be told.

    With the method "replay": what another `policy` would have earned per decision, or the same with other `settings`
    or rules (`as_if`: "holdout=0", "lever.mail=0.5", "cap=1 in 7 days"); `by` splits by a feature as served.
    """
    from nextbest.measures.play import measure_play
    from nextbest.policies import rollout
    from nextbest.recipes.replayed import replay_play
    from nextbest.types import Play

    if method == REPLAY:
        # The log of another engine may tell of plays that are not ours.
        logged = plays(ledger).get(play) or Play(name=play, actions=(), holdout=0.0)
        return replay_play(ledger, logged, outcome=outcome, level=level, **other)
    if other:
        raise UsageError(f"{', '.join(other)}: asked of the method 'replay' only. Add --method replay.")
    shares = rollout.design(ledger, play, rollout.first_times(ledger, play))
    return measure_play(
        ledger, find_play(ledger, play), outcome=outcome, method=method, level=level, design=shares
    )  # fmt: skip


def measure_table(
    table: pa.Table | str | Path,
    *,
    outcome: str,
    treatment: str,
    control: str | None = None,
    method: str = "randomised",
    choice_probability: str = "",
    target: str | pa.Table | Path = "",
    **columns: Any,  # noqa: ANN401 (names of columns: subject, by, facts, request, position; level, estimator)
) -> Effect:
    """Give the effect found in a flat table of a trial: one row per subject, a treatment column, an outcome column.

    With the method "replay" a row is a decision of a log, *choice_probability* the column with the chance of what was
    done, and *target* the other policy: an action, "uniform", a prefix of columns, or a table (or file) of chances per
    action.
    """
    from nextbest.channels.reading import read_table
    from nextbest.measures.table import measure_table as measured

    rows = read_table(table) if isinstance(table, str | Path) else table
    if method == REPLAY:
        from nextbest.measures.replay.table import replay_table, wanted

        other = read_table(target) if isinstance(target, Path) or str(target).endswith(_FILES) else target
        asked, rest = wanted(outcome=outcome, treatment=treatment, choice_probability=choice_probability, **columns)
        return replay_table(rows, asked, target=other, **rest)
    if choice_probability or columns or not isinstance(target, str) or target:
        raise UsageError("A choice probability, a target and further columns belong to the method 'replay'.")
    return measured(rows, outcome=outcome, treatment=treatment, control=control, method=method)


def effect_table(effect: Effect) -> pa.Table:
    """Give an effect as a table: one row in all, and one per treatment where there were several."""
    from nextbest.measures import table as measured

    return measured.effect_table(effect)


def explain(
    ledger: Ledger,
    what: str,
    subject_id: str | None = None,
    *,
    as_of: When = None,
    table: pa.Table | str | Path | None = None,
    changeable: Sequence[str] = (),
    threshold: float | None = None,
) -> Explanation:
    """Say in sentences why a recipe predicts what it does for a subject, or why a play decided as it did.

    *what* may also be the id of a decision (d_...), any one of the log.

    Without a subject: what the model card of a recipe says, in short (`operations.card` gives it whole). *changeable*
    and *threshold* say what may be changed to carry the prediction across; *table* is the recipe's flat table.
    """
    from nextbest.ledger import identities
    from nextbest.models import store
    from nextbest.recipes import about
    from nextbest.trust import card
    from nextbest.trust.decision_reasons import explain_logged
    from nextbest.trust.explain import explain_latest_decision
    from nextbest.trust.prediction import explain_prediction

    if what in plays(ledger):
        if subject_id is None:
            raise UsageError(f"For whom? Say whose decision of the play '{what}' is to be explained.")
        return explain_latest_decision(ledger, what, identities.resolve(ledger, subject_id))
    if subject_id is None and what.startswith("d_"):
        return explain_logged(ledger, what)
    if what not in (*registry.names("recipes"), *ledger.config.recipes):
        raise unknown("recipe or play", what, [*registry.names("recipes"), *plays(ledger)])
    fitted, moment = store.latest(ledger, what), moment_of(ledger, as_of)
    if subject_id is None:
        return card.in_short(card.card(ledger, fitted, as_of=moment, table=table))
    recipe = registry.make("recipes", fitted.recipe, fitted.settings)
    flat = table is not None or not about.speaks_of_subjects(recipe)
    known = subject_id if flat else identities.resolve(ledger, subject_id)
    return explain_prediction(
        ledger, fitted, known, as_of=moment, table=table, changeable=changeable, threshold=threshold
    )


def newest(ledger: Ledger, recipe: str) -> Fitted:
    """Give the newest model of a recipe; raises `UnknownNameError` when there is none."""
    from nextbest.models import store

    return store.latest(ledger, recipe)


def watch(ledger: Ledger, what: str | None = None, *, as_of: When = None) -> tuple[Drift | Watched, ...]:
    """Compare what models see now with what they learnt from, and check what plays decided; all of them by default.

    *what* names one recipe or one play. Plays that have decided nothing for five weeks are left out when not named.
    A look at now raises and lifts the alarms of plays, which bind their next decision; a look back changes nothing.
    """
    from nextbest.watching.alarms import turn_alarms
    from nextbest.watching.decisions import Watched
    from nextbest.watching.every import watch_every

    now = moment_of(ledger, as_of)
    found = watch_every(ledger, plays(ledger), what, as_of=now, until=None if as_of is None else now)
    for watched in found if as_of is None else ():
        if isinstance(watched, Watched):
            turn_alarms(ledger, watched)
    return found


def erase(ledger: Ledger, subject_id: str, *, dry_run: bool = False, also: Also | None = None) -> Erasure:
    """Remove a person from everything the workspace keeps, and give a receipt; `dry_run` lists what would go."""
    from nextbest.ledger import erasure, identities

    return erasure.erase(ledger, identities.resolve(ledger, subject_id), dry_run=dry_run, also=also)


__all__ = [
    "data_end",
    "decide",
    "decide_one",
    "effect_table",
    "erase",
    "explain",
    "find_play",
    "fit",
    "ingest",
    "load",
    "load_table",
    "measure",
    "measure_table",
    "newest",
    "plays",
    "predict",
    "record",
    "send",
    "watch",
]
