"""Columns that say the same as another column: one of each is enough, and reasons read better without the echo."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nextbest.models.sums import gram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]

_SAME = 0.99995
_TINY = 1e-300
_LOOK_AT = 5_000
_LEAST_ROWS = 20


def alike(names: Sequence[str], parts: Sequence[Matrix]) -> dict[int, str]:
    """Give the places of columns that repeat an earlier one (up to unit and offset), each with why.

    Two columns are the same when they are missing in the same rows and correlate beyond 0.99995. Categories repeat
    when their codes do: codes go by frequency, so renamed levels are found as well.
    """
    rows = len(parts[0]) if parts else 0
    if rows < _LEAST_ROWS:
        return {}
    step = max(1, rows // _LOOK_AT)
    shapes = np.column_stack([_standard(p[::step, 0]) for p in parts])
    close = np.abs(gram(shapes, shapes)) / len(shapes)
    found: dict[int, str] = {}
    for place in range(1, len(names)):
        for earlier in np.flatnonzero(close[place, :place] > _SAME).tolist():
            same_gaps = np.array_equal(np.isfinite(parts[place][:, 0]), np.isfinite(parts[earlier][:, 0]))
            if earlier not in found and same_gaps:
                found[place] = f"says the same as '{names[earlier]}'"
                break
    return found


def _standard(column: NDArray[np.float64]) -> NDArray[np.float64]:
    good = np.isfinite(column)
    if not good.any():
        return np.zeros(len(column))
    column = column / max(float(np.abs(column[good]).max()), _TINY)  # squares of huge numbers are no numbers any more
    centred = np.where(good, column - column[good].mean(), 0.0)
    spread = np.sqrt((centred**2).mean())
    scaled: NDArray[np.float64] = centred / spread if spread > 0 else centred
    return scaled
