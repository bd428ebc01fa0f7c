"""Whether what is logged as the probability of a choice is how often it is made, for every policy, by the real draw."""

from __future__ import annotations

import numpy as np
import pytest

from nextbest.policies.choose import _draw
from nextbest.policies.draw import fingerprints, seed_of, uniforms
from nextbest.policies.greedy import Greedy
from nextbest.policies.linucb import LinUCB
from nextbest.policies.matrix import as_matrix
from nextbest.policies.pacing import Pacing
from nextbest.policies.rules import Rules
from nextbest.policies.squarecb import SquareCB
from nextbest.policies.thompson import Thompson
from nextbest.policies.top_two import TopTwo
from nextbest.policies.uplift import UpliftCut
from nextbest.testing import sample_predictions
from nextbest.types import NONE, Action, Policy

ACTIONS = (*(Action(id=f"a{i}", cost=0.1 * i) for i in range(5)), NONE)
POLICIES = (
    Rules(when=(("churn_probability > 0.5", "a1"), ("", "a3"))),
    *(Greedy(), SquareCB(), LinUCB(), Thompson(), TopTwo(), UpliftCut(cut=0.2), Pacing(price=1.0)),
)
SUBJECTS, TIMES = 4_000, 250
EDGES = np.array([0.0, 1e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0])


def asked(policy: Policy) -> np.ndarray:
    """Give the policy's probabilities for subjects with worths and spreads, as the engine asks for them."""
    table = sample_predictions(ACTIONS, rows=SUBJECTS, seed=21)
    spread = np.random.default_rng(22).gamma(2.0, 0.4, (SUBJECTS, len(ACTIONS)))
    for j, action in enumerate(ACTIONS):
        table = table.append_column(f"spread:{action.id}", [spread[:, j]])
    return as_matrix(policy.probabilities(table, ACTIONS), ACTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("policy", POLICIES, ids=lambda p: type(p).__name__)
def test_choices_are_made_as_often_as_logged(policy: Policy) -> None:
    """Over 1,000,000 draws no cell of logged probabilities is off by more than 3 standard errors."""
    # A cell holds every (decision, action) whose logged probability lies between two edges; its standard error is the
    # root of the summed p (1 - p). There are up to 15 cells per policy and 8 policies. The subjects, times and seeds
    # are fixed, so the test says the same on every run; on fresh seeds a right engine would fail one cell in 370, so
    # that what guards against chance is the second bound: the squared deviations of a policy's cells sum to less than
    # the 99.9% quantile of their chi-squared distribution.
    from scipy.stats import chi2

    p = asked(policy)
    cell = np.clip(np.digitize(p, EDGES), 1, len(EDGES) - 1) - 1
    subjects = fingerprints([f"s{i}" for i in range(SUBJECTS)])
    made = np.zeros(p.shape)
    for time in range(TIMES):
        chosen = _draw(p, uniforms(seed_of("action", "shares", f"day {time}"), subjects))
        made[np.arange(SUBJECTS), chosen] += 1
    assert (made[p == 0] == 0).all()
    live = (p > 0) & (p < 1)
    assert (made[p == 1] == TIMES).all()
    sums = [np.bincount(cell[live], values[live], len(EDGES) - 1) for values in (made, p * TIMES, p * (1 - p) * TIMES)]
    enough = sums[2] >= 10  # where the normal distribution is a fair one for counts
    deviation = (sums[0] - sums[1])[enough] / np.sqrt(sums[2][enough])
    assert np.abs(deviation).max(initial=0.0) <= 3.0
    assert (deviation**2).sum() <= chi2.ppf(0.999, max(1, enough.sum()))
