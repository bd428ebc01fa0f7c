"""LightGBM, kept at arm's length: grown the same way every time, imported without what serving must not load."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ModelError
from nextbest.models import fast_predict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Vector = NDArray[np.float64]

_OBJECTIVE = {"classification": "binary", "regression": "regression", "tweedie": "tweedie"}
# LightGBM imports these when they are installed: seconds and hundreds of megabytes that a prediction never uses.
_NOT_NEEDED = ("sklearn", "pandas", "dask", "matplotlib", "graphviz")
_LOCK = threading.Lock()


@lru_cache(maxsize=1)
def _lightgbm() -> Any:  # noqa: ANN401 (a module)
    """Give LightGBM, without scikit-learn and pandas unless the process has them anyway.

    A lean copy is private to this module: it is taken out of `sys.modules`, so that a user's own
    `import lightgbm` in the same process still gets the whole package.
    """
    with _LOCK:
        if "lightgbm" in sys.modules or "sklearn" in sys.modules:
            import lightgbm

            return lightgbm
        hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
        modules: dict[str, Any] = sys.modules
        modules.update(dict.fromkeys(hidden))  # None makes an import fail, as the language reference says
        try:
            import lightgbm
        finally:
            for name in hidden:
                del sys.modules[name]
        for name in [n for n in sys.modules if n.partition(".")[0] == "lightgbm"]:
            del sys.modules[name]
        return lightgbm


def grow(
    matrix: Matrix,
    actual: Vector,
    *,
    task: str,
    parameters: Mapping[str, Any],
    rounds: int,
    categories: Sequence[int] = (),
    seed: int = 0,
    num_threads: int = 1,
) -> bytes:
    """Give LightGBM's text model, UTF-8; the same seed and rows give the same bytes for any number of threads."""
    lightgbm = _lightgbm()
    settings = {
        **parameters,
        "objective": _OBJECTIVE[task],
        "seed": seed,
        "num_threads": num_threads,
        "deterministic": True,
        "force_row_wise": True,
        "verbose": -1,
    }
    data = lightgbm.Dataset(_padded(matrix), actual, categorical_feature=list(categories), params={"verbose": -1})
    booster = lightgbm.train(settings, data, rounds)
    trees, _, _ = booster.model_to_string(num_iteration=-1).partition("\nparameters:\n")
    written: bytes = (trees + "\n").encode()
    return written


def _padded(matrix: Matrix) -> Matrix:
    """Give a matrix without columns one that is constant: where nothing is known the trees say the base rate."""
    return matrix if matrix.shape[1] else np.zeros((len(matrix), 1))


def scores(model: bytes, matrix: Matrix, *, num_threads: int = 1) -> Vector:
    """Give one raw score per row (log-odds, amount, or log amount); the number of threads does not change it."""
    raw: Vector = _parse(model).predict(_padded(matrix), raw_score=True, num_threads=num_threads)
    return raw


@lru_cache(maxsize=64)
def scorer(model: bytes) -> Callable[[Matrix], Vector]:
    """Give a function from a matrix to what `scores` gives of it, for one request at a time; made once per model."""
    ask = fast_predict.scorer(_parse(model), version=_lightgbm().__version__, raw=True)
    return lambda matrix: ask(_padded(matrix))


def never_falling(rising: Mapping[int, int], columns: int) -> dict[str, Any]:
    """Give the parameters that keep scores from falling (1) or rising (-1) as columns of the matrix rise."""
    if not rising:
        return {}
    # The basic method forbids more than it must, but holds for every row; small trees lose little by it.
    signs = [rising.get(place, 0) for place in range(columns)]
    return {"monotone_constraints": signs, "monotone_constraints_method": "basic"}


def gains(model: bytes) -> Vector:
    """Give how much loss the cuts of each column saved while growing."""
    return np.asarray(_parse(model).feature_importance("gain"), np.float64)


def contributions(model: bytes, matrix: Matrix) -> Matrix:
    """Give per row the share of each column in the raw score, and the base value last (TreeSHAP; rows sum to it)."""
    shares: Matrix = _parse(model).predict(matrix, pred_contrib=True, num_threads=1)
    return shares


@lru_cache(maxsize=64)
def _parse(model: bytes) -> Any:  # noqa: ANN401 (a LightGBM booster)
    """Give the booster; parsed once per model. Text that did not come from `grow` must never get here unverified."""
    lightgbm = _lightgbm()
    try:
        return lightgbm.Booster(model_str=model.decode())
    except (UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
        raise ModelError(f"The trees of a model cannot be read: {error}. Fit the model again.") from error
