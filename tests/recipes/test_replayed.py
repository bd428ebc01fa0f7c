"""What another policy would have earned on a play's own log."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from nextbest import operations, verbs
from nextbest.errors import UsageError
from nextbest.ledger import decisions, lists, replayed, statistics
from nextbest.policies.learners.loop import Learning
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine
from nextbest.policies.target import Seen, alternative
from nextbest.recipes.replayed import replay_play
from nextbest.recipes.replayed_rows import reader, within
from nextbest.types import NONE, Action, Outcome, Play

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = timedelta(days=40)
IDS = ("mail", "call", "none")
PLAY = """
[plays.hello]
goal_days = 7
holdout = 0.1
random = 0.3
policy = { name = "greedy", explore = 0.2 }
actions = [{ id = "mail", class = "outbound", cost = 1.0 }, { id = "call", class = "outbound", cost = 4.0 }]
"""
N = 3000
COSTS = (1.0, 4.0, 0.0)


class Shop:
    """A workspace whose log was drawn from known chances, and whose outcomes follow a known law."""

    def __init__(
        self, path: Path, *, degraded: float = 0.0, wait: timedelta = LATER, context: str = "{}", valued: bool = True
    ) -> None:
        self.context, self.valued = context, valued
        people, drawn, responses = (np.random.default_rng(s) for s in np.random.SeedSequence(5).spawn(3))
        self.now = NOW
        self.ledger = operations.create(path, config_text=PLAY, clock=lambda: self.now)
        young = people.random(N) < 0.5
        worth = np.column_stack([np.where(young, 10.0, 6.0), np.where(young, 6.0, 12.0), np.full(N, 5.0)])
        worth -= COSTS
        best = np.eye(3)[worth.argmax(axis=1)]
        policy = 0.8 * best + 0.2 / 3
        logged = 0.6 * policy + 0.3 / 3
        logged[:, 2] += 0.1
        self.logged = logged
        arm = drawn.choice(["policy", "random", "holdout"], N, p=[0.6, 0.3, 0.1])
        given = np.where((arm == "policy")[:, None], policy, np.where((arm == "random")[:, None], 1 / 3, np.eye(3)[2]))
        action = (drawn.random(N)[:, None] >= given.cumsum(axis=1)).sum(axis=1).clip(max=2)
        self.chance = np.column_stack([np.where(young, 0.5, 0.2), np.where(young, 0.3, 0.4), np.full(N, 0.1)])
        self.answered = responses.random(N) < self.chance[np.arange(N), action]
        rows = self._rows(worth, action, arm, young)
        rows["degraded"] = [i < degraded * N for i in range(N)]
        lists.log_table(self.ledger, "hello", pa.table(rows).cast(decisions.DECISION_SCHEMA), consent_version=0)
        self.now = NOW + LATER
        verbs.record(self.ledger, list(self._outcomes()))
        self.now = NOW + wait

    def value(self, policy: np.ndarray) -> float:
        """Give what a policy earns per decision in truth."""
        return float((policy * self.chance).sum(axis=1).mean())

    def _rows(self, worth: np.ndarray, action: np.ndarray, arm: np.ndarray, young: np.ndarray) -> dict[str, Any]:
        at = np.arange(N)
        candidates = [
            [
                {"action_id": a, "removed_by": None, "response_probability": float(worth[i, j] / 20),
                 "expected_value": float(worth[i, j]) if self.valued else None, "cost": COSTS[j],
                 "choice_probability": float(self.logged[i, j])}
                for j, a in enumerate(IDS)
            ]
            for i in at
        ]  # fmt: skip
        empty = dict.fromkeys(decisions.DECISION_SCHEMA.names)
        shared = {
            "play": "hello", "mode": "live", "context": self.context, "seed": 0, "consent_version": 0, "latency_us": 0,
            "policy_version": "v1", "model_versions": "{}", "reason": "", "request_id": "r", "position": 1,
        }  # fmt: skip
        rows = {name: [shared.get(name)] * N for name in empty}
        rows |= {
            "decision_id": [f"d{i}" for i in at],
            "subject_id": [f"s{i}" for i in at],
            "ts": [NOW] * N,
            "arm": arm.tolist(),
            "action_id": [IDS[j] for j in action],
            "choice_probability": self.logged[at, action].tolist(),
            "candidates": candidates,
            "features": [json.dumps({"young": float(y), "town": "Bonn" if y else "Ulm"}) for y in young],
        }
        self.worth = worth
        return rows

    def _outcomes(self) -> Iterator[Outcome]:
        for i in np.flatnonzero(self.answered).tolist():
            yield Outcome(outcome_id=f"o{i}", subject_id=f"s{i}", ts=NOW + timedelta(days=1), name="bought")
        yield Outcome(outcome_id="last", subject_id="stranger", ts=NOW + timedelta(days=30), name="bought")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """Give one shop for the tests that only read."""
    made = Shop(tmp_path_factory.mktemp("shop") / "w")
    yield made
    made.ledger.close()


def ask(shop: Shop, **changes: Any) -> Any:
    """Measure a change by replay."""
    return verbs.measure(shop.ledger, "hello", outcome="bought", method="replay", **changes)


def test_a_greedy_policy_without_arms_earns_what_it_would_in_truth(shop: Shop) -> None:
    """The interval of greedy without exploration or arms holds the known difference to what was logged."""
    effect = ask(shop, policy="greedy", settings={"explore": "0"}, as_if=("holdout=0", "random=0"))
    truth = shop.value(np.eye(3)[shop.worth.argmax(axis=1)])
    assert effect.status == "ok", effect.why
    assert effect.low < truth - shop.value(shop.logged) < effect.high
    assert effect.details["value"]["low"] < truth < effect.details["value"]["high"]
    assert effect.high - effect.low < 0.1
    assert (effect.design, effect.baseline, effect.n) == ("off_policy", "the logged policy", N)


def test_the_policy_that_was_logged_changes_nothing(shop: Shop) -> None:
    """The play as it is has the logged chances, so every weight is 1 and inverse propensity gives the mean itself."""
    effect = ask(shop)
    assert effect.details["max_weight"] == pytest.approx(1.0)
    ips = effect.details["estimators"]["ips"]["estimate"]
    assert ips == pytest.approx(float(shop.answered.mean()))
    assert effect.estimate == pytest.approx(0.0, abs=0.02)


def test_a_rule_takes_candidates_away(shop: Shop) -> None:
    """Mail for the young only: the chances are those of the play with that eligibility, on the features as served."""
    effect = ask(shop, as_if=("eligibility.mail=young > 0.5", "without=call", "random=0", "holdout=0"))
    young = shop.chance[:, 0] > 0.4
    policy = np.where(young[:, None], [0.9, 0.0, 0.1], [0.0, 0.0, 1.0])
    assert effect.details["value"]["low"] < shop.value(policy) < effect.details["value"]["high"]
    assert effect.details["cost_per_decision"]["other"] == pytest.approx(0.9 * young.mean())


def test_a_lever_and_a_cost_change_what_is_best(shop: Shop) -> None:
    """With a lever of 0 on both actions nothing is worth more than nothing, and none is done for everyone."""
    effect = ask(shop, settings={"explore": "0"}, as_if=("lever.mail=0", "lever.call=0", "random=0", "holdout=0"))
    assert effect.details["cost_per_decision"]["other"] == 0
    dearer = ask(shop, settings={"explore": "0"}, as_if=("cost.mail=100", "cost.call=100", "random=0", "holdout=0"))
    assert dearer.details["value"] == effect.details["value"]


def test_results_are_split_by_a_feature_as_served(shop: Shop) -> None:
    """Each town has its own effect, the larger first, and the numbers add up to all."""
    groups = ask(shop, settings={"explore": "0"}, by="town").details["groups"]
    assert set(groups) == {"Bonn", "Ulm"}
    assert sum(g["n"] for g in groups.values()) == N


def test_pending_is_not_no(tmp_path: Path) -> None:
    """Decisions whose window has not passed are not judged, and the answer says that they are pending."""
    shop = Shop(tmp_path / "w", wait=timedelta(days=2))
    effect = ask(shop)
    shop.ledger.close()
    assert effect.status == "cannot_tell"
    assert "pending is not no" in effect.why


@pytest.mark.parametrize(
    ("degraded", "status", "said"),
    [
        (0.1, "cannot_tell", "no chance on record"),
        (0.02, "ok", "60 of 3,000 due decisions fell back"),
    ],
)
def test_degraded_decisions_are_not_left_out_in_silence(
    tmp_path: Path, degraded: float, status: str, said: str
) -> None:
    """Without a usable chance for one in twenty nobody can tell; below that it is said how many are left out."""
    shop = Shop(tmp_path / "w", degraded=degraded)
    effect = ask(shop)
    shop.ledger.close()
    assert effect.status == status
    assert said in effect.why


def test_arms_of_the_wrong_size_are_refused(tmp_path: Path) -> None:
    """A play whose arms are not drawn in their shares has lost subjects, and is not judged."""
    shop = Shop(tmp_path / "w")
    uneven = PLAY.replace("random = 0.3", "random = 0.2")
    (tmp_path / "w" / "nextbest.toml").write_text(uneven, encoding="utf-8")
    shop.ledger.close()
    with operations.open(tmp_path / "w", clock=lambda: NOW + LATER) as ledger:
        effect = verbs.measure(ledger, "hello", outcome="bought", method="replay")
    assert effect.status == "cannot_tell"
    assert "sizes they were designed to have" in effect.why


def test_what_was_never_tried_is_not_told(shop: Shop) -> None:
    """A capped, unexplored log says nothing of a policy that does what it never did."""
    effect = ask(shop, policy="rules", settings={}, as_if=("random=0", "holdout=0"))
    assert effect.status == "ok"  # every action was tried
    assert effect.details["unsupported"] == 0


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"as_if": ("holdot=0",)}, "holdout"),
        ({"as_if": ("lever.mial=1",)}, "mail"),
        ({"as_if": ("cap=often",)}, "1 in 7 days"),
        ({"as_if": ("random=lots",)}, "takes a number"),
        ({"settings": {"explor": "0"}}, "explore"),
        ({"estimator": "magic"}, "estimator"),
    ],
)
def test_what_cannot_be_meant_is_refused(shop: Shop, change: dict[str, Any], match: str) -> None:
    """A misspelt change is refused with what was meant."""
    with pytest.raises(UsageError, match=match):
        ask(shop, **change)


def test_other_methods_take_no_alternative(shop: Shop) -> None:
    """A policy asked of the randomised comparison is refused, not ignored."""
    with pytest.raises(UsageError, match="--method replay"):
        verbs.measure(shop.ledger, "hello", outcome="bought", policy="greedy")


def test_contacts_within_a_window_equal_a_slow_count() -> None:
    """The number of a subject's contacts in the days before a decision is what a double loop counts."""
    random = np.random.default_rng(3)
    subject, when = random.integers(0, 9, 200), random.integers(0, 500, 200)
    contact = random.random(200) < 0.5
    slow = [
        sum(contact[j] for j in range(200) if subject[j] == subject[i] and when[i] - 60 <= when[j] < when[i])
        for i in range(200)
    ]
    assert within(subject, when, contact, 60.0).tolist() == slow


