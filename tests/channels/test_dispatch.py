from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from tests.channels.sink import Sink
from tests.clocks import Clock

from nextbest.channels.csv import Csv, read_csv
from nextbest.channels.dispatch import LONGEST_WAIT_S, dispatch, wait
from nextbest.channels.webhook import Webhook
from nextbest.ledger import archive, consent, create, feedback, open_ledger, outbox, switches
from nextbest.policies.decide import decide_bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
ACTIONS = '[{ id = "mail", channel = "email", assumed_log_odds = 0.5, text = "=Hello" }]'


@pytest.fixture
def clock() -> Clock:
    """Give a clock that stands."""
    return Clock(NOW)


@pytest.fixture
def decided(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Ledger]]:
    """Give a maker of workspaces in which a play has decided for n subjects, all of them `mail`."""
    opened: list[Ledger] = []

    def make(n: int = 12, play: str = "", actions: str = ACTIONS) -> Ledger:
        settings = f'holdout = 0.0\npolicy = {{ name = "greedy", explore = 0.0 }}\nvalue = "worth"\n{play}'
        text = f'[consent]\nregime = "opt_out"\n[plays.p]\n{settings}\nactions = {actions}\n'
        ledger = create(tmp_path / f"w{len(opened)}", config_text=text, clock=clock)
        opened.append(ledger)
        decide(ledger, n)
        return ledger

    yield make
    for ledger in opened:
        ledger.journal.close()


def decide(ledger: Ledger, n: int) -> None:
    """Decide for n subjects of equal worth."""
    table = pa.table(
        {"subject_id": [f"c{i:04d}" for i in range(n)], "churn_probability": [0.5] * n, "worth": [50.0] * n}
    )
    decide_bulk(ledger, ledger.config.plays["p"], table, as_of=ledger.clock())


def hook(sink: Sink) -> Webhook:
    """Give a webhook to a sink in our own network."""
    return Webhook(url=sink.url, secret=SECRET, allow_hosts=("127.0.0.1",), seconds=2.0)


def send(ledger: Ledger, channel: Any, **settings: Any) -> Any:
    """Dispatch the play."""
    return dispatch(ledger, ledger.config.plays["p"], channel, name=type(channel).__name__.lower(), **settings)


def test_everything_goes_out_once(decided: Callable[..., Ledger]) -> None:
    """All decisions are handed over; sending again hands over nothing, and says so."""
    ledger = decided()
    with Sink() as sink:
        first, second = send(ledger, hook(sink)), send(ledger, hook(sink))
    assert (first.sent, first.decisions) == (12, 12)
    assert (second.sent, second.already_sent) == (0, 12)
    assert len(sink.ids) == len(set(sink.ids)) == 12
    assert sink.data[0]["text"] == "=Hello"
    assert sink.data[0]["valid_until"] == "2026-03-09T11:00:00Z"


def test_a_dry_run_says_what_would_be_sent_and_does_nothing(decided: Callable[..., Ledger]) -> None:
    """A dry run counts by rule, and leaves outbox and sink empty."""
    ledger = decided()
    consent.record(ledger, "c0003", allow=False, proof="mail")
    with Sink() as sink:
        told = send(ledger, hook(sink), dry_run=True)
    assert (told.sent, told.removed, told.dry_run) == (11, {"consent:denied": 1}, True)
    assert not sink.ids
    with ledger.journal.read() as connection:
        assert outbox.counts(connection) == {}


def test_permission_is_asked_again_before_every_message(decided: Callable[..., Ledger]) -> None:
    """An opt-out and a person's rejection after the decision stop the message, by rule; others go."""
    ledger = decided()
    consent.record(ledger, "c0003", channel="email", allow=False, proof="mail")
    from nextbest.ledger import analysis

    rows = analysis.table(ledger, "decisions").sort_by("subject_id").to_pylist()
    feedback.record(ledger, rows[5]["decision_id"], verdict="reject", by="Kim")
    with Sink() as sink:
        told = send(ledger, hook(sink))
    assert told.sent == 10
    assert told.removed == {"consent:denied": 1, "rejected": 1}
    assert not {"c0003", "c0005"} & {d["subject_id"] for d in sink.data}


