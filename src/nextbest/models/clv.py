"""Customer value to come: Pareto/NBD x Gamma-Gamma and boosting, both learnt from earlier time, then averaged.

Purchase models know how people come, buy and go, and extrapolate in time; boosting sees what they do not assume, but
only the past it was shown. Both learn from earlier windows: history up to an inner cut, and what was bought from there
to the cut. The windows also give what no model knows by itself: the factor that makes its total right, the weight of
the average, and how far single customers stray from their prediction.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.models.clv_windows import families_factor, family_of, features_table, purchase_models, settling, windows
from nextbest.models.grouping import histories
from nextbest.models.likelihood import read_estimate
from nextbest.models.pareto_nbd import tail, waiting_time
from nextbest.models.purchases import quantile
from nextbest.models.spend_trees import SpendTrees
from nextbest.models.strays import interval, strays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.clv_windows import Window
    from nextbest.models.grouping import Histories
    from nextbest.models.order_history import Purchases
    from nextbest.types import Model

    Floats = NDArray[np.float64]

FEWEST_POSITIVE = 100  # customers who bought in the longest window: with fewer, boosting learns noise and is left out
MOST_CUSTOMERS = 50_000  # that windows are made of; more would only take longer
MOST_FOLD_CUSTOMERS = 20_000
FOLDS = 2
_FEW = 3_000
TREES = {"value": "spend_trees", "orders": "order_trees"}
_WEIGHTS = (0.1, 0.9)  # the windows say little about the next one: neither side is ever silenced


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """Fitted parts by name, and the few numbers that join them (JSON-able)."""

    parts: Mapping[str, Model]
    facts: Mapping[str, Any]


def learn(bought: Purchases, cut: int, *, horizon_days: int, level: float = 0.9, seed: int = 0) -> Learnt:
    """Learn from purchases before day `cut`; raises `DataError` when there are too few customers for the models."""
    known = bought.between(-(2**62), cut)
    seen = windows(_sample(known, seed), cut, horizon_days)
    first = seen[0]
    late = purchase_models(known, cut, horizon_days)
    settled = settling(late)
    parts = dict(late)
    facts: dict[str, Any] = {"label_days": first.days, "inner_cut_day": cut - first.days, "cut_day": cut, **settled}
    for what in ("value", "orders"):
        factor = families_factor(seen, what)
        steady = first.family[what] * factor
        boosting, unseen = _boosted(seen, what, seed)
        weight = blend_weight(first.actual(what), unseen, steady)
        if boosting is not None:
            parts[TREES[what]] = boosting
            weight = 1.0 if settled["unsettled"] else weight  # what did not converge is not to be trusted
        blend = weight * unseen + (1 - weight) * steady if weight else steady
        facts |= {
            f"{what}_factor": factor,
            f"{what}_weight": weight,
            f"{what}_strays": strays(first.actual(what), blend, level, first.days),
        }
    return Learnt(parts=parts, facts=facts)


def foresee(learnt: Learnt, bought: Purchases, cut: int, *, horizon_days: int) -> dict[str, Any]:
    """Give, for customers known before day `cut`, what they will do in the horizon, as arrays by name.

    `table` is their `summary`; `value` and `orders`, each with `_low`, `_high`, `_steady` (the calibrated purchase
    models alone) and `_boosted` (boosting alone, None without it); `median_orders`; `alive`; `wait`: days to the next
    purchase of one who stays, by chance; `order_value`.
    """
    known = bought.between(-(2**62), cut)
    facts = learnt.facts
    table, family = family_of(learnt.parts, known, cut, horizon_days)
    features = features_table(known, cut, facts["label_days"], family, horizon_days)
    told: dict[str, Any] = {"table": table}
    for what in ("value", "orders"):
        steady = family[what] * facts[f"{what}_factor"]
        boosted, weight = None, facts[f"{what}_weight"]
        if TREES[what] in learnt.parts:
            boosted = _positive(learnt.parts[TREES[what]], features) * horizon_days
        both = steady if boosted is None else weight * boosted + (1 - weight) * steady
        told[what], told[f"{what}_steady"], told[f"{what}_boosted"] = both, steady, boosted
        told[f"{what}_low"], told[f"{what}_high"] = interval(both, facts[f"{what}_strays"], horizon_days)
    rows, parameters = histories(table), read_estimate(learnt.parts["pareto_nbd"].files, "pareto_nbd").parameters
    span = horizon_days * facts["orders_factor"]
    return told | {
        "median_orders": _median(parameters, rows, span)[rows.inverse],
        "alive": family["alive"],
        "wait": _wait(parameters, table),
        "order_value": family["order_value"],
    }


def _median(parameters: Mapping[str, float], rows: Histories, span: float) -> Floats:
    """Give the median number of purchases; searched only for those who more likely than not buy at all."""
    found, some = np.zeros(len(rows.age)), tail(parameters, rows, span, np.ones(len(rows.age))) > 0.5
    part = replace(rows, frequency=rows.frequency[some], recency=rows.recency[some], age=rows.age[some])
    if some.any():
        found[some] = quantile(part, lambda few, k: tail(parameters, few, span, k), 0.5)
    return found


def boosted_sees(learnt: Learnt, known: Purchases, cut: int, *, horizon_days: int) -> pa.Table:
    """Give the features that boosting sees at day `cut`, of a few thousand customers at most."""
    few = _sample(known, 0, most=_FEW)
    _, family = family_of(learnt.parts, few, cut, horizon_days)
    return features_table(few, cut, learnt.facts["label_days"], family, horizon_days)


def _wait(parameters: Mapping[str, float], table: pa.Table) -> Callable[[float], Floats]:
    rows = histories(table)
    return lambda chance: waiting_time(parameters, rows, chance)[rows.inverse]


def _sample(known: Purchases, seed: int, *, most: int = MOST_CUSTOMERS) -> Purchases:
    size = len(known.subject_ids)
    if size <= most:
        return known
    chosen = np.zeros(size, dtype=np.bool_)
    chosen[np.random.default_rng(seed).permutation(size)[:most]] = True
    return known.of(chosen)


def _boosted(seen: Sequence[Window], what: str, seed: int) -> tuple[Model | None, Floats]:
    """Give boosting fitted on all windows (None with too few buyers), and what it says of the first to others.

    "Others" are customers of whom it saw no window; NaN for those who were not asked.
    """
    first = seen[0]
    unseen = np.full(len(first.spent), np.nan)
    if int((first.actual(what) > 0).sum()) < FEWEST_POSITIVE:
        return None, unseen
    features = pa.concat_tables([window.features for window in seen]).combine_chunks()
    rates = np.concatenate([window.actual(what) / window.days for window in seen])
    subject = np.concatenate([window.subject for window in seen])
    fold = _folds(subject, seed)
    for number in range(FOLDS):
        rest = np.flatnonzero((fold[subject] >= 0) & (fold[subject] != number))
        held = np.flatnonzero(fold[first.subject] == number)
        said = _positive(_fitted(features, rates, rest, seed), first.features.take(pa.array(held)))
        unseen[held] = said * first.days
    return _fitted(features, rates, np.arange(len(rates)), seed), unseen


def _folds(subject: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Give every customer's fold, -1 for those who are not asked."""
    customers = np.random.default_rng(seed).permutation(np.unique(subject))[:MOST_FOLD_CUSTOMERS]
    fold = np.full(int(subject.max()) + 1, -1, dtype=np.int64)
    fold[customers] = np.arange(len(customers)) % FOLDS
    return fold


