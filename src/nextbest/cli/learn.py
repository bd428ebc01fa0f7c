"""Commands that learn: fit, predict, explain, watch, list."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from nextbest.cli import render
from nextbest.cli.app import COMMON, Common, app, workspace
from nextbest.errors import UsageError


@app.command(sort_key=6)
def fit(
    recipe: str,
    *,
    as_of: Annotated[
        str | None, Parameter(help="Learn only from before this date; default: the end of the data.")
    ] = None,
    table: Annotated[Path | None, Parameter(help="A flat table with one row per subject and a label column.")] = None,
    id_: Annotated[str | None, Parameter(name="--id", help="The table's column of subject ids.")] = None,
    label: Annotated[str | None, Parameter(help="The table's column to learn.")] = None,
    positive: Annotated[str | None, Parameter(help="The label's value that counts as yes.")] = None,
    set_: Annotated[
        tuple[str, ...], Parameter(name="--set", negative="", help="Any other setting of the recipe: name=value.")
    ] = (),
    common: Common = COMMON,
) -> None:
    """Learn a recipe, judged on data it did not learn from, beside its baselines.

    Example: nextbest fit churn
    Example: nextbest fit churn --set horizon_days=90
    Example: nextbest fit churn --table customers.csv --id customerID --label Churn --positive Yes
    """
    from nextbest import operations, verbs

    flat = _flat(table, id_, label, positive)
    if table is not None and not _in_workspace(common):
        operations.create(common.workspace or Path()).close()
        render.say("Made a workspace here (nextbest.toml), to keep the model.")
    with workspace(common) as ledger:
        settings = operations.settings_of(ledger, recipe, set_)
        fitted = verbs.fit(ledger, recipe, as_of=as_of, **{**flat, **settings})
    document = {"recipe": fitted.recipe, "status": fitted.report.status, "model_id": fitted.model_id}
    render.show({**document, **asdict(fitted.report)}, as_json=common.json, story="fit")


@app.command(sort_key=7)
def predict(
    recipe: str,
    *,
    as_of: str | None = None,
    table: Annotated[Path | None, Parameter(help="Score this flat table instead of the ledger.")] = None,
    id_: Annotated[str | None, Parameter(name="--id", help="The table's column of subject ids.")] = None,
    out: Annotated[Path | None, Parameter(help="Write CSV or Parquet, by the ending.")] = None,
    common: Common = COMMON,
) -> None:
    """Score everyone with the newest model of a recipe, with intervals.

    Example: nextbest predict churn --out churn.csv
    """
    from nextbest import operations, verbs

    with workspace(common) as ledger:
        fitted = verbs.newest(ledger, recipe)
        rows = verbs.predict(ledger, fitted, as_of=as_of, **_flat(table, id_, None, None))
        written = operations.write_table(rows, out) if out else None
        moment = as_of or verbs.data_end(ledger).date().isoformat()
        notes = operations.notes_of(rows)
    figures = {"recipe": recipe, "model_id": fitted.model_id, "as_of": moment, "rows": rows.num_rows, "out": written}
    figures["columns"] = rows.column_names
    render.show({**figures, "notes": notes}, as_json=common.json, story="predict")
    if not common.json:
        for note in notes:
            render.say(note)


@app.command(sort_key=13)
def explain(
    what: str,
    subject: str | None = None,
    *,
    as_of: str | None = None,
    table: Annotated[Path | None, Parameter(help="The flat table of the recipe, when it is not where it was.")] = None,
    changeable: Annotated[str | None, Parameter(help="Columns that can be changed: a,b,c.")] = None,
    threshold: Annotated[float | None, Parameter(help="Where a prediction is to get across; default: average.")] = None,
    out: Annotated[Path | None, Parameter(help="Without a subject: write the model card as .html or .json.")] = None,
    common: Common = COMMON,
) -> None:
    """Say why: a prediction or a play's decision for one subject, or one decision (d_...); a recipe alone: its card.

    Example: nextbest explain churn c42
    Example: nextbest explain churn --out card.html
    Example: nextbest explain win_back jane@example.com
    Example: nextbest explain d_0123 --json
    """
    from nextbest import operations, verbs

    if out is not None and subject is not None:
        raise UsageError("--out writes the model card, which is about a recipe: leave out the subject.")
    columns = tuple(c.strip() for c in (changeable or "").split(",") if c.strip())
    with workspace(common) as ledger:
        told = verbs.explain(
            ledger, what, subject, as_of=as_of, table=table, changeable=columns, threshold=threshold
        )  # fmt: skip
    is_card = subject is None and "decision_id" not in told.details
    if out is not None and not is_card:
        raise UsageError("--out writes the model card, which is about a recipe. Keep a decision with --json > FILE.")
    if out is not None:
        render.say(f"Written to {operations.write_card(told.details, out)}.")
    render.show(_card_of(told, common) if is_card else told, as_json=common.json, story="explain")


@app.command(sort_key=14)
def watch(
    what: str | None = None,
    *,
    as_of: str | None = None,
    alarm: str | None = None,
    lift: str | None = None,
    by: str = "operator",
    common: Common = COMMON,
) -> int:
    """Compare what recipes see now with what they learnt from, and check what plays decide; exit status 1 on drift.

    A play whose chances, arms or rewards cannot be trusted is put under alarm until they can.

    Example: nextbest watch churn || nextbest fit churn
    Example: nextbest watch home_banner --json
    Example: nextbest watch home_banner --lift "the tracking works again" --by ann

    Parameters
    ----------
    alarm
        Put the play under alarm by hand, with this reason.
    lift
        Lift the alarms about the play, with this reason.
    by
        Who says so.
    """
    from nextbest import operations, verbs

    if alarm is not None and lift is not None:
        raise UsageError("--alarm and --lift say the opposite of each other; give one of them.")
    with workspace(common) as ledger:
        if alarm is not None:
            operations.raise_alarm(ledger, play=what or "*", why=alarm, by=by)
        elif lift is not None:
            operations.lift_alarm(ledger, play=what or "*", why=lift, by=by)
        if alarm is not None or lift is not None:
            render.show({"alarms": operations.alarms(ledger)}, as_json=common.json)
            return 0
        found = verbs.watch(ledger, what, as_of=as_of)
    drifted = any(d.drifted for d in found)
    sides = {name: [d for d in found if hasattr(d, key)] for name, key in (("recipes", "recipe"), ("plays", "play"))}
    render.show({"drifted": drifted, **sides}, as_json=common.json, story="watch")
    return int(drifted)


@app.command(name="list", sort_key=25)
def list_command(
    group: Literal["recipes", "policies", "models", "measures", "channels"], *, common: Common = COMMON
) -> None:
    """List what can be used here: the built-ins and what installed packages add.

    Example: nextbest list policies
    """
    from nextbest import operations

    render.show({group: operations.names(group)}, as_json=common.json)


def _flat(table: Path | None, id_: str | None, label: str | None, positive: str | None) -> dict[str, Any]:
    given = {"table": str(table) if table else None, "id": id_, "label": label, "positive": positive}
    if table is None and any(given.values()):
        raise UsageError("--id, --label and --positive describe a flat table: add --table FILE.")
    return {k: v for k, v in given.items() if v is not None}


def _card_of(told: Any, common: Common) -> Any:  # noqa: ANN401 (an explanation, or the document it holds)
    return told.details if common.json else told


def _in_workspace(common: Common) -> bool:
    here = (common.workspace or Path()).resolve()
    return any((folder / "nextbest.toml").exists() for folder in [here, *here.parents])
