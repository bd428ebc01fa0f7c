"""Which estimator to believe, by a rule that needs no truth: SLOPE (Su, Srinath and Krishnamurthy 2020, algorithm 1).

Estimators stand from the least biased and widest to the most biased and narrowest. Each next one is accepted while its
interval still meets all intervals before it: as long as they meet, its bias hides inside the noise of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.measures.replay import estimators
from nextbest.measures.replay.intervals import interval

if TYPE_CHECKING:
    from nextbest.measures.replay.estimators import Scores
    from nextbest.measures.replay.logged import Codes, Rows

_REACH = 2.0  # intervals of the rule: twice the error to either side, as in the paper's definition of the intersection


def slope(candidates: list[Scores], subject: Codes) -> Scores:
    """Give the last of the candidates whose interval meets those of all before it; they stand widest last-but-biased.

    Candidates are taken by falling error, the first one being unbiased.
    """
    errors = {id(c): interval(c.estimate, c.centred, subject, method="normal").error for c in candidates}
    ordered = [candidates[0], *sorted(candidates[1:], key=lambda c: -errors[id(c)])]
    low, high, chosen = -float("inf"), float("inf"), ordered[0]
    for candidate in ordered:
        reach = _REACH * errors[id(candidate)]
        low, high = max(low, candidate.estimate - reach), min(high, candidate.estimate + reach)
        if low > high:
            break
        chosen = candidate
    return chosen


def every(rows: Rows, *, marginal: bool = False) -> dict[str, Scores]:
    """Give every estimator by name; those with a limit have theirs chosen by the rule, and `slope` chooses among all.

    `marginal` says that actions have categories, so that `mips` says something of its own.
    """
    found = {name: estimators.simple(name, rows) for name in estimators.SIMPLE if name != "mips" or marginal}
    shrunk = [dr for name in estimators.SHRUNK for dr in estimators.family(name, rows)[1:]]
    for name in estimators.SHRUNK:
        found[name] = slope(estimators.family(name, rows), rows.subject)
    found["slope"] = slope([found["dr"], *shrunk, found["dm"]], rows.subject)
    return found
