"""Commands that act and measure: decide, send, measure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from nextbest.cli import render
from nextbest.cli.app import COMMON, Common, app, workspace
from nextbest.errors import UsageError


@app.command(sort_key=8)
def decide(
    play: str,
    *,
    as_of: str | None = None,
    out: Annotated[Path | None, Parameter(help="Write CSV or Parquet, by the ending.")] = None,
    common: Common = COMMON,
) -> None:
    """Choose the best action for everyone in a play's audience, within consent and limits, and log every decision.

    Example: nextbest decide win_back --out today.csv
    """
    from nextbest import operations, verbs

    with workspace(common) as ledger:
        decided = verbs.decide(ledger, play, as_of=as_of)
        written = operations.write_table(decided.listing(), out) if out else None
    figures = {
        "play": play,
        "decided": decided.decided,
        "by_action": decided.by_action,
        "by_arm": decided.by_arm,
        "removed_by": decided.removed_by,
        "degraded": decided.degraded,
        "expected_value": decided.expected_value,
        "allocation": decided.allocation,
        "out": written,
        "notes": decided.notes,
    }
    render.show(figures, as_json=common.json, story="decide")


@app.command(sort_key=10)
def send(
    play: str,
    *,
    channel: Annotated[str, Parameter(help="csv, webhook, or another of: nextbest list channels")],
    dry_run: Annotated[bool, Parameter(negative="", help="Say what would be sent; send nothing.")] = False,
    common: Common = COMMON,
) -> None:
    """Carry out a play's decisions; permission, caps and the stop switch are read again for each.

    Example: nextbest send win_back --channel csv --dry-run
    """
    from nextbest import verbs

    with workspace(common) as ledger:
        sent = verbs.send(ledger, play, channel=channel, dry_run=dry_run)
    render.show({**render.plain(sent), "dry_run": dry_run}, as_json=common.json, story="send")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Replay:
    """What `--method replay` asks: the other policy, on a play or on a table, and how results are split."""

    policy: Annotated[str, Parameter(help="Replay: the policy to judge; default: the play's own.")] = ""
    set_: Annotated[
        tuple[str, ...], Parameter(name="--set", negative="", help="Replay: its settings, name=value.")
    ] = ()
    as_if: Annotated[
        tuple[str, ...], Parameter(negative="", help="Replay: holdout=0, lever.ACTION=0.5, 'cap=1 in 7 days' ...")
    ] = ()
    by: Annotated[str, Parameter(help="Replay: split by a feature as served, or a column of the table.")] = ""
    estimator: Annotated[str, Parameter(help="Replay: ips, snips, dm, dr, switch_dr, dr_ps, dr_os, slope ...")] = ""
    choice_probability: Annotated[
        str, Parameter(help="Replay of a table: the column with the chance of what was done.")
    ] = ""
    target: Annotated[str, Parameter(help="Replay of a table: an action, uniform, a column prefix, or a file.")] = ""
    subject: Annotated[str, Parameter(help="Replay of a table: the column that says who.")] = ""

    def of_play(self) -> dict[str, Any]:
        """Give what was asked of a play's log; raises `UsageError` for a setting without '='."""
        for text in self.set_:
            if "=" not in text:
                raise UsageError(f"--set takes name=value, such as --set explore=0. Got '{text}'.")
        settings = dict(text.split("=", 1) for text in self.set_)
        return _given(policy=self.policy, settings=settings, as_if=self.as_if, by=self.by, estimator=self.estimator)

    def of_table(self) -> dict[str, Any]:
        """Give what was asked of a table."""
        names = {"choice_probability": self.choice_probability, "target": self.target, "subject": self.subject}
        return _given(**names, by=self.by, estimator=self.estimator)


def _given(**asked: Any) -> dict[str, Any]:  # noqa: ANN401 (texts, or several of them)
    return {name: value for name, value in asked.items() if value}


_REPLAY = Replay()


@app.command(sort_key=12)
def measure(  # noqa: PLR0913 (an option each)
    play: str | None = None,
    *,
    outcome: Annotated[str, Parameter(help="An outcome's name, an event, revenue_30d, or a column of the table.")],
    method: str = "randomised",
    table: Annotated[Path | None, Parameter(help="A flat table of a trial, instead of a play.")] = None,
    treatment: Annotated[str | None, Parameter(help="The table's column that says who got what.")] = None,
    control: Annotated[str | None, Parameter(help="The treatment value that is the baseline.")] = None,
    replay: Replay = _REPLAY,
    out: Annotated[Path | None, Parameter(help="Write the effects to CSV or Parquet.")] = None,
    common: Common = COMMON,
) -> None:
    """Measure what a play earned against its holdout, or a trial in a flat table, with an interval.

    Example: nextbest measure win_back --outcome revenue_30d
    Example: nextbest measure --table trial.csv --outcome visit --treatment segment --control none
    Example: nextbest measure win_back --outcome revenue_30d --method replay --policy greedy --set explore=0
    Example: nextbest measure --table t.csv --method replay --outcome y --treatment a --choice-probability p --target 7
    """
    from nextbest import operations, verbs

    if (play is None) == (table is None):
        raise UsageError("Say which play to measure, or give --table FILE with --treatment COLUMN.")
    if table is not None:
        if treatment is None:
            raise UsageError("--table needs --treatment COLUMN: the column that says who got what.")
        effect = verbs.measure_table(
            table, outcome=outcome, treatment=treatment, control=control, method=method, **replay.of_table()
        )
    else:
        with workspace(common) as ledger:
            effect = verbs.measure(ledger, str(play), outcome=outcome, method=method, **replay.of_play())
    if out:
        operations.write_table(verbs.effect_table(effect), out)
    render.show(effect, as_json=common.json, story="measure")
