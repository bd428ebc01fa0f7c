"""Logs of other engines: every line accounted for, words mapped and never guessed, estimated chances marked."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextbest import verbs
from nextbest.channels.logs.estimate import estimate
from nextbest.channels.logs.seen import Seen
from nextbest.channels.outgoing import outgoing
from nextbest.errors import DataError, UsageError
from nextbest.ledger import analysis, catalogue, chain, create, decisions, identities
from nextbest.trust.today import today

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.channels.reading import LoadedFile
    from nextbest.ledger import Ledger

NOW = datetime(2026, 2, 1, tzinfo=UTC)
# file: system, table, rows read, rejected, decisions, outcomes: counted by hand
EXPECTED = {
    "pega_interaction_history.csv": ("pega", "interaction_history", 6, 2, 3, 4),
    "pega_decision_extract.csv": ("pega", "decision_extract", 4, 1, 2, 0),
    "eppo.csv": ("eppo", "bandit_assignments", 4, 1, 3, 0),
    "growthbook.csv": ("growthbook", "contextual_bandit", 3, 1, 2, 0),
    "open_bandit.csv": ("open_bandit", "impressions", 4, 1, 3, 3),
    "braze_activations.csv": ("braze", "activations", 5, 1, 4, 0),
    "braze_conversions.csv": ("braze", "conversions", 3, 1, 0, 2),
    "hightouch_messages.csv": ("hightouch", "message_interactions", 2, 0, 2, 0),
    "hightouch_outcomes.csv": ("hightouch", "outcome_events", 1, 0, 0, 1),
    "metarank.jsonl": ("metarank", "events", 5, 1, 5, 1),
    "gorse_feedback.jsonl": ("gorse", "feedback", 4, 0, 2, 2),
    "personalize.csv": ("personalize", "interactions", 3, 1, 3, 2),
    "personalize_actions.csv": ("personalize", "action_interactions", 3, 0, 2, 1),
}


@pytest.fixture
def logs(repository: Path) -> Path:
    """Give the folder of logs made by hand, with the headers of their makers."""
    return repository / "tests" / "fixtures" / "logs"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace."""
    made = create(tmp_path / "w", clock=lambda: NOW)
    yield made
    made.close()


def load(ledger: Ledger, path: Path, **more: Any) -> LoadedFile:
    """Load one log."""
    return verbs.load(ledger, path, kind="decisions", **more).files[0]


def rows(ledger: Ledger) -> list[dict[str, Any]]:
    """Give the decision log, oldest first, positions in order."""
    found = analysis.table(ledger, "decisions").to_pylist()
    for row in found:
        row["context"] = json.loads(row["context"])
    return sorted(found, key=lambda r: (r["ts"], r["subject_id"], r["request_id"], _above(r), r["action_id"]))


def _above(row: dict[str, Any]) -> int:
    return sum(c["removed_by"] == "chosen_above" for c in row["candidates"])


def chances(row: dict[str, Any]) -> dict[str, float]:
    """Give the chance of every candidate that could be chosen."""
    return {c["action_id"]: c["choice_probability"] for c in row["candidates"] if c["removed_by"] is None}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_known_log_is_recognised_and_every_line_counted(ledger: Ledger, logs: Path, name: str) -> None:
    """A log is known by its headers, and accepted and rejected rows add up to those read."""
    system, table, read, rejected, decided, came = EXPECTED[name]
    found = load(ledger, logs / name)
    assert (found.recognised_as["system"], found.recognised_as["table"]) == (system, table)
    assert (found.rows_read, found.rows_rejected) == (read, rejected)
    assert found.rows_accepted + found.rows_rejected == found.rows_read
    assert (found.by_kind.get("decisions", 0), found.by_kind.get("outcomes", 0)) == (decided, came)
    assert len(rows(ledger)) == decided
    assert analysis.table(ledger, "outcomes").num_rows == came


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_same_log_twice_changes_nothing(ledger: Ledger, logs: Path, name: str) -> None:
    """A log that was loaded before adds no decision, no outcome and no segment."""
    load(ledger, logs / name)
    before = rows(ledger), analysis.table(ledger, "outcomes").num_rows, len(catalogue.listing(ledger))
    again = load(ledger, logs / name)
    assert again.already_loaded
    assert again.rows_read == EXPECTED[name][2]
    assert (rows(ledger), analysis.table(ledger, "outcomes").num_rows, len(catalogue.listing(ledger))) == before


