"""A few subjects: the best whole-number allocation, by branch and bound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.policies.allocation import dual

if TYPE_CHECKING:
    from nextbest.policies.allocation.problem import Problem, Rows

_NODES = 2_000  # a limit that does not depend on the machine's speed, so that the answer is the same everywhere


def exact(it: Problem) -> Rows | None:
    """Give the best action per subject (the number of actions for none), or None when it was not found."""
    from scipy.optimize import Bounds, LinearConstraint, milp

    able = it.gain > -np.inf
    matrix, most = constraints(it)
    found = milp(
        -np.where(able, it.gain, 0.0).astype(np.float64).ravel(),
        constraints=LinearConstraint(matrix, -np.inf, most),
        integrality=np.ones(able.size),
        bounds=Bounds(0, able.ravel().astype(float)),
        options={"node_limit": _NODES, "mip_rel_gap": 0.0},
    )
    if not found.success:
        return None
    chosen = found.x.reshape(able.shape) > 0.5
    return np.where(chosen.any(axis=1), chosen.argmax(axis=1), it.actions)


def constraints(it: Problem) -> tuple[Any, np.ndarray]:
    """Give all limits over the flattened (subject, action) pairs as a sparse matrix, and what each allows at most."""
    from scipy import sparse

    n, k = it.rows, it.actions
    limits = dual.limits_of(it)
    parts = [sparse.kron(sparse.eye(n), np.ones((1, k))), sparse.kron(np.ones((1, n)), sparse.csr_array(limits.use))]
    most = [np.ones(n), limits.most]
    if it.groups is not None:
        member = sparse.csr_array((np.ones(n), (it.groups.code, np.arange(n))))
        parts.append(sparse.kron(member, it.contacts[None, :].astype(float)))
        most.append(np.full(member.shape[0], float(it.per_group)))
    return sparse.vstack(parts).tocsr(), np.concatenate(most)
