"""The engine: slates, items of a request, arms, modes and groups; the fast path against the obvious one."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from tests.policies.conftest import NOW, subjects

from nextbest.errors import UnknownNameError, UsageError
from nextbest.ledger import chain, consent, contacts, decisions, identities, published, switches
from nextbest.ledger.erasure import erase
from nextbest.ledger.times import to_micros
from nextbest.policies.draw import fingerprints, seed_of, uniforms
from nextbest.policies.live.ask import Ask, Offer, Offers, compact
from nextbest.policies.live.chance import fingerprint, seed, two, uniform
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.menu import described, menu
from nextbest.types import NO_ACTION, Action

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.clocks import Clock

    from nextbest.ledger import Ledger
    from nextbest.types import Decision

ITEMS = '[{ id = "*", class = "content" }]'
# A busy machine must not be taken for a slow ranker: deadlines have tests of their own.
HOME = 'value = "1"\nplaces = 3\nholdout = 0.0\ndeadline_ms = 5000\nlearner = { name = "linear" }\n'


class State:
    """A learnt state that likes items by their feature `good`."""

    version = "state-1"

    def response(self, row: Mapping[str, Any], offers: Offers) -> tuple[np.ndarray, np.ndarray]:
        """Give the feature as the mean; nothing has none."""
        good = offers.values[:, offers.names.index("good")] if "good" in offers.names else np.zeros(len(offers.ids))
        return np.nan_to_num(good), np.full(len(good), 0.01)


@pytest.fixture
def home(workspace: Callable[..., Ledger]) -> Callable[..., tuple[Engine, Ledger]]:
    """Give a maker of engines over a play whose items a request brings."""

    def make(play: str = 'policy = { name = "greedy", explore = 0.3 }', actions: str = ITEMS) -> tuple[Engine, Ledger]:
        ledger = workspace(HOME + play, actions=actions)
        return Engine(ledger, states=lambda _play: State()), ledger

    return make


def ask(subject: str = "s1", **settings: Any) -> Ask:
    """Give a request with four items, the first the best."""
    offers = tuple(Offer(action_id=f"i{n}", features={"good": 0.4 - n / 10}) for n in range(4))
    return Ask(**{"play": "win_back", "subject_id": subject, "candidates": offers} | settings)


def test_one_number_equals_the_number_of_many() -> None:
    """Seeds and uniforms in plain integers are those of the vectorised Philox, which is checked against numpy's."""
    for i in range(200):
        parts = ("action", f"play {i}", "v", "2026-03-02", "salt")
        assert seed(parts, [f"r{i}"]) == seed_of(*parts, f"r{i}")
        assert uniform(seed(parts), fingerprint(f"s{i}")) == uniforms(seed_of(*parts), fingerprints([f"s{i}"]))[0]
        pair = seed(parts), seed(parts, ["more"])
        assert two(*pair, fingerprint(f"s{i}")) == tuple(uniform(one, fingerprint(f"s{i}")) for one in pair)
    highest = (1 << 64) - 1
    assert two(highest, 0, (highest, highest)) == (uniform(highest, (highest,) * 2), uniform(0, (highest,) * 2))


def test_features_become_columns() -> None:
    """A number is a column, a text is a column for each of its values, and what is missing is NaN."""
    got = compact((
        Offer(action_id="a", features={"price": 2, "colour": "red"}), Offer(action_id="b", features={"new": True}),
    ))  # fmt: skip
    assert got.names == ("price", "colour=red", "new")
    assert np.array_equal(got.values, [[2.0, 1.0, np.nan], [np.nan, 0.0, 1.0]], equal_nan=True)
    with pytest.raises(UsageError, match="float64 values of shape"):
        Offers(ids=("a",), names=("x",), values=np.zeros((2, 1)))


