"""T18 of reliability.md, the watch: a clock that is behind its log or has jumped is not believed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.faults.conftest import SUBJECT

from nextbest.ledger import create
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.clock import GAP_S, watch
from nextbest.policies.live.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Place

NOW = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # half an hour before Berlin's clocks go forward


class Time:
    """A wall clock and a counter that a test moves, together or apart."""

    def __init__(self) -> None:
        self.wall, self.count = NOW, 100.0

    def pass_by(self, seconds: float, *, jump: float = 0.0) -> None:
        """Let time pass, and set the wall clock on or back."""
        self.wall += timedelta(seconds=seconds + jump)
        self.count += seconds


@pytest.mark.parametrize("jump", [86_400.0, -86_400.0, -3600.0, 3600.0, GAP_S + 0.1, -GAP_S - 0.1])
def test_a_jump_is_suspect_until_it_is_undone(tmp_path: Path, jump: float) -> None:
    """A clock that is set on or back stays suspect, however long it then goes well, until it is right again."""
    time = Time()
    with create(tmp_path / "w", clock=lambda: time.wall) as ledger:
        watched = watch(ledger, counter=lambda: time.count)
        time.pass_by(600)
        assert watched.suspect(time.wall, last_logged=None) == ""
        time.pass_by(1, jump=jump)
        assert watched.suspect(time.wall, last_logged=None) != ""
        time.pass_by(7200)
        assert watched.suspect(time.wall, last_logged=None) != ""
        time.pass_by(1, jump=-jump)
        assert watched.suspect(time.wall, last_logged=None) == ""


def test_summer_time_is_no_jump(tmp_path: Path) -> None:
    """When local clocks go forward nothing is suspect: moments are in UTC."""
    time = Time()
    with create(tmp_path / "w", clock=lambda: time.wall) as ledger:
        watched = watch(ledger, counter=lambda: time.count)
        time.pass_by(3600)
        assert watched.suspect(time.wall, last_logged=NOW) == ""


def test_a_time_behind_the_log_is_suspect_after_a_restart_too(tmp_path: Path) -> None:
    """A process that starts with a clock an hour behind its last decision does not believe it."""
    time = Time()
    with create(tmp_path / "w", clock=lambda: time.wall) as ledger:
        watched = watch(ledger, counter=lambda: time.count)
        told = watched.suspect(time.wall, last_logged=time.wall + timedelta(hours=1))
        assert told == "the clock is 3600 s behind the last logged decision"
        assert watched.suspect(time.wall, last_logged=time.wall) != ""
        again = watch(ledger, counter=lambda: time.count)
        assert again.suspect(time.wall, last_logged=time.wall + timedelta(seconds=1)) == ""


def test_a_clock_of_the_callers_own_is_compared_only_with_the_log(tmp_path: Path) -> None:
    """A clock that a caller put in place may stand still or jump; a workspace on the wall clock is watched."""
    time = Time()
    with create(tmp_path / "w", clock=lambda: time.wall) as ledger:
        watched = watch(ledger)
        time.pass_by(0, jump=86_400)
        assert watched.suspect(time.wall, last_logged=None) == ""
    with create(tmp_path / "x") as real:
        watched = watch(real)
        assert watched.suspect(real.clock(), last_logged=None) == ""
        assert watched.suspect(real.clock() + timedelta(seconds=3), last_logged=None) != ""


def test_what_is_logged_by_a_clock_that_was_set_back_does_not_make_it_right(place: Place) -> None:
    """After an hour back, a decision that contacts nobody and a restart, the clock is still behind the log."""
    place.engine.decide(Ask(play="content", subject_id="other"))
    place.clock.forward(hours=-1)
    for _ in range(2):
        (one,) = place.engine.decide(Ask(play="outbound", subject_id=SUBJECT))
        assert (one.action_id, one.degraded) == ("none", True)
        place.engine = Engine(place.ledger, states=lambda _: place.state, salt="s")
    place.clock.forward(hours=1)
    assert place.engine.decide(Ask(play="outbound", subject_id=SUBJECT))[0].degraded is False
