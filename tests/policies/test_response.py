from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from nextbest.errors import ConfigError
from nextbest.policies.lift import assumed
from nextbest.policies.response import PRIOR_RESPONSE, rank
from nextbest.types import NONE, Action, Play

ACTIONS = (Action(id="mail", cost=0.5, assumed_log_odds=0.4), NONE)


def play(**settings: object) -> Play:
    """Give a play with one action."""
    return Play(name="p", actions=ACTIONS, **{"value": "predicted_clv", **settings})  # type: ignore[arg-type]


def people(churn: list[float | None], value: list[float | None] | None = None) -> pa.Table:
    """Give subjects with a churn probability and a value."""
    return pa.table(
        {
            "subject_id": [f"c{i}" for i in range(len(churn))],
            "churn_probability": pa.array(churn, pa.float64()),
            "predicted_clv": pa.array(value or [100.0] * len(churn), pa.float64()),
        }
    )


def test_expected_value_by_hand() -> None:
    """Even odds and a lift of 0.4 give 59.87%: 0.5987 x 100 x margin 0.3 less the cost of 0.5."""
    got = rank(play(), people([0.5]), ACTIONS, assumed(ACTIONS), margin=0.3)
    assert got.response[0].tolist() == pytest.approx([0.598688, 0.5], abs=1e-6)
    assert got.worth[0].tolist() == pytest.approx([17.46063, 15.0], abs=1e-4)


def test_the_undecided_gain_most() -> None:
    """The gain is highest at even odds and vanishes for those who come anyway and those who never will."""
    churn = [0.001, 0.1, 0.5, 0.9, 0.999]
    got = rank(play(), people(churn), ACTIONS, assumed(ACTIONS), margin=1.0)
    gain = got.worth[:, 0] - got.worth[:, 1]
    assert gain.argmax() == 2
    assert gain[0] < 0
    assert gain[4] < 0


def test_missing_predictions_degrade_and_never_become_nan() -> None:
    """A missing response falls to the stated prior, a missing value to nothing; both are marked."""
    got = rank(play(), people([None, 0.5, 0.5], [10.0, None, 10.0]), ACTIONS, assumed(ACTIONS), margin=1.0)
    assert got.degraded.tolist() == [True, True, False]
    assert np.isfinite(got.worth).all()
    assert got.response[0, 1] == pytest.approx(PRIOR_RESPONSE)
    assert got.worth[1].tolist() == [-0.5, 0.0]


def test_without_a_churn_model_the_stated_prior_is_no_degradation() -> None:
    """A play that names no response and has no churn model uses the prior for everyone."""
    table = people([0.5, 0.5]).drop_columns(["churn_probability"])
    got = rank(play(), table, ACTIONS, assumed(ACTIONS), margin=1.0)
    assert got.response[:, 1].tolist() == pytest.approx([PRIOR_RESPONSE] * 2)
    assert not got.degraded.any()


def test_a_prediction_nobody_fitted_is_missing_but_a_typing_error_is_refused() -> None:
    """`win_probability` may not be there yet; `predicted_clw` is told apart, with the near word."""
    got = rank(play(response="win_probability"), people([0.5]), ACTIONS, assumed(ACTIONS), margin=1.0)
    assert got.degraded.tolist() == [True]
    with pytest.raises(ConfigError, match="Did you mean 'predicted_clv'"):
        rank(play(value="predicted_clw"), people([0.5]), ACTIONS, assumed(ACTIONS), margin=1.0)
