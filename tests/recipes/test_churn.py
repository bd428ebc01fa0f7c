"""Churn from a flat table and by silence: figures on real data, honesty on made-up data."""

from __future__ import annotations

import gzip
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nextbest.errors import DataError, UnknownNameError, UsageError
from nextbest.ledger import archive, create
from nextbest.models import store
from nextbest.models.unread import notes_of
from nextbest.recipes import flat_table, judged, moments, silence, timeline
from nextbest.recipes.churn import Churn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.ledger import Ledger

AS_OF = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace."""
    with create(tmp_path / "w") as made:
        yield made


def _customers(rows: int = 600, seed: int = 0) -> pa.Table:
    draw = np.random.default_rng(seed)
    tenure = draw.exponential(20.0, rows).round(1)
    left = draw.random(rows) < 1 / (1 + np.exp(0.08 * tenure))
    return pa.table({
        "customer": [f"c{i:04d}" for i in range(rows)],
        "tenure": [str(t) for t in tenure],
        "mail": [f"c{i}@example.com" for i in range(rows)],
        "churned": np.where(left, "Yes", "No"),
        "reason": pa.array(draw.choice(["price", "moved"], rows), mask=~left),
    })  # fmt: skip


def _orders(ledger: Ledger, *, subjects: int = 250, days: int = 500, seed: int = 0) -> None:
    """Write orders of subjects who buy at their own rate and leave for good at some time."""
    draw = np.random.default_rng(seed)
    who, when = [], []
    for number in range(subjects):
        start, stay = draw.uniform(0, days / 2), draw.exponential(250.0)
        gaps = draw.exponential(draw.gamma(3.0, 6.0) + 2, 200)
        moments = start + np.append(0.0, np.cumsum(gaps))
        kept = moments[(moments <= start + stay) & (moments < days)]
        who += [f"s{number}"] * len(kept)
        when += list(kept)
    first = AS_OF - timedelta(days=days)
    stamps = [first + timedelta(days=float(d)) for d in when]
    orders = pa.table({
        "event_id": [f"e{i}" for i in range(len(who))],
        "subject_id": who,
        "ts": pa.array(stamps, pa.timestamp("us", tz="UTC")),
        "order_id": [f"o{i}" for i in range(len(who))],
        "revenue": draw.gamma(2.0, 20.0, len(who)),
    })  # fmt: skip
    archive.append(ledger, "order", orders, source="made up")


# --- a flat table -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_telco_reaches_the_target_with_nothing_chosen(shared_data: Path) -> None:
    """On churn-telco AUC >= 0.849 and ECE <= 0.015 by nested 5-fold cross-validation, seed 0 (methods.md, Predict)."""
    file = shared_data / "churn-telco" / "Telco-Customer-Churn.csv"
    report = Churn(table=str(file), id="customerID", label="Churn", positive="Yes").fit(None, as_of=AS_OF).report
    assert (report.rows, report.positives) == (7043, 1869)
    assert 0.849 <= report.metrics["auc"] < 0.87
    assert report.metrics["ece"] <= 0.015
    assert report.metrics["top_decile_lift"] >= 2.85
    assert report.left_out == ()
    assert report.metrics["auc"] > report.baselines["boosting alone"]["auc"] > report.baselines["majority"]["auc"]


@pytest.mark.slow
def test_mlc_reaches_the_target_and_its_row_number_is_left_out(shared_data: Path) -> None:
    """On churn-mlc AUC >= 0.92; the row number and the charges that repeat the minutes are left out by name."""
    file = shared_data / "churn-mlc" / "mlc_churn.csv"
    report = Churn(table=str(file), label="churn").fit(None, as_of=AS_OF).report
    assert 0.92 <= report.metrics["auc"] < 0.94
    assert report.metrics["ece"] <= 0.02
    charges = {f"total_{part}_charge" for part in ("day", "eve", "night", "intl")}
    assert {x["column"] for x in report.left_out} == {"rownames", *charges}


def test_leaks_and_personal_columns_are_named_and_left_out() -> None:
    """The reason of leaving and the e-mail address are left out with their reasons; the tenure is learnt from."""
    fitted = Churn(table=_customers(), id="customer", label="churned").fit(None, as_of=AS_OF)
    why = {x["column"]: x["why"] for x in fitted.report.left_out}
    assert why["reason"].startswith("known only afterwards")
    assert why["mail"].startswith("personal data")
    assert [t["feature"] for t in fitted.report.top_features] == ["tenure"]
    assert fitted.report.metrics["auc"] < 0.9


def test_a_column_can_be_kept_against_the_advice() -> None:
    """`keep` learns from a column that looks like a leak."""
    fitted = Churn(table=_customers(), id="customer", label="churned", keep=("reason",)).fit(None, as_of=AS_OF)
    assert fitted.report.metrics["auc"] > 0.99


def test_the_same_seed_gives_the_same_model_and_report() -> None:
    """Two fits of the same table agree in id, files and figures."""
    first, second = (Churn(table=_customers(), id="customer", label="churned").fit(None, as_of=AS_OF) for _ in range(2))
    assert first.model_id == second.model_id
    assert first.parts["model"].files == second.parts["model"].files
    assert first.report.metrics == second.report.metrics


def test_predictions_have_their_public_names_and_intervals() -> None:
    """One row per subject in the order of the table, low <= probability <= high."""
    recipe = Churn(table=_customers(), id="customer", label="churned")
    said = recipe.predict(None, recipe.fit(None, as_of=AS_OF), as_of=AS_OF)
    low, middle, high = (said[f"churn_probability{end}"].to_numpy() for end in ("_low", "", "_high"))
    assert said.column_names == ["subject_id", "churn_probability", "churn_probability_low", "churn_probability_high"]
    assert said["subject_id"].to_pylist() == _customers()["customer"].to_pylist()
    assert ((low <= middle) & (middle <= high)).all()


def test_a_file_of_any_usual_kind_is_read_alike(tmp_path: Path) -> None:
    """Any delimiter, UTF-8, UTF-16, Latin-1, gzip, zip, XLSX and Parquet give the same table."""
    from openpyxl import Workbook
    from pyarrow import parquet

    table = _customers(300).drop_columns(["reason"])
    table = table.append_column("city", pa.array(["Köln", "Würzburg", "Orléans"] * 100))
    rows = [table.column_names, *zip(*(c.to_pylist() for c in table.columns), strict=True)]
    for name, delimiter, encoding in (
        ("a.csv", ",", "utf-8"), ("b.csv", ";", "utf-8-sig"), ("c.tsv", "\t", "utf-16"), ("d.csv", "|", "latin-1"),
        ("e.csv", "^", "utf-8"),
    ):  # fmt: skip
        (tmp_path / name).write_bytes("\n".join(delimiter.join(row) for row in rows).encode(encoding))
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    with zipfile.ZipFile(tmp_path / "g.zip", "w") as packed:
        packed.write(tmp_path / "b.csv", "b.csv")
    book = Workbook()
    for row in rows:
        book.active.append(row)
    book.save(tmp_path / "h.xlsx")
    parquet.write_table(table, tmp_path / "i.parquet")
    read = {f.name: flat_table.read(f).to_pydict() for f in sorted(tmp_path.iterdir())}
    assert len(read) == 9
    assert [name for name, found in read.items() if found != table.to_pydict()] == []


def test_columns_without_names_are_told_by_position(tmp_path: Path) -> None:
    """A file without a header is learnt from as the same file with one is, and the report says so."""
    # The time column stands behind the label: taking the label off must not shift what its position means.
    table = _customers().drop_columns(["reason", "mail"])
    table = table.append_column("signed", pa.array([f"2025-{1 + i // 50:02d}-01" for i in range(600)]))
    lines = [",".join(row) for row in zip(*(c.to_pylist() for c in table.columns), strict=True)]
    (tmp_path / "bare.csv").write_text("\n".join(lines))
    bare = Churn(table=str(tmp_path / "bare.csv"), id="0", label="2", time="3").fit(None, as_of=AS_OF).report
    named = Churn(table=table, id="customer", label="churned", time="signed").fit(None, as_of=AS_OF).report
    assert bare.metrics == named.metrics
    assert bare.why == "The file has no header: its columns are called column_0 to column_3."


def test_columns_of_the_same_name_are_numbered_and_reported(tmp_path: Path) -> None:
    """A name that stands twice in the header gets a number, and the note says which."""
    lines = [f"c{i},{i % 7},{i % 5},{'yes' if i % 3 else 'no'}" for i in range(30)]
    (tmp_path / "twice.csv").write_text("\n".join(["id,visits,visits,left", *lines]))
    table = flat_table.read(tmp_path / "twice.csv")
    assert table.column_names == ["id", "visits", "visits (2)", "left"]
    rows = flat_table.labelled(table, label="left", positive=None, id_column="id")
    assert rows.note == "Columns of the same name were numbered: 'visits (2)'."


def test_a_header_without_rows_is_an_answer(tmp_path: Path) -> None:
    """A file of nothing but column names is read as no rows, and fitting it says that there are none."""
    (tmp_path / "empty.csv").write_text("customer,tenure,churned\n")
    assert flat_table.read(tmp_path / "empty.csv").num_rows == 0
    report = Churn(table=str(tmp_path / "empty.csv"), label="churned").fit(None, as_of=AS_OF).report
    assert report.status == "not_enough_data"
    assert "No row has a label" in report.why


@pytest.mark.slow
def test_german_credit_has_no_header_and_is_learnt_all_the_same(shared_data: Path) -> None:
    """On Statlog German credit (1,000 rows, 300 bad, no header) the last column by position is learnt well."""
    file = shared_data / "fair-german-credit" / "german.csv"
    report = Churn(table=str(file), label="20", positive="2").fit(None, as_of=AS_OF).report
    assert (report.rows, report.positives) == (1000, 300)
    assert report.metrics["auc"] > 0.77


def test_text_where_the_model_learnt_numbers_is_told() -> None:
    """Some words among numbers are a note that counts them; a column of nothing but words is an error."""
    table = _customers()
    recipe = Churn(table=table, id="customer", label="churned")
    fitted = recipe.fit(None, as_of=AS_OF)
    assert notes_of(recipe.predict(None, fitted, as_of=AS_OF)) == ()
    words = ["long", "short", "n/a", *table["tenure"].to_pylist()[3:]]
    mixed = table.set_column(1, "tenure", pa.array(words))
    said = notes_of(Churn(table=mixed, id="customer").predict(None, fitted, as_of=AS_OF))
    assert said == (
        "The model learnt 'tenure' as numbers; 2 of 599 values are read as missing, as they are none: 'long', 'short'.",
    )
    none = table.set_column(1, "tenure", pa.array(["long", "short"] * 300))
    with pytest.raises(DataError, match="'tenure' as numbers; none of the 600 values"):
        Churn(table=none, id="customer").predict(None, fitted, as_of=AS_OF)


def test_a_time_column_makes_the_latest_rows_judge() -> None:
    """With `time` named the report says that the latest fifth judged."""
    table = _customers().append_column("signed", pa.array([f"2025-{1 + i // 50:02d}-01" for i in range(600)]))
    report = Churn(table=table, id="customer", label="churned", time="signed").fit(None, as_of=AS_OF).report
    assert "the latest 20% of rows by 'signed'" in report.evaluation


def test_too_few_of_a_class_is_an_answer() -> None:
    """With 12 who left, the status says that there is too little data and what is missing; predictions are null."""
    table = _customers(100)
    left = ["Yes"] * 12 + ["No"] * 88
    table = table.set_column(table.column_names.index("churned"), "churned", pa.array(left))
    recipe = Churn(table=table, id="customer", label="churned")
    fitted = recipe.fit(None, as_of=AS_OF)
    assert fitted.report.status == "not_enough_data"
    assert "12 of 100 rows; at least 20" in fitted.report.why
    assert recipe.predict(None, fitted, as_of=AS_OF)["churn_probability"].null_count == 100


@pytest.mark.parametrize(
    ("settings", "error", "match"),
    [
        ({"label": "churnd"}, UsageError, "no column 'churnd', which label names. Did you mean 'churned'"),
        ({"id": "customr"}, UsageError, "no column 'customr', which id names. Did you mean 'customer'"),
        ({"positive": "Maybe"}, UnknownNameError, "no value of the label 'churned' 'Maybe'"),
        ({"label": "tenure"}, UsageError, "Which value of 'tenure' is the one to predict"),
        ({"label": None}, UsageError, "Which column says who left"),
        ({"id": "churned"}, DataError, "The id column 'churned' repeats"),
        ({"table": "nowhere.csv"}, DataError, "no file nowhere.csv"),
    ],
)
def test_mistakes_are_named_with_the_remedy(
    settings: dict[str, str | None], error: type[Exception], match: str
) -> None:
    """A wrong column, value, id or file is an error in the user's words."""
    given = {"table": _customers(), "id": "customer", "label": "churned", **settings}
    with pytest.raises(error, match=match):
        Churn(**given).fit(None, as_of=AS_OF)


