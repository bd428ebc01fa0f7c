from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from nextbest.errors import ConfigError
from nextbest.policies.quiet import DAY, hours_of, is_quiet, zones_of_country
from nextbest.types import QuietHours

NIGHT = QuietHours(start="21:00", end="08:00", timezone="Europe/Berlin")


def quiet(when: str, hours: QuietHours = NIGHT, *, zone: str | None = None, country: str | None = None) -> bool:
    """Ask for a moment in UTC; the workspace declares New York."""
    now = datetime.fromisoformat(when).replace(tzinfo=UTC)
    return is_quiet(hours, now, timezone=zone, country=country, default="America/New_York")


@pytest.mark.parametrize(
    ("when", "held"),
    [
        ("2026-03-28T06:59", True),  # 07:59 in winter time
        ("2026-03-28T07:00", False),
        ("2026-03-29T05:59", True),  # 07:59 in summer time, the night of the change
        ("2026-03-29T06:00", False),
        ("2026-10-24T18:59", False),  # 20:59 in summer time
        ("2026-10-24T19:00", True),
        ("2026-10-25T19:59", False),  # 20:59 in winter time, the day of the change
        ("2026-10-25T20:00", True),
    ],
)
def test_hours_follow_the_clock_on_the_wall(when: str, held: bool) -> None:  # noqa: FBT001
    """Quiet hours start and end by local time on both days on which the clocks change."""
    assert quiet(when) is held


def test_the_subjects_own_zone_decides() -> None:
    """Noon in Berlin is the middle of the night in Los Angeles."""
    assert not quiet("2026-06-01T10:00")
    assert quiet("2026-06-01T10:00", zone="America/Los_Angeles")


def test_every_plausible_zone_of_a_country_must_be_awake() -> None:
    """At 15:00 UTC New York is up and Honolulu asleep, so someone in the United States is left alone."""
    assert len(zones_of_country("US")) > 5
    assert zones_of_country("United States") == zones_of_country("us")
    assert quiet("2026-06-01T15:00", country="US")
    assert not quiet("2026-06-01T20:00", country="US")
    assert not quiet("2026-06-01T15:00", country="DE")


def test_what_cannot_be_placed_is_left_alone() -> None:
    """A country or a zone that nobody knows holds; without either, the declared zone decides."""
    assert quiet("2026-06-01T15:00", country="Atlantis")
    own = QuietHours(start="21:00", end="08:00")
    assert quiet("2026-06-01T10:00", own)  # 06:00 in the workspace's New York
    assert not quiet("2026-06-01T15:00", own)
    broken = QuietHours(start="21:00", end="08:00", timezone="Mars/Olympus")
    assert quiet("2026-06-01T12:00", broken)


def test_hours_within_a_day_and_bad_hours() -> None:
    """Hours that do not span midnight hold between them only; a time that is none is refused."""
    siesta = QuietHours(start="13:00", end="15:00", timezone="Europe/Madrid")
    assert quiet("2026-01-15T12:30", siesta)
    assert not quiet("2026-01-15T14:00", siesta)
    with pytest.raises(ConfigError, match="such as '21:00'"):
        quiet("2026-01-15T14:00", QuietHours(start="late", end="08:00", timezone="Europe/Madrid"))


def test_rows_agree_with_single_answers() -> None:
    """A table is answered as its rows one by one."""
    zones = [None, "America/Los_Angeles", "Europe/Berlin", None, "nowhere"] * 3
    lands = ["DE", None, None, None, "JP"] * 3
    now = datetime(2026, 6, 1, 10, tzinfo=UTC)
    table = pa.table({"timezone": zones, "country": lands})
    got = (hours_of(NIGHT, now, table, default="UTC") != DAY).tolist()
    want = [is_quiet(NIGHT, now, timezone=z, country=c, default="UTC") for z, c in zip(zones, lands, strict=True)]
    assert got == want
    assert hours_of(NIGHT, now, table.slice(0, 0), default="UTC").tolist() == []
