"""A subject's features from its events in memory are the bytes that the query gives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.features.conftest import AS_OF, Events, random_events
from tests.features.test_build import bits, by_subject, every_aggregate, run

from nextbest.features.alone import History, vector
from nextbest.features.defaults import default_features

Named = dict[tuple[str, str], bytes]  # by subject and feature


def _both(events: Events, features: Any, as_of: Any) -> tuple[Named, Named]:
    """Give every feature of every subject, from its events alone and from the query."""
    people = by_subject(events)
    alone: Named = {}
    wanted: Named = {}
    for row in run(events, features, as_of=as_of).to_pylist():
        subject = row["subject_id"]
        found = vector(History(rows=people[subject]), features, as_of)
        alone |= {(subject, f.name): bits(found[f.name]) for f in features}
        wanted |= {(subject, f.name): bits(row[f.name]) for f in features}
    return alone, wanted


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_alone_equals_the_query_byte_for_byte(seed: int) -> None:
    """Every aggregate, filter and window gives the query's bytes for every subject of random events."""
    alone, wanted = _both(random_events(seed), every_aggregate(), AS_OF)
    assert wanted
    assert alone == wanted


@pytest.mark.parametrize("days", [0, 1, 29, 200, 330])
def test_the_defaults_equal_the_query_at_every_moment(days: int) -> None:
    """The default features agree at several moments, those before any event included."""
    events = random_events(7)
    alone, wanted = _both(events, default_features(frozenset(events)), AS_OF - timedelta(days=days))
    assert wanted
    assert alone == wanted


def test_an_event_that_comes_in_later_counts_from_then_on() -> None:
    """What a history was asked before it grew does not stay."""
    events = random_events(5)
    features = default_features(frozenset(events))
    person, rows = next(iter(by_subject(events).items()))
    last = rows["order"].pop()
    history = History(rows=rows)
    before = vector(history, features, AS_OF)
    history.add("order", last)
    again = vector(history, features, AS_OF)
    whole = vector(History(rows=by_subject(events)[person]), features, AS_OF)
    assert again == whole
    assert (before != again) == (last["ts"] < AS_OF)
