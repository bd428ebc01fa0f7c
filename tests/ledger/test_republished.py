from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from nextbest.ledger import events, identities, published, republished

if TYPE_CHECKING:
    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
LATE = datetime(2026, 3, 2, 11, 0, 0, 123456, tzinfo=UTC)


def table(**columns: Any) -> pa.Table:
    """Give three subjects with some columns."""
    return pa.table({"subject_id": ["a", "b", 'c"ü'], **columns})


def back(ledger: Ledger, given: pa.Table, **other: Any) -> pa.Table | None:
    """Publish a table and read it back."""
    published.publish(ledger, "churn", "m1", NOW, given, state=republished.state(ledger))
    asked = {"model_id": "m1", "as_of": NOW, "state": republished.state(ledger), **other}
    return republished.stored(ledger, "churn", **asked)


def test_what_was_published_is_read_back_exactly(ledger: Ledger) -> None:
    """Numbers to the last bit, whole numbers, texts, flags, times and what is missing come back with their types."""
    given = table(
        p=[0.1 + 0.2, None, 5e-324],
        n=pa.array([1, None, -(2**53) - 1], pa.int64()),
        words=['say "no"\n', None, "ü"],
        flag=[True, None, False],
        ts=pa.array([NOW, None, LATE], pa.timestamp("us", tz="UTC")),
        day=pa.array([datetime(2026, 1, 1), None, datetime(1969, 12, 31, 23)], pa.timestamp("us")),  # noqa: DTZ001
        date=pa.array([-1, None, 20000], pa.int32()).cast(pa.date32()),
        empty=pa.nulls(3, pa.float64()),
    )
    found = back(ledger, given)
    assert found is not None
    assert found.schema.equals(given.schema)
    assert found.to_pylist() == given.to_pylist()


def test_no_number_stays_no_number(ledger: Ledger) -> None:
    """NaN comes back as NaN; where it stands beside a missing value, or something is infinite, nothing is read back."""
    found = back(ledger, table(p=pa.array([float("nan"), 1.0, 2.0])))
    assert found is not None
    assert found["p"].null_count == 0
    assert str(found["p"].to_pylist()) == "[nan, 1.0, 2.0]"
    assert back(ledger, table(p=pa.array([float("nan"), None, 2.0]))) is None
    assert back(ledger, table(p=pa.array([float("inf"), 1.0, 2.0]))) is None


@pytest.mark.parametrize("other", [{"model_id": "m2"}, {"as_of": NOW + timedelta(days=1)}, {"state": "x"}])
def test_what_others_predicted_is_not_read(ledger: Ledger, other: dict[str, Any]) -> None:
    """Another model, moment or state of the data has nothing published."""
    assert back(ledger, table(p=[1.0, 2.0, 3.0])) is not None
    assert back(ledger, table(p=[1.0, 2.0, 3.0]), **other) is None


def test_new_data_is_another_state(ledger: Ledger) -> None:
    """An event and a merge each change the state; publishing and reading do not."""
    before = republished.state(ledger)
    back(ledger, table(p=[1.0, 2.0, 3.0]))
    assert republished.state(ledger) == before
    seen = {"kind": "page_view", "subject_id": "a", "message_id": "e1", "ts": "2026-03-01T10:00:00Z"}
    assert events.ingest(ledger, [seen], source="site")[0].status == "stored"
    after = republished.state(ledger)
    assert after != before
    identities.merge(ledger, "b", "a", why="the same")
    assert republished.state(ledger) != after


def test_what_stands_is_confirmed(ledger: Ledger) -> None:
    """What still stands is as fresh as if it were published again; what does not is told."""
    back(ledger, table(p=[1.0, 2.0, 3.0]))
    state = republished.state(ledger)
    assert republished.confirm(ledger, "churn", "m1", NOW, state=state)
    assert not republished.confirm(ledger, "churn", "m1", NOW, state="x")
    assert not republished.confirm(ledger, "value", "m1", NOW, state=state)