def test_a_cap_counts_logged_contacts(shop: Shop) -> None:
    """A cap of none at all leaves nothing but none."""
    effect = ask(shop, as_if=("cap=0 in 7 days", "random=0", "holdout=0"))
    assert effect.details["cost_per_decision"]["other"] == 0
    assert "of which there would have been fewer" in effect.why


def test_the_command_tells_a_sentence_and_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says what each decision would have earned more; with --json it prints the effect."""
    from nextbest.cli.app import run

    Shop(tmp_path / "w").ledger.close()
    words = ["measure", "hello", "--outcome", "bought", "--method", "replay", "--set", "explore=0"]
    words += ["--as-if", "holdout=0", "--workspace", str(tmp_path / "w"), "--by", "town"]
    assert run(words) == 0
    told = capsys.readouterr()
    assert "Had 'greedy explore=0 holdout=0' run, each decision would have earned" in told.out + told.err
    assert "Ulm: " in told.out + told.err
    assert run([*words, "--json"]) == 0
    effect = json.loads(capsys.readouterr().out)
    assert (effect["design"], effect["status"]) == ("off_policy", "ok")
    assert run([*words, "--set", "explore"]) == 2


def test_a_play_that_nobody_logged_is_unknown(shop: Shop) -> None:
    """A misspelt play is refused with the near word."""
    with pytest.raises(UsageError, match="hello"):
        verbs.measure(shop.ledger, "helo", outcome="bought", method="replay")


def test_estimated_chances_are_no_record(tmp_path: Path) -> None:
    """Decisions whose chances were estimated give an observational answer, and it says so."""
    shop = Shop(tmp_path / "w", context='{"estimated_probability": true}')
    effect = ask(shop)
    shop.ledger.close()
    assert effect.design == "observational"
    assert "estimated, not logged" in effect.why


def test_values_that_are_not_in_the_log_are_not_taken_for_nought(tmp_path: Path) -> None:
    """A policy that weighs expected values is not judged on a log without any; rules are."""
    shop = Shop(tmp_path / "w", valued=False)
    effect, rules = ask(shop), ask(shop, policy="rules", as_if=("random=0", "holdout=0"))
    shop.ledger.close()
    assert effect.status == "cannot_tell"
    assert "no expected value" in effect.why
    assert rules.status == "ok"


PAGES = """
[plays.home]
goal = "click"
goal_days = 0.01
places = 3
holdout = 0.02
random = 0.2
value = "1"
response = "0.1"
policy = { name = "greedy", explore = 0.6 }
actions = [
  { id = "b0", class = "content", assumed_log_odds = 0.0 }, { id = "b1", class = "content", assumed_log_odds = 0.2 },
  { id = "b2", class = "content", assumed_log_odds = 0.4 }, { id = "b3", class = "content", assumed_log_odds = 0.6 },
]
"""
CLICKS = np.array([0.05, 0.1, 0.2, 0.3])


@pytest.mark.slow
def test_pages_that_the_engine_decided_are_judged_as_pages(tmp_path: Path) -> None:
    """Of 1,200 live pages of three places the greedy page, b3 b2 b1, is told within its interval (truth 0.6)."""
    now, answers, clicked = [NOW], np.random.default_rng(41), []
    with operations.create(tmp_path / "w", config_text=PAGES, clock=lambda: now[0]) as ledger:
        engine = Engine(ledger, salt="pages")  # a workspace's own salt is drawn: the interval would miss one time in 20
        for i in range(1200):
            now[0] = NOW + timedelta(seconds=i)
            made = engine.decide(Ask(play="home", subject_id=f"v{i // 2}", count=3, request_id=f"r{i}"))
            shown = [d for d in made if d.action_id != "none"]
            liked = [d for d in shown if answers.random() < CLICKS[int(d.action_id[1:])]]
            clicked += [(d.decision_id, f"v{i // 2}", now[0] + timedelta(seconds=5)) for d in liked]
        clicked.append((None, "stranger", NOW + timedelta(days=1)))
        now[0] = NOW + timedelta(days=2)
        rows = enumerate(clicked)
        verbs.record(
            ledger,
            [Outcome(outcome_id=f"o{n}", subject_id=s, ts=t, name="click", decision_id=d) for n, (d, s, t) in rows],
        )
        effect = verbs.measure(ledger, "home", outcome="click", method="replay", settings={"explore": "0"})
    assert effect.status == "ok", effect.why
    assert (effect.n, effect.details["per"], effect.details["estimator"]) == (1200, "page", "cascade_dr")
    assert effect.details["value"]["low"] < 0.6 < effect.details["value"]["high"]
    assert effect.low > 0


def test_business_as_usual_is_what_the_caller_said_it_does() -> None:
    """In a replay the share of business as usual goes to the caller's own choice, else the habit, else to nothing."""
    play = Play(
        name="p", actions=(Action(id="a"), Action(id="b"), NONE), business_as_usual=0.5, holdout=0.0, habit="b",
        policy={"name": "greedy", "explore": 0.0},
    )  # fmt: skip
    other = alternative(play)
    assert "chosen" in other.conditions()
    seen = Seen(
        known=pa.table({"chosen": ["a", "gone", None]}), actions=play.actions, worth=np.array([[0.0, 0.0, 1.0]] * 3),
        cost=np.zeros((3, 3)), eligible=np.ones((3, 3), dtype=bool), recent=np.zeros(3), spread=np.zeros((3, 3)),
    )  # fmt: skip
    assert other.chances(seen).tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 1.0], [0.0, 0.5, 0.5]]
    assert other.chances(replace(seen, known=seen.known.select([]).append_column("x", [[1, 2, 3]]))).tolist()[0] == [
        0.0, 0.5, 0.5,
    ]  # fmt: skip


