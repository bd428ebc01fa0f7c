"""How good predictions of *when* are: ranking, error and calibration, with those who are still there counted rightly.

`time` is how long somebody was seen, `observed` 1 where they left then and 0 where they were still there. A survival
table `kept` has one row per subject and one column per moment: the probability of still being there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Whole = NDArray[np.int64]

_LEAST = 1e-12
_Z = 1.959964


def kaplan_meier(time: Vector, observed: Vector, moments: Vector) -> Vector:
    """Give the share still there after each moment (Kaplan and Meier 1958, equation 2b)."""
    return _product_limit(time, observed, moments)[0]


def kaplan_meier_variance(time: Vector, observed: Vector, moments: Vector) -> Vector:
    """Give Greenwood's variance of that share (Greenwood 1926); 0 where nobody has left yet or all have."""
    kept, spread = _product_limit(time, observed, moments)
    variance: Vector = kept**2 * spread
    return variance


def _product_limit(time: Vector, observed: Vector, moments: Vector) -> tuple[Vector, Vector]:
    if not len(time):
        return np.ones(len(moments)), np.zeros(len(moments))
    ends, left = np.unique(time[observed > 0], return_counts=True)
    there = len(time) - np.searchsorted(np.sort(time), ends, side="left")
    kept = np.append(1.0, np.cumprod(1 - left / there))
    rest = there - left
    spread = np.append(0.0, np.cumsum(np.where(rest > 0, left / (there * np.maximum(rest, 1)), 0.0)))
    place = np.searchsorted(ends, moments, side="right")
    return kept[place], spread[place]


# --- ranking ----------------------------------------------------------------------------------------------------------


def concordance(time: Vector, observed: Vector, risk: Vector) -> float:
    """Give Harrell's C (1982): the chance that of two, who is known to leave first has the higher risk; ties half.

    A pair counts when the shorter time ended in leaving, or both times are the same and one of the two left. NaN
    without such a pair. In n log n steps.
    """
    right, pairs = concordant(time, observed, risk)
    return float(right.sum() / pairs.sum()) if pairs.any() else float("nan")


def concordance_interval(
    time: Vector, observed: Vector, risk: Vector, *, who: Whole | None = None
) -> tuple[float, float]:
    """Give the 95% interval of C by each subject's influence (jackknife of a ratio of U-statistics).

    `who` numbers whose row it is, where a subject may have several: they stand or fall together.
    """
    place, pull = _influence(time, observed, risk)
    half = _Z * spread_of_sum(pull, who)
    return max(0.0, place - half), min(1.0, place + half)


def concordance_difference(
    time: Vector, observed: Vector, ours: Vector, theirs: Vector, *, who: Whole | None = None
) -> tuple[float, float, float]:
    """Give our C minus theirs on the same subjects and its paired 95% interval: (d, low, high)."""
    one, pull = _influence(time, observed, ours)
    two, other = _influence(time, observed, theirs)
    half = _Z * spread_of_sum(pull - other, who)
    return one - two, one - two - half, one - two + half


def spread_of_sum(pull: Vector, who: Whole | None) -> float:
    """Give the standard error of a sum of influences of mean 0, those of one subject taken together."""
    together = pull if who is None else np.bincount(np.unique(who, return_inverse=True)[1], weights=pull)
    return float(np.sqrt((together**2).sum()))


def _influence(time: Vector, observed: Vector, risk: Vector) -> tuple[float, Vector]:
    right, pairs = concordant(time, observed, risk)
    total = float(pairs.sum())
    if not total:
        return float("nan"), np.full(len(time), np.nan)
    place = float(right.sum()) / total
    return place, 2 * (right - place * pairs) / total


def concordant(time: Vector, observed: Vector, risk: Vector) -> tuple[Vector, Vector]:
    """Give, per subject, its pairs that are ordered rightly (ties half) and all its pairs that can be compared."""
    order = np.lexsort((-risk, observed <= 0, time))
    t, left = time[order], observed[order] > 0
    rank = np.unique(risk, return_inverse=True)[1][order].astype(np.int64)
    right = _counted(rank, left)
    place = np.arange(len(t))
    pairs = np.where(left, len(t) - 1.0 - place, 0.0) + np.cumsum(left) - left
    # Two who left at the same moment are no pair. Among them the higher risk stands first, so each of those pairs was
    # counted as rightly ordered, or as tied.
    together = _alike(t, left)
    tied = _alike(t, left, rank)
    right -= np.where(left, (together - tied) + (tied - 1) / 2, 0)
    pairs -= np.where(left, together - 1, 0)
    found, all_pairs = np.empty(len(t)), np.empty(len(t))
    found[order], all_pairs[order] = right, pairs
    return found, all_pairs


