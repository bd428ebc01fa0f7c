"""How much a model may learn from a table of a given size; nothing here was chosen to suit one file.

The rule: what can be learnt grows with the number of rows and, for a label, with the number of the rarer class. Small
tables get many small, slow, strongly shrunk trees; large ones fewer rounds of larger trees at a higher rate, because
there noise is averaged out by rows and time is what is short.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

# One rare row in ten is as informative as a balanced table of that size; rarer than that, the rare rows set the limit.
_ROWS_PER_RARE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One size of model: the trees, the shrinkage of the linear part, and how its calibration is learnt.

    `folds` hold out every row once; 1 stands for one part of the rows. With `refit` the kept model learns from all
    rows; without, it is the one that was judged: a fifth more of a million rows adds less than judging another costs.
    """

    name: str
    below: float
    rounds: int
    rate: float
    leaves: int
    min_rows: int
    columns: float
    rows: float
    shrink: float
    folds: int
    refit: bool = True
    line: float = 3.0

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The settings in LightGBM's words."""
        sampling = {"bagging_fraction": self.rows, "bagging_freq": 1} if self.rows < 1 else {}
        return {
            "learning_rate": self.rate,
            "num_leaves": self.leaves,
            "min_data_in_leaf": self.min_rows,
            "feature_fraction": self.columns,
            "lambda_l2": self.shrink,
            **sampling,
        }


# The line is shrunk the more, the fewer rows of the rarer class there are: coefficients of standard deviation 0.2 for
# tens of them, 0.3 for hundreds of rows, 0.6 from thousands on.
PRESETS = (
    Preset(name="tens", below=500, rounds=200, rate=0.02, leaves=4, min_rows=20, columns=0.5, rows=1.0, shrink=10.0, folds=5, line=30.0),  # noqa: E501
    Preset(name="hundreds", below=1_000, rounds=200, rate=0.02, leaves=4, min_rows=20, columns=0.5, rows=1.0, shrink=10.0, folds=5, line=10.0),  # noqa: E501 (a table)
    Preset(name="thousands", below=20_000, rounds=200, rate=0.04, leaves=8, min_rows=40, columns=0.5, rows=1.0, shrink=5.0, folds=5),  # noqa: E501
    Preset(name="ten thousands", below=100_000, rounds=300, rate=0.05, leaves=15, min_rows=60, columns=0.6, rows=0.8, shrink=5.0, folds=3),  # noqa: E501
    Preset(name="hundred thousands", below=1_000_000, rounds=300, rate=0.08, leaves=31, min_rows=100, columns=0.7, rows=0.7, shrink=5.0, folds=1),  # noqa: E501
    Preset(name="millions", below=float("inf"), rounds=300, rate=0.1, leaves=63, min_rows=200, columns=0.7, rows=0.5, shrink=5.0, folds=1, refit=False),  # noqa: E501
)  # fmt: skip


def preset(rows: int, rarer: int | None = None) -> Preset:
    """Give the preset for so many rows, of which so many belong to the rarer class (None: an amount)."""
    size = rows if rarer is None else min(rows, _ROWS_PER_RARE * rarer)
    return next(p for p in PRESETS if size < p.below)
