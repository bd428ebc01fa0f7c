"""When: the chance to leave in each period among those who are still there, and from it how long somebody stays.

    hazard = fit(spells, static(features))
    kept(hazard, features, since=tenure, ahead=(1.0, 3.0, 6.0))      ->  probability of still being there, per row

The house model learns rows of subject and period (`person_periods`), with the time so far and the usual chance of that
period as two more columns: the line then bends with time, and the trees may find that a column matters early and not
late. Of the many rows in which nobody leaves a part is drawn; what the model says is put back to the scale of all rows
exactly, since drawing multiplies the odds of leaving by a known factor (Prentice and Pyke 1979). Each stretch of time
is then calibrated on its own (`period_calibration`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import ModelError
from nextbest.models import boosting, cross_fit, encode, logistic, period_calibration, person_periods
from nextbest.models.boosting import Boosting, fitted_state

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.person_periods import Periods, Spells
    from nextbest.types import Model

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Whole = NDArray[np.int64]
    # What is known of these spells (by place) at these ages: one row of columns per pair.
    Known = Callable[[Whole, Vector], pa.Table]

SO_FAR, USUAL, AHEAD = "time so far", "usual hazard at this time", "time since this was known"
_PER_END = 10  # rows without an end per row with one: the odds ratio is then 91% as sharp as from all of them
_ALWAYS = 20_000
_MOST_ROWS = 400_000
_CHUNK = 400_000
_CERTAIN = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """Borders of the periods, the usual chance to leave in each, a model per cause, and the share of rows it drew.

    `bends` is shift and slope per cause and period (`period_calibration`). `reach` is how long before a period its
    columns may have been known; None: as it began.
    """

    borders: tuple[float, ...]
    usual: tuple[float, ...]
    models: tuple[Boosting, ...]
    drawn: tuple[tuple[float, ...], ...]
    bends: tuple[tuple[tuple[float, float], ...], ...]
    reach: float | None = None

    def facts(self) -> dict[str, Any]:
        """Give all but the models, for JSON."""
        return {
            "borders": list(self.borders),
            "usual": list(self.usual),
            "drawn": [list(shares) for shares in self.drawn],
            "bends": [[list(bend) for bend in bends] for bends in self.bends],
            "reach": self.reach,
        }


def restore(facts: Mapping[str, Any], models: Sequence[Model]) -> Hazard:
    """Give the hazard written by `facts`, with its models in the order of the causes."""
    boosted = tuple(model for model in models if isinstance(model, Boosting))
    if len(boosted) != len(facts["drawn"]):
        raise ModelError("A hazard has one boosting model per cause. Fit the model again.")
    return Hazard(
        borders=tuple(facts["borders"]), usual=tuple(facts["usual"]), models=boosted, reach=facts["reach"],
        drawn=tuple(tuple(shares) for shares in facts["drawn"]),
        bends=tuple(tuple((bend[0], bend[1]) for bend in bends) for bends in facts["bends"]),
    )  # fmt: skip


def static(features: pa.Table) -> Known:
    """Give what is known of subjects of whom it never changes: their row."""
    return lambda spells, _: features.take(spells)


def fit(
    spells: Spells,
    known: Known,
    *,
    causes: Sequence[int] = (1,),
    borders: Vector | None = None,
    reach: float | None = None,
    subjects: Whole | None = None,
    seed: int = 0,
    num_threads: int = 2,
) -> Hazard:
    """Give the hazard of every cause; *subjects* says which spells belong to one subject, so that it keeps to one fold.

    With *reach* a row is known at a moment drawn from that long before its period: what is asked of the model later,
    how things go on from what is known now, is then what it learnt (landmarks, van Houwelingen 2007).
    """
    chance = np.random.default_rng(seed)
    edges = person_periods.cut(spells) if borders is None else borders
    rows = person_periods.expand(spells, edges, chance=chance)
    usual = person_periods.rates(rows, len(edges) - 1)
    who = np.arange(len(spells.exit)) if subjects is None else subjects
    models, drawn, bends = [], [], []
    for cause in causes:
        some, share = _drawn(rows, cause, len(usual), chance)
        age = edges[some.period]
        in_sight = age - spells.entry[some.spell]
        lag = np.zeros(len(age)) if reach is None else np.minimum(chance.random(len(age)) * reach, in_sight)
        table = known(some.spell, age - lag)
        table = _with_time(table, age, usual[some.period], None if reach is None else lag)
        table = table.append_column(encode.SUBJECT, pa.array(who[some.spell]).cast(pa.string()))
        model, bent = _learnt(Boosting(seed=seed, num_threads=num_threads), table, some, cause, len(usual))
        models.append(model)
        drawn.append(tuple(share.tolist()))
        bends.append(bent)
    return Hazard(
        borders=tuple(edges.tolist()), usual=tuple(usual.tolist()), models=tuple(models), drawn=tuple(drawn),
        bends=tuple(bends), reach=reach,
    )  # fmt: skip


def _learnt(
    model: Boosting, table: pa.Table, rows: Periods, cause: int, count: int
) -> tuple[Boosting, tuple[tuple[float, float], ...]]:
    """Give the model of one cause, and the bend of each period from what it said of rows that had not taught it."""
    left = (rows.cause == cause).astype(np.float64)
    made, held_out = boosting.learn(model, table, pa.table({"left": left}))
    said = cross_fit.crosswise(held_out, task="classification")
    bends = period_calibration.learn(said, held_out.actual, rows.period[held_out.rows], count)
    return made, tuple((float(shift), float(slope)) for shift, slope in bends)


def _drawn(rows: Periods, cause: int, count: int, chance: np.random.Generator) -> tuple[Periods, Vector]:
    """Give all rows that end by the cause, a share of the others, and that share per period.

    So many are drawn in each period as suit its ends: those of a period are compared with each other.
    """
    ends = rows.cause == cause
    left = np.bincount(rows.period[ends], minlength=count)
    others = np.bincount(rows.period, minlength=count) - left
    wanted = np.maximum(_PER_END * left, _ALWAYS / count) * min(1.0, _MOST_ROWS / max(_PER_END * left.sum(), 1))
    share = np.minimum(1.0, wanted / np.maximum(others, 1))
    return rows.take(ends | (chance.random(len(ends)) < share[rows.period])), share


def _with_time(table: pa.Table, age: Vector, usual: Vector, lag: Vector | None) -> pa.Table:
    table = table.append_column(SO_FAR, pa.array(age)).append_column(
        USUAL, pa.array(period_calibration.log_odds(usual))
    )
    return table if lag is None else table.append_column(AHEAD, pa.array(lag))


def seen(hazard: Hazard, features: pa.Table, since: Vector) -> pa.Table:
    """Give the rows that a model reads about the period in which subjects are at *since*: for explanations."""
    period = np.clip(np.searchsorted(hazard.borders, since, side="right") - 1, 0, len(hazard.usual) - 1)
    lag = None if hazard.reach is None else np.zeros(len(since))
    return _with_time(features, np.array(hazard.borders)[period], np.array(hazard.usual)[period], lag)


# --- predicting -------------------------------------------------------------------------------------------------------


def hazards(hazard: Hazard, features: pa.Table, since: Vector, *, linear: bool = False) -> NDArray[np.float64]:
    """Give rows x periods x causes: the chance to leave in a period among those who begin it, as known at *since*.

    0 in periods that are over at *since*. *linear* takes the linear half alone, uncalibrated.
    """
    edges = np.array(hazard.borders)
    count = len(edges) - 1
    found = np.zeros((len(since), count, len(hazard.models)))
    begin = np.clip(np.searchsorted(edges, since, side="right") - 1, 0, count - 1)
    size = max(1, _CHUNK // count)
    for start in range(0, len(since), size):
        part = np.arange(start, min(start + size, len(since)))
        lengths = count - begin[part]
        row = np.repeat(part, lengths)
        period = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + begin[row]
        lag = None if hazard.reach is None else np.clip(edges[period] - since[row], 0, hazard.reach)
        table = _with_time(features.take(row), edges[period], np.array(hazard.usual)[period], lag)
        for place, model in enumerate(hazard.models):
            found[row, period, place] = _chance(hazard, place, model, table, period, linear=linear)
    total = found.sum(axis=2, keepdims=True)
    return np.where(total > 1, found / np.maximum(total, _CERTAIN), found)


def _chance(hazard: Hazard, place: int, model: Boosting, table: pa.Table, period: Whole, *, linear: bool) -> Vector:
    drawn = np.array(hazard.drawn[place])[period]
    if linear:
        _, encoder, line = fitted_state(model)
        odds = np.exp(np.clip(logistic.scores(line, encode.matrix(encoder, table)), -35, 35))
    else:
        said = model.predict(table)["prediction"].to_numpy()
        odds = period_calibration.apply(said, hazard.bends[place], period)
    found: Vector = drawn * odds / (1 + drawn * odds)
    return found


def curve(chances: NDArray[np.float64]) -> Matrix:
    """Give rows x borders: the probability of still being there at each border, from rows x periods x causes."""
    kept = np.cumprod(1 - chances.sum(axis=2), axis=1)
    return np.column_stack([np.ones(len(kept)), kept])


def at(borders: Sequence[float], kept: Matrix, times: Matrix) -> Matrix:
    """Give the curve of each row at its own times; within a period, and after the last, at a steady hazard."""
    edges = np.array(borders)
    logs = np.log(np.maximum(kept, _CERTAIN))
    period = np.clip(np.searchsorted(edges, times, side="right") - 1, 0, len(edges) - 2)
    rows = np.arange(len(kept))[:, None]
    slope = (logs[rows, period + 1] - logs[rows, period]) / np.diff(edges)[period]
    found: Matrix = np.exp(logs[rows, period] + slope * (times - edges[period]))
    return found


def from_now(borders: Sequence[float], kept: Matrix, since: Vector, ahead: Sequence[float]) -> Matrix:
    """Give rows x *ahead*: the probability of still being there so long from now, given that one is there now."""
    times = since[:, None] + np.append(0.0, ahead)
    there = at(borders, kept, times)
    found: Matrix = np.clip(there[:, 1:] / np.maximum(there[:, :1], _CERTAIN), 0, 1)
    return found


def remaining(borders: Sequence[float], kept: Matrix, since: Vector, share: float) -> Vector:
    """Give how long from now until the probability of still being there falls to *share*; NaN beyond what was seen."""
    edges = np.array(borders)
    now = at(borders, kept, since[:, None])
    goal = np.log(np.maximum(now[:, 0] * share, _CERTAIN))
    logs = np.log(np.maximum(kept, _CERTAIN))
    # The first border at which the curve is at the goal or below it; the borders up to now do not count.
    period = (logs > goal[:, None]).sum(axis=1)
    inside = np.clip(period, 1, len(edges) - 1)
    rows = np.arange(len(kept))
    high, low = logs[rows, inside - 1], logs[rows, inside]
    part = np.where(high > low, (high - goal) / np.maximum(high - low, _CERTAIN), 0.0)
    when = edges[inside - 1] + np.clip(part, 0, 1) * (edges[inside] - edges[inside - 1])
    found: Vector = np.where((period < len(edges)) & (since < edges[-1]), np.maximum(when - since, 0.0), np.nan)
    return found


def by_cause(hazard: Hazard, chances: NDArray[np.float64], since: Vector, ahead: float) -> Matrix:
    """Give rows x causes: the probability to leave by each cause within *ahead* from now; together 1 - S.

    Within a period the causes share what is lost by their hazards (cumulative incidence, Prentice et al. 1978).
    """
    edges = np.array(hazard.borders)
    kept = curve(chances)
    inner = np.clip(edges, since[:, None], (since + ahead)[:, None])
    there = at(hazard.borders, kept, inner)
    beyond = at(hazard.borders, kept, (since + ahead)[:, None])
    lost = there[:, :-1] - there[:, 1:]
    lost[:, -1] += there[:, -1] - beyond[:, 0]
    total = chances.sum(axis=2, keepdims=True)
    shares = np.where(total > 0, chances / np.maximum(total, _CERTAIN), 1 / chances.shape[2])
    now = np.maximum(at(hazard.borders, kept, since[:, None]), _CERTAIN)
    found: Matrix = np.einsum("rp,rpc->rc", lost, shares) / now
    return found
