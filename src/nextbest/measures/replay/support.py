"""Whether a log can say anything about another policy: what it could have done, and how much of it carries the weight.

An estimate stands on the decisions in which the log happened to do what the other policy would do. Few of them, or
none for part of what it wants, and no estimator can make up for it: then the answer is that nobody can tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nextbest.measures.replay.logged import Codes, Numbers, Rows

LEAST_EFFECTIVE = 100.0  # below this a normal or skewness-corrected interval is not to be trusted
MOST_UNSUPPORTED = 0.01  # the estimate may be off by this share times the range of the rewards
MOST_WITHOUT = 0.05  # of the decisions: more without a known chance are no random part of the log
LEAST_ANSWERS = 30.0  # effective answers behind a mean of amounts (as in a randomised comparison)
_HEAVY = 0.01


def effective(weight: Numbers, subject: Codes | None = None) -> float:
    """Give how many equally weighted rows, or subjects, would tell as much (Kish 1965): (sum w)^2 / sum w^2."""
    parts = weight if subject is None else np.bincount(subject, weights=weight)
    squares = float((parts**2).sum())
    return float(parts.sum()) ** 2 / squares if squares > 0 else 0.0


def diagnostics(rows: Rows) -> dict[str, Any]:
    """Give effective sizes, how the weight is spread, overlap and coverage of support."""
    weight = rows.weight
    heaviest = np.sort(weight)[::-1][: max(1, int(np.ceil(_HEAVY * len(weight))))]
    total = float(weight.sum())
    return {
        "effective_n": effective(weight),
        "effective_subjects": effective(weight, rows.subject),
        "effective_answers": effective(np.abs(weight * rows.reward), rows.subject),
        "mean_weight": float(weight.mean()),
        "max_weight": float(weight.max()),
        "weight_in_top_percent": float(heaviest.sum()) / total if total else 0.0,
        "unsupported": float(rows.unsupported.mean()),
        "supported": 1.0 - float(rows.unsupported.mean()),
        "decisions_unsupported": float((rows.unsupported > 0).mean()),
    }


def why_not(rows: Rows, known: dict[str, Any]) -> str:
    """Say why the log cannot tell what the policy would have earned; '' when it can."""
    if known["unsupported"] > MOST_UNSUPPORTED:
        return (
            f"{known['unsupported']:.1%} of what this policy would do could never happen in the log (chance 0): "
            f"at most {MOST_UNSUPPORTED:.0%} may. Let the play explore more, or give it a random arm, and ask later."
        )
    least = min(known["effective_n"], known["effective_subjects"])
    if least < LEAST_EFFECTIVE:
        return (
            f"Too few decisions of the log are like this policy's: {least:.0f} effective of {LEAST_EFFECTIVE:.0f} that "
            f"are needed ({len(rows):,} in all). Log more of them, or ask about a policy nearer to the logged one."
        )
    if known["effective_answers"] < LEAST_ANSWERS and not set(np.unique(rows.reward).tolist()) <= {0.0, 1.0}:
        return (
            f"The amounts of {known['effective_answers']:.0f} effective answers would decide what this policy earns; "
            f"at least {LEAST_ANSWERS:.0f} are needed to judge a mean. Ask for yes or no (such as order), or wait."
        )
    return _odd_weights(rows)


def _odd_weights(rows: Rows) -> str:
    """Say that the weights do not average 1, which they do under the chances on record; on a page place by place."""
    from nextbest.measures.replay.intervals import interval

    mean = float(rows.weight.mean())
    error = interval(mean, rows.weight - mean, rows.subject, method="skewed", level=0.9999)
    supported = 1.0 - float(rows.unsupported.mean())
    if error.low <= supported <= error.high or abs(mean - supported) < 1e-9:
        return ""
    return (
        f"The weights average {mean:.3f}, not {supported:.3f}: the logged chances are not those with which the log was "
        "drawn. Check the column of chances (of the choice, not of the response)."
    )
