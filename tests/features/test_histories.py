"""What is served from memory is what the query gives, whatever happens to the ledger meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from tests.features.conftest import AS_OF, random_events, table
from tests.features.test_ledger import NOW, live, load

from nextbest.features.build import vector
from nextbest.features.histories import Histories
from nextbest.features.sets import feature_set
from nextbest.ledger import archive, compaction, consent, erasure, events, identities, workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from nextbest.ledger.workspace import Ledger

SUBJECTS = ("c1", "c2", "c3", "nobody")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace with a fixed clock."""
    with workspace.create(tmp_path / "acme", clock=lambda: NOW) as ledger:
        yield ledger


Vectors = list[dict[str, float | None]]


def _both(ledger: Ledger, kept: Histories, subjects: Iterable[str] = SUBJECTS) -> tuple[Vectors, Vectors]:
    """Give the vectors of subjects at three moments, from memory and from the query."""
    features = feature_set(ledger)
    names = [f.name for f in features]
    moments = (AS_OF, AS_OF - timedelta(days=40), AS_OF + timedelta(days=300))
    asked = [(subject, as_of) for subject in subjects for as_of in moments]
    memory = [kept.vector(subject, names, as_of=as_of) for subject, as_of in asked]
    return memory, [vector(ledger, features, subject, as_of=as_of) for subject, as_of in asked]


def test_memory_and_query_agree_on_segments_and_live_events(ledger: Ledger) -> None:
    """For subjects with history in files and in the journal, and for nobody, the vectors are equal."""
    load(ledger, 41)
    kept = Histories(ledger)
    memory, query = _both(ledger, kept)
    assert memory == query
    assert kept.has("c1", ["page_views_7d"])
    memory, query = _both(ledger, kept)
    assert memory == query


def test_subjects_that_are_read_together_are_as_read_alone(ledger: Ledger) -> None:
    """One reading for many, with merged ids and somebody without events among them, gives each its own history."""
    load(ledger, 41)
    identities.merge(ledger, "c3", "c2", why="same person")
    subjects = ("c1", "c2", "c4", "nobody")
    kept = Histories(ledger)
    kept.warm(subjects)
    assert all(kept.has(one, ["page_views_7d"]) for one in subjects)
    memory, query = _both(ledger, kept, subjects)
    assert memory == query


def test_a_subject_is_read_only_for_features(ledger: Ledger) -> None:
    """Nobody was read yet: that is a lack for a feature, and none for what is only predicted."""
    load(ledger, 41)
    kept = Histories(ledger)
    assert not kept.has("c1", ["churn_probability", "page_views_7d"])
    assert kept.has("c1", ["churn_probability"])


def test_a_new_event_counts_at_once(ledger: Ledger) -> None:
    """An event that comes in after a subject was read is in the next vector, without reading the subject again."""
    load(ledger, 42)
    kept = Histories(ledger)
    before = kept.vector("c1", ["page_views_7d"], as_of=AS_OF)["page_views_7d"]
    view = {
        "kind": "page_view",
        "message_id": "new",
        "subject_id": "c1",
        "ts": (AS_OF - timedelta(hours=1)).isoformat(),
    }
    events.ingest(ledger, [view], source="api")
    assert kept.has("c1", ["page_views_7d"])
    assert kept.vector("c1", ["page_views_7d"], as_of=AS_OF)["page_views_7d"] == before + 1
    memory, query = _both(ledger, kept)
    assert memory == query


@pytest.mark.parametrize("what", ["merge", "undo", "erase", "compact", "file", "kind", "opt_out"])
def test_what_changes_the_past_is_seen(ledger: Ledger, what: str) -> None:
    """After merges, erasures, compaction, new files and new kinds of events memory still agrees with the query."""
    load(ledger, 43)
    kept = Histories(ledger)
    merged = identities.merge(ledger, "c2", "c1", why="the same person") if what == "undo" else ""
    memory, query = _both(ledger, kept, ("c1", "c3"))
    assert memory == query
    match what:
        case "merge":
            identities.merge(ledger, "c2", "c1", why="the same person")
        case "undo":
            identities.undo_merge(ledger, merged)
        case "erase":
            erasure.erase(ledger, "c1")
        case "compact":
            assert compaction.compact(ledger, least=1) > 0
        case "file":
            archive.append(ledger, "order", table("order", random_events(99)["order"]), source="file")
        case "kind":
            added = {"kind": "cart_add", "message_id": "cart", "subject_id": "c1", "ts": "2025-12-31T00:00:00+00:00"}
            events.ingest(ledger, [added], source="api")
            assert kept.vector("c1", ["cart_adds_30d"], as_of=AS_OF)["cart_adds_30d"] == 1
        case _:
            consent.record(ledger, "c1", purpose="marketing", channel="email", allow=False, proof="test")
    memory, query = _both(ledger, kept, ("c1", "c3") if what != "undo" else ("c1", "c2", "c3"))
    assert memory == query


def test_an_event_under_a_merged_id_counts_for_the_person(ledger: Ledger) -> None:
    """A live event of an id that was merged is added to the history of the id that it was merged into."""
    load(ledger, 44)
    identities.merge(ledger, "visitor", "c1", why="logged in")
    kept = Histories(ledger)
    memory, query = _both(ledger, kept, ("c1",))
    assert memory == query
    row = {
        **random_events(45)["order"][0],
        "event_id": "late",
        "subject_id": "visitor",
        "ts": AS_OF - timedelta(days=2),
    }
    events.ingest(ledger, [live("order", row)], source="api")
    memory, query = _both(ledger, kept, ("c1",))
    assert memory == query


def test_only_so_many_events_are_kept(ledger: Ledger) -> None:
    """The subjects that nobody asked for lately go first, and are read again when they are asked for."""
    load(ledger, 46)
    kept = Histories(ledger, most_events=120)
    memory, query = _both(ledger, kept, [f"c{i}" for i in range(12)])
    assert memory == query
    assert kept.has("c11", ["page_views_7d"])
    assert not kept.has("c0", ["page_views_7d"])
    memory, query = _both(ledger, kept, ("c0",))
    assert memory == query
