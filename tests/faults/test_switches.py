"""The kill switch: rows and a file say the same, and a whole group may ask at once."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from nextbest import operations
from nextbest.errors import UnknownNameError
from nextbest.ledger import create, switches

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

SCOPES = list(product(("win_back", "welcome"), ("email", "phone"), ("mail", "call")))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace."""
    with create(tmp_path / "w") as opened:
        yield opened


def stopped(ledger: Ledger) -> list[tuple[str, str, str]]:
    """Give what is stopped, asked one by one, after checking that a group's question gives the same."""
    with ledger.journal.read() as connection:
        at_once = switches.stops(connection)
        found = [s for s in SCOPES if switches.stopped(connection, play=s[0], channel=s[1], action=s[2])]
    assert found == [s for s in SCOPES if at_once.of(play=s[0], channel=s[1], action=s[2])]
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", SCOPES),
        ("# nothing but a remark\n", SCOPES),
        ("play=win_back", [s for s in SCOPES if s[0] == "win_back"]),
        ("channel=email action=mail  # wrong template\n\nplay=welcome\n", [
            s for s in SCOPES if (s[1] == "email" and s[2] == "mail") or s[0] == "welcome"
        ]),
        ("chanel=email", SCOPES),
        ("play=", SCOPES),
        ("play=win_back play=welcome", SCOPES),
        ("play=win_back\nstop it all!", SCOPES),
    ],
)  # fmt: skip
def test_the_file_stops_what_it_names_and_everything_when_it_cannot_be_understood(
    ledger: Ledger, text: str, expected: list[tuple[str, str, str]]
) -> None:
    """Lines of the file stop plays, channels and actions; an empty file or a line of nonsense stops everything."""
    (ledger.path / switches.STOP_FILE).write_text(text)
    assert stopped(ledger) == expected
    (ledger.path / switches.STOP_FILE).unlink()
    assert stopped(ledger) == []


def test_a_file_that_cannot_be_read_stops_everything(ledger: Ledger) -> None:
    """Bytes that are no text, or a folder of that name, stop everything."""
    (ledger.path / switches.STOP_FILE).write_bytes(b"\xff\xfe")
    assert stopped(ledger) == SCOPES
    (ledger.path / switches.STOP_FILE).unlink()
    (ledger.path / switches.STOP_FILE).mkdir()
    assert stopped(ledger) == SCOPES


def test_stops_are_listed_and_lifted_one_by_one(ledger: Ledger) -> None:
    """What is stopped is listed with its reason, from the rows and from the file; a start lifts only its own."""
    operations.stop(ledger, channel="email", why="wrong template")
    operations.stop(ledger, play="win_back", why="budget")
    (ledger.path / switches.STOP_FILE).write_text("action=call")
    assert [(s["play"], s["channel"], s["action"], s["why"]) for s in operations.stops(ledger)] == [
        ("*", "*", "call", "the file stop"),
        ("*", "email", "*", "wrong template"),
        ("win_back", "*", "*", "budget"),
    ]
    operations.start(ledger, channel="email", why="mended")
    assert stopped(ledger) == [s for s in SCOPES if s[0] == "win_back" or s[2] == "call"]


def test_a_stop_of_a_play_that_is_not_there_is_refused(ledger: Ledger) -> None:
    """A slip in the name of a play is said, with the near word, and nothing is written."""
    with pytest.raises(UnknownNameError, match="Did you mean 'win_back'"):
        operations.stop(ledger, play="win_bak", why="budget")
    assert operations.stops(ledger) == []
