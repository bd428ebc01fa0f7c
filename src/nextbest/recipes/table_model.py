"""Which model learns a flat table, by what settings, and which rows judge it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from nextbest import registry
from nextbest.errors import DataError, UsageError
from nextbest.models import cross_fit, encode, tune
from nextbest.models.boosting import Boosting
from nextbest.recipes import judged

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    import pyarrow as pa

    from nextbest.recipes.flat_table import Labelled
    from nextbest.recipes.table import Asked

LATEST_SHARE = 0.2
_log = logging.getLogger("nextbest.progress")
_LEARNING = ("monotone", "select", "tune_seconds", "tune_trials")


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What was learnt and how it was judged, which rows judged in words, and what the report adds."""

    learnt: judged.Learnt
    evaluation: str
    details: Mapping[str, Any] = field(default_factory=dict)


def refuse_without_table(recipe: Any, *, boosting_only: bool = False) -> None:  # noqa: ANN401 (any recipe)
    """Raise `UsageError` for settings that only learning a label of a flat table knows, when there is none."""
    given = [name for name in _LEARNING if getattr(recipe, name, None)]
    given += ["model"] if boosting_only and recipe.model != "boosting" else []
    if given:
        raise UsageError(
            f"'{recipe.name}' takes {', '.join(given)} only to learn the label of a flat table. Give table and label,"
            " or leave it out."
        )


def learn(asked: Asked, rows: Labelled, features: pa.Table, split: judged.Split | None) -> Taught | None:
    """Give the model of a table's columns and how it was judged; None when no column can be learnt from.

    A *split* by time judges if there is one. Settings that were searched for are judged by rows that no trial saw: by
    the same split, else by a fifth of the rows drawn by lot.
    """
    maker = _maker(asked, gone=set(rows.features.column_names) - set(features.column_names))
    details: dict[str, Any] = {}
    evaluation = ""
    try:
        if _is_tuned(asked):
            part = split or cross_fit.splits(rows.actual, 1, seed=asked.seed)[0]
            found = tune.search(
                maker, features.take(part[0]), rows.actual[part[0]], seconds=asked.tune_seconds,
                trials=asked.tune_trials, progress=_log.info,
            )  # fmt: skip
            maker, details["tuning"] = replace(maker, tuned=found.settings), found.document()
            split, evaluation = part, _how_tuned(asked, len(part[1]), found.trials)
        learnt = judged.learn(features, rows.actual, maker, split=split, seed=asked.seed)
    except DataError:
        if features.num_columns and encode.learn(features)[0].columns:
            raise
        return None
    if isinstance(maker, Boosting) and maker.monotone:
        details["monotone"] = dict(maker.monotone)
    return Taught(learnt=learnt, evaluation=evaluation or _how(asked, learnt, len(rows.actual)), details=details)


def _is_tuned(asked: Asked) -> bool:
    return asked.tune_seconds > 0 or asked.tune_trials > 0


def _maker(asked: Asked, *, gone: AbstractSet[str]) -> Any:  # noqa: ANN401 (any model)
    """Give the model to fit; raises `UsageError` for settings that it does not have."""
    known = {f.name for f in fields(registry.find("models", asked.model))}
    wanted = {"monotone": dict(asked.monotone), "select": asked.select, "tuned": _is_tuned(asked)}
    foreign = [name for name, value in wanted.items() if value and name not in known]
    if foreign:
        words = ", ".join("tune_seconds or tune_trials" if name == "tuned" else name for name in foreign)
        raise UsageError(f"The model '{asked.model}' has no setting {words}. Leave it out, or use model='boosting'.")
    # A column that was left out as a leak has no direction to keep; a name that nobody has is refused by the model.
    monotone = {name: way for name, way in asked.monotone.items() if name not in gone}
    settings = {"seed": asked.seed, "monotone": monotone, "select": asked.select}
    return registry.make("models", asked.model, {name: value for name, value in settings.items() if name in known})


def _how(asked: Asked, learnt: judged.Learnt, rows: int) -> str:
    """Say which rows judged."""
    if asked.time is not None:
        return f"the latest {LATEST_SHARE:.0%} of rows by '{asked.time}', learnt on the earlier ones"
    judges = len(learnt.rows)
    if judges < rows:
        return f"{judges:,} of {rows:,} rows held out by lot, seed {asked.seed}, each half calibrated on the other"
    count = judged.folds_for(learnt.judged.actual)
    return f"{count}-fold cross-validation, seed {asked.seed}, calibrated on the other folds"


def _how_tuned(asked: Asked, judges: int, trials: int) -> str:
    """Say which rows judged what a search had found."""
    lot = f"held out by lot, seed {asked.seed}" if asked.time is None else f"that are the latest by '{asked.time}'"
    return f"{judges:,} rows {lot}, which none of {trials} trials of settings was judged on, nor learnt from"
