"""The packages of the extra `forecast`, imported in this one place and only when something is forecast.

They bring pandas and scikit-learn along, which the base must not need; only functions on plain arrays are used.
"""

from __future__ import annotations

import importlib
from typing import Any

from nextbest.errors import MissingExtraError


def methods() -> Any:  # noqa: ANN401 (a module)
    """Give `statsforecast.models`; raises `MissingExtraError` when it is not installed."""
    return _module("statsforecast", "statsforecast.models")


def seasons() -> Any:  # noqa: ANN401 (a module)
    """Give `statsforecast.mstl`; raises `MissingExtraError` when it is not installed."""
    return _module("statsforecast", "statsforecast.mstl")


def reconcilers() -> Any:  # noqa: ANN401 (a module)
    """Give `hierarchicalforecast.methods`; raises `MissingExtraError` when it is not installed."""
    return _module("hierarchicalforecast", "hierarchicalforecast.methods")


def _module(package: str, name: str) -> Any:  # noqa: ANN401 (a module)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingExtraError(package, "forecast") from error
