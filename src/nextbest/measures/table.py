"""The effect in a flat table of a trial: one row per subject, a column of arms, a column of outcomes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import DataError, UsageError, nearest
from nextbest.measures.sample_ratio import sample_ratio
from nextbest.types import Effect, Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.types import Measure

_CONTROLS = (
    "control",
    "holdout",
    "none",
    "no",
    "no e-mail",
    "no email",
    "0",
    "false",
    "placebo",
    "a",
    "baseline",
    "untreated",
)
_YES = ("1", "true", "yes", "y", "t")
_NO = ("0", "false", "no", "n", "f")
_MOST_ARMS = 20
_NUMBER = r"^([+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity))?$"  # lower case, blanks taken off
_COMMA_NUMBER = r"^[+-]?(\d+(,(\d{1,2}|\d{4,}))?)?$"


def measure_table(
    table: pa.Table,
    *,
    outcome: str,
    treatment: str,
    control: str | None = None,
    method: str = "randomised",
    shares: Mapping[str, float] | None = None,
    level: float = 0.95,
) -> Effect:
    """Give the effect of the treatment on the outcome, with an interval; several treatments stand in `details["arms"]`.

    The arms are taken to be drawn in equal shares unless `shares` says otherwise and two arms differ too much: a trial
    whose shares nobody states is not refused for them, but the p-value of equal shares stands in the details.
    """
    arms = arm_statistics(table, outcome=outcome, treatment=treatment)
    lost = table.num_rows - sum(s.n for s in arms.values())
    base = _control(list(arms), control, treatment)
    measure: Measure = registry.make("measures", method)
    treated = [a for a in arms if a != base]
    pooled = sum((arms[a] for a in treated[1:]), arms[treated[0]])
    ratio = sample_ratio({a: s.n for a, s in arms.items()}, shares or dict.fromkeys(arms, 1.0))
    effect = replace(measure.effect(pooled, arms[base], level=level), outcome=outcome, baseline=base)
    each = {a: _plain(measure.effect(arms[a], arms[base], level=level)) for a in treated}
    details = {
        **effect.details,
        "arms": each,
        "sample_ratio_p": ratio.p_value,
        "treated": treated,
        "rows_left_out": lost,
    }
    if shares and not ratio.ok:
        return replace(effect, status="cannot_tell", why=ratio.why, estimate=None, low=None, high=None, details=details)
    return replace(effect, why=" ".join(filter(None, (effect.why, _lost(lost, table.num_rows)))), details=details)


def arm_statistics(table: pa.Table, *, outcome: str, treatment: str) -> dict[str, Statistics]:
    """Give the sums of the outcome per value of the treatment column; rows without either are left out."""
    for what, name in (("outcome", outcome), ("treatment", treatment)):
        if name not in table.column_names:
            known = table.column_names
            message = (
                f"The table has no column '{name}' for the {what}.{nearest(name, known)} Columns: {', '.join(known)}."
            )
            raise UsageError(message)
    value = numbers(table[outcome], outcome)
    arm = pc.utf8_trim_whitespace(pc.cast(table[treatment], pa.string()))
    answered = pc.cast(pc.not_equal(value, 0.0), pa.int64())
    rows = pa.table({"arm": arm, "value": value, "square": pc.multiply(value, value), "answered": answered})
    known_rows = rows.filter(pc.and_kleene(pc.is_valid(rows["arm"]), pc.is_finite(rows["value"])))
    sums = (
        known_rows.group_by("arm")
        .aggregate([("value", "count"), ("value", "sum"), ("square", "sum"), ("answered", "sum")])
        .sort_by("arm")
    )
    if not 1 < sums.num_rows <= _MOST_ARMS:
        raise DataError(
            f"Column '{treatment}' has {sums.num_rows} different values; a treatment column has 2 to {_MOST_ARMS}."
        )
    return {
        row["arm"]: Statistics(
            n=row["value_count"], total=row["value_sum"], total_squares=row["square_sum"], answered=row["answered_sum"]
        )
        for row in sums.to_pylist()
    }


def numbers(column: pa.ChunkedArray, name: str) -> Any:  # noqa: ANN401 (an Arrow array)
    """Give an outcome as float64: booleans and yes/no are 1 and 0; raises `DataError` for anything else."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        folded = pc.utf8_lower(pc.utf8_trim_whitespace(column))
        yes, no = pc.is_in(folded, pa.array(_YES)), pc.is_in(folded, pa.array(_NO))
        if pc.all(pc.or_(pc.or_(yes, no), pc.is_null(folded)), min_count=0).as_py():
            return pc.if_else(pc.is_null(folded), pa.scalar(None, pa.float64()), pc.cast(yes, pa.float64()))
        column = _read(folded, name)
    try:
        return pc.cast(column, pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"Column '{name}' is no outcome: it must hold numbers or yes and no.") from error


def _read(texts: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """Give texts that are all numbers, with a point or with a comma for the decimals, as texts with a point."""
    strange = _not(_NUMBER, texts)
    if len(strange):  # 1,200 may be more than a thousand or little more than one: it is not guessed at
        strange = _not(_COMMA_NUMBER, texts)
        texts = pc.replace_substring(texts, ",", ".")
    if len(strange):
        raise DataError(f"Column '{name}' is no outcome: it must hold numbers or yes and no. Got '{strange[0]}'.")
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _not(pattern: str, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return texts.filter(pc.invert(pc.match_substring_regex(texts, pattern)))


def _lost(rows: int, of: int) -> str:
    return f"{rows:,} of {of:,} rows have no outcome or no treatment, and are left out." if rows else ""


def _control(arms: list[str], control: str | None, treatment: str) -> str:
    """Give the arm to compare with: the one that was named, or one whose name says so."""
    if control is not None:
        if control not in arms:
            raise UsageError(
                f"Column '{treatment}' never holds '{control}'.{nearest(control, arms)} It holds: {', '.join(arms)}."
            )
        return control
    told = [a for word in _CONTROLS for a in arms if a.casefold() == word]
    told += [a for a in arms if "control" in a.casefold() or a.casefold().startswith("no ")]
    if not told:
        raise UsageError(f"Which value of '{treatment}' is the control? Say it with control: {', '.join(arms)}.")
    return told[0]


def _plain(effect: Effect) -> dict[str, Any]:
    return {
        "status": effect.status,
        "estimate": effect.estimate,
        "low": effect.low,
        "high": effect.high,
        "n": effect.n,
        "why": effect.why,
        "p_value": effect.details.get("p_value"),
    }


def effect_table(effect: Effect) -> pa.Table:
    """Give an effect as a table: one row in all, and one per treatment where there were several."""
    columns = ("outcome", "treatment", "baseline", "design", "status", "estimate", "low", "high", "level", "n", "why")
    whole = {name: getattr(effect, name, None) for name in columns}
    each = effect.details.get("arms", {}) if "treated" in effect.details else {}
    rows = [{**whole, "treatment": "all"}, *({**whole, **said, "treatment": arm} for arm, said in each.items())]
    return pa.table({name: [row[name] for row in rows] for name in columns})
