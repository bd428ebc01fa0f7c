"""Matrix products without a team of threads: small ones wait longer for the team than they work.

NumPy's own loops also add in the same order on every machine and for any number of threads, so that the same seed
gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

_TEAM_FROM = 4e9  # multiplications: seconds for one thread


def gram(left: Matrix, right: Matrix) -> Matrix:
    """Give `left.T @ right` of two tall matrices."""
    if float(len(left)) * left.shape[1] * right.shape[1] > _TEAM_FROM:
        return np.asarray(left.T @ right)
    found: Matrix = np.einsum("ni,nj->ij", left, right)
    return found


def product(matrix: Matrix, vector: Vector) -> Vector:
    """Give `matrix @ vector`."""
    found: Vector = np.einsum("ij,j->i", matrix, vector)
    return found