def test_spellings_of_a_label_that_differ_in_case_are_one_label() -> None:
    """' Yes ' and 'yes' are the same answer; labels that nothing but case tells apart stay two."""
    table = _customers()
    spelt = [(" Yes ", "yes", "YES")[i % 3] if v == "Yes" else v for i, v in enumerate(table["churned"].to_pylist())]
    mixed = table.set_column(3, "churned", pa.array(spelt))
    for positive in (None, "yes", "Yes"):
        rows = flat_table.labelled(mixed, label="churned", positive=positive, id_column="customer")
        assert rows.actual.sum() == pc.sum(pc.equal(table["churned"], "Yes")).as_py()
    cases = pa.table({"x": [1, 2, 3], "label": ["a", "A", "a"]})
    assert flat_table.labelled(cases, label="label", positive="a", id_column=None).actual.tolist() == [1.0, 0.0, 1.0]


def test_a_table_of_nothing_but_labels_is_refused() -> None:
    """A table without any column to learn from says so."""
    table = _customers().select(["customer", "churned"])
    with pytest.raises(DataError, match="no column to learn from beside 'churned' and the id"):
        Churn(table=table, id="customer", label="churned").fit(None, as_of=AS_OF)


def test_a_fitted_table_comes_back_from_the_workspace(ledger: Ledger) -> None:
    """Saved and loaded, the recipe says the same, and remembers by keyed hashes who taught it."""
    recipe = Churn(table=_customers(), id="customer", label="churned")
    fitted = recipe.fit(ledger, as_of=AS_OF)
    store.save(ledger, fitted)
    loaded = store.latest(ledger, "churn")
    assert loaded.report == fitted.report
    assert recipe.predict(ledger, loaded, as_of=AS_OF).equals(recipe.predict(ledger, fitted, as_of=AS_OF))
    assert store.marks.trained_on(ledger, ["c0007"]) == (fitted.model_id,)


