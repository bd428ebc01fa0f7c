"""Whether a play can be decided as it is written: a setting that cannot be meant is refused before anything is done.

The engine falls back softly when a policy fails on data it did not expect. A misspelt policy, or quiet hours at 25
o'clock, is not that: nobody would notice that the play runs without them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nextbest import registry
from nextbest.errors import ConfigError
from nextbest.policies.arms import shares
from nextbest.policies.choose import policy_of
from nextbest.policies.columns import asked_for
from nextbest.policies.quiet import clock_time
from nextbest.types import NO_ACTION, Play

if TYPE_CHECKING:
    from collections.abc import Container, Mapping


def learner_of(play: Play) -> Any:  # noqa: ANN401 (the settings class of that learner)
    """Construct the settings of the play's learner; raises `ConfigError` or `UnknownNameError`."""
    settings = {key: value for key, value in play.learner.items() if key != "name"}
    return registry.make("learners", play.learner.get("name", "lift"), settings)


def check_play(play: Play) -> None:
    """Raise `ConfigError` or `UnknownNameError` for a setting of the play that cannot be meant."""
    policy_of(play)
    learner_of(play)
    shares(play)
    _check_limits(play)
    if play.quiet_hours is not None:
        clock_time(play.quiet_hours.start)
        clock_time(play.quiet_hours.end)
        _check_zone(play.name, play.quiet_hours.timezone)


def remarks(play: Play, known: Container[str], recipe_of: Mapping[str, str]) -> list[str]:
    """Give what makes the play do less than it says: no action, or predictions that no model gives yet.

    *recipe_of* says which recipe gives a column.
    """
    said = []
    if all(a.id == NO_ACTION for a in play.actions):
        said.append(f"Play '{play.name}' has no action, so nothing is done. Add [[plays.{play.name}.actions]].")
    absent = sorted(name for name in asked_for(_without_defaults(play)) & recipe_of.keys() if name not in known)
    if absent:
        first = "; ".join(f"nextbest fit {recipe}" for recipe in dict.fromkeys(recipe_of[name] for name in absent))
        said.append(
            f"Play '{play.name}' asks for {', '.join(absent)}, which no model says yet: unknown for everyone. Fit it "
            f"first: {first}."
        )
    return said


def _without_defaults(play: Play) -> Play:
    """Give the play with what its owner did not write taken out: a default falls back by itself."""
    default = Play(name=play.name, actions=())
    return replace(play, response=play.response or "0", value="0" if play.value == default.value else play.value)


def _check_limits(play: Play) -> None:
    for cap in play.caps:
        if cap.count < 1 or cap.days < 1:
            message = f"Play '{play.name}' has a cap of {cap.count} in {cap.days} days; both are at least 1."
            raise ConfigError(f"{message} To contact nobody: nextbest stop --play {play.name} --why TEXT.")
    limits = [("max_actions", play.max_actions), *((f"max_per_day of '{a.id}'", a.max_per_day) for a in play.actions)]
    for name, most in limits:
        if most is not None and most < 0:
            raise ConfigError(f"Play '{play.name}' has {name} {most}; it is a number from 0 up.")
    if not play.goal_days > 0:
        raise ConfigError(
            f"Play '{play.name}' has goal_days {play.goal_days:g}; a response needs some time, such as 0.01."
        )


def _check_zone(play: str, name: str) -> None:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        message = f"Play '{play}' has quiet hours in the time zone '{name}', which nobody knows."
        raise ConfigError(f"{message} Use a name such as 'Europe/Berlin'.") from error
