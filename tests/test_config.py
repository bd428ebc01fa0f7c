"""`nextbest.toml`: what it gives, and that a mistake in it is told in its own words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nextbest import config
from nextbest.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PLAY = """
[plays.win_back]
audience = "orders_365d >= 2"
caps = [{ count = 1, days = 7 }]
quiet_hours = { start = "21:00", end = "08:00" }
max_actions = 500
actions = [{ id = "coupon_10", channel = "email", class = "money", cost = 1, max_per_day = 5 }]
"""


def test_a_play_is_read_with_its_name_and_none_among_its_actions() -> None:
    """Every setting arrives with its type; a whole number does where a number is wanted; `none` is added."""
    play = config.parse(PLAY).plays["win_back"]
    assert (play.name, play.max_actions, play.caps[0].days) == ("win_back", 500, 7)
    assert play.quiet_hours is not None
    assert play.quiet_hours.timezone == "UTC"
    assert [(a.id, a.action_class, a.cost, a.max_per_day) for a in play.actions] == [
        ("coupon_10", "money", 1.0, 5),
        ("none", "internal", 0.0, None),
    ]


def test_nothing_said_is_the_default() -> None:
    """An empty file gives the default of every setting."""
    assert config.parse("") == config.Config()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("curency = 'EUR'", "nextbest.toml has no setting 'curency'. Did you mean 'currency'?"),
        ("[consent]\nregim = 'opt_in'", "nextbest.toml, consent has no setting 'regim'. Did you mean 'regime'?"),
        ("[play.x]", "nextbest.toml has no setting 'play'. Did you mean 'plays'?"),
        ("[plays.x]\naudiance = ''", "nextbest.toml, play 'x' has no setting 'audiance'. Did you mean 'audience'?"),
        (
            "[plays.x]\nactions = [{ id = 'a', clas = 'money' }]",
            "play 'x', action 'a' has no setting 'clas'. Did you mean 'class'? Known: amount, assumed_log_odds, ",
        ),
        ("[plays.x]\ncaps = [{ count = 1, day = 7 }]", "play 'x', cap 1 has no setting 'day'. Did you mean 'days'?"),
        (
            "[plays.x]\nquiet_hours = { begin = '21:00' }",
            "play 'x', quiet_hours has no setting 'begin'. Known: end, start, timezone.",
        ),
    ],
)
def test_an_unknown_setting_is_refused_with_the_near_word(text: str, said: str) -> None:
    """At every level the error names the place, the setting as it is written, and the nearest known one."""
    assert said in _refused(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("margin = 'high'", "nextbest.toml: margin is 'high'. It has to be a number, such as 0.5."),
        ("name = 3", 'nextbest.toml: name is 3. It has to be text in quotes, such as "x".'),
        ("timezone = 2025-01-01", "timezone is a date, 2025-01-01. It has to be text in quotes"),
        ("consent = 'opt_in'", "nextbest.toml: consent is 'opt_in'. It has to be a table."),
        (
            "[consent]\nregime = 'opt-in'",
            "nextbest.toml, consent: regime is 'opt-in'. Did you mean 'opt_in'? It can be: opt_in, opt_out.",
        ),
        ("[limits]\nthreads = true", "nextbest.toml, limits: threads is true. It has to be a whole number, such as 7."),
        ("[server]\nhosts = 'me'", "nextbest.toml, server: hosts is 'me'. It has to be a list, such as [...]."),
        ("[server]\nhosts = [1]", "nextbest.toml, server: host 1 is 1. It has to be text in quotes"),
        ("plays = 3", "nextbest.toml: plays is 3. It has to be a table, such as"),
        ("[[plays]]\nname = 'x'", "nextbest.toml: plays is a list. It has to be a table, such as"),
        ("[plays]\nx = 3", "nextbest.toml: play 'x' is 3. It has to be a table."),
        ("[recipes]\nchurn = 3", "nextbest.toml: recipe 'churn' is 3. It has to be a table, such as"),
        ("[plays.x]\nactions = 'mail'", "nextbest.toml, play 'x': actions is 'mail'. It has to be a list"),
        ("[plays.x]\nactions = ['mail']", "nextbest.toml, play 'x': action 1 is 'mail'. It has to be a table."),
        ("[plays.x]\nactions = [{ id = [1] }, { id = [1] }]", "play 'x', action 1: id is a list. It has to be text"),
        ("[plays.x]\nactions = [{ channel = 'email' }]", "nextbest.toml, play 'x', action 1 lacks the setting 'id'."),
        ("[plays.x]\ncaps = [{ count = 1 }]", "nextbest.toml, play 'x', cap 1 lacks the setting 'days'."),
        (
            "[plays.x]\nactions = [{ id = 'a', class = 'outbond' }]",
            "play 'x', action 'a': class is 'outbond'. Did you mean 'outbound'? It can be: content, outbound, money,",
        ),
        ("[plays.x]\nactions = [{ id = 'a', cost = '1' }]", "action 'a': cost is '1'. It has to be a number"),
        ("[plays.x]\nmax_actions = 1.5", "play 'x': max_actions is 1.5. It has to be a whole number, such as 7."),
        ("[plays.x]\nquiet_hours = '21:00'", "play 'x': quiet_hours is '21:00'. It has to be a table."),
        ("[plays.x]\npolicy = 'greedy'", "play 'x': policy is 'greedy'. It has to be a table, such as { name ="),
    ],
)
def test_a_wrong_value_is_told_with_what_it_may_be(text: str, said: str) -> None:
    """The error names the play, the action, the setting as written, what was got and what is allowed: no inner path."""
    message = _refused(text)
    assert said in message
    assert "$" not in message
    assert "action_class" not in message


def test_two_actions_of_the_same_id_are_refused() -> None:
    """The error names the play and the id."""
    text = "[plays.x]\nactions = [{ id = 'a' }, { id = 'b' }, { id = 'a' }]"
    assert _refused(text) == "nextbest.toml, play 'x': two actions have the id 'a'. Give each action its own id."


def test_what_is_not_toml_is_told_with_the_line() -> None:
    """The error of the TOML reader comes with its line and column."""
    assert _refused("name = 'a'\nmargin = ") == "nextbest.toml is not valid TOML: Invalid value (at end of document)."
    assert "at line 1, column 6" in _refused("name 'a'")


def test_a_file_that_cannot_be_read_is_told_with_the_remedy(tmp_path: Path) -> None:
    """No file, and a file in another encoding, are errors that say what to do."""
    with pytest.raises(ConfigError, match=r"cannot be read: No such file or directory\. Run `nextbest init`"):
        config.read(tmp_path)
    (tmp_path / config.FILE).write_bytes("name = 'Käse'".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"is not UTF-8.*Save it as UTF-8"):
        config.read(tmp_path)


def _refused(text: str) -> str:
    with pytest.raises(ConfigError, match=r"^nextbest\.toml") as caught:
        config.parse(text)
    return str(caught.value)