# --- by silence -------------------------------------------------------------------------------------------------------


def test_silence_is_learnt_out_of_time_beside_its_baselines(ledger: Ledger) -> None:
    """On simulated buyers the report has all baselines, an interval for the lead over recency, and says who leads."""
    _orders(ledger)
    fitted = Churn(horizon_days=60).fit(ledger, as_of=AS_OF)
    report = fitted.report
    assert report.status == "ok"
    assert set(report.baselines) >= {"majority", "logistic alone", "boosting alone", silence.RECENCY}
    assert report.metrics["auc"] > report.baselines["majority"]["auc"] + 0.2
    assert "recency" in report.why
    low, high = report.intervals[f"auc minus {silence.RECENCY}"]
    assert low < report.metrics["auc"] - report.baselines[silence.RECENCY]["auc"] < high
    said = Churn(horizon_days=60).predict(ledger, fitted, as_of=AS_OF)
    assert said.num_rows == 250
    assert said["churn_probability"].null_count == 0


def test_deleting_the_future_changes_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """A model as of a moment is the same whether or not later orders are in the ledger."""
    earlier = AS_OF - timedelta(days=60)
    _orders(ledger)
    whole = Churn(horizon_days=45).fit(ledger, as_of=earlier)
    with create(tmp_path / "cut") as cut:
        from nextbest.ledger import analysis

        known = analysis.table(ledger, "order", before=earlier)
        columns = ["event_id", "subject_id", "ts", "order_id", "revenue"]
        archive.append(cut, "order", known.select(columns), source="made up")
        part = Churn(horizon_days=45).fit(cut, as_of=earlier)
    assert whole.model_id == part.model_id
    assert whole.report.metrics == part.report.metrics