def test_a_replayed_policy_charges_its_prices_on_the_costs_that_would_be() -> None:
    """Pacing is replayed with its price: a call for 4 that earns 2 more than nothing is not worth a price of 1."""
    play = Play(
        name="p", actions=(Action(id="call", cost=4.0), NONE), holdout=0.0, random=0.0, budget=10.0,
        policy={"name": "pacing", "price": 1.0, "explore": 0.0},
    )  # fmt: skip
    seen = Seen(
        known=pa.table({"x": [1]}), actions=play.actions, worth=np.array([[2.0, 0.0]]), cost=np.array([[4.0, 0.0]]),
        eligible=np.ones((1, 2), dtype=bool), recent=np.zeros(1), spread=np.zeros((1, 2)),
    )  # fmt: skip
    assert alternative(play).chances(seen).tolist() == [[0.0, 1.0]]
    assert alternative(play, as_if=("cost.call=1",)).chances(seen).tolist() == [[1.0, 0.0]]
    assert alternative(play).remarks(unsure=0, unpriced=0, of=9) == ()
    assert "price of money is not on record for 2 of 9" in alternative(play).remarks(unsure=9, unpriced=2, of=9)[0]


def test_another_policy_pays_the_prices_at_which_was_decided() -> None:
    """A decision made when money cost 1, or a call 3, is replayed at that price; at no price the call is best."""
    play = Play(
        name="p", actions=(Action(id="call", cost=4.0), NONE), holdout=0.0, budget=10.0,
        policy={"name": "greedy", "explore": 0.0},
    )  # fmt: skip
    given = {
        "known": pa.table({"x": [1, 2, 3]}), "actions": play.actions, "worth": np.array([[2.0, 0.0]] * 3),
        "cost": np.array([[4.0, 0.0]] * 3), "eligible": np.ones((3, 2), dtype=bool), "recent": np.zeros(3),
        "spread": np.zeros((3, 2)),
    }  # fmt: skip
    money, calls = np.array([[0.0], [1.0], [0.0]]), np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 0.0]])
    seen = Seen(**given, price=(money, calls))
    assert alternative(play).chances(seen)[:, 0].tolist() == [1.0, 0.0, 0.0]
    assert alternative(play, as_if=("cost.call=1",)).chances(seen)[:, 0].tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("policy", ["thompson", "top_two", "linucb", "squarecb"])