@pytest.mark.parametrize("name", sorted(n for n, e in EXPECTED.items() if e[4]))
def test_a_log_is_one_chained_segment_of_sound_rows(ledger: Ledger, logs: Path, name: str) -> None:
    """The decisions of a log are one segment of its system, chained, with chances that sum to 1."""
    load(ledger, logs / name)
    (segment,) = catalogue.listing(ledger, "decision")
    assert segment.source == EXPECTED[name][0]
    assert chain.verify(ledger).ok
    for row in rows(ledger):
        could = chances(row)
        assert could[row["action_id"]] == pytest.approx(row["choice_probability"])
        assert 0 < row["choice_probability"] <= 1
        assert sum(could.values()) == pytest.approx(1.0)
        assert decisions.get(ledger, row["decision_id"]).action_id == row["action_id"]


def test_a_file_that_overlaps_adds_only_what_is_new(ledger: Ledger, logs: Path, tmp_path: Path) -> None:
    """A later export that holds earlier decisions too adds the later ones alone."""
    lines = (logs / "eppo.csv").read_text(encoding="utf-8").splitlines()
    first, both = tmp_path / "first.csv", tmp_path / "both.csv"
    first.write_text("\n".join(lines[:3]), encoding="utf-8")
    both.write_text("\n".join(lines[:4]), encoding="utf-8")
    assert load(ledger, first).by_kind == {"decisions": 2}
    assert load(ledger, both).by_kind == {"decisions": 1}
    assert len(rows(ledger)) == 3


def test_rejects_say_line_column_and_reason(ledger: Ledger, logs: Path) -> None:
    """Every line that was refused stands in the file of rejects with what was wrong."""
    found = load(ledger, logs / "pega_interaction_history.csv")
    text = (ledger.path / str(found.rejected_file)).read_text(encoding="utf-8")
    assert "6,Propensity,1.4,a probability must be between 0 and 1" in text
    assert "7,SubjectID,,is empty" in text


def test_a_dry_run_keeps_nothing(ledger: Ledger, logs: Path) -> None:
    """A dry run reports what would be loaded and stores neither rows nor rejects."""
    found = load(ledger, logs / "eppo.csv", dry_run=True)
    assert found.rows_accepted == 3
    assert found.rejected_file is None
    assert not rows(ledger)
    assert not load(ledger, logs / "eppo.csv").already_loaded


# --- words ------------------------------------------------------------------------------------------------------------


def test_what_pega_calls_propensity_is_the_chance_of_a_response(ledger: Ledger, logs: Path) -> None:
    """Pega's Propensity becomes the response probability; the chance of the choice is estimated and marked."""
    load(ledger, logs / "pega_interaction_history.csv")
    shown = next(r for r in rows(ledger) if r["action_id"] == "Sales/Cards/GoldCard/GoldHero")
    own = next(c for c in shown["candidates"] if c["action_id"] == shown["action_id"])
    assert own["response_probability"] == 0.031
    assert shown["choice_probability"] != 0.031
    assert shown["context"]["estimated_probability"] is True
    names = sorted(analysis.table(ledger, "outcomes")["name"].to_pylist())
    assert names == ["clicked", "impression", "impression", "impression"]


def test_what_eppo_and_banditdb_log_is_the_chance_of_the_choice(ledger: Ledger, logs: Path, tmp_path: Path) -> None:
    """`action_probability` and BanditDB's `propensity` become the choice probability, as they are."""
    load(ledger, logs / "eppo.csv")
    first = rows(ledger)[0]
    assert (first["play"], first["action_id"], first["choice_probability"]) == ("home_banner", "nike", 0.62)
    assert "estimated_probability" not in first["context"]
    assert first["context"]["estimated_candidates"] is True
    assert (first["context"]["age"], first["context"]["tier"]) == (31, "gold")
    file = tmp_path / "bandit.parquet"
    at = datetime(2026, 1, 12, tzinfo=UTC)
    pq.write_table(
        pa.table({
            "interaction_id": ["x1", "x2"], "arm_id": ["a", "b"], "reward": [1.0, None], "predicted_at": [at, at],
            "rewarded_at": pa.array([at, None], pa.timestamp("us", tz="UTC")), "propensity": [0.7, 0.4],
            "feature_0": [0.5, -1.0],
        }), file,
    )  # fmt: skip
    assert load(ledger, file).by_kind == {"decisions": 2, "outcomes": 1}
    mine = [r for r in rows(ledger) if r["play"] == "banditdb"]
    assert {r["action_id"]: r["choice_probability"] for r in mine} == {"a": 0.7, "b": 0.4}
    assert {r["context"]["feature_0"] for r in mine} == {0.5, -1.0}
    assert len({r["subject_id"] for r in mine}) == 2


