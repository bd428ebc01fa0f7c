"""What commands tell a person comes from the same document as --json, and says the figures that matter."""

from __future__ import annotations

from typing import Any

import pytest

from nextbest.cli.stories import STORIES

FILE = {
    "file": "orders.csv",
    "recognised_as": {"system": "file", "table": "order", "confidence": 0.8},
    "rows_read": 10,
    "rows_accepted": 8,
    "rows_rejected": 2,
    "rejected_file": "rejects/orders.csv",
    "by_kind": {"order": 8},
    "mapping": ["order: one row per line"],
}
EFFECT: dict[str, Any] = {
    "outcome": "order", "status": "ok", "estimate": 0.1, "low": 0.05, "high": 0.15, "level": 0.95,
    "baseline": "holdout", "design": "randomised", "n": 100, "why": "",
}  # fmt: skip


def told(story: str, **said: Any) -> str:
    """Give a story as one text."""
    return "\n".join(STORIES[story](said))


def test_a_load_tells_that_nothing_is_lost_and_where_the_rejects_are() -> None:
    """Read = accepted + rejected is said, a proposed mapping is shown, and the file of rejects is named."""
    text = told("load", files=[FILE], subjects=1, duplicates_joined=0)
    assert "10 rows read = 8 accepted + 2 rejected" in text
    assert "1 subject known" in text
    assert "order: one row per line" in text
    assert "rejects/orders.csv" in text


def test_a_check_tells_what_to_do() -> None:
    """Every problem comes with its remedy; none is said to be none."""
    problem = {"code": "missing_email", "column": "email", "rows": 3, "what_to_do": "Ask for it."}
    assert "Ask for it." in told("check", tables=[{"kind": "subjects", "problems": [problem]}])
    assert told("check", tables=[{"kind": "subjects", "problems": []}]) == "No problems found."
    assert "nextbest load" in told("check", tables=[])


def test_too_little_data_is_told_with_the_reason() -> None:
    """A fit and a measure without enough data tell why, and no figure."""
    assert told("fit", recipe="churn", status="not_enough_data", why="Load more.").endswith("Load more.")
    assert told("measure", **{**EFFECT, "status": "cannot_tell", "why": "Nobody is held out."}).endswith("held out.")


@pytest.mark.parametrize(("low", "verdict"), [(-0.05, "the interval holds 0"), (0.05, "the interval does not hold 0")])
def test_an_effect_is_told_with_its_interval(low: float, verdict: str) -> None:
    """The estimate, both bounds and whether they hold nought are said."""
    text = told("measure", **{**EFFECT, "low": low})
    assert "+0.1 per subject" in text
    assert verdict in text


def test_a_decided_play_without_anyone_says_where_plays_are_set() -> None:
    """An empty audience is told, with the place to change it."""
    text = told("decide", decided=0, by_action={}, by_arm={}, removed_by={}, expected_value=0.0)
    assert "nextbest.toml" in text
