from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from nextbest.policies.lift import CALIBRATION_SD, PRIOR_SD, Evidence, assumed, learn, logit, sigmoid
from nextbest.types import NONE, Action

ACTIONS = (Action(id="mail", assumed_log_odds=0.2), Action(id="call", assumed_log_odds=0.8), NONE)
TRUE = {"mail": 0.6, "call": -0.1, "none": 0.0}


def evidence(n: int, seed: int, *, off: float = 0.0, p: tuple[float, float, float] = (0.3, 0.2, 0.5)) -> Evidence:
    """Simulate decisions of known probability; assignment and outcomes come from streams of their own."""
    people, assignment, outcome = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3))
    base = people.uniform(0.05, 0.95, n)
    ids = np.array(["mail", "call", "none"])
    chosen = assignment.choice(3, n, p=p)
    truth = sigmoid(logit(base) + off + np.array([TRUE[a] for a in ids])[chosen])
    return Evidence(
        action_ids=tuple(ids[chosen].tolist()),
        base=base,
        choice_probability=np.array(p)[chosen],
        responded=(outcome.random(n) < truth).astype(float),
    )


def test_nothing_measured_means_what_was_assumed() -> None:
    """Without evidence the lift is the assumption, with the prior's deviation, and it says so."""
    lifts = learn(ACTIONS, None)
    assert lifts == assumed(ACTIONS)
    assert lifts.by_action["call"].log_odds == 0.8
    assert lifts.by_action["call"].assumed
    assert lifts.base_rate is None


@pytest.mark.parametrize("seed", range(5))
def test_much_evidence_finds_the_truth(seed: int) -> None:
    """With 20,000 decisions the lifts are the true ones within four standard deviations, and no longer assumed."""
    lifts = learn(ACTIONS, evidence(20_000, seed))
    for name, lift in lifts.by_action.items():
        assert abs(lift.log_odds - TRUE[name]) < 4 * lift.sd
        assert lift.sd < 0.1
        assert not lift.assumed


def test_a_base_that_is_off_does_not_pass_for_a_lift() -> None:
    """When the model is too low everywhere, the calibration takes it up and the lifts stay true."""
    lifts = learn(ACTIONS, evidence(40_000, 3, off=0.7))
    assert lifts.calibration == pytest.approx(0.7, abs=0.1)
    assert lifts.by_action["mail"].log_odds == pytest.approx(0.6, abs=0.15)


def test_little_evidence_moves_little() -> None:
    """Ten decisions leave the lift near the assumption, and it is still called assumed."""
    lifts = learn(ACTIONS, evidence(10, 1))
    assert abs(lifts.by_action["mail"].log_odds - 0.2) < 0.5
    assert lifts.by_action["mail"].assumed


@pytest.mark.parametrize(("action", "assumed_at"), [("mail", 0.2), ("call", 0.8)])
def test_newton_finds_what_a_general_optimiser_finds(action: str, assumed_at: float) -> None:
    """The mode equals that of a slow minimiser on the written-out posterior of one action beside none."""
    seen = evidence(600, 8, p=(0.1, 0.1, 0.8))
    rows = np.array([a in (action, "none") for a in seen.action_ids])
    taken = np.array([a == action for a in seen.action_ids])[rows]
    base, responded, raw = seen.base[rows], seen.responded[rows], 1 / seen.choice_probability[rows]
    weights = np.array(
        [r * raw[taken == t].sum() / (raw[taken == t] ** 2).sum() for r, t in zip(raw, taken, strict=True)]
    )

    def minus_log_posterior(x: np.ndarray) -> float:
        eta = logit(base) + x[0] + taken * x[1]
        fit = weights @ (responded * eta - np.logaddexp(0, eta))
        prior = (x[0] / CALIBRATION_SD) ** 2 + ((x[1] - assumed_at) / PRIOR_SD) ** 2
        return float(prior / 2 - fit)

    slow = minimize(minus_log_posterior, np.zeros(2), method="BFGS", options={"gtol": 1e-8}).x
    assert learn(ACTIONS, seen).by_action[action].log_odds == pytest.approx(slow[1], abs=1e-4)


def test_who_could_not_get_an_action_is_no_comparison() -> None:
    """When those who may be mailed respond more than the model knows, permission does not pass for an effect."""
    # Against everybody who got nothing the mail would seem to add 0.6 more than it does.
    people, assignment, outcome = (np.random.default_rng(s) for s in np.random.SeedSequence(21).spawn(3))
    n = 20_000
    base = people.uniform(0.1, 0.6, n)
    may = people.random(n) < 0.5
    chosen = np.where(may & (assignment.random(n) < 0.5), "mail", "none")
    off = np.where(may, 0.6, -0.6)
    responded = (outcome.random(n) < sigmoid(logit(base) + off + 0.3 * (chosen == "mail"))).astype(float)
    seen = Evidence(
        action_ids=tuple(chosen.tolist()),
        base=base,
        choice_probability=np.where(may, 0.5, 1.0),
        responded=responded,
        could=tuple(("mail",) if one else () for one in may),
    )
    lift = learn(ACTIONS, seen).by_action["mail"]
    assert abs(lift.log_odds - 0.3) < 4 * lift.sd


def test_base_rate_is_weighted_to_everyone() -> None:
    """The base rate is that of everyone, though those left alone were chosen unevenly."""
    seen = Evidence(
        action_ids=("none", "none", "mail"),
        base=np.array([0.5, 0.5, 0.5]),
        choice_probability=np.array([0.25, 0.75, 0.5]),
        responded=np.array([1.0, 0.0, 1.0]),
    )
    assert seen.base_rate == pytest.approx((1 / 0.25) / (1 / 0.25 + 1 / 0.75))
