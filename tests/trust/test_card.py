"""The card says what the report says, opens on its own, and lets nothing in."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from tests.trust.makers import Known

from nextbest import operations, verbs
from nextbest.errors import UsageError
from nextbest.models import store
from nextbest.recipes.churn import Churn
from nextbest.trust import plots
from nextbest.trust.card import card
from nextbest.trust.metrics import verdicts
from nextbest.trust.page import page
from nextbest.trust.prediction import explain_prediction
from nextbest.types import Report

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from nextbest.ledger import Ledger

NOW = datetime(2026, 3, 2, 11, tzinfo=UTC)
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
REMOTE = re.compile(r"https?:|//[a-z]|@import|url\(|<link|<script|<iframe|<img|\bsrc=", re.IGNORECASE)


class Tags(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep them."""
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ledger, pa.Table]:
    """Give a workspace with a churn model, learnt from a table whose names and values are hostile."""
    draw = np.random.default_rng(5)
    tenure, plan = draw.exponential(20.0, 500).round(1), draw.choice([HOSTILE, "plain"], 500)
    left = draw.random(500) < 1 / (1 + np.exp(0.1 * tenure - 1.5 * (plan == "plain")))
    table = pa.table(
        {"who": [f"c{i}" for i in range(500)], HOSTILE: tenure, "plan": plan, "left": np.where(left, HOSTILE, "no")}
    )
    ledger = operations.create(tmp_path_factory.mktemp("card") / "w", clock=lambda: NOW)
    verbs.fit(ledger, Churn(table=table, id="who", label="left", positive=HOSTILE), as_of=NOW)
    return ledger, table


@pytest.fixture(scope="module")
def whole(world: tuple[Ledger, pa.Table]) -> dict[str, Any]:
    """Give the card, with the rows at hand."""
    return operations.card(world[0], "churn", table=world[1])


def test_a_card_holds_every_part(whole: dict[str, Any]) -> None:
    """Data, figures beside baselines, plots, drivers with ranks, dependence, a tree, limits and versions are there."""
    assert whole["data"]["rows"] == 500
    assert {m["name"] for m in whole["metrics"]} >= {"auc", "ece"}
    assert {"majority", "logistic alone"} <= set(whole["metrics"][0]["baselines"])
    assert len(whole["calibration"]) > 3
    assert whole["capture"][-1]["captured"] == 1.0
    assert {d["feature"] for d in whole["drivers"]} == {HOSTILE, "plan"}
    assert all(d["rank_low"] <= d["rank"] <= d["rank_high"] for d in whole["drivers"])
    assert {c["column"] for c in whole["dependence"]} == {HOSTILE, "plan"}
    assert whole["surrogate"]["fidelity"] > 0
    assert whole["limits"]
    assert "nextbest" in whole["versions"]
    assert whole["not_shown"] == ""


def test_a_card_round_trips_through_json(whole: dict[str, Any]) -> None:
    """What is written as JSON reads back the same, and draws the same page."""
    again = json.loads(json.dumps(whole))
    assert again == whole
    assert page(again) == page(whole)


def test_a_report_keeps_its_details_in_the_store(world: tuple[Ledger, pa.Table]) -> None:
    """A model that is loaded again has the same points of the plots as when it was fitted."""
    ledger, table = world
    fitted = Churn(table=table, id="who", label="left", positive=HOSTILE).fit(ledger, as_of=NOW)
    kept = store.latest(ledger, "churn").report.details
    assert kept["calibration"]
    assert json.loads(json.dumps(fitted.report.details)) == kept


def test_hostile_names_do_not_get_out(whole: dict[str, Any]) -> None:
    """A column, a level and a label that are markup are shown as text: no element and no attribute comes of them."""
    html = page(whole)
    assert HOSTILE not in html
    assert "&lt;script&gt;" in html
    found = Tags()
    found.feed(html)
    assert not found.tags & {"script", "img", "iframe", "link", "object", "form"}
    assert not [a for a in found.attributes if a.startswith("on")]
    assert found.tags >= {"svg", "table", "style"}


def test_a_page_opens_on_its_own(whole: dict[str, Any]) -> None:
    """Nothing refers to anywhere else, and the page forbids it to itself."""
    html = page(whole).replace("&lt;script", "").replace("&lt;img src=", "")
    assert REMOTE.findall(html) == []
    assert "default-src 'none'" in html


def test_without_its_rows_a_card_says_so(world: tuple[Ledger, pa.Table]) -> None:
    """Drivers are those found when it learnt, curves are left out with the reason, and the page still draws."""
    said = operations.card(world[0], "churn")
    assert "handed over in memory" in said["not_shown"]
    assert said["dependence"] == []
    assert said["drivers"][0]["rank_low"] is None
    assert "What is not shown" in page(said)


def test_a_card_of_nothing_learnt(world: tuple[Ledger, pa.Table]) -> None:
    """Too little data is a card too: it says what is missing, and draws no figure."""
    ledger, table = world
    fitted = Churn(table=table.slice(0, 20), id="who", label="left", positive=HOSTILE).fit(ledger, as_of=NOW)
    said = card(ledger, fitted, as_of=NOW)
    assert said["summary"][0].startswith("churn: not enough data.")
    assert said["metrics"] == []
    assert "How good it is" not in page(said)