def test_the_policy_that_decided_is_replayed_with_the_chances_that_it_had(tmp_path: Path, policy: str) -> None:
    """A learner's spread, and the budget's price, are on record: the play's own policy gets the logged chances."""
    toml = f"""
[consent]
regime = "opt_out"
[plays.home]
value = "1"
holdout = 0.1
budget = 5.0
goal = "click"
goal_days = 0.01
policy = {{ name = "{policy}" }}
learner = {{ name = "linear" }}
actions = [
  {{ id = "a", class = "content", cost = 0.01 }}, {{ id = "b", class = "content" }}, {{ id = "c", class = "content" }}
]
"""
    now = [NOW]
    with operations.create(tmp_path / "w", config_text=toml, clock=lambda: now[0]) as ledger:
        learnt = Learning(ledger)
        engine = Engine(ledger, states=learnt.state)
        for i in range(60):
            now[0] += timedelta(seconds=20)
            device = {"device": "phone" if i % 2 else "desktop"}
            (made,) = engine.decide(Ask(play="home", subject_id=f"s{i}", request_id=f"r{i}", context=device))
            if i % 3 == 0:
                told = Outcome(
                    outcome_id=f"o{i}", subject_id=f"s{i}", ts=now[0], name="click", decision_id=made.decision_id
                )
                verbs.record(ledger, [told])
            learnt.tick()
        assert max(c.spread for c in made.candidates) > 0
        assert made == decisions.get(ledger, made.decision_id)
        assert made.context["prices"]["per_action"] == {}
        now[0] += timedelta(days=2)
        verbs.record(ledger, [Outcome(outcome_id="last", subject_id="other", ts=now[0], name="click")])
        goal = statistics.happened(ledger, "click", days=0.01)
        log = replayed.logged(ledger, "home", goal, as_of=now[0])
        assert log.rows.num_rows == 60
        assert log.rows["price"].null_count == 0
        read = reader(log.rows, alternative(ledger.config.plays["home"]))
        (batch,) = read.batches()
        assert batch.logged is not None
        np.testing.assert_allclose(read.target(batch), batch.logged, atol=1e-9)
        said = replay_play(ledger, ledger.config.plays["home"], outcome="click").why
        assert "not on record" not in said


@pytest.mark.parametrize(
    ("policy", "asked", "remarked"),
    [
        ("squarecb", {}, True),
        ("squarecb", {"gamma": "9"}, False),
        ("uplift_cut", {}, False),
        ("uplift_cut", {"caution": "1"}, True),
        ("greedy", {}, False),
    ],
)
def test_policies_that_would_know_how_sure_they_are_say_so(
    policy: str, asked: dict[str, str], *, remarked: bool
) -> None:
    """A policy whose chances rest on the learner's spread says for how many decisions the log does not hold it."""
    other = alternative(Play(name="p", actions=(NONE,)), policy=policy, settings=asked)
    assert any("How sure" in text for text in other.remarks(unsure=3, unpriced=0, of=4)) == remarked
    assert other.remarks(unsure=0, unpriced=0, of=4) == ()
