"""What is kept of the decisions learnt from: sums, from which the whole posterior follows.

A row of decision i is f = (x, z): x the constant and what is known of the subject, z what describes the action. With y
the response and w the weight (by age),

    over all rows      ff = sum w f f'     fy = sum w f y     yy = sum w y^2     n = sum w
    of each action     xf = sum w x f'     xy = sum w x y     count = sum w

Sums do not know the order of what was added; a "no" that turns out to be a "yes" is put right exactly, by its own x.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers

Indices = np.ndarray[Any, np.dtype[np.intp]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """The sums over rows: ff (D, D), fy (D,), xf (k, d, D), xy (k, d), count (k,); `since` is the day of weight 1."""

    ff: Numbers
    fy: Numbers
    xf: Numbers
    xy: Numbers
    count: Numbers
    yy: float = 0.0
    n: float = 0.0
    since: float = 0.0


def empty() -> Sums:
    """Give the sums of nothing: one action, the constant alone."""
    one = np.zeros((1, 1))
    return Sums(ff=one, fy=one[0], xf=one[None], xy=one, count=one[0])


def added(sums: Sums, f: Numbers, y: Numbers, w: Numbers, group: Indices) -> Sums:
    """Give the sums with rows added: f (rows, D), responses, weights, and the action of each."""
    d = sums.xy.shape[1]
    weighed = f * w[:, None]
    xf = sums.xf.copy()
    for j in np.unique(group):
        rows = group == j
        xf[j] += weighed[rows, :d].T @ f[rows]
    more = replace(
        sums,
        ff=sums.ff + weighed.T @ f,
        xf=xf,
        count=sums.count + np.bincount(group, w, len(sums.count)),
        yy=sums.yy + float(w @ (y * y)),
        n=sums.n + float(w.sum()),
    )
    return _responses(more, weighed, y, group)


def corrected(sums: Sums, f: Numbers, y: Numbers, w: Numbers, group: Indices) -> Sums:
    """Give the sums with the responses of rows that are in them changed by y: from 0 to 1 by 1, back by -1."""
    return _responses(replace(sums, yy=sums.yy + float(w @ y)), f * w[:, None], y, group)


def _responses(sums: Sums, weighed: Numbers, y: Numbers, group: Indices) -> Sums:
    xy = sums.xy.copy()
    np.add.at(xy, group, weighed[:, : xy.shape[1]] * y[:, None])
    return replace(sums, fy=sums.fy + weighed.T @ y, xy=xy)


def scaled(sums: Sums, factor: float, since: float) -> Sums:
    """Give the sums with every weight multiplied: what they are as of another day."""
    return Sums(
        ff=sums.ff * factor,
        fy=sums.fy * factor,
        xf=sums.xf * factor,
        xy=sums.xy * factor,
        count=sums.count * factor,
        yy=sums.yy * factor,
        n=sums.n * factor,
        since=since,
    )


def widened(sums: Sums, at: Indices, shape: tuple[int, int, int], constant: Indices) -> Sums:
    """Give the sums with more columns and actions.

    `at` says where the old columns go among the new `shape` = (actions, d, D); `constant` are new columns of a row that
    were 1 in every earlier one (what a feature that was not there yet had for its absence).
    """
    k, d, whole = shape
    old, x_at = len(sums.xy), at[: sums.xy.shape[1]]
    ff, fy, xf, xy = np.zeros((whole, whole)), np.zeros(whole), np.zeros((k, d, whole)), np.zeros((k, d))
    ff[np.ix_(at, at)] = sums.ff
    fy[at] = sums.fy
    xf[np.ix_(np.arange(old), x_at, at)] = sums.xf
    xy[:old, x_at] = sums.xy
    for j in constant:
        ff[:, j], fy[j], xf[:, :, j] = ff[:, 0], fy[0], xf[:, :, 0]
        ff[j, :] = ff[:, j]
        ff[j, j] = ff[0, 0]
        if j < d:
            xf[:, j, :] = xf[:, 0, :]
            xy[:, j] = xy[:, 0]
    count = np.concatenate([sums.count, np.zeros(k - old)])
    return replace(sums, ff=ff, fy=fy, xf=xf, xy=xy, count=count)