def test_items_take_their_limits_from_the_star(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """Items are ranked by the learner, logged with their features, and `none` stands beside them."""
    engine, ledger = home('policy = { name = "greedy", explore = 0.0 }')
    (made,) = engine.decide(ask())
    assert made.action_id == "i0"
    assert [c.action_id for c in made.candidates] == ["i0", "i1", "i2", "i3", NO_ACTION]
    assert made.action_features["i1"] == {"good": pytest.approx(0.3)}
    assert made.model_versions["learner"] == "state-1"
    assert decisions.get(ledger, made.decision_id) == made
    assert chain.verify(ledger).ok


def test_what_a_play_does_not_have_is_refused(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """An unknown action, an id that comes twice, too many places and an unknown play are the caller's fault."""
    engine, _ = home(actions='[{ id = "banner", class = "content" }]')
    with pytest.raises(UnknownNameError, match="banner"):
        engine.decide(ask(candidates=(Offer(action_id="baner"),)))
    with pytest.raises(UsageError, match="name an action twice"):
        engine.decide(ask(candidates=(Offer(action_id="banner"), Offer(action_id="banner"))))
    with pytest.raises(UsageError, match="has 3 places; got a count of 4"):
        engine.decide(ask(candidates=None, count=4))
    with pytest.raises(UnknownNameError, match="win_back"):
        engine.decide(ask(play="win_bak"))


def test_a_slate_is_one_row_per_place(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """Places share a request, later ones have the earlier choices removed, and each row's probabilities sum to 1."""
    engine, ledger = home('policy = { name = "greedy", explore = 0.2 }')
    for i in range(20):
        made = engine.decide(ask(f"s{i}", count=3, request_id=f"r{i}"))
        chosen = [d.action_id for d in made]
        assert len(set(chosen)) == len(chosen)
        assert [d.position for d in made] == list(range(1, len(made) + 1))
        assert len(made) == 3 or chosen[-1] == NO_ACTION
        for n, one in enumerate(made):
            assert decisions.get(ledger, one.decision_id) == one
            assert one.request_id == f"r{i}"
            above = {c.action_id for c in one.candidates if c.removed_by == "chosen_above"}
            assert above == set(chosen[:n])
            assert sum(c.choice_probability for c in one.candidates) == pytest.approx(1.0)
            assert all(c.choice_probability == 0 for c in one.candidates if c.removed_by)


def test_slates_come_as_often_as_is_logged(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """The product of the logged probabilities is how often a slate is drawn, whatever the arms: within 4 errors."""
    engine, ledger = home('policy = { name = "greedy", explore = 0.5 }\nrandom = 0.3\nbusiness_as_usual = 0.1')
    seen: Counter[tuple[str, ...]] = Counter()
    chance: dict[tuple[str, ...], float] = {}
    n = 6_000
    with ledger.journal.read() as connection:
        proposals = [
            engine.propose(ask(f"s{i}", count=2, request_id=f"r{i}", mode="replay", chosen="i3")) for i in range(n)
        ]
        for slate in engine.settle(connection, proposals):
            key = tuple(c.action_id for c in slate)
            seen[key] += 1
            chance[key] = float(np.prod([c.choice_probability for c in slate]))
    assert sum(chance.values()) == pytest.approx(1.0)
    for key, p in chance.items():
        assert abs(seen[key] / n - p) <= 4 * np.sqrt(p * (1 - p) / n), key


def test_business_as_usual_takes_what_the_caller_does(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """In the arm of business as usual the caller's own choice stands, else the habit, else nothing."""
    engine, _ = home("business_as_usual = 0.999")
    (made,) = engine.decide(ask(chosen="i2"))
    assert (made.arm, made.action_id) == ("business_as_usual", "i2")
    assert made.reason == "i2: business as usual, so that the effect of this play can be measured."
    assert made.context == {"chosen": "i2"}
    (made,) = engine.decide(ask())
    assert (made.arm, made.action_id) == ("business_as_usual", NO_ACTION)


def test_shadow_decides_and_reaches_nobody(workspace: Callable[..., Ledger]) -> None:
    """A play in shadow logs what it would do, uses up no cap, and goes on saying what it would do."""
    ledger = workspace('mode = "shadow"\nholdout = 0.0\ncaps = [{ count = 1, days = 7 }]\npolicy = { name = "rules" }')
    published.publish(ledger, "churn", "m1", NOW, subjects())
    engine = Engine(ledger)
    for _ in range(2):
        (made,) = engine.decide(Ask(play="win_back", subject_id="s0000001", chosen="call"))
        assert (made.mode, made.action_id) == ("shadow", "mail")
        assert decisions.get(ledger, made.decision_id).mode == "shadow"
    with ledger.journal.read() as connection:
        assert connection.execute("SELECT count(*) FROM contact").fetchone() == (0,)


def test_a_group_counts_what_it_does_itself(workspace: Callable[..., Ledger]) -> None:
    """Caps and places of the day hold within one transaction, for merged ids too, and it is one link of the chain."""
    ledger = workspace(
        'holdout = 0.0\ncaps = [{ count = 1, days = 7 }]\npolicy = { name = "rules" }\nmax_actions = 3', head=""
    )
    published.publish(ledger, "churn", "m1", NOW, subjects())
    identities.merge(ledger, "twin", "s0000001", why="same e-mail")
    links = chain.verify(ledger).links
    asks = [Ask(play="win_back", subject_id=s) for s in ("s0000001", "twin", *(f"s{i:07d}" for i in range(2, 9)))]
    slates = Engine(ledger).submit(asks).result()
    reached = [slate[0].subject_id for slate in slates if slate[0].action_id in {"mail", "call", "coupon"}]
    assert len(reached) == len(set(reached))
    assert sum(slate[0].action_id != NO_ACTION for slate in slates) == 3
    found = chain.verify(ledger)
    assert found.ok
    assert found.links == links + 1


def test_gpc_and_stops_bind_items_and_actions(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """`Sec-GPC` removes what needs a permission; a stop of one item removes that item."""
    engine, ledger = home(
        'policy = { name = "rules" }', actions='[{ id = "*", class = "content" }, { id = "mail", channel = "email" }]'
    )
    switches.stop(ledger, why="wrong price", action="i0")
    (made,) = engine.decide(ask(gpc=True, candidates=(*compactable(), Offer(action_id="mail"))))
    rules = {c.action_id: c.removed_by for c in made.candidates}
    assert rules == {"i0": "kill_switch", "i1": None, "mail": "consent:gpc", NO_ACTION: None}


def compactable() -> tuple[Offer, ...]:
    """Give two items."""
    return (Offer(action_id="i0", features={"good": 0.4}), Offer(action_id="i1", features={"good": 0.3}))


def test_a_request_id_draws_anew(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """Without a request id a subject gets the same all day; with one, chance is drawn for each request."""
    engine, _ = home('policy = { name = "greedy", explore = 1.0 }')
    assert len({engine.decide(ask(mode="replay"))[0].action_id for _ in range(20)}) == 1
    assert len({engine.decide(ask(mode="replay", request_id=f"r{i}"))[0].action_id for i in range(40)}) > 2


def test_weights_and_levers_scale_what_an_action_adds(workspace: Callable[..., Ledger]) -> None:
    """One subject and a list agree on weight x lever; a weight that cannot be known counts as 1."""
    from nextbest.policies.decide import decide_bulk

    actions = """[
      { id = "mail", channel = "email", weight = "orders_365d", lever = 0.5 }, { id = "call", channel = "phone" },
      { id = "task", class = "internal", weight = "unheard_of" },
    ]"""
    ledger = workspace('holdout = 0.0\npolicy = { name = "greedy", explore = 0.0 }', actions=actions)
    table = subjects(40).append_column("unheard_of", [[None] * 40])
    published.publish(ledger, "churn", "m1", NOW, subjects(40))
    rows = decide_bulk(ledger, ledger.config.plays["win_back"], table, as_of=NOW, mode="replay").table.to_pylist()
    engine = Engine(ledger)
    for row in rows:
        (one,) = engine.decide(Ask(play="win_back", subject_id=row["subject_id"], mode="replay"))
        assert (one.action_id, one.reason) == (row["action_id"], row["reason"])
        worth = {c["action_id"]: c["expected_value"] for c in row["candidates"]}
        assert {c.action_id: c.expected_value for c in one.candidates} == pytest.approx(worth)
        base = {c.action_id: c.response_probability for c in one.candidates}
        value = worth[NO_ACTION] / base[NO_ACTION]
        gain = (base["task"] - base[NO_ACTION]) * value
        assert worth["task"] == pytest.approx(worth[NO_ACTION] + gain)
        factor = 0.5 * one.features["orders_365d"]
        assert worth["mail"] == pytest.approx(worth[NO_ACTION] + (base["mail"] - base[NO_ACTION]) * value * factor)


def test_an_erased_person_leaves_no_decision(home: Callable[..., tuple[Engine, Ledger]]) -> None:
    """Rows of a group go with their salts, the others stay, and the chain still verifies."""
    engine, ledger = home()
    slates = engine.submit([ask(f"person-{i}") for i in range(4)]).result()
    erase(ledger, "person-2")
    kept: list[Decision] = []
    for i, slate in enumerate(slates):
        if i == 2:
            with pytest.raises(UnknownNameError, match="There is no decision"):
                decisions.get(ledger, slate[0].decision_id)
        else:
            kept.append(decisions.get(ledger, slate[0].decision_id))
    assert [d.subject_id for d in kept] == ["person-0", "person-1", "person-3"]
    assert chain.verify(ledger).problems == ()
    assert b"person-2" not in ledger.journal.file.read_bytes()


def test_permissions_of_one_equal_those_of_many(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """Whatever was said by or about a subject, it is answered alone and foreseen as the gate for everybody answers."""
    from nextbest.ledger.permits import Permits

    ledger = workspace("holdout = 0.0", regime="opt_in")
    draw = np.random.default_rng(5)
    people = [f"p{i}" for i in range(12)]
    with ledger.journal.read() as connection:
        assert Permits(connection, ledger.config, ledger.secret).removed(
            ["p1"], purpose="marketing", channels=["x"]
        ) == ["consent:unknown"]
    for i in range(80):
        consent.record(
            ledger,
            str(draw.choice(people)),
            purpose=str(draw.choice(["marketing", "*", "service"])),
            channel=str(draw.choice(["email", "phone", "*"])),
            allow=bool(draw.random() < 0.6),
            proof="form",
        )
        if i == 30:
            identities.merge(ledger, "p0", "p1", why="same")
            identities.merge(ledger, "p1", "p2", why="same")
        if i == 50:
            identities.link(ledger, "p5", identity_type="email", identity="a@b.de")
            consent.suppress(ledger, "a@b.de", reason="complaint")
        if i == 60:
            erase(ledger, "p7")
        with ledger.journal.read() as connection:
            permits = Permits(connection, ledger.config, ledger.secret)
            gate = consent.gate(connection, ledger.config, purpose="marketing", channels=["email", "phone"])
            one = [permits.removed(permits.ids(p), purpose="marketing", channels=["email", "phone"]) for p in people]
            many = list(zip(gate.removed(people, "email"), gate.removed(people, "phone"), strict=True))
            permits = Permits(connection, ledger.config, ledger.secret)
            permits.foresee(people)
            seen = [permits.removed(permits.ids(p), purpose="marketing", channels=["email", "phone"]) for p in people]
            assert one == seen == [list(pair) for pair in many]


def test_a_text_of_the_request_replaces_the_declared_one() -> None:
    """An action that is declared red and asked as blue is blue; the one of which nothing is said stays as declared."""
    red = {"colour": "red", "price": 2.0}
    declared = (Action(id="a", features=red), Action(id="b", features=red), Action(id=NO_ACTION))
    brought = compact((Offer(action_id="a", features={"colour": "blue"}), Offer(action_id="b", features={"price": 3})))
    names, values = described(declared, menu(declared, ()), brought)
    table = {name: column.tolist() for name, column in zip(names, values.T[:, :2], strict=True)}
    assert table == {"colour=blue": [1.0, 0.0], "price": [2.0, 3.0], "colour=red": [0.0, 1.0]}


def test_contacts_are_counted_together_as_alone(workspace: Callable[..., Ledger], clock: Clock) -> None:
    """For merged and other subjects, any channel and moment, counting for many gives what looking at each row gives."""
    ledger = workspace("holdout = 0.0")
    draw, now = np.random.default_rng(6), to_micros(clock())
    people = [f"p{i}" for i in range(6)]
    rows = [
        (
            str(draw.choice(people)),
            now - int(draw.integers(0, 100)),
            f"d{i}",
            str(draw.choice(["email", "sms"])),
            "p",
            "a",
        )
        for i in range(200)
    ]
    ledger.journal.write(lambda connection: contacts.add(connection, rows))
    identities.merge(ledger, "p0", "p1", why="same")
    with ledger.journal.read() as connection:
        clusters = [("p1", "p0"), *((p,) for p in people[2:])]
        asked = [contacts.Asked(ids, now - s, c) for ids in clusters for s in (0, 50, 100) for c in ("", "email", "x")]
        wanted = [
            sum(who in a.ids and ts >= a.since and a.channel in ("", used) for who, ts, _, used, _, _ in rows)
            for a in asked
        ]
        assert contacts.count_many(connection, asked) == wanted
        assert max(wanted) > 7
        few = contacts.count_many(connection, [one._replace(most=7) for one in asked])
        assert few == [min(found, 7) for found in wanted]
