"""A LightGBM model as a plain function of arrays, for one request at a time.

With numba (the extra `fast`) the trees are compiled, once they have given the same bytes as LightGBM on rows made for
that. Else LightGBM's library is called at once, on one thread: `Booster.predict` looks at its input in many ways first.
Where this version of LightGBM is not one that all this was written for, the function is `Booster.predict` itself.
The numbers are the same whichever it is.

The first compiled model of a process takes seconds of work and much memory, for numba and its compiler, the next ones
milliseconds (`benchmarks/decide/live`, part `first`). Nothing of it is loaded before.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ModelError
from nextbest.models.compiled_trees import compiled
from nextbest.models.forest import forest

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from nextbest.models.forest import Forest

    Matrix = NDArray[np.float64]
    Scorer = Callable[[Matrix], NDArray[np.float64]]

VERSIONS = ("4.",)  # of LightGBM, whose C interface has had this call unchanged
_FLOAT64, _ROW_MAJOR, _NORMAL, _RAW, _FROM_FIRST = 1, 1, 0, 1, 0
_PARAMETERS = b"num_threads=1"
_TRIED = 256  # rows on which compiled trees are compared before they are used
_FEW = 3  # rows that LightGBM scores sooner than the compiled trees, which ask whole blocks


def scorer(booster: Any, *, version: str, raw: bool = False) -> Scorer:  # noqa: ANN401 (a Booster, of whatever copy)
    """Give a function from float64 rows (rows, features) to the booster's predictions (rows,); thread-safe.

    *version* is that of the LightGBM which made the booster. The model is one that gives a number per row. With *raw*
    it is the score before the objective transforms it.
    """
    library, handle = _parts(booster)
    if library is None or not version.startswith(VERSIONS):
        return lambda rows: np.asarray(booster.predict(rows, raw_score=raw, num_threads=1), dtype=np.float64)
    width = int(booster.num_feature())
    called = _called(booster, library, handle, raw=raw)
    quick = _checked(forest(booster.model_to_string(), raw=raw), called, width) or called

    def score(rows: Matrix) -> NDArray[np.float64]:
        flat = np.asarray(rows, dtype=np.float64)
        flat = flat if flat.flags.carray else flat.copy()  # one layout, writable too: numba compiles for each it meets
        if flat.ndim != 2 or flat.shape[1] != width:
            raise ModelError(f"The model reads {width} features per row; got an array of shape {flat.shape}.")
        return called(flat) if len(flat) < _FEW else quick(flat)

    return score


def _called(booster: Any, library: Any, handle: Any, *, raw: bool) -> Scorer:  # noqa: ANN401 (a Booster, ctypes objects)
    """Give LightGBM's own prediction of C-ordered rows of the right width, on one thread."""
    call, double, count = library.LGBM_BoosterPredictForMat, ctypes.c_void_p, ctypes.c_int32
    columns, parameters = count(int(booster.num_feature())), ctypes.c_char_p(_PARAMETERS)
    trees = count(booster.best_iteration if booster.best_iteration > 0 else -1)  # as `Booster.predict`; -1 is all

    def score(rows: Matrix) -> NDArray[np.float64]:
        out = np.empty(len(rows))
        if not len(rows):
            return out
        written = ctypes.c_int64(0)
        failed = call(
            handle,
            double(rows.ctypes.data),
            _FLOAT64,
            count(len(rows)),
            columns,
            _ROW_MAJOR,
            _RAW if raw else _NORMAL,
            _FROM_FIRST,
            trees,
            parameters,
            ctypes.byref(written),
            double(out.ctypes.data),
        )
        if failed or written.value != len(rows):
            raise ModelError(f"LightGBM gave {written.value} numbers for {len(rows)} rows.")
        return out

    score.__wrapped__ = booster  # type: ignore[attr-defined]  # the handle lives as long as its booster
    return score


def _checked(trees: Forest | None, called: Scorer, width: int) -> Scorer | None:
    """Give the compiled trees if they give the same bytes as LightGBM on rows at and beside the cuts, with gaps."""
    quick = compiled(trees) if trees is not None else None
    if trees is None or quick is None:
        return None
    draw = np.random.default_rng(0)
    rows = draw.standard_normal((_TRIED, width))
    for feature, start, stop in trees.sets.tolist():
        rows[:, feature] = draw.integers(-1, 32 * (stop - start) + 2, _TRIED)
    numbers = trees.cuts[trees.cuts["column"] >= 0]
    features, thresholds = trees.columns["feature"][numbers["column"]], numbers["threshold"]
    for feature in np.unique(features):
        rows[:, feature] = draw.choice(thresholds[features == feature], _TRIED)
    for value in (np.nextafter(rows, np.inf), rows + draw.standard_normal(rows.shape), np.inf, np.nan, 0.0, 1e-36):
        rows = np.where(draw.random(rows.shape) < 0.15, value, rows)
    return quick if quick(rows).tobytes() == called(rows).tobytes() else None


def _parts(booster: Any) -> tuple[Any, Any]:  # noqa: ANN401 (ctypes objects)
    """Give LightGBM's library and the handle of the booster, None where this version keeps them elsewhere."""
    known = getattr(type(booster).predict, "__globals__", {})  # also of a copy that is not in `sys.modules`
    library = known.get("_LIB")
    return (library, getattr(booster, "_handle", None)) if hasattr(booster, "_handle") else (None, None)
