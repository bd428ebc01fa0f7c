"""Canaries: made-up inputs and what a model said to them when it was saved; whoever loads it must hear the same.

The inputs are drawn, never copied from anybody's row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest.errors import ModelError, NextbestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.types import Model

_CLOSE = 1e-6  # another processor may round the last digits otherwise
# What purchase models read: repeat purchases, days from first to last, days observed, mean value.
_HISTORIES = pa.table({
    "frequency": [0.0, 0.0, 1.0, 3.0, 10.0],
    "recency": [0.0, 0.0, 20.0, 150.0, 80.0],
    "T": [10.0, 200.0, 90.0, 160.0, 300.0],
    "mean_value": [0.0, 0.0, 25.0, 40.0, 9.5],
})  # fmt: skip


def make(model: Model, example: pa.Table | None = None) -> dict[str, Any] | None:
    """Give inputs and outputs as plain values, or None for a model that nobody knows an input for."""
    own = getattr(model, "example", None)
    inputs = example if example is not None else own() if own is not None else _HISTORIES
    try:
        outputs = model.predict(inputs)
    except NextbestError:
        if example is not None or own is not None:
            raise
        return None
    numbers = {n: outputs[n].to_pylist() for n in outputs.column_names if pa.types.is_floating(outputs[n].type)}
    types = {f.name: str(f.type) for f in inputs.schema}
    return {"types": types, "inputs": inputs.to_pydict(), "outputs": numbers}


def compare(model: Model, canary: Mapping[str, Any], name: str) -> None:
    """Raise `ModelError` unless the model says what it said when it was saved."""
    columns = {n: pa.array(v, pa.type_for_alias(canary["types"][n])) for n, v in canary["inputs"].items()}
    said = model.predict(pa.table(columns))
    for column, expected in canary["outputs"].items():
        got = said[column].to_numpy(zero_copy_only=False).astype(np.float64)
        wanted = np.array([np.nan if v is None else v for v in expected], np.float64)
        if not np.allclose(got, wanted, rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
            raise ModelError(
                f"The part '{name}' no longer says what it said when it was saved ('{column}'). Fit it again."
            )