def test_a_propensity_of_no_known_engine_is_not_guessed(ledger: Ledger, tmp_path: Path) -> None:
    """A column called propensity in an unknown file is refused until its user says which chance it is."""
    file = tmp_path / "log.csv"
    file.write_text("who,when,what,propensity\nc1,2026-01-10T09:00:00Z,mail,0.4\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"may be the chance of the choice .* or of a response"):
        load(ledger, file)
    said = {"who": "subject_id", "when": "ts", "what": "action_id", "propensity": "choice_probability"}
    assert load(ledger, file, columns=said, play="mine").by_kind == {"decisions": 1}
    assert rows(ledger)[0]["choice_probability"] == 0.4
    with pytest.raises(UsageError, match="have no field 'propensity'"):
        load(ledger, file, columns={"propensity": "propensity"})


def test_a_log_whose_user_names_every_column_is_of_no_engine(ledger: Ledger, tmp_path: Path) -> None:
    """Where nothing but the mapping speaks for an engine, the file is not taken for a log of that engine."""
    (tmp_path / "own.csv").write_text("who,at,did,p\nu1,2026-01-05T10:00:00Z,a,0.5\n", encoding="utf-8")
    said = {"who": "subject_id", "at": "ts", "did": "action_id", "p": "choice_probability"}
    found = load(ledger, tmp_path / "own.csv", columns=said, play="mine")
    assert found.recognised_as["system"] == "file"
    assert "holdout = 0.0" in " ".join(found.notes)


def test_weights_of_all_variations_are_kept_as_they_are(ledger: Ledger, logs: Path) -> None:
    """GrowthBook's weights give every candidate its chance; nothing is estimated."""
    load(ledger, logs / "growthbook.csv")
    first, second = rows(ledger)
    assert chances(first) == {"0": 0.7, "1": 0.2, "2": 0.1}
    assert (second["action_id"], second["choice_probability"]) == ("2", 0.2)
    assert not {"estimated_probability", "estimated_candidates"} & first["context"].keys()
    assert first["context"]["leaf_id"] == "leaf3"


def test_an_extract_says_which_stage_removed_what(ledger: Ledger, logs: Path) -> None:
    """A removed action of a Pega extract keeps its stage and component; the list shown is one row per position."""
    load(ledger, logs / "pega_decision_extract.csv")
    first, second = rows(ledger)
    removed = {c["action_id"]: c["removed_by"] for c in first["candidates"] if c["removed_by"]}
    assert removed == {"Sales/Loans/CarLoan": "pega:EngagementPolicies/Applicability/Age below 18"}
    assert first["action_id"] == "Sales/Cards/GoldCard"
    assert next(c for c in first["candidates"] if c["action_id"] == first["action_id"])["expected_value"] == 3.0
    above = {c["action_id"]: c["removed_by"] for c in second["candidates"] if c["removed_by"]}
    assert above["Sales/Cards/GoldCard"] == "chosen_above"
    assert first["request_id"] == second["request_id"] != ""


def test_arms_are_those_of_the_log_or_the_line_is_refused(ledger: Ledger, logs: Path) -> None:
    """The four arms of a log become ours; a word that may mean several is refused."""
    found = load(ledger, logs / "braze_activations.csv")
    assert {r["subject_id"]: r["arm"] for r in rows(ledger)} == {
        "C-1": "policy", "C-2": "random", "C-3": "business_as_usual", "C-4": "holdout",
    }  # fmt: skip
    assert next(r["action_id"] for r in rows(ledger) if r["arm"] == "holdout") == "none"
    text = (ledger.path / str(found.rejected_file)).read_text(encoding="utf-8")
    assert "6,arm,control,is no arm that is known" in text


def test_outcomes_of_another_stream_find_their_decisions(ledger: Ledger, logs: Path) -> None:
    """An outcome that names a decision by the log's own id belongs to that decision; another to its subject."""
    load(ledger, logs / "braze_activations.csv", play="win_back")
    load(ledger, logs / "braze_conversions.csv", play="win_back")
    decided = {r["decision_id"]: r["subject_id"] for r in rows(ledger)}
    came = {o["subject_id"]: o for o in analysis.table(ledger, "outcomes").to_pylist()}
    assert decided[came["C-1"]["decision_id"]] == "C-1"
    assert came["C-1"]["value"] == 42.5
    assert came["C-4"]["decision_id"] is None


def test_a_ranking_is_a_slate(ledger: Ledger, logs: Path) -> None:
    """A Metarank ranking is one decision per position; the click belongs to the position of its item."""
    load(ledger, logs / "metarank.jsonl")
    slate = [r for r in rows(ledger) if r["subject_id"] == "u1"]
    assert [r["action_id"] for r in slate] == ["p3", "p1", "p2"]
    assert [len(chances(r)) for r in slate] == [3, 2, 1]
    assert slate[2]["choice_probability"] == 1.0
    (click,) = analysis.table(ledger, "outcomes").to_pylist()
    assert (click["name"], click["decision_id"]) == ("click", slate[1]["decision_id"])


def test_an_event_of_what_was_shown_is_followed_by_what_was_done(ledger: Ledger, logs: Path) -> None:
    """Gorse's read is a decision; a star on something nobody was shown is an outcome of the subject alone."""
    load(ledger, logs / "gorse_feedback.jsonl")
    decided = {(r["subject_id"], r["action_id"]): r["decision_id"] for r in rows(ledger)}
    came = {o["subject_id"]: o["decision_id"] for o in analysis.table(ledger, "outcomes").to_pylist()}
    assert came == {"u1": decided["u1", "p1"], "u2": None}


@pytest.mark.parametrize(
    ("name", "why"),
    [("gong_stats.csv", "These are no decisions"), ("personalize_interactions.csv", "not what they were shown")],
)
def test_what_is_no_decision_is_refused_with_the_reason(ledger: Ledger, logs: Path, name: str, why: str) -> None:
    """Statistics of calls, and interactions without impressions, are not taken for decisions."""
    with pytest.raises(DataError, match=why):
        load(ledger, logs / name)


def test_what_another_engine_decided_is_neither_sent_nor_listed(tmp_path: Path, logs: Path) -> None:
    """Loading a log under the name of a play puts nothing on today's list and nothing into the outbox."""
    text = 'name = "w"\n[plays.home_banner]\nactions = [{ id = "nike", class = "content" }]\n'
    made = create(tmp_path / "p", config_text=text, clock=lambda: NOW)
    load(made, logs / "eppo.csv", play="home_banner")
    play = verbs.find_play(made, "home_banner")
    assert outgoing(made, play).num_rows == 0
    assert today(made, {"home_banner": play}).items == ()
    made.close()


def test_a_play_that_is_not_configured_comes_with_the_lines_to_add(ledger: Ledger, logs: Path) -> None:
    """A log of an unknown play says what to write into nextbest.toml before it can be measured."""
    found = load(ledger, logs / "eppo.csv")
    assert any('[plays."home_banner"]' in note and 'id = "nike"' in note for note in found.notes)
    with pytest.raises(UsageError, match="kind='decisions'"):
        verbs.load(ledger, logs / "eppo.csv", play="home_banner")


# --- estimated chances ------------------------------------------------------------------------------------------------


def simulated(n: int, seed: int, *, depends: bool) -> tuple[list[Seen], np.ndarray[Any, Any]]:
    """Give decisions whose true chances are known: a softmax of one number and one word, or the same for all."""
    world, draw = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    age, tier = world.normal(size=n), world.integers(0, 2, n)
    scores = np.column_stack([np.zeros(n), age, 1.5 * tier - 0.5]) * float(depends) + np.array([0.0, 0.5, -0.5])
    truth = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    chosen = (draw.uniform(size=(n, 1)) > np.cumsum(truth, axis=1)).sum(axis=1)
    seen = [
        Seen(
            line=i, key=(str(i),), subject_id=f"s{i}", ts=NOW, action_id="abc"[chosen[i]],
            context={"age": float(age[i]), "tier": "gold" if tier[i] else "silver"},
        )
        for i in range(n)
    ]  # fmt: skip
    return seen, truth


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_estimated_chances_come_close_to_the_true_ones(seed: int) -> None:
    """On 4,000 choices by a known softmax the estimate is within 0.03 of the truth on average, and calibrated."""
    seen, truth = simulated(4_000, seed, depends=True)
    found = estimate(seen)
    assert found.how == "logistic"
    mine = found.weights / found.weights.sum(axis=1, keepdims=True)
    theirs = truth[:, ["abc".index(a) for a in found.actions]]
    assert np.abs(mine - theirs).mean() < 0.03
    taken = np.array([found.index()[s.action_id] for s in seen])
    high = mine[:, 0] > np.median(mine[:, 0])
    for side in (high, ~high):
        assert (taken[side] == 0).mean() == pytest.approx(mine[side, 0].mean(), abs=0.03)


def test_choices_that_hang_on_nothing_are_estimated_by_frequency() -> None:
    """Where context says nothing, the shares are what was chosen how often, and no regression beats them by much."""
    seen, truth = simulated(3_000, 7, depends=False)
    found = estimate(seen)
    mine = found.weights / found.weights.sum(axis=1, keepdims=True)
    theirs = truth[:, ["abc".index(a) for a in found.actions]]
    assert np.abs(mine - theirs).max() < 0.1
    assert found.frequency_log_loss == pytest.approx(-(truth * np.log(truth)).sum(axis=1).mean(), abs=0.03)


def test_an_estimate_does_not_see_its_own_subject() -> None:
    """The estimate for a subject is the same whatever that subject got: it comes from the other folds."""
    from dataclasses import replace

    seen, _ = simulated(400, 5, depends=False)
    other = [replace(seen[0], action_id="c" if seen[0].action_id != "c" else "a"), *seen[1:]]
    ours, theirs = estimate(seen), estimate(other)
    if ours.how == theirs.how == "frequency" and ours.actions == theirs.actions:
        np.testing.assert_allclose(ours.weights[0], theirs.weights[0])
    else:
        pytest.fail(f"The two estimates cannot be compared: {ours.how}, {theirs.how}.")


def test_the_open_bandit_log_loads_whole(ledger: Ledger, shared_data: Path) -> None:
    """All 10,000 random impressions load with their chance of 1/34, and clicks as outcomes (46 of them, by count)."""
    found = load(ledger, shared_data / "bandit-obd-men" / "men_random.csv.gz", play="men_random")
    assert found.by_kind == {"decisions": 10_000, "outcomes": 10_000}
    log = analysis.table(ledger, "decisions", columns=("choice_probability", "action_id"))
    assert set(log["choice_probability"].to_pylist()) == {1 / 34}
    assert len(set(log["action_id"].to_pylist())) == 34
    clicks = sum(analysis.table(ledger, "outcomes")["value"].to_pylist())
    assert clicks == 46
    assert math.isfinite(clicks)


def test_an_erased_person_goes_from_a_loaded_log(ledger: Ledger, logs: Path) -> None:
    """Erasing somebody removes their decisions from the segment of the log, and the chain still verifies."""
    load(ledger, logs / "eppo.csv")
    verbs.erase(ledger, "u1")
    assert {r["subject_id"] for r in rows(ledger)} == {"u2", "u3"}
    assert chain.verify(ledger).ok
    found = b"".join(p.read_bytes() for p in ledger.path.rglob("*.parquet"))
    assert b'"age": 31' not in found


def test_an_address_becomes_the_person_or_a_pseudonym(ledger: Ledger, tmp_path: Path) -> None:
    """A log that names people by their e-mail finds those who are known; the others get no address as their id."""
    verbs.ingest(ledger, [{"kind": "page_view", "message_id": "m1", "subject_id": "c7", "ts": "2026-01-01T00:00:00Z"}])
    identities.link(ledger, "c7", identity_type="email", identity="jane@example.com")
    file = tmp_path / "log.csv"
    line = "{},2026-01-10T09:00:00Z,mail,0.4\n"
    text = "subject_id,ts,action_id,choice_probability\n" + line.format("Jane@Example.com") + line.format("x@y.org")
    file.write_text(text, encoding="utf-8")
    load(ledger, file)
    names = {r["subject_id"] for r in rows(ledger)}
    assert "c7" in names
    assert not any("@" in name for name in names)
