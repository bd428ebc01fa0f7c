"""Search settings around the preset, for a time or a number of trials: an option, not needed for a good result.

    tune.search(Boosting(), features, actual, trials=30)     ->  what replaces settings of the preset, and what it gains

Every trial is judged by folds within the rows given, whose halves had not seen them (cross-fit, calibrated on the other
folds). The preset is a trial too, and stays unless another is clearly better: the best of many trials is partly luck.
So whoever reports how good the result is does so on other rows.
"""

from __future__ import annotations

import time as clock
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import MissingExtraError, UsageError
from nextbest.models import blend, boosting, cross_fit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from nextbest.models.boosting import Boosting
    from nextbest.models.halves import Table, Taught
    from nextbest.models.presets import Preset

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]
    Part = tuple[Taught, cross_fit.Places, Matrix]

FOLDS = 3
_CLEARLY = 1.0  # standard errors of the paired difference in loss, beyond which the preset gives way
_NEVER = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What replaces settings of the preset ({}: nothing was clearly better), trials made, and mean losses."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    trials: int
    preset_loss: float
    loss: float

    def document(self) -> dict[str, Any]:
        """Give plain values for a report."""
        losses = {"loss_of_preset": round(self.preset_loss, 5), "loss": round(self.loss, 5)}
        return {"settings": dict(self.settings), "trials": self.trials, "folds": FOLDS, **losses}


def search(
    model: Boosting,
    features: pa.Table,
    actual: Vector,
    *,
    seconds: float = 0.0,
    trials: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Found:
    """Give what was found in so many *trials*, or in what trials fit into so many *seconds*, whichever ends first.

    The same number of trials gives the same result; seconds alone do not. Raises `MissingExtraError` without optuna.
    """
    if seconds <= 0 and trials <= 0:
        raise UsageError("Give tune_seconds or tune_trials: how long to search for settings.")
    say = progress or str
    study = _study(model.seed)
    began = clock.perf_counter()
    table = boosting.read_table(
        model, features, boosting.label_of(pa.table({"label": actual}), model.task, len(actual))
    )
    parts = _parts(table)
    standard = _losses(table, parts)
    say(f"tuning: loss {standard.mean():.5f} with the preset")
    study.enqueue_trial(_standing(table.size))
    best, chosen, most = standard, dict[str, Any](), trials or _NEVER
    study.tell(study.ask(_space(table.size)), float(standard.mean()))
    done = 1
    while done < most and (seconds <= 0 or clock.perf_counter() - began < seconds):
        trial = study.ask(_space(table.size))
        settings = _settings(table.size, trial.params)
        losses = _losses(replace(table, size=replace(table.size, **settings)), parts)
        study.tell(trial, float(losses.mean()))
        done += 1
        if losses.mean() < best.mean():
            best, chosen = losses, settings
            say(f"tuning: trial {done}, loss {losses.mean():.5f}, with the preset {standard.mean():.5f}")
    gain = standard - best
    clearly = bool(gain.mean() > _CLEARLY * gain.std() / np.sqrt(len(gain)))
    return Found(
        settings=chosen if clearly else {}, trials=done, preset_loss=float(standard.mean()),
        loss=float(best.mean() if clearly else standard.mean()),
    )  # fmt: skip


def _study(seed: int) -> Any:  # noqa: ANN401 (optuna's)
    """Give optuna's study by tree-structured Parzen estimators (Bergstra et al. 2011), told nothing yet."""
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError("optuna", "tune") from error
    loud = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    finally:
        optuna.logging.set_verbosity(loud)


# --- what is searched -----------------------------------------------------------------------------------------------

# Factors on the settings of the preset, on a logarithmic scale; `columns` is a share.
_FACTORS = {
    "learning": (0.3, 3.0), "rate": (0.5, 2.0), "leaves": (0.5, 4.0), "min_rows": (0.25, 4.0), "shrink": (0.1, 10.0),
    "line": (0.1, 10.0),
}  # fmt: skip
_COLUMNS = (0.2, 1.0)


def _space(size: Preset) -> dict[str, Any]:
    """Give the distributions; rounds follow from how much is learnt in all, rounds times rate."""
    from optuna.distributions import FloatDistribution

    # Of large tables a trial is slow enough: no more than twice the rounds.
    most = min(_FACTORS["learning"][1], 2.0) if size.folds == 1 else _FACTORS["learning"][1]
    factors = {**_FACTORS, "learning": (_FACTORS["learning"][0], most)}
    found = {name: FloatDistribution(low, high, log=True) for name, (low, high) in factors.items()}
    return {**found, "columns": FloatDistribution(*_COLUMNS)}


def _standing(size: Preset) -> dict[str, float]:
    return {**dict.fromkeys(_FACTORS, 1.0), "columns": size.columns}


def _settings(size: Preset, factors: Mapping[str, float]) -> dict[str, Any]:
    """Give the settings that factors on those of a preset stand for."""
    return {
        "rounds": max(10, round(size.rounds * factors["learning"] / factors["rate"])),
        "rate": round(size.rate * factors["rate"], 4),
        "leaves": max(2, round(size.leaves * factors["leaves"])),
        "min_rows": max(1, round(size.min_rows * factors["min_rows"])),
        "columns": round(factors["columns"], 3),
        "shrink": round(size.shrink * factors["shrink"], 3),
        "line": round(size.line * factors["line"], 3),
    }


# --- how a trial is judged ------------------------------------------------------------------------------------------


def _parts(table: Table) -> list[Part]:
    """Give the learning rows of every fold, encoded once, with the places and the matrix of the rows that judge."""
    found = []
    count = FOLDS if table.size.folds > 1 else 1
    for learning, judging in cross_fit.splits(table.actual, count, seed=table.seed + 1, groups=table.groups):
        taught = table.taught(learning)
        found.append((taught, judging, table.seen(taught.encoder, judging)))
    return found


def _losses(table: Table, parts: list[Part]) -> Vector:
    """Give the loss of every row that judged, told what it was told by blend and calibration of the other folds."""
    scored = [(judging, *table.scores(table.halves(taught), matrix)) for taught, judging, matrix in parts]
    held_out = cross_fit.gathered(scored, table.actual, seed=table.seed)
    return blend.loss(cross_fit.crosswise(held_out, task=table.task), held_out.actual, table.task)
