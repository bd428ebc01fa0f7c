"""Which model serves: whole or not at all, whatever kills the process; the previous one back in one command (T3)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.models.publishing import fitted

from nextbest import operations
from nextbest.errors import ModelError, UnknownNameError, UsageError
from nextbest.ledger import create, faults, open_ledger
from nextbest.models import serving, store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextbest.ledger import Ledger

START = datetime(2026, 1, 1, tzinfo=UTC)
CHILD = Path(__file__).with_name("publishing.py")
POINTS = 7  # how many writes, renames and commits a publication has (checked below)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a workspace in which one model serves, and a clock that ticks with every look."""
    ticks = iter(range(100_000))
    with create(tmp_path / "w", clock=lambda: START + timedelta(seconds=next(ticks))) as made:
        serving.publish(made, fitted("value-old"), why="first")
        yield made


@pytest.fixture(scope="module")
def one_served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a workspace in which one model serves; it is copied for every kill."""
    folder = tmp_path_factory.mktemp("serving") / "w"
    with create(folder, clock=lambda: START) as made:
        serving.publish(made, fitted("value-old"), why="first")
    return folder


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a killed publication left behind; `points` is how many it passed, None when it did not come through."""

    status: int
    points: int | None
    problems: tuple[str, ...]
    served: str
    listed: list[str]
    served_next: str


def _killed(one_served: Path, folder: Path, point: int) -> Left:
    """Publish in a process that dies at a point, look at the workspace, and publish there again."""
    shutil.copytree(one_served, folder)
    command = [sys.executable, str(CHILD), str(folder), str(point)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    with open_ledger(folder) as opened:
        problems = operations.verify(opened).problems
        served = store.latest(opened, "value").model_id
        listed = [v.model_id for v in serving.versions(opened) if v.serves]
        serving.publish(opened, fitted("value-new"), why="again")
        served_next = store.latest(opened, "value").model_id
    return Left(
        status=done.returncode,
        points=int(done.stdout or 0) if done.returncode == 0 else None,
        problems=(*problems, *([] if done.returncode in {0, 9} else [done.stderr])),
        served=served,
        listed=listed,
        served_next=served_next,
    )


@pytest.mark.slow
@pytest.mark.parametrize("point", [2, 4, POINTS])
def test_a_process_killed_while_publishing_leaves_the_model_before_serving(
    one_served: Path, tmp_path: Path, point: int
) -> None:
    """Killed at a write, a rename or the commit, the old model serves, whole, and publishing again works."""
    left = _killed(one_served, tmp_path / "w", point)
    assert (left.status, left.problems) == (9, ())
    assert (left.served, left.listed, left.served_next) == ("value-old", ["value-old"], "value-new")


@pytest.mark.nightly
@pytest.mark.timeout(1500)  # fifty processes that each start anew
def test_fifty_kills_leave_a_valid_model_serving(one_served: Path, tmp_path: Path) -> None:
    """Of 50 kills spread over all points a valid model serves after each; half-published ones never."""
    for n in range(50):
        folder = tmp_path / f"w{n}"
        point = 1 + n % (POINTS + 1)
        left = _killed(one_served, folder, point)
        assert (left.status, left.problems) == (9 if point <= POINTS else 0, ())
        wanted = "value-old" if point <= POINTS else "value-new"
        assert (left.served, left.listed, left.served_next) == (wanted, [wanted], "value-new")
        shutil.rmtree(folder)


def test_the_points_of_a_publication_are_known(ledger: Ledger) -> None:
    """A publication passes as many points as the kills are spread over."""
    seen: list[object] = []

    def note(value: object) -> object:
        seen.append(value)
        return value

    with faults.injected("publish", note):
        serving.publish(ledger, fitted("value-new"), why="test")
    assert len(seen) == POINTS, seen
    assert str(seen[-1]).startswith("serve")


def test_a_fitted_model_serves_and_is_listed(ledger: Ledger) -> None:
    """The model published last serves; the list says since when and why, and keeps the one before."""
    serving.publish(ledger, fitted("value-new"), why="fitted")
    assert store.latest(ledger, "value").model_id == "value-new"
    old, new = operations.models(ledger, "value")
    assert (old.model_id, old.serves, old.why) == ("value-old", False, "")
    assert (new.model_id, new.serves, new.why) == ("value-new", True, "fitted")
    assert new.since > old.saved


def test_the_previous_model_is_one_command_away_and_back(ledger: Ledger) -> None:
    """Rollback lets the model before serve, a second one with `to` the other again; every step is chained."""
    serving.publish(ledger, fitted("value-new"), why="fitted")
    before = operations.verify(ledger).links
    found = operations.rollback(ledger, "value", why="scores jumped")
    assert (found.model_id, found.serves, found.why) == ("value-old", True, "scores jumped")
    assert store.latest(ledger, "value").model_id == "value-old"
    assert [f.model_id for f in store.newest(ledger)] == ["value-old"]
    operations.rollback(ledger, "value", to="value-new", why="false alarm")
    assert store.latest(ledger, "value").model_id == "value-new"
    verified = operations.verify(ledger)
    assert verified.ok
    assert verified.links == before + 2


def test_a_rollback_refuses_what_cannot_serve(ledger: Ledger) -> None:
    """Without a reason, another model, or a sound one, nothing changes and the error says why."""
    with pytest.raises(UsageError, match="none to go back to"):
        operations.rollback(ledger, "value", why="x")
    serving.publish(ledger, fitted("value-new"), why="fitted")
    with pytest.raises(UsageError, match="--why"):
        operations.rollback(ledger, "value", why=" ")
    with pytest.raises(UnknownNameError, match="value-old"):
        operations.rollback(ledger, "value", to="value-odl", why="x")
    with pytest.raises(UnknownNameError, match="value"):
        operations.models(ledger, "valeu")
    damaged = next((ledger.path / "models" / "value-old" / "purchases").iterdir())
    damaged.write_bytes(damaged.read_bytes() + b" ")
    with pytest.raises(ModelError, match="value-old"):
        operations.rollback(ledger, "value", why="x")
    assert store.latest(ledger, "value").model_id == "value-new"


def test_an_unsound_model_never_serves(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that fails its first load is thrown away, and the one before serves on."""

    def refuse(folder: Path, sha256: str) -> None:
        raise ModelError(f"{folder.name} is refused ({len(sha256)}).")

    monkeypatch.setattr("nextbest.models.sandbox.check", refuse)
    with pytest.raises(ModelError, match="refused"):
        serving.publish(ledger, fitted("value-new"), why="fitted")
    monkeypatch.undo()
    assert store.latest(ledger, "value").model_id == "value-old"
    assert not (ledger.path / "models" / "value-new").exists()
