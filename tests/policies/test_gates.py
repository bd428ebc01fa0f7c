from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from nextbest.ledger import consent, identities
from nextbest.policies.gates import _many, cap_rule, reaches
from nextbest.types import NONE, Action, Cap

if TYPE_CHECKING:
    from collections.abc import Callable

    from nextbest.ledger import Ledger


@pytest.mark.parametrize("regime", ["opt_in", "opt_out"])
@pytest.mark.parametrize("suppress", [False, True])
def test_many_are_answered_as_one_by_one(workspace: Callable[..., Ledger], regime: str, suppress: bool) -> None:  # noqa: FBT001
    """The short way for those of whom nothing is on record gives what the gate and the single question give."""
    ledger = workspace(regime=regime)
    consent.record(ledger, "s1", allow=True, proof="x")
    consent.record(ledger, "s2", channel="email", allow=False, proof="x")
    consent.record(ledger, "s3", channel="phone", allow=False, proof="x")
    identities.merge(ledger, "s4", "s2", why="same person")
    if suppress:
        consent.suppress(ledger, "s5", reason="complaint")
    ids = [f"s{i}" for i in range(9)]
    with ledger.journal.read() as connection:
        for channel in ("email", "phone"):
            gate = consent.gate(connection, ledger.config, purpose="marketing", channels=[channel])
            got = _many(gate, pa.chunked_array([ids]), channel)
            assert got == gate.removed(ids, channel)
            settings = {"purpose": "marketing", "channel": channel}
            assert got == [consent.removed(connection, ledger.config, ledger.secret, s, **settings) for s in ids]


def test_what_reaches_a_person() -> None:
    """Outbound actions do, money over a channel does, a price on the page, a task and nothing do not."""
    assert reaches(Action(id="mail"))
    assert reaches(Action(id="coupon", action_class="money", channel="email"))
    assert not reaches(Action(id="price", action_class="money"))
    assert not reaches(Action(id="task", action_class="internal", channel="crm"))
    assert not reaches(NONE)


def test_caps_have_names_of_their_own() -> None:
    """A cap is told by its numbers and its channel."""
    assert cap_rule(Cap(count=1, days=7)) == "cap:1 in 7 days"
    assert cap_rule(Cap(count=3, days=1, channel="email")) == "cap:3 in 1 day by email"