def blend_weight(actual: Floats, boosted: Floats, steady: Floats) -> float:
    """Give the weight of boosting: the best by Tweedie deviance (power 1.5), as far as it is surely better than half.

    Estimated weights of averages are known to lose to equal ones (the forecast combination puzzle), because they fit
    chance. So the best weight is drawn to one half by 1 / t^2, t being the gain of it over one half in standard errors
    (the positive-part James-Stein factor of one difference). 0 where boosting said nothing.
    """
    asked = ~np.isnan(boosted)
    if not asked.any():
        return 0.0
    actual, boosted, steady = actual[asked], boosted[asked], steady[asked]
    floor = 1e-6 * max(float(actual.mean()), 1e-12)

    def loss(weight: float) -> Floats:
        mean = np.maximum(weight * boosted + (1 - weight) * steady, floor)
        return np.asarray(actual / np.sqrt(mean) + np.sqrt(mean))

    grid = np.linspace(0, 1, 21)
    best = float(grid[int(np.argmin([loss(w).mean() for w in grid]))])
    gain = loss(0.5) - loss(best)
    error = float(gain.std()) / np.sqrt(len(gain))
    sure = max(0.0, 1 - (error / float(gain.mean())) ** 2) if gain.mean() > 0 else 0.0
    return float(np.clip(0.5 + sure * (best - 0.5), *_WEIGHTS))


def _fitted(features: pa.Table, rates: Floats, rows: NDArray[np.int64], seed: int) -> Model:
    return SpendTrees(seed=seed).fit(features.take(pa.array(rows)), pa.table({"rate": rates[rows]}))


def _positive(model: Model, features: pa.Table) -> Floats:
    return np.maximum(np.asarray(model.predict(features)["prediction"].to_numpy(), dtype=np.float64), 0.0)
