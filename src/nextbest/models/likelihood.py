"""Maximum likelihood for a few positive parameters: L-BFGS on their logarithms, with standard errors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Objective = Callable[[Floats], tuple[float, Floats]]

PARAMETERS_FILE = "parameters.json"
_STEP = 1e-4  # of the logarithm, for the Hessian by central differences of the analytic gradient
_BOUND = 14.0  # e^14 times the scale of the data either way: beyond it the likelihood is flat


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Positive parameters by name with standard errors (of their logarithms) and the log-likelihood reached.

    `log_errors` is empty where the likelihood is flat in a direction, so that no interval can be told.
    """

    parameters: Mapping[str, float]
    log_likelihood: float
    customers: int
    converged: bool
    log_errors: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def interval(self, name: str, z: float = 1.959964) -> tuple[float, float] | None:
        """Give the interval of a parameter, symmetric in its logarithm; None when it cannot be told."""
        if name not in self.log_errors:
            return None
        width = z * self.log_errors[name]
        return self.parameters[name] * float(np.exp(-width)), self.parameters[name] * float(np.exp(width))

    def files(self) -> dict[str, bytes]:
        """Give the estimate as the one native file of the model."""
        return {PARAMETERS_FILE: json.dumps(asdict(self), indent=1, sort_keys=True).encode()}


def read_estimate(files: Mapping[str, bytes], model: str) -> Estimate:
    """Give the estimate in a model's files; raise `ModelError` when it is not there or not whole."""
    if PARAMETERS_FILE not in files:
        message = (
            f"The model '{model}' has not been fitted: it has no {PARAMETERS_FILE}. Fit it first, or load its files."
        )
        raise ModelError(message)
    try:
        return Estimate(**json.loads(files[PARAMETERS_FILE]))
    except (ValueError, TypeError) as error:
        message = f"The file {PARAMETERS_FILE} of the model '{model}' is damaged: {error}. Fit the model again."
        raise ModelError(message) from error


def maximise(
    objective: Objective, starts: Iterable[Floats], *, weight: float, penalty: float = 0.0
) -> tuple[Floats, Floats | None, float, bool]:
    """Give the logarithms at the maximum, their covariance or None, the log-likelihood, and whether it converged.

    Later starts are tried only until one reaches an inner maximum; without any, the best of all counts.

    `objective` maps logarithms of parameters to the log-likelihood and its gradient; `weight` is the number of
    customers, by which both are divided so that tolerances mean the same at every size. `penalty` times the sum of
    squared logarithms is taken off per customer (0: plain maximum likelihood).
    """
    from scipy.optimize import minimize

    def loss(theta: Floats) -> tuple[float, Floats]:
        value, gradient = objective(theta)
        return -value / weight + penalty * float(theta @ theta), -gradient / weight + 2 * penalty * theta

    best = None
    for start in starts:
        found = minimize(
            loss,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_BOUND, _BOUND)] * len(start),
            options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-7},
        )
        if best is None or found.fun < best.fun - 1e-10:
            best = found
        if best.success and np.all(np.abs(best.x) < 0.9 * _BOUND):
            break  # an inner maximum: further starts are for the cases where there is none
    if best is None or not np.isfinite(best.fun):
        message = "The likelihood is not finite at any start. Check for extreme values in the histories."
        raise ModelError(message)
    value, slope = objective(best.x)
    settled = float(np.max(np.abs(slope))) < 1e-4 * weight
    return best.x, _covariance(objective, best.x), float(value), bool(best.success or settled)


def _covariance(objective: Objective, theta: Floats) -> Floats | None:
    """Give the inverse of the observed information at the maximum, or None where it is not positive definite."""
    size = len(theta)
    hessian = np.empty((size, size))
    for i in range(size):
        step = np.zeros(size)
        step[i] = _STEP
        hessian[i] = (objective(theta + step)[1] - objective(theta - step)[1]) / (2 * _STEP)
    information = -(hessian + hessian.T) / 2
    try:
        np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return None
    return np.asarray(np.linalg.inv(information))


def estimate(
    names: tuple[str, ...],
    objective: Objective,
    starts: Iterable[Floats],
    *,
    customers: int,
    scale: Mapping[str, float],
    shift: float = 0.0,
    penalty: float = 0.0,
    facts: Mapping[str, Any] | None = None,
) -> Estimate:
    """Give the estimate in the data's own units: a parameter is its scaled value times `scale` (1 when absent).

    `shift` is added to the log-likelihood, which a change of units moves by a constant.
    """
    theta, covariance, value, converged = maximise(objective, starts, weight=customers, penalty=penalty)
    values = {name: float(np.exp(t) * scale.get(name, 1.0)) for name, t in zip(names, theta, strict=True)}
    errors = {}
    if covariance is not None:
        errors = {name: float(e) for name, e in zip(names, np.sqrt(np.diag(covariance)), strict=True)}
    return Estimate(
        parameters=values,
        log_likelihood=float(value + shift),
        customers=customers,
        converged=converged,
        log_errors=errors,
        facts=dict(facts or {}),
    )
