"""Which rows learn and which rows judge: folds that keep a subject whole and the label in balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def assign(
    actual: NDArray[np.float64], count: int, *, seed: int = 0, groups: Sequence[str] | None = None
) -> NDArray[np.int64]:
    """Give each row its fold, 0 to count - 1; rows of one group share a fold, labels are dealt out evenly.

    Groups (a subject seen at several moments) are shuffled, sorted by their mean label, and dealt like cards.
    """
    which = np.arange(len(actual)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    size = int(which.max()) + 1 if len(which) else 0
    mean = np.bincount(which, weights=actual, minlength=size) / np.maximum(np.bincount(which, minlength=size), 1)
    chance = np.random.default_rng(seed)
    shuffled = chance.permutation(size)
    ordered = shuffled[np.argsort(mean[shuffled], kind="stable")]
    # Within every run of `count` neighbours the folds come in a fresh order, so that no fold is always the highest.
    runs = -(-size // count)
    cards = np.argsort(chance.random((runs, count)), axis=1).ravel()[:size]
    fold = np.empty(size, np.int64)
    fold[ordered] = cards
    result: NDArray[np.int64] = fold[which]
    return result
