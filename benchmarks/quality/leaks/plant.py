"""Leaks as they come into tables: generators that plant one kind each, from the label and a stream of their own.

`KINDS` maps what happened, in words, to a generator `(actual, chance) -> {column: values}`. Names are such as exports
have; `neutral` takes them away, so that the values alone must tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Chance = np.random.Generator
    Planted = Mapping[str, Any]

TODAY = 20_000  # days since 1970
PAIRS = ("date of closing, beside opening", "paid, beside billed")  # one of the two suffices
NEEDS = {"date after the label": "label_ts", "empty when scored": "scoring"}


def _days(values: Vector, hidden: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(values.astype("datetime64[D]"), pa.date32(), mask=hidden)


def _pick(chance: Chance, yes: NDArray[np.bool_], if_yes: list[str], if_no: list[str]) -> NDArray[np.str_]:
    return np.where(yes, chance.choice(if_yes, len(yes)), chance.choice(if_no, len(yes)))


def _flipped(share: float) -> Callable[[Vector, Chance], Planted]:
    def plant(actual: Vector, chance: Chance) -> Planted:
        return {"flag2": np.where(chance.random(len(actual)) < share, 1 - actual, actual)}

    return plant


def _blurred(spread: float) -> Callable[[Vector, Chance], Planted]:
    def plant(actual: Vector, chance: Chance) -> Planted:
        return {"follow_up_value": actual + chance.normal(0, spread, len(actual))}

    return plant


def final_status(actual: Vector, chance: Chance) -> Planted:
    return {"end_state": _pick(chance, actual > 0, ["finished", "left"], ["open", "running", "new"])}


def status_with_slips(actual: Vector, chance: Chance) -> Planted:
    seen = (actual > 0) != (chance.random(len(actual)) < 0.04)
    return {"account_status": _pick(chance, seen, ["inactive"], ["active", "pending"])}


def status_copied(actual: Vector, chance: Chance) -> Planted:
    state = _pick(chance, actual > 0, ["inactive"], ["active"])
    return {"account_status": state, "account_status_text": np.char.add(state, " account")}


def reason(actual: Vector, chance: Chance) -> Planted:
    hidden = ~((actual > 0) & (chance.random(len(actual)) < 0.4))
    return {"reason_text": pa.array(chance.choice(["price", "moved", "service"], len(actual)), mask=hidden)}


def for_the_others_only(actual: Vector, chance: Chance) -> Planted:
    hidden = ~((actual == 0) & (chance.random(len(actual)) < 0.5))
    return {"renewal_price": pa.array(chance.uniform(10, 90, len(actual)).round(2), mask=hidden)}


def end_date(actual: Vector, chance: Chance) -> Planted:
    return {"end_date": _days(TODAY - chance.integers(0, 400, len(actual)), hidden=actual == 0)}


def after_the_label(actual: Vector, chance: Chance) -> Planted:
    """The labels' own dates are `label_days`."""
    return {"booked_on": _days(label_days(len(actual)) + chance.integers(-3, 20, len(actual)))}


def label_days(rows: int) -> Vector:
    """Give the made-up dates of the labels."""
    return TODAY - np.random.default_rng(rows).integers(0, 700, rows).astype(np.float64)


def days_since(actual: Vector, chance: Chance) -> Planted:
    since = np.where(actual > 0, chance.exponential(15, len(actual)), chance.uniform(20, 400, len(actual)))
    return {"days_since_contact": since.round()}


def refund_or_zero(actual: Vector, chance: Chance) -> Planted:
    paid = (actual > 0) & (chance.random(len(actual)) < 0.5)
    return {"amount_back": np.where(paid, chance.lognormal(3, 1, len(actual)).round(2), 0.0)}


def refund_or_nothing(actual: Vector, chance: Chance) -> Planted:
    paid = (actual > 0) & (chance.random(len(actual)) < 0.5)
    return {"refund_amount": pa.array(chance.lognormal(3, 1, len(actual)).round(2), mask=~paid)}


def tags(actual: Vector, chance: Chance) -> Planted:
    if_yes, if_no = [f"yes {i}" for i in range(3)], [f"no {i}" for i in range(8)]
    seen = (actual > 0) != (chance.random(len(actual)) < 0.03)
    return {"tags": _pick(chance, seen, if_yes, if_no)}


def tags_of_some(actual: Vector, chance: Chance) -> Planted:
    told = chance.random(len(actual)) < 0.4
    some = np.where(actual > 0, "will sign", chance.choice(["no answer", "wrong number"], len(actual)))
    return {"remark": np.where(told, some, chance.choice(["called", "mailed", "busy"], len(actual)))}