def test_an_opt_out_in_the_middle_of_a_run_binds(decided: Callable[..., Ledger]) -> None:
    """Whoever says no while messages go out gets none, because each is asked for just before it leaves."""
    ledger = decided()

    class Interrupted:
        contacts_now = True
        seen: tuple[str, ...] = ()

        def deliver(self, messages: pa.Table) -> pa.Table:
            self.seen += tuple(messages["subject_id"].to_pylist())
            if len(self.seen) == 4:
                for subject in ("c0009", "c0010"):
                    consent.record(ledger, subject, allow=False, proof="just now")
            n = messages.num_rows
            return pa.table({"decision_id": messages["decision_id"], "status": ["sent"] * n, "detail": [""] * n})

    channel = Interrupted()
    told = send(ledger, channel)
    gone = set(channel.seen[4:])
    assert not {"c0009", "c0010"} & gone
    assert told.removed == {"consent:denied": 2 - len({"c0009", "c0010"} & set(channel.seen))}


def test_the_stop_switch_holds_and_lets_go(decided: Callable[..., Ledger], clock: Clock) -> None:
    """A stopped channel sends nothing and loses nothing; started again, everything goes."""
    ledger = decided()
    switches.stop(ledger, channel="email", why="wrong text")
    with Sink() as sink:
        held = send(ledger, hook(sink))
        assert (held.sent, held.held, sink.ids) == (0, {"kill_switch": 12}, [])
        switches.start(ledger, channel="email", why="corrected")
        clock.now += timedelta(minutes=5)
        assert send(ledger, hook(sink)).sent == 12


def test_caps_are_counted_again(decided: Callable[..., Ledger], clock: Clock) -> None:
    """A message that waited until another contact had used up the cap is removed by the cap's name."""
    ledger = decided(4, "caps = [{ count = 1, days = 2 }]")
    clock.now += timedelta(days=3)
    decide(ledger, 2)
    rows = {"c0000", "c0001"}
    with Sink() as sink:
        told = send(ledger, hook(sink))
    assert told.sent == 4
    assert {d["subject_id"] for d in sink.data} > rows
    clock.now += timedelta(hours=1)
    with ledger.journal.read() as connection:
        from nextbest.ledger import contacts

        assert contacts.count(connection, "c0000", since=clock.now - timedelta(days=2)) == 1


def test_two_plays_of_one_moment_do_not_exceed_a_cap(decided: Callable[..., Ledger]) -> None:
    """When two lists were decided at once, the cap removes at dispatch what the gates could not see."""
    ledger = decided(6, "caps = [{ count = 1, days = 7 }]")
    with ledger.journal.read() as connection:
        rows = connection.execute("SELECT subject_id, ts, channel, play, action_id FROM contact").fetchall()
    from nextbest.ledger import contacts

    extra = [(s, ts, f"other-{s}", c, "other", a) for s, ts, c, _, a in rows[:2]]
    ledger.journal.write(lambda connection: contacts.add(connection, extra))
    with Sink() as sink:
        told = send(ledger, hook(sink))
    assert (told.sent, told.removed) == (4, {"cap:1 in 7 days": 2})


def test_quiet_hours_hold_until_morning(decided: Callable[..., Ledger], clock: Clock) -> None:
    """At night nobody is reached by webhook, each by their own zone; a list in a file may be written; by day all go."""
    hours = 'quiet_hours = { start = "21:00", end = "08:00", timezone = "Europe/Berlin" }'
    ledger = decided(4, hours)
    states = {"subject_id": ["c0001", "c0002"], "timezone": ["America/New_York", None], "country": [None, "JP"]}
    archive.append(ledger, "subjects", pa.table(states), source="test")
    clock.now = NOW.replace(hour=20, minute=30)  # 21:30 in Berlin, 15:30 in New York, 05:30 in Tokyo
    with Sink() as sink:
        night = send(ledger, hook(sink))
        assert [d["subject_id"] for d in sink.data] == ["c0001"]
        assert (night.sent, night.held) == (1, {"quiet_hours": 3})
        clock.now = NOW + timedelta(hours=20, minutes=5)  # 08:05 in Berlin
        assert send(ledger, hook(sink)).sent == 3


def test_nothing_is_sent_late(decided: Callable[..., Ledger], clock: Clock) -> None:
    """A message that a dead sink did not take within its seven days expires; an old decision is not even queued."""
    ledger = decided(3)
    with Sink("error") as sink:
        assert send(ledger, hook(sink)).retry == 3
        clock.now += timedelta(days=6, hours=23)
        assert send(ledger, hook(sink)).retry == 3
        tried = len(sink.ids)
        clock.now += timedelta(hours=2)
        late = send(ledger, hook(sink))
        assert (late.sent, late.held) == (0, {"expired": 3})
        assert len(sink.ids) == tried == 6


