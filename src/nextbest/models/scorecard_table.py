"""The card as people read it: characteristic, bin in words, rows, rate, points."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc

from nextbest.models import encode, encode_values
from nextbest.models.columns import short
from nextbest.models.scorecard import Characteristic, Scorecard, read

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

FEWEST_NAMED = 30  # a level of fewer rows may point to somebody, and stays unnamed
_NAMES = 6
_DATE_PARTS = ("day", "month", "weekday")


def points_table(model: Scorecard, features: pa.Table, actual: Vector) -> list[dict[str, Any]]:
    """Give one row per bin: `characteristic`, `bin`, `rows`, `rate`, `points`, most telling characteristic first."""
    card = read(model)
    matrix = encode.matrix(card.encoder, features)
    rows: list[dict[str, Any]] = []
    for part in card.characteristics:
        place = part.bins.place(matrix[:, part.place])
        words = _words(part, card.encoder, features, place)
        for number in sorted(set(place.tolist()) | set(range(1, len(part.points)))):
            inside = place == number
            rows.append({
                "characteristic": part.name,
                "bin": words.get(number, "missing" if number == 0 else "other"),
                "rows": int(inside.sum()),
                "rate": round(float(actual[inside].mean()), 4) if inside.any() else None,
                "points": part.points[number],
            })  # fmt: skip
    return rows


def _words(part: Characteristic, encoder: encode.Encoder, features: pa.Table, place: Any) -> dict[int, str]:  # noqa: ANN401
    if part.bins.codes:
        return _levels(features, part.name, place)
    edges = part.bins.edges
    unit = _part_of_date(part, encoder)
    if not edges:
        return {1: f"{unit}any".strip()}
    ends = [f"{unit}below {short(edges[0])}"]
    ends += [f"{unit}{short(a)} to below {short(b)}" for a, b in pairwise(edges)]
    ends.append(f"{unit}{short(edges[-1])} and more")
    return {0: "missing", **dict(enumerate(ends, start=1))}


def _part_of_date(part: Characteristic, encoder: encode.Encoder) -> str:
    """Give "month " for the second column of a date, and so on."""
    column = next(c for c in encoder.columns if c.name == part.name)
    if column.form != "date":
        return ""
    return f"{_DATE_PARTS[part.place - encoder.sources.index(part.name)]} "


def _levels(features: pa.Table, name: str, place: Any) -> dict[int, str]:  # noqa: ANN401
    """Give the levels of each bin, the most frequent first; rare ones are not named."""
    values = encode_values.plain(features[name]).cast("string")
    found: dict[int, str] = {0: "missing"}
    for number in np.unique(place[place > 0]).tolist():
        counted = pc.value_counts(values.filter(place == number).drop_null()).to_pylist()
        known = sorted((c for c in counted if c["counts"] >= FEWEST_NAMED), key=lambda c: (-c["counts"], c["values"]))
        names = [c["values"] for c in known[:_NAMES]]
        more = len(counted) - len(names)
        found[number] = ", ".join([*names, *([f"{more} rarer" if names else "rare ones"] if more else [])])
    return found