def test_an_amount_has_a_card_with_what_it_has(world: tuple[Ledger, pa.Table]) -> None:
    """A report with tenths by prediction draws them, and no calibration is made up."""
    fitted = store.latest(world[0], "churn")
    tenths = [{"predicted": float(k), "actual": k + 0.5} for k in range(10)]
    report = replace(
        fitted.report, recipe="value", positives=None, metrics={"mae": 12.0, "normalised_gini": 0.7}, intervals={},
        baselines={"last value": {"mae": 14.0}}, details={"deciles": tenths},
    )  # fmt: skip
    amount = replace(fitted, recipe="value", report=report, parts={}, settings={"horizon_days": 90}, extra={})
    html = page(card(world[0], amount, as_of=NOW))
    assert "Do the amounts come true?" in html
    assert "Does a probability mean what it says?" not in html


def test_a_card_is_written_by_its_ending(whole: dict[str, Any], tmp_path: Path) -> None:
    """.html and .json are written whole; another ending is refused."""
    assert "<svg" in operations.write_card(whole, tmp_path / "card.html").read_text("utf-8")
    assert json.loads(operations.write_card(whole, tmp_path / "card.json").read_text("utf-8")) == whole
    with pytest.raises(UsageError, match=r"\.html or \.json"):
        operations.write_card(whole, tmp_path / "card.pdf")


def test_explaining_a_recipe_gives_the_summary(world: tuple[Ledger, pa.Table], whole: dict[str, Any]) -> None:
    """Without a subject the sentences are the card's; with one they are in the label's own words."""
    ledger, table = world
    told = verbs.explain(ledger, "churn", table=table)
    assert told.details == whole
    assert "500 rows" in told.sentences[0]
    one = verbs.explain(ledger, "churn", "c3", table=table)
    assert f"likely that 'left' is '{HOSTILE}'" in one.sentences[0]
    assert one.details["changes"].prediction == pytest.approx(one.details["prediction"]["churn_probability"])


def test_a_play_needs_somebody(world: tuple[Ledger, pa.Table]) -> None:
    """The decision of a play is about somebody: without a subject it is asked for."""
    play = next(iter(verbs.plays(world[0])))
    with pytest.raises(UsageError, match="For whom"):
        verbs.explain(world[0], play)


def test_pictures_hold_on_to_the_edges() -> None:
    """A point at the corner of a picture is drawn at its corner; ticks are round."""
    line = plots.capture([{"share": 0.5, "captured": 1.0}, {"share": 1.0, "captured": 1.0}])
    assert 'points="44.0,210.0 195.0,12.0 346.0,12.0"' in line
    assert ">50%<" in line
    assert plots.number(12_345.0) == "12.3k"


@pytest.mark.slow
def test_a_hazard_is_told_for_what_it_is(tmp_path: Path) -> None:
    """Where the model behind gives the chance of one period, its curves say so and no threshold is put on it."""
    draw = np.random.default_rng(2)
    there = draw.integers(1, 30, 400).astype(float)
    plan = draw.choice(["basic", "pro"], 400)
    left = draw.random(400) < np.where(plan == "pro", 0.2, 0.7)
    table = pa.table(
        {"who": [f"c{i}" for i in range(400)], "months": there, "plan": plan, "left": np.where(left, "yes", "no")}
    )
    ledger = operations.create(tmp_path / "w", clock=lambda: NOW)
    recipe = Churn(table=table, id="who", label="left", duration="months")
    fitted = recipe.fit(ledger, as_of=NOW)
    assert fitted.report.status == "ok", fitted.report.why
    said = card(ledger, fitted, as_of=NOW, table=table)
    assert "present period" in said["rows_note"]
    assert {c["column"] for c in said["dependence"]} >= {"plan"}
    stays = table["who"].filter(pa.array(~left))[0].as_py()
    told = explain_prediction(ledger, fitted, stays, as_of=NOW, table=table)
    assert told.details["changes"] is None
    assert told.details["reasons"]
    ledger.journal.close()


def test_groups_are_not_explained_as_numbers(world: tuple[Ledger, pa.Table]) -> None:
    """A model whose answer is a group has a card without drivers, which says why."""
    fitted = store.latest(world[0], "churn")
    found = replace(fitted.report, metrics={"segments": 3.0}, baselines={}, intervals={}, details={}, top_features=())
    groups = replace(fitted, parts={"model": Known(formula=lambda t: np.zeros(len(t)))}, report=found)
    said = card(world[0], groups, as_of=NOW)
    assert said["drivers"] == []
    assert said["not_shown"] == "The model of this recipe gives no number that columns could move."
    assert "What moves it" not in page(said)


@pytest.mark.parametrize(
    ("metric", "interval", "said"),
    [
        ("auc", (0.01, 0.02), "beats"),
        ("auc", (-0.02, -0.01), "is surely worse than"),
        ("auc", (-0.01, 0.02), "does not surely beat"),
        ("error", (-1.1, -0.3), "beats"),
        ("error", (0.3, 1.1), "is surely worse than"),
        ("log_loss", (-0.2, 0.1), "does not surely beat"),
    ],
)
def test_a_verdict_knows_which_way_is_better(metric: str, interval: tuple[float, float], said: str) -> None:
    """A smaller error beats, a smaller AUC loses, and an interval over nought says neither."""
    report = Report(recipe="r", status="ok", as_of="2026-01-01", intervals={f"{metric} minus the rule": interval})
    (verdict,) = verdicts(report)
    assert verdict["sentence"].startswith(f"It {said} the rule: ")
    assert verdict["surely"] is (said == "beats")
