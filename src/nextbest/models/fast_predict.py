"""A LightGBM model as a plain function of arrays, for one request at a time.

`Booster.predict` looks at its input in many ways before it calls the library. Here the library is called at once, on
one thread, with the same numbers as a result. Where this version of LightGBM is not one that the call was written for,
the function is `Booster.predict` itself.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Matrix = NDArray[np.float64]
    Scorer = Callable[[Matrix], NDArray[np.float64]]

VERSIONS = ("4.",)  # of LightGBM, whose C interface has had this call unchanged
_FLOAT64, _ROW_MAJOR, _NORMAL, _FROM_FIRST, _ALL_TREES = 1, 1, 0, 0, -1
_PARAMETERS = b"num_threads=1"


def scorer(booster: Any, *, version: str) -> Scorer:  # noqa: ANN401 (a lightgbm.Booster, whatever copy it is of)
    """Give a function from float64 rows (rows, features) to the booster's predictions (rows,); thread-safe.

    *version* is that of the LightGBM which made the booster. The model is one that gives a number per row.
    """
    library, handle = _parts(booster)
    if library is None or not version.startswith(VERSIONS):
        return lambda rows: np.asarray(booster.predict(rows, num_threads=1), dtype=np.float64)
    width = int(booster.num_feature())
    call, double = library.LGBM_BoosterPredictForMat, ctypes.c_void_p
    columns, parameters = ctypes.c_int32(width), ctypes.c_char_p(_PARAMETERS)

    def score(rows: Matrix) -> NDArray[np.float64]:
        flat = np.ascontiguousarray(rows, dtype=np.float64)
        if flat.ndim != 2 or flat.shape[1] != width:
            raise ModelError(f"The model reads {width} features per row; got an array of shape {flat.shape}.")
        out = np.empty(len(flat))
        if not len(flat):
            return out
        written = ctypes.c_int64(0)
        failed = call(
            handle,
            double(flat.ctypes.data),
            _FLOAT64,
            ctypes.c_int32(len(flat)),
            columns,
            _ROW_MAJOR,
            _NORMAL,
            _FROM_FIRST,
            _ALL_TREES,
            parameters,
            ctypes.byref(written),
            double(out.ctypes.data),
        )
        if failed or written.value != len(flat):
            raise ModelError(f"LightGBM gave {written.value} numbers for {len(flat)} rows.")
        return out

    score.__wrapped__ = booster  # type: ignore[attr-defined]  # the handle lives as long as its booster
    return score


def _parts(booster: Any) -> tuple[Any, Any]:  # noqa: ANN401 (ctypes objects)
    """Give LightGBM's library and the handle of the booster, None where this version keeps them elsewhere."""
    known = getattr(type(booster).predict, "__globals__", {})  # also of a copy that is not in `sys.modules`
    library = known.get("_LIB")
    return (library, getattr(booster, "_handle", None)) if hasattr(booster, "_handle") else (None, None)
