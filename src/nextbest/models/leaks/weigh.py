"""One small score per column, in points, from signs that each say how they came about; three points leave it out.

- What it tells alone: one point where it tells anything (AUC 0.55), three where nothing known beforehand gets to:
  0.95 for an amount; a category is coarser and gets less far (0.92), a yes or no less still (0.875). In between the
  points follow the log-odds of the AUC, always of the lower end of its interval.
- Rows that give their class away: three points when being filled settles the class, or when nearly pure levels hold
  30% of the rarer class; fewer in proportion.
- A name or a description adds two points when it speaks of the outcome, half a point when it may. So a name alone never
  suffices, unless the ledger lists it; and a name that fits with a column that tells anything does.
- Points from the values alone count in full only where the other columns together do not know the same: some labels are
  easy, and then many honest columns tell them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log
from typing import TYPE_CHECKING

import numpy as np

from nextbest.models import evaluate
from nextbest.models.leaks import alone, filled, names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nextbest.models.leaks.reading import Column

    Vector = NDArray[np.float64]

LEAVE_OUT = 3.0
TELL = 2.4  # four fifths of the way: worth a person's look
_TELLS = 0.55
_CEILING = {"number": 0.95, "date": 0.95, "category": 0.92}
_CEILING_YES_NO = 0.875
_SHARE_IN_PURE = 0.3
_FLAWLESS, _EVEN_OF_FEW = 0.99, 0.85  # a ranking without a flaw is telling even of some twenty rows
_EASY = 2.0  # points left to a column that the others match
_MORE_ERRORS = 1.5
_DOUBT_LEFT = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighed:
    """A column and what speaks against it; `points` is the sum."""

    column: Column
    auc: float = float("nan")
    low: float = float("nan")
    told: float = 0.0
    named: float = 0.0
    name_why: str | None = None
    signs: tuple[filled.Sign, ...] = field(default=())

    @property
    def rows_points(self) -> float:
        """Points of the rows that give their class away."""
        return max((3.0 if s.whole else min(3.0, 3 * s.share / _SHARE_IN_PURE) for s in self.signs), default=0.0)

    @property
    def values(self) -> float:
        """Points that come from the values."""
        return max(self.told, self.rows_points)

    @property
    def points(self) -> float:
        """All points; a name that is only suspect counts when the column tells anything."""
        return self.values + (self.named if self.named >= names.SURE or self.values >= 1 else 0.0)

    def why(self, how: str = "") -> str:
        """Give the reasons as one sentence; *how* sure it is goes before it."""
        parts = [s.why for s in self.signs if self.rows_points >= 1]
        if not parts and self.told > 0:
            parts.append(f"alone it tells the label (AUC {self.auc:.3f} on rows it was not fitted to)")
        if self.named and self.name_why:
            parts.append(self.name_why)
        return f"{how} known only afterwards: {'; '.join(parts)}".lstrip()


def weigh(
    column: Column, actual: Vector, fold: NDArray[np.int64], *, label: str | None, meaning: str | None
) -> Weighed:
    """Give what speaks against a column before it is held against the others."""
    auc, low = alone.auc_and_low(actual, alone.held_out(column, actual, fold))
    named, name_why = names.evidence(column.name, category=column.form == "category", label=label, meaning=meaning)
    return Weighed(
        column=column, auc=auc, low=low, told=_points(auc, low, column), named=named, name_why=name_why,
        signs=tuple(filled.signs(column, actual)),
    )  # fmt: skip


def beyond(auc: float, actual: Vector, others: Vector, *, times: float = _MORE_ERRORS) -> bool:
    """Tell whether what the others tell falls short of this AUC by a wide margin: so many times its errors."""
    rarer = min(actual.sum(), len(actual) - actual.sum())
    return bool(1 - evaluate.auc(actual, others) >= times * max(1 - auc, 3 / rarer))


def unexpected(sign: filled.Sign, actual: Vector, others: Vector) -> bool:
    """Tell whether the others leave doubt about the rows of a sign: over a tenth of the doubt without any column."""
    doubt = 1 - others if sign.positive else others
    usual = 1 - actual.mean() if sign.positive else actual.mean()
    return bool(doubt[sign.rows].mean() > _DOUBT_LEFT * usual)


def eased(weighed: Weighed, actual: Vector, others: Vector) -> Weighed:
    """Give the column with fewer points where the others tell as much.

    A column that says yes or no is held against the yes or no of the others, in as many rows: a finer answer ranks
    better merely by being finer.
    """
    alike = others
    if weighed.column.two_valued:
        yes = alone.higher_side(weighed.column, actual)
        alike = (others >= np.quantile(others, 1 - yes.mean())).astype(np.float64)
    return Weighed(
        column=weighed.column, auc=weighed.auc, low=weighed.low, named=weighed.named, name_why=weighed.name_why,
        told=weighed.told if beyond(weighed.auc, actual, alike) else min(weighed.told, _EASY),
        signs=tuple(s for s in weighed.signs if unexpected(s, actual, others)),
    )  # fmt: skip


def _points(auc: float, low: float, column: Column) -> float:
    if auc >= _FLAWLESS and low >= _EVEN_OF_FEW:
        return 3.0
    height, least = _logit(low), _logit(_TELLS)
    if height <= least:
        return max(0.0, height / least)
    ceiling = _logit(_CEILING_YES_NO if column.two_valued else _CEILING[column.form])
    return min(3.0, 1 + 2 * (height - least) / (ceiling - least))


def _logit(share: float) -> float:
    inside = float(np.clip(share, 1e-6, 1 - 1e-6))
    return log(inside / (1 - inside))