def _alike(time: Vector, left: NDArray[np.bool_], rank: Whole | None = None) -> Vector:
    """Give, per place, how many of those who left share its time (and its rank); places are sorted by all of them."""
    new = np.diff(time, prepend=np.nan) != 0
    new |= np.diff(left, prepend=left[:1]) != 0
    if rank is not None:
        new |= np.diff(rank, prepend=rank[:1]) != 0
    first = np.flatnonzero(new)
    lengths = np.diff(np.append(first, len(time)))
    return np.repeat(lengths, lengths).astype(np.float64)


def _counted(rank: Whole, left: NDArray[np.bool_]) -> Vector:
    """Give, per place, the pairs of it and a later place (earlier, if that one left) in which the earlier ranks higher.

    From the whole to halves: in a block sorted by rank, what stands before an element and belongs to the other half is
    what ranks below it. Splitting a sorted block by a bit of the place keeps both halves sorted.
    """
    n = len(rank)
    found = np.zeros(n)
    place = np.argsort(rank, kind="stable")
    for bit in range(max(1, (n - 1).bit_length()) - 1, -1, -1):
        later, block, ranks = ((place >> bit) & 1).astype(bool), place >> (bit + 1), rank[place]
        gone = left[place] & ~later
        seen, ends = np.append(0, np.cumsum(later)), np.append(0, np.cumsum(gone))
        start, stop = _runs(np.diff(block) != 0)
        low, high = _runs((np.diff(block) != 0) | (np.diff(ranks) != 0))
        below = seen[low] - seen[start] + (seen[high] - seen[low]) / 2
        above = ends[stop] - ends[high] + (ends[high] - ends[low]) / 2
        found[place] += np.where(later, above, np.where(gone, below, 0))
        place = place[np.argsort(place >> bit, kind="stable")]
    return found


def _runs(changes: NDArray[np.bool_]) -> tuple[Whole, Whole]:
    """Give, per place, where its run of equal neighbours begins and where it ends."""
    first = np.flatnonzero(np.append(True, changes))
    lengths = np.diff(np.append(first, len(changes) + 1))
    low = np.repeat(first, lengths)
    return low, low + np.repeat(lengths, lengths)


# --- error and calibration --------------------------------------------------------------------------------------------


def integrated_brier(time: Vector, observed: Vector, kept: Matrix, moments: Vector) -> float:
    """Give the squared error of *kept*, averaged over the moments by time (Graf et al. 1999, equations 12 and 14).

    Who was lost from sight before a moment is stood for by those who were not, by the inverse of the chance to be in
    sight (Kaplan-Meier of being lost).
    """
    errors = np.array([_brier(time, observed, kept[:, i], float(at)) for i, at in enumerate(moments)])
    if len(moments) == 1:
        return float(errors[0])
    return float(np.trapezoid(errors, moments) / (moments[-1] - moments[0]))


def _brier(time: Vector, observed: Vector, kept: Vector, moment: float) -> float:
    gone, there = (time <= moment) & (observed > 0), time > moment
    before = np.nextafter(time, -np.inf)  # in sight just before leaving
    seen = kaplan_meier(time, np.where(observed > 0, 0.0, 1.0), np.append(before, moment))
    weight = np.where(gone, 1 / np.maximum(seen[:-1], _LEAST), 0) + np.where(there, 1 / max(seen[-1], _LEAST), 0)
    return float((weight * (there - kept) ** 2).sum() / len(time))


def calibration(
    time: Vector, observed: Vector, kept: Vector, moment: float, *, groups: int = 10
) -> list[dict[str, float]]:
    """Give, per group of alike predictions, the mean predicted share still there at a moment and Kaplan-Meier's.

    `low` and `high` are Kaplan-Meier's 95% interval on the scale of log(-log) (Kalbfleisch and Prentice 1980, 1.13).
    """
    order = np.argsort(kept, kind="stable")
    at = np.array([moment])
    found = []
    for part in np.array_split(order, min(groups, len(order))):
        share = float(kaplan_meier(time[part], observed[part], at)[0])
        spread = float(kaplan_meier_variance(time[part], observed[part], at)[0])
        low, high = share_interval(share, spread)
        mean = float(kept[part].mean())
        found.append({"predicted": mean, "observed": share, "low": low, "high": high, "rows": float(len(part))})
    return found


def share_interval(share: float, variance: float, *, z: float = _Z) -> tuple[float, float]:
    """Give the interval of a share of Kaplan-Meier from its variance."""
    if not 0 < share < 1:
        return share, share
    bent = z * np.sqrt(variance) / (share * -np.log(share))
    return float(share ** np.exp(bent)), float(share ** np.exp(-bent))
