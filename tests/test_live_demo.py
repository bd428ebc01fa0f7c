from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

from nextbest import demo, operations, traffic, up, verbs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger import Ledger

LIKED = "fresh_bakery"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the demonstration's workspace with its live play's visitors, without the year of baskets."""
    folder = tmp_path_factory.mktemp("demo") / "shop"
    with demo.workspace(folder) as ledger:
        traffic.simulate(ledger, visits=400)
    return folder


@pytest.fixture
def ledger(made: Path, tmp_path: Path) -> Iterator[Ledger]:
    """Give a copy, open."""
    with operations.open(shutil.copytree(made, tmp_path / "shop")) as opened:
        yield opened


class Service:
    """A real server of a workspace, in a process of its own, and what a program says to it."""

    def __init__(self, folder: Path, port: int) -> None:
        with operations.open(folder) as opened:
            _, key = operations.create_key(opened, "admin")
        command = [sys.executable, "-m", "nextbest", "serve", "-w", str(folder), "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.client = httpx2.Client(
            base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=30
        )
        until = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                pytest.fail("The service did not start.")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return self.client.get("/live").status_code == 200
        except httpx2.TransportError:
            return False

    def say(self, what: str, body: dict[str, object]) -> dict[str, object]:
        """Post a body and give the reply."""
        reply = self.client.post(f"/v1/{what}", json=body)
        assert reply.status_code == 200, reply.text
        found: dict[str, object] = reply.json()
        return found

    def decide(self, who: str) -> dict[str, object]:
        """Give a decision for a visitor on a tablet."""
        asked: dict[str, object] = {"play": traffic.PLAY, "subject_id": who, "context": {"device": "tablet"}}
        return self.say("decide", asked)

    def chances(self, decision: dict[str, object]) -> dict[str, float]:
        """Give the chance of each candidate of a logged decision."""
        row = self.client.get(f"/v1/decisions/{decision['decision_id']}").json()
        return {c["action_id"]: c["choice_probability"] for c in row["candidates"]}

    def stop(self) -> None:
        """End the process."""
        self.client.close()
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def service(made: Path, tmp_path: Path, free_port: int) -> Iterator[Service]:
    """Serve a copy."""
    running = Service(shutil.copytree(made, tmp_path / "served"), free_port)
    yield running
    running.stop()


@pytest.fixture
def free_port() -> int:
    """Give a port that nobody listens on."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_the_made_up_visitors_are_marked_and_their_log_is_sound(ledger: Ledger) -> None:
    """Every simulated decision and click is marked, and nothing of the log is degraded or impossible."""
    from nextbest.ledger import analysis

    log = analysis.table(ledger, "decisions").to_pylist()
    assert len(log) == 400
    assert all('"simulated":true' in row["context"].replace(" ", "") for row in log)
    assert not any(row["degraded"] for row in log)
    assert set(analysis.table(ledger, "outcomes")["source"].to_pylist()) == {traffic.SOURCE}
    assert operations.verify(ledger).ok
    checks = {c.name: c for c in verbs.watch(ledger, traffic.PLAY)[0].checks}  # type: ignore[union-attr]
    assert all(checks[name].ok for name in ("choice_shares", "impossible_choices", "sample_ratio", "degraded_day"))


def test_a_play_of_pages_is_no_list_to_work_through(ledger: Ledger) -> None:
    """What pages have shown already is not on today's list, and the play is not decided in bulk."""
    plays = verbs.plays(ledger)
    assert up.is_on_request(plays[traffic.PLAY])
    assert not up.is_on_request(plays[demo.PLAY])
    assert operations.today(ledger).items == ()
    assert operations.today(ledger).decided == 0


def test_python_decides_by_what_was_learnt(ledger: Ledger) -> None:
    """The verb `decide_one` uses the same learnt state as the service."""
    decision = verbs.decide_one(ledger, traffic.PLAY, "me", context={"device": "phone"})
    assert decision.model_versions["learner"]
    assert not decision.degraded


def test_the_replay_of_another_policy_prints_an_interval(ledger: Ledger) -> None:
    """What greedy would have earned on the live play's log has an interval around the estimate."""
    found = demo.replayed(ledger)
    assert found.status == "ok", found.why
    assert isinstance(found.low, float)
    assert isinstance(found.high, float)
    assert isinstance(found.estimate, float)
    assert found.low <= found.estimate <= found.high


@pytest.mark.slow
def test_clicks_on_one_banner_make_it_likelier_within_seconds(service: Service) -> None:
    """Over real HTTP, clicks on one banner raise its chance for the next visitor within a few seconds."""
    before = service.chances(service.decide("first"))
    shown = [(f"guest-{i}", service.decide(f"guest-{i}")) for i in range(60)]
    liked = [(who, d["decision_id"]) for who, d in shown if d["action_id"] == LIKED]
    assert liked, "the policy explores, so of sixty visitors somebody sees each banner"
    now = datetime.now(UTC).isoformat()
    said = [
        {"outcome_id": f"click-{i}", "subject_id": who, "name": "click", "ts": now, "decision_id": decision}
        for who, decision in liked
        for i in (decision,)
    ]
    reply = service.say("outcomes", {"outcomes": said})
    assert reply == {"received": len(liked), "new": len(liked)}
    version, until = shown[-1][1]["policy_version"], time.monotonic() + 10
    after = service.decide("then")
    while after["policy_version"] == version and time.monotonic() < until:
        time.sleep(0.2)
        after = service.decide("then")
    time.sleep(1.5)
    rise = service.chances(service.decide("later"))[LIKED] - before[LIKED]
    assert rise > 0.05


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the commands are for a shell with curl")
def test_the_printed_commands_work_when_pasted(made: Path, tmp_path: Path, free_port: int) -> None:
    """What the demonstration prints last runs as it stands: key, decisions, clicks, other decisions, an interval."""
    running = Service(shutil.copytree(made, tmp_path / "pasted"), free_port)
    program = f"{Path(sys.executable).parent / 'nextbest'}"
    script = traffic.commands(tmp_path / "pasted", port=free_port, program=program)
    try:
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False, timeout=120)
    finally:
        running.stop()
    assert done.returncode == 0, done.stderr
    assert '"decision_id":"d_' in done.stdout
    counted = re.findall(rf"(\d+) {LIKED}", done.stdout)
    assert len(counted) == 2
    assert int(counted[1]) > int(counted[0])
    assert "95% interval" in done.stdout


def test_the_learning_thread_ends_with_its_ledger(made: Path, tmp_path: Path) -> None:
    """A closed workspace leaves no thread behind that goes on asking it."""
    from nextbest import deciding

    before = {t.ident for t in threading.enumerate()}
    with operations.open(shutil.copytree(made, tmp_path / "shop")) as opened:
        deciding.engine(opened)
        assert any(t.name == "nextbest-learning" for t in threading.enumerate() if t.ident not in before)
    until = time.monotonic() + 10
    while time.monotonic() < until:
        left = [t for t in threading.enumerate() if t.name == "nextbest-learning" and t.ident not in before]
        if not left:
            return
        time.sleep(0.1)
    pytest.fail("the thread is still there")