def test_shuffled_labels_cannot_be_told(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """When silence is drawn by lot the AUC out of time is near one half, so no feature sees the future."""
    _orders(ledger, subjects=500)
    panel = silence.panel
    draw = np.random.default_rng(0)

    def by_lot(*given: object) -> moments.Panel:
        found = panel(*given)
        return moments.Panel(features=found.features, actual=draw.permutation(found.actual))

    monkeypatch.setattr(silence, "panel", by_lot)
    report = Churn(horizon_days=60).fit(ledger, as_of=AS_OF).report
    low, high = report.intervals["auc"]
    assert low < 0.5 < high


def test_labels_look_exactly_one_horizon_ahead(ledger: Ledger) -> None:
    """An order on the cut itself, or just before the horizon's end, ends the silence; one at its end does not."""
    cut = AS_OF - timedelta(days=100)
    late = [cut, cut + timedelta(days=60) - timedelta(microseconds=1), cut + timedelta(days=60)]
    orders = pa.table({
        "event_id": [f"e{i}" for i in range(6)],
        "subject_id": ["a", "b", "c"] * 2,
        "ts": pa.array([cut - timedelta(days=5)] * 3 + late, pa.timestamp("us", tz="UTC")),
        "revenue": [1.0] * 6,
    })  # fmt: skip
    archive.append(ledger, "order", orders, source="made up")
    features = silence.feature_set(ledger)
    found = silence.panel(ledger, silence.orders_before(ledger, AS_OF), features, timeline.micros(cut), 60)
    assert found.features["subject_id"].to_pylist() == ["a", "b", "c"]
    assert found.actual.tolist() == [0.0, 0.0, 1.0]
    assert found.features["days_since_last_order"].to_pylist() == [5.0] * 3


def test_without_orders_or_with_a_short_history_the_answer_says_so(ledger: Ledger) -> None:
    """An empty ledger, and one of 100 days, have too little for 60 days of silence, and the report says how much."""
    empty = Churn().fit(ledger, as_of=AS_OF)
    assert (empty.report.status, empty.parts) == ("not_enough_data", {})
    assert "Load orders first" in empty.report.why
    _orders(ledger, days=100)
    short = Churn().fit(ledger, as_of=AS_OF).report
    assert short.status == "not_enough_data"
    assert "needs 180" in short.why


def test_few_customers_are_too_few(ledger: Ledger) -> None:
    """With 20 customers the report says how many fell silent and how many are needed."""
    _orders(ledger, subjects=20)
    report = Churn().fit(ledger, as_of=AS_OF).report
    assert report.status == "not_enough_data"
    assert "at least 30 of either are needed" in report.why


def test_a_model_of_a_table_does_not_predict_from_events(ledger: Ledger) -> None:
    """Asked without its table, a model of a table says what it needs."""
    fitted = Churn(table=_customers(), id="customer", label="churned").fit(ledger, as_of=AS_OF)
    with pytest.raises(UsageError, match="learnt from a table, not from events"):
        Churn().predict(ledger, fitted, as_of=AS_OF)


def _dated(rows: int = 600) -> pa.Table:
    """Give customers with a day on which each was seen."""
    table = _customers(rows)
    days = [f"2025-{1 + i * 12 // rows:02d}-01" for i in range(rows)]
    return table.append_column("seen", pa.array(days))


@pytest.mark.parametrize("late", [True, False])
def test_a_label_that_is_constant_in_a_part_of_time_is_too_little(late: bool) -> None:  # noqa: FBT001 (a parameter)
    """When everybody stayed early, or nobody left late, the answer says which side lacks what; nothing breaks."""
    table = _dated()
    early = np.arange(table.num_rows) < 400
    left = np.where(early == late, np.array(table["churned"].to_pylist()), "No")
    table = table.set_column(table.column_names.index("churned"), "churned", pa.array(left))
    report = Churn(table=table, id="customer", label="churned", time="seen").fit(None, as_of=AS_OF).report
    assert report.status == "not_enough_data"
    assert ("latest 20%, to judge by" if late else "earlier rows, to learn from") in report.why


def test_rows_of_one_moment_do_not_stand_on_both_sides() -> None:
    """A split by time falls between moments: a snapshot of a month judges whole, or teaches whole."""
    order = np.repeat(np.arange(10.0), 7)
    learning, judging = judged.latest(order, 0.25)
    assert set(order[learning]).isdisjoint(order[judging])
    assert len(judging) >= 0.25 * len(order)


def test_the_majority_ranks_nobody() -> None:
    """The constant baseline has an AUC of exactly one half, also over folds with unequal numbers of positives."""
    report = Churn(table=_customers(203), id="customer", label="churned").fit(None, as_of=AS_OF).report
    assert report.baselines["majority"]["auc"] == 0.5


def test_a_moment_after_the_end_of_the_data_is_not_silence(ledger: Ledger) -> None:
    """Asked as of a month after the last order, the labels are those of the last order: the month is unseen."""
    _orders(ledger)
    orders = silence.orders_before(ledger, AS_OF)
    known, later = (silence.cut_moments(orders, AS_OF + timedelta(days=d), 60) for d in (0, 30))
    assert later == known
    model = [Churn(horizon_days=60).fit(ledger, as_of=AS_OF + timedelta(days=d)) for d in (0, 30)]
    assert model[0].report.metrics == model[1].report.metrics
    assert model[0].report.positives == model[1].report.positives


def test_a_few_subscriptions_do_not_hide_the_orders(ledger: Ledger) -> None:
    """Where a handful of subscriptions tell too little, churn is by silence, and says why; unless `by` is set."""
    _orders(ledger)
    begun, ended = AS_OF - timedelta(days=200), AS_OF - timedelta(days=100)
    few = pa.table({
        "event_id": ["a", "b", "c"], "subject_id": ["s1", "s2", "s2"], "subscription_id": ["x", "y", "y"],
        "status": ["active", "active", "canceled"], "ts": [begun, begun, ended], "started_ts": [begun] * 3,
        "ended_ts": [None, None, ended],
    })  # fmt: skip
    archive.append(ledger, "subscription", few, source="test")
    report = Churn(horizon_days=60).fit(ledger, as_of=AS_OF).report
    assert (report.status, report.details["by"]) == ("ok", "silence")
    assert report.why.startswith("By silence, as subscriptions tell too little")
    assert Churn(horizon_days=60, by="subscription").fit(ledger, as_of=AS_OF).report.status == "not_enough_data"
