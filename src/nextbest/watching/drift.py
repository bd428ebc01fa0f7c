"""Does a model still see the world that it learnt from? The population stability index, feature by feature.

    PSI = sum over bins of (now - then) * ln(now / then)

The bins are the deciles of *then*, with one more for the missing. Under no change, PSI is about chi-square with
(bins - 1) degrees of freedom times (1/n_then + 1/n_now) (B. Yurdakul, Statistical Properties of Population Stability
Index, 2018, section 3.2), so that few rows alone raise no alarm. As the ledger is point in time, both sides are
computed now from the events: nothing has to be kept from the day of learning.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from nextbest import registry
from nextbest.models import store
from nextbest.types import Status  # noqa: TC001 (a dataclass field)

if TYPE_CHECKING:
    import pyarrow as pa

    from nextbest.ledger import Ledger
    from nextbest.types import Fitted, Recipe

LARGE = 0.25  # the customary bound for a large shift
ALARM = 0.001  # false alarms per feature when nothing has changed
LEAST = 50  # subjects on either side


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far one recipe's predictions have moved since it learnt; `shifted`: the index of each column that moved.

    A model that learnt from somebody who was erased since counts as drifted: it has to be fitted again.
    """

    recipe: str
    model_id: str
    status: Status
    drifted: bool
    then: str
    now: str
    subjects_then: int
    subjects_now: int
    shifted: dict[str, float]
    why: str


def drift(ledger: Ledger, fitted: Fitted, *, as_of: datetime) -> Drift:
    """Compare the recipe's predictions as of the day it learnt with those as of *as_of*."""
    recipe: Recipe = registry.make("recipes", fitted.recipe, fitted.settings)
    learnt = datetime.fromisoformat(fitted.as_of)
    learnt = learnt if learnt.tzinfo else learnt.replace(tzinfo=UTC)
    if getattr(recipe, "table", None) is not None:
        return _answer(
            fitted, as_of, None, None, "It learnt from a flat table; give the new table to `predict --table`."
        )
    if fitted.model_id in store.to_refit(ledger):
        why = "It learnt from somebody who was erased since. Fit it again."
        return _answer(fitted, as_of, None, None, why, refit=True)
    then = recipe.predict(ledger, fitted, as_of=learnt)
    now = recipe.predict(ledger, fitted, as_of=as_of)
    if min(then.num_rows, now.num_rows) < LEAST:
        return _answer(fitted, as_of, then, now, f"Fewer than {LEAST} subjects on one side.")
    return _answer(fitted, as_of, then, now, "")


def stability_index(then: np.ndarray, now: np.ndarray, bins: int = 10) -> tuple[float, float]:
    """Give (PSI, the bound it stays under by chance) of two float arrays; nan is a bin of its own."""
    known = then[np.isfinite(then)]
    inner = np.unique(np.quantile(known, np.linspace(0, 1, bins + 1)[1:-1])) if len(known) else known
    shares = []
    for side in (then, now):
        place = np.where(np.isnan(side), len(inner) + 1, np.searchsorted(inner, side, side="right"))
        counts = np.bincount(place, minlength=len(inner) + 2) + 0.5  # half a row a bin: no division by nought
        shares.append(counts / counts.sum())
    index = float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))
    from scipy.stats import chi2

    by_chance = float(chi2.ppf(1 - ALARM, len(inner) + 1)) * (1 / len(then) + 1 / len(now))
    return index, by_chance


def _answer(
    fitted: Fitted, as_of: datetime, then: pa.Table | None, now: pa.Table | None, unknown: str, *, refit: bool = False
) -> Drift:
    over: dict[str, float] = {}
    if then is not None and now is not None and not unknown:
        over = _shifted(then, now)
    said = ", ".join(f"{name} ({value:.2f})" for name, value in over.items())
    why = unknown or (f"Shifted: {said}. Fit it again." if over else "Nothing has shifted by more than chance allows.")
    return Drift(
        recipe=fitted.recipe,
        model_id=fitted.model_id,
        status="cannot_tell" if unknown else "ok",
        drifted=bool(over) or refit,
        then=fitted.as_of,
        now=as_of.isoformat(),
        subjects_then=then.num_rows if then is not None else 0,
        subjects_now=now.num_rows if now is not None else 0,
        shifted=over,
        why=why,
    )


def _shifted(then: pa.Table, now: pa.Table) -> dict[str, float]:
    """Give the prediction columns whose index is both large and beyond chance, largest first."""
    import pyarrow as pa

    found = {}
    for name in then.column_names:
        if pa.types.is_floating(then.schema.field(name).type):
            index, by_chance = stability_index(_floats(then, name), _floats(now, name))
            if index > max(LARGE, by_chance):
                found[name] = round(index, 4)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _floats(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(zero_copy_only=False), dtype=float)