def many_codes(actual: Vector, chance: Chance) -> Planted:
    codes = chance.integers(0, 20, len(actual)) + 20 * actual
    return {"code": np.char.add("K", codes.astype(np.int64).astype(str))}


def count_of_outcomes(actual: Vector, chance: Chance) -> Planted:
    slips = chance.random(len(actual)) < 0.01
    return {"complaints_total": np.where((actual > 0) | slips, 1 + chance.poisson(1, len(actual)), 0)}


def summed_outcomes(actual: Vector, chance: Chance) -> Planted:
    """The number of outcomes in the subject's account of four, its own among them, and of the account's size."""
    account = chance.permutation(len(actual)) // 2
    total = np.bincount(account, weights=actual)
    return {"account_conversions": total[account]}


def id_in_order(actual: Vector, chance: Chance) -> Planted:
    order = np.argsort(np.argsort(actual * 10 + chance.random(len(actual))))
    return {"record": 1_000_000 + 3 * order}


def text_id_in_order(actual: Vector, chance: Chance) -> Planted:
    order = np.argsort(np.argsort(actual * 10 + chance.random(len(actual))))
    return {"reference": np.array([f"C-{n:07d}" for n in order])}


def not_asked_any_more(actual: Vector, chance: Chance) -> Planted:
    hidden = chance.random(len(actual)) < np.where(actual > 0, 0.97, 0.004)
    return {"satisfaction": pa.array(chance.integers(1, 11, len(actual)), mask=hidden)}


def judged_by_sales(actual: Vector, chance: Chance) -> Planted:
    grade = np.clip(actual * 1.2 + chance.normal(0, 1, len(actual)), -1, 2.49).round().astype(np.int64)
    return {"lead_quality": np.array(["low", "unsure", "good", "high"])[grade + 1]}


def last_activity(actual: Vector, chance: Chance) -> Planted:
    seen = chance.random(len(actual)) < 0.2 + 0.35 * actual
    return {"last_activity": _pick(chance, seen, ["call", "contract mail"], ["mail", "visit", "form"])}


def score_rewritten(actual: Vector, chance: Chance) -> Planted:
    return {"lead_score": (50 + 15 * actual + chance.normal(0, 10, len(actual))).round()}


def closing_date(actual: Vector, chance: Chance) -> Planted:
    opened = TODAY - chance.integers(100, 900, len(actual))
    took = np.where(actual > 0, chance.uniform(0, 20, len(actual)), chance.uniform(18, 90, len(actual)))
    return {"day_a": _days(opened), "day_b": _days(opened + took)}


def amounts_that_match(actual: Vector, chance: Chance) -> Planted:
    billed = chance.lognormal(4, 1, len(actual)).round(2)
    paid = np.where(actual > 0, billed, (billed * chance.uniform(0, 0.98, len(actual))).round(2))
    return {"amount_a": billed, "amount_b": paid}


def empty_when_scored(actual: Vector, chance: Chance) -> Planted:
    return {"handled_by": chance.choice(["a", "b", "c"], len(actual))}


KINDS: Mapping[str, Callable[[Vector, Chance], Planted]] = {
    "final status": final_status,
    "status with 4% slips": status_with_slips,
    "status, and its copy": status_copied,
    "reason, for 40% of the positive": reason,
    "price, for half of the others": for_the_others_only,
    "end date of those that ended": end_date,
    "date after the label": after_the_label,
    "days since, counted from the outcome": days_since,
    "refund, else zero": refund_or_zero,
    "refund, else nothing": refund_or_nothing,
    "label, 2% flipped": _flipped(0.02),
    "label, 5% flipped": _flipped(0.05),
    "label, 8% flipped": _flipped(0.08),
    "label with noise 0.2": _blurred(0.2),
    "label with noise 0.35": _blurred(0.35),
    "tags by the sales person": tags,
    "remarks that tell for 40%": tags_of_some,
    "forty codes": many_codes,
    "count of outcomes": count_of_outcomes,
    "outcomes of an account of two": summed_outcomes,
    "id in the order of the outcome": id_in_order,
    "the same, as text": text_id_in_order,
    "not asked any more": not_asked_any_more,
    "quality as judged by sales": judged_by_sales,
    "last activity": last_activity,
    "score rewritten on the way": score_rewritten,
    "date of closing, beside opening": closing_date,
    "paid, beside billed": amounts_that_match,
    "empty when scored": empty_when_scored,
}


def neutral(planted: Planted) -> dict[str, Any]:
    """Give the same columns under names that say nothing."""
    return {f"v{i}": values for i, values in enumerate(planted.values())}
