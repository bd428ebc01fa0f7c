"""Matrix products without a team of threads: small ones wait longer for the team than they work.

Blocks too small for a team, and NumPy's own loops, also add in the same order for any number of threads, so that the
same seed gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

_ALONE_BELOW = 262_144  # multiplications: OpenBLAS computes so few with one thread, however many it may use
_LEAST_BLOCK = 32
_WIDE = 1_000_000


def gram(left: Matrix, right: Matrix) -> Matrix:
    """Give `left.T @ right` of two tall matrices, block of rows by block of rows, summed in the order of the rows."""
    if left.shape[1] * right.shape[1] > _WIDE:  # adding up so large a result costs more than the products
        return np.asarray(left.T @ right)
    found = np.zeros((left.shape[1], right.shape[1]))
    block = max(_LEAST_BLOCK, _ALONE_BELOW // max(1, left.shape[1] * right.shape[1]))
    for start in range(0, len(left), block):
        found += left[start : start + block].T @ right[start : start + block]
    return found


def product(matrix: Matrix, vector: Vector) -> Vector:
    """Give `matrix @ vector`."""
    found: Vector = np.einsum("ij,j->i", matrix, vector)
    return found