def test_a_dead_sink_opens_the_circuit_and_loses_nothing(decided: Callable[..., Ledger], clock: Clock) -> None:
    """Five failures end the run; later everything arrives, each message once, though not on the first attempt."""
    ledger = decided(20)
    with Sink("error", "reset", "error", "error", "error", "ok") as sink:
        dead = send(ledger, hook(sink))
        assert (dead.sent, dead.retry) == (0, 20)
        assert len(sink.ids) == 5
        clock.now += timedelta(minutes=2)
        alive = send(ledger, hook(sink))
    assert (alive.sent, alive.retry) == (20, 0)
    assert len(set(sink.ids)) == 20
    assert len(sink.ids) == 25


def test_waiting_grows_with_jitter_and_respects_the_target() -> None:
    """Waits double up to six hours, differ between messages, and are never shorter than the target asked for."""
    waits = [wait("key", n).total_seconds() for n in range(1, 14)]
    assert all(15 * 2 ** (n - 1) <= w <= 30 * 2 ** (n - 1) for n, w in enumerate(waits[:9], start=1))
    assert waits[-1] <= LONGEST_WAIT_S
    assert len({wait(f"key{i}", 1) for i in range(50)}) == 50
    assert wait("key", 1) == wait("key", 1)
    assert wait("key", 1, "status 429, retry after 7200 s").total_seconds() == 7200


def test_a_list_is_written_with_addresses_and_without_formulas(decided: Callable[..., Ledger], tmp_path: Path) -> None:
    """A file gets the newest decision per subject, with the address as it is known now."""
    ledger = decided(3)
    states = {"subject_id": ["c0001"], "email": ["ann@example.com"], "phone": ["+491701234567"]}
    archive.append(ledger, "subjects", pa.table(states), source="test")
    told = send(ledger, Csv(path=str(tmp_path / "out.csv")))
    assert (told.sent, told.out) == (3, str(tmp_path / "out.csv"))
    rows = read_csv(tmp_path / "out.csv").sort_by("subject_id").to_pylist()
    assert [(r["email"], r["phone"]) for r in rows] == [
        (None, None),
        ("ann@example.com", "+491701234567"),
        (None, None),
    ]
    assert "'=Hello" in (tmp_path / "out.csv").read_text()
    with ledger.journal.read() as connection:
        stored = connection.execute("SELECT payload FROM outbox").fetchall()
    assert not any("ann@" in str(row) for row in stored)


def test_older_decisions_of_a_subject_are_overtaken(decided: Callable[..., Ledger], clock: Clock) -> None:
    """When a play was decided twice before sending, a subject gets one message: that of the newer decision."""
    ledger = decided(5)
    clock.now += timedelta(hours=1)
    decide(ledger, 5)
    with Sink() as sink:
        assert send(ledger, hook(sink)).sent == 5
    assert len({d["subject_id"] for d in sink.data}) == 5


def test_grave_actions_wait_for_a_person(decided: Callable[..., Ledger], tmp_path: Path) -> None:
    """A significant action is never carried out by itself; it may stand on a person's list."""
    ledger = decided(3, actions='[{ id = "close", channel = "email", class = "significant", assumed_log_odds = 0.5 }]')
    with Sink() as sink:
        told = send(ledger, hook(sink))
    assert (told.sent, told.held, sink.ids) == (0, {"needs_a_person": 3}, [])
    assert send(ledger, Csv(path=str(tmp_path / "people.csv"))).sent == 3


def _keep_sending(path: str, url: str) -> None:
    """Send in a child process until it is killed."""
    ledger = open_ledger(path, clock=lambda: NOW)
    hook = Webhook(url=url, secret=SECRET, allow_hosts=("127.0.0.1",), seconds=2.0)
    dispatch(ledger, ledger.config.plays["p"], hook, name="webhook")


@pytest.mark.slow
def test_killed_dispatchers_lose_nothing(decided: Callable[..., Ledger], clock: Clock) -> None:
    """Dispatchers killed at random moments leave no message behind; the sink sees every key, and acts on each once."""
    ledger = decided(120)
    draw = np.random.default_rng(3)
    context = multiprocessing.get_context("spawn")
    with Sink() as sink:
        for _ in range(4):
            child = context.Process(target=_keep_sending, args=(str(ledger.path), sink.url))
            child.start()
            seen = len(sink.ids)
            deadline = time.monotonic() + 60
            while len(sink.ids) < seen + 5 and child.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 0.05))
            if child.pid is not None and child.is_alive():
                os.kill(child.pid, signal.SIGKILL)
            child.join()
        clock.now += timedelta(minutes=10)  # the killed one's leases run out
        told = send(ledger, hook(sink))
    assert len(set(sink.ids)) == 120
    assert told.sent + told.already_sent == 120
    assert len(sink.ids) - 120 <= 4  # at most one attempt in flight per kill is repeated, under its old key
