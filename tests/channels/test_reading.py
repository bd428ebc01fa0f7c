"""From exports to the ledger: every file recognised, every row loaded, the same people joined, nothing twice."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from nextbest.channels.files import discover
from nextbest.channels.reading import content_digest, load_arrow, load_file, outcomes_from, read_table
from nextbest.errors import DataError, NextbestError
from nextbest.ledger import analysis, create, identities, outcomes
from nextbest.ledger.mapping import ColumnRule, Emit, FileMapping

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nextbest.channels.reading import LoadedFile
    from nextbest.ledger import Ledger

NOW = datetime(2025, 6, 1, tzinfo=UTC)
SLOW = {"ga4_events.jsonl": pytest.mark.slow, "segment_calls.jsonl": pytest.mark.nightly}
EXPECTED = {
    "ga4_events.jsonl": ("ga4", "events"),
    "ga4_users.jsonl": ("ga4", "users"),
    "hubspot_companies.csv": ("hubspot", "companies"),
    "hubspot_contact_warehouse.csv": ("hubspot", "contacts"),
    "hubspot_contacts_internal.csv": ("hubspot", "contacts"),
    "hubspot_contacts_labels.csv": ("hubspot", "contacts"),
    "hubspot_deal_contact.csv": ("hubspot", "deal_contact"),
    "hubspot_deal_stage.csv": ("hubspot", "deal_stage"),
    "hubspot_deals.csv": ("hubspot", "deals"),
    "hubspot_email_event.csv": ("hubspot", "email_event"),
    "klaviyo_campaigns.csv": ("klaviyo", "campaigns"),
    "klaviyo_event.csv": ("klaviyo", "event"),
    "klaviyo_person.csv": ("klaviyo", "person"),
    "klaviyo_profiles.csv": ("klaviyo", "profiles"),
    "salesforce_Account.csv": ("salesforce", "Account"),
    "salesforce_Lead.csv": ("salesforce", "Lead"),
    "salesforce_Opportunity.csv": ("salesforce", "Opportunity"),
    "salesforce_Task.csv": ("salesforce", "Task"),
    "salesforce_contact_warehouse.csv": ("salesforce", "Contact"),
    "salesforce_report_opportunities.csv": ("salesforce", "Opportunity"),
    "segment_calls.jsonl": ("segment", "calls"),
    "segment_order_completed.csv": ("segment", "order_completed"),
    "segment_pages.csv": ("segment", "pages"),
    "shopify_customers.csv": ("shopify", "customers"),
    "shopify_customers_older.csv": ("shopify", "customers"),
    "shopify_order_warehouse.csv": ("shopify", "order"),
    "shopify_orders.csv": ("shopify", "orders"),
    "shopify_products.csv": ("shopify", "products"),
    "stripe_charge.csv": ("stripe", "charge"),
    "stripe_customers.csv": ("stripe", "customers"),
    "stripe_payments.csv": ("stripe", "payments"),
    "stripe_subscription.csv": ("stripe", "subscription"),
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give an empty workspace."""
    with create(tmp_path / "acme", clock=lambda: NOW) as made:
        yield made


@pytest.fixture
def exports(repository: Path) -> Path:
    """Give the folder of hand-made exports."""
    return repository / "tests" / "fixtures" / "exports"


def load(ledger: Ledger, path: Path, **more: Any) -> LoadedFile:
    """Load a file of one table."""
    (one,) = load_file(ledger, path, **more)
    return one


def rows(ledger: Ledger, kind: str, *columns: str) -> list[dict[str, Any]]:
    """Give columns of a kind, sorted."""
    found: list[dict[str, Any]] = analysis.table(ledger, kind, columns=list(columns)).to_pylist()
    return sorted(found, key=repr)


# --- all seven systems ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW[n]) if n in SLOW else n for n in sorted(EXPECTED)])
def test_every_export_is_recognised_and_loads_whole(ledger: Ledger, exports: Path, name: str) -> None:
    """The right system and table, no row rejected, something stored, and the file a second time changes nothing."""
    found = load(ledger, exports / name)
    assert (found.recognised_as["system"], found.recognised_as["table"]) == EXPECTED[name]
    assert (found.rows_rejected, found.rows_accepted) == (0, found.rows_read)
    assert found.rows_read >= 5
    assert sum(found.by_kind.values()) > 0
    again = load(ledger, exports / name)
    assert (again.rows_new, again.already_loaded, again.rows_read) == (0, True, found.rows_read)


def test_every_fixture_is_expected(exports: Path) -> None:
    """The list above names every file of the folder, and all seven systems."""
    assert {p.name for p in discover([exports]).files} == set(EXPECTED)
    assert len({system for system, _ in EXPECTED.values()}) == 7


@pytest.mark.slow
def test_the_same_people_are_joined_across_systems(ledger: Ledger, exports: Path) -> None:
    """Ada is one subject in Shopify, Stripe, HubSpot, Klaviyo and Salesforce, by her e-mail in any spelling."""
    names = ("shopify_customers", "shopify_orders", "stripe_customers", "hubspot_contacts_labels", "klaviyo_person")
    for name in (*names, "salesforce_contact_warehouse"):
        load(ledger, exports / f"{name}.csv")
    assert identities.join_duplicates(ledger) > 0
    people = rows(ledger, "subjects", "subject_id", "email")
    assert sorted(p["email"].lower() for p in people if p["email"]) == sorted(
        f"{n}@example.com" for n in ("ada", "ben", "cleo", "dan", "eva", "finn")
    )
    ada = identities.resolve(ledger, "ADA@example.com")
    assert ada == identities.resolve(ledger, "shopify:9013808660771") == identities.resolve(ledger, "stripe:cus_0")
    assert {r["subject_id"] for r in rows(ledger, "order", "subject_id", "order_id") if r["order_id"] == "#1001"} == {
        ada
    }


# --- the traps of real exports ----------------------------------------------------------------------------------------


def test_shopify_orders_are_grouped_by_name(ledger: Ledger, exports: Path) -> None:
    """One line per item, order fields on the first: five orders with totals, eight lines with their customer."""
    load(ledger, exports / "shopify_orders.csv")
    orders = rows(ledger, "order", "order_id", "revenue", "quantity", "currency", "subject_id")
    assert [(o["order_id"], o["revenue"], o["quantity"]) for o in orders] == [
        ("#1001", pytest.approx(48.9), 4.0),
        ("#1002", pytest.approx(19.9), 3.0),
        ("#1003", pytest.approx(24.4), 3.0),
        ("#1004", pytest.approx(24.9), 1.0),
        ("#1005", pytest.approx(42.9), 4.0),
    ]
    lines = rows(ledger, "order_line", "order_id", "subject_id", "ts", "product_id")
    assert len(lines) == 8
    customer = {o["order_id"]: o["subject_id"] for o in orders}
    assert all(line["subject_id"] == customer[line["order_id"]] for line in lines)
    assert {line["ts"] for line in lines if line["order_id"] == "#1001"} == {datetime(2025, 1, 11, 9, tzinfo=UTC)}


def test_shopify_apostrophes_go_and_zeros_stay(ledger: Ledger, exports: Path) -> None:
    """Ids and zips lose their apostrophe and keep their leading zero, and permission is read per channel."""
    load(ledger, exports / "shopify_customers.csv")
    people = rows(ledger, "subjects", "subject_id", "zip", "historic_value")
    assert people[0] == {"subject_id": "shopify:9013808660771", "zip": "01010", "historic_value": pytest.approx(30.4)}
    consent = rows(ledger, "consent", "subject_id", "channel", "allowed")
    assert [c["allowed"] for c in consent if c["channel"] == "email"].count(True) == 3
    assert [c["allowed"] for c in consent if c["channel"] == "sms"] == [False] * 6


def test_older_shopify_customers_are_known_by_e_mail(ledger: Ledger, exports: Path) -> None:
    """Without a Customer ID the e-mail makes the subject, under a pseudonym."""
    load(ledger, exports / "shopify_customers_older.csv")
    assert all(p["subject_id"].startswith("p_") for p in rows(ledger, "subjects", "subject_id"))


def test_stripe_amounts_are_decimal_in_the_dashboard_and_minor_in_the_api(ledger: Ledger, exports: Path) -> None:
    """12,345.60 of the CSV stays what it is; 1050 of the API is 10.50, and its epoch is a time."""
    load(ledger, exports / "stripe_payments.csv")
    load(ledger, exports / "stripe_charge.csv")
    paid = {r["payment_id"]: r for r in rows(ledger, "payment", "payment_id", "amount", "ts")}
    assert paid["ch_0"]["amount"] == 12_345.60
    assert (paid["ch_90"]["amount"], paid["ch_90"]["ts"]) == (10.5, datetime(2025, 2, 1, tzinfo=UTC))


def test_nothing_of_a_card_is_stored(ledger: Ledger, exports: Path) -> None:
    """The columns of the card are not used, and its number is in no fact."""
    found = load(ledger, exports / "stripe_payments.csv")
    assert {"Card Last4", "Card ID", "Card Name", "Statement Descriptor"} <= set(found.columns_unused)
    assert "4242" not in repr(analysis.table(ledger, "payment").to_pylist())


def test_hubspot_is_one_table_in_three_spellings(ledger: Ledger, exports: Path) -> None:
    """Labels, internal names and property_ names fill the same columns; opt-outs of all kinds are refusals."""
    for name in ("hubspot_contacts_labels", "hubspot_contacts_internal", "hubspot_contact_warehouse"):
        load(ledger, exports / f"{name}.csv")
    people = {p["subject_id"]: p for p in rows(ledger, "subjects", "subject_id", "lifecycle_stage", "first_name")}
    assert [people[f"hubspot:{i}0"]["lifecycle_stage"] for i in (30, 40, 50)] == ["lead", "customer", "subscriber"]
    assert {p["first_name"] for p in people.values()} == {"Ada", "Ben", "Cleo", "Dan", "Eva", "Finn"}
    denied = {c["subject_id"] for c in rows(ledger, "consent", "subject_id", "allowed") if c["allowed"] is False}
    assert denied == {"hubspot:301", "hubspot:302", "hubspot:504"}
    assert all(not c["allowed"] for c in rows(ledger, "consent", "allowed"))


def test_deals_do_not_share_ids_with_contacts(ledger: Ledger, exports: Path) -> None:
    """HubSpot counts contacts and deals from one: their ids carry what they are."""
    load(ledger, exports / "hubspot_deals.csv")
    load(ledger, exports / "hubspot_deal_contact.csv")
    assert {d["subject_id"] for d in rows(ledger, "deal_stage", "subject_id")} == {
        f"hubspot:deal:9{i}" for i in range(6)
    }
    first = rows(ledger, "links", "subject_id", "to_subject_id")[0]
    assert first == {"subject_id": "hubspot:300", "to_subject_id": "hubspot:deal:90"}


def test_salesforce_reports_in_european_form_are_read(ledger: Ledger, exports: Path) -> None:
    """Report labels, semicolons, decimal commas and days first are the same opportunity."""
    load(ledger, exports / "salesforce_report_opportunities.csv")
    first = rows(ledger, "deal_stage", "deal_id", "amount", "ts", "stage")[0]
    assert first == {
        "deal_id": "00610000000",
        "amount": 1000.5,
        "ts": datetime(2025, 1, 13, tzinfo=UTC),
        "stage": "Negotiation",
    }


def test_salesforce_leads_keep_what_came_of_them_apart(ledger: Ledger, exports: Path) -> None:
    """Conversion is a label at its own time, never an attribute of the lead."""
    found = load(ledger, exports / "salesforce_Lead.csv")
    assert [(r["subject_id"], r["name"]) for r in rows(ledger, "label", "subject_id", "name")] == [
        ("salesforce:00Q000000004AAA", "converted"),
        ("salesforce:00Q000000005AAA", "converted"),
    ]
    assert {"ConvertedAccountId", "ConvertedOpportunityId", "Region__c"} <= set(found.columns_unused)


@pytest.mark.slow
def test_ga4_events_are_unpacked(ledger: Ledger, exports: Path) -> None:
    """Microseconds are times, items of a purchase are order lines, and consent is one row per device."""
    load(ledger, exports / "ga4_events.jsonl")
    (order,) = rows(ledger, "order", "order_id", "revenue", "ts")
    assert order == {"order_id": "#1001", "revenue": 44.0, "ts": datetime(2025, 1, 10, 10, 0, 5, tzinfo=UTC)}
    lines = rows(ledger, "order_line", "product_id", "quantity", "revenue")
    assert lines == [
        {"product_id": "MUG-1", "quantity": 2.0, "revenue": 19.0},
        {"product_id": "TEA-1", "quantity": 1.0, "revenue": 5.0},
    ]
    assert [v["product_id"] for v in rows(ledger, "product_view", "product_id")] == ["MUG-1"]
    consent = rows(ledger, "consent", "channel", "allowed")
    assert consent == [{"channel": "ads", "allowed": False}, {"channel": "ads", "allowed": True}]


def test_klaviyo_predictions_are_external_and_suppressions_are_refusals(ledger: Ledger, exports: Path) -> None:
    """Churn risk is another model's score; 'never subscribed' is no permission and no refusal either."""
    found = load(ledger, exports / "klaviyo_profiles.csv")
    assert {p["external_score"] for p in rows(ledger, "subjects", "external_score")} == {0.42}
    assert "Predicted Customer Lifetime Value" in found.columns_unused
    told = {(c["subject_id"], c["allowed"]) for c in rows(ledger, "consent", "subject_id", "allowed")}
    assert told == {
        ("klaviyo:01H0", True),
        ("klaviyo:01H3", True),
        ("klaviyo:01H2", False),
        ("klaviyo:01H5", False),
    }


@pytest.mark.nightly
def test_segment_calls_become_facts(ledger: Ledger, exports: Path) -> None:
    """An identify makes subjects, Order Completed orders with their lines, Unsubscribed a refusal, group a tie."""
    load(ledger, exports / "segment_calls.jsonl")
    assert {s["email"] for s in rows(ledger, "subjects", "email")} >= {"ada@example.com", "dan@example.com"}
    lines = rows(ledger, "order_line", "order_id", "product_id", "price", "quantity")
    assert [(x["product_id"], x["price"], x["quantity"]) for x in lines] == [("MUG-1", 9.5, 2.0), ("TEA-1", 5.0, 1.0)]
    assert [(c["subject_id"], c["allowed"]) for c in rows(ledger, "consent", "subject_id", "allowed")] == [
        ("segment:u2", False)
    ]
    assert rows(ledger, "links", "to_subject_id") == [{"to_subject_id": "segment:group:g1"}]


# --- any other file ---------------------------------------------------------------------------------------------------

ORDERS = "customer_id,order_date,total\n" + "".join(f"c{i % 7},2025-01-{i % 27 + 1:02d},{i}.50\n" for i in range(30))


def test_rows_that_cannot_be_read_are_counted_and_kept(ledger: Ledger, tmp_path: Path) -> None:
    """All rows are accepted or rejected, and the rejects say line, column and reason."""
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS + "c1,2025-01-02,many\nc2,someday,3\nc3,2025-01-04\n,2025-01-05,4\n")
    found = load(ledger, path)
    assert (found.rows_read, found.rows_accepted, found.rows_rejected) == (34, 30, 4)
    assert found.rejected_file is not None
    with (ledger.path / found.rejected_file).open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 4


def test_broken_json_lines_are_rejected_and_counted(ledger: Ledger, tmp_path: Path) -> None:
    """A line that is no object is a rejected row, not a lost one."""
    lines = [
        f'{{"customer_id": "c{i}", "date": "2025-01-0{i + 1}", "amount": {i}.5, "order_id": "o{i}"}}' for i in range(6)
    ]
    path = tmp_path / "orders.jsonl"
    path.write_text("\n".join([*lines[:3], '{"customer_id": ', *lines[3:]]) + "\n")
    found = load(ledger, path)
    assert (found.rows_read, found.rows_accepted, found.rows_rejected) == (7, 6, 1)


def test_a_dry_run_keeps_nothing(ledger: Ledger, tmp_path: Path) -> None:
    """Figures and mapping are shown; neither facts nor mappings nor scratch files stay."""
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    before = sorted(p for p in ledger.path.rglob("*") if "sqlite" not in p.name and not p.is_dir())
    found = load(ledger, path, dry_run=True)
    assert found.rows_accepted == 30
    assert found.mapping[0] == "order: one row per line"
    assert sorted(p for p in ledger.path.rglob("*") if "sqlite" not in p.name and not p.is_dir()) == before
    assert analysis.kinds_present(ledger) == {}


def test_what_the_user_says_is_remembered(ledger: Ledger, tmp_path: Path) -> None:
    """The next file with these headers is read as this one was, without being told again."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_text(ORDERS)
    second.write_text(ORDERS.replace("c1", "d1"))
    load(ledger, first, kind="payment", overrides={"total": "amount"})
    assert set(load(ledger, second).by_kind) == {"payment"}
    assert set(load(ledger, second, kind="order", dry_run=True).by_kind) <= {"order"}


def test_what_cannot_be_understood_says_what_to_do(ledger: Ledger, tmp_path: Path) -> None:
    """A table about nobody is refused with its columns and with what to say."""
    path = tmp_path / "x.csv"
    path.write_text("recency,visit\n" + "1,0\n2,1\n" * 5)
    with pytest.raises(DataError, match=r"It has: recency, visit\. .*--as order --map"):
        load(ledger, path)


def test_progress_goes_from_nought_to_one(ledger: Ledger, tmp_path: Path) -> None:
    """Progress never goes back and stays within 0 and 1."""
    path = tmp_path / "orders.csv"
    path.write_text(ORDERS)
    told: list[float] = []
    load(ledger, path, progress=told.append)
    assert told == sorted(told)
    assert all(0 <= share <= 1 for share in told)


# --- tables and outcomes ----------------------------------------------------------------------------------------------

MAPPING = FileMapping(
    system="test",
    table="orders",
    confidence=1.0,
    emits=(
        Emit(
            kind="order",
            subject=(ColumnRule(to="subject_id", source="who", parse="id"),),
            columns=(
                ColumnRule(to="ts", source="when", parse="timestamp", required=True),
                ColumnRule(to="revenue", source="money", parse="number"),
            ),
        ),
    ),
)


def test_an_arrow_table_loads_once(ledger: Ledger) -> None:
    """The same content under the same mapping changes nothing, however it is cut into chunks."""
    table = pa.table({"who": ["a", None, "b"], "when": [NOW, NOW, NOW], "money": [1.5, 2.0, None]})
    found = load_arrow(ledger, table, MAPPING, name="orders")
    assert (found.rows_read, found.rows_accepted, found.rows_rejected) == (3, 2, 1)
    cut = pa.concat_tables([table.slice(0, 1), table.slice(1)])
    assert content_digest(cut, MAPPING) == content_digest(table, MAPPING)
    assert load_arrow(ledger, cut, MAPPING, name="orders").already_loaded
    assert content_digest(table.slice(1), MAPPING) != content_digest(table, MAPPING)


def test_outcomes_are_the_same_every_time(ledger: Ledger, exports: Path, tmp_path: Path) -> None:
    """Ids and e-mails find their subject, equal rows count apart, and recording a file again adds nothing."""
    load(ledger, exports / "shopify_customers.csv")
    path = tmp_path / "redeemed.csv"
    path.write_text(
        "email;redeemed at;value\nADA@example.com;13.02.2025;1,5\nada@example.com;13.02.2025;1,5\n"
        "x@example.com;14.02.2025;2\n"
    )
    found = outcomes_from(ledger, path, name="coupon")
    assert [o.value for o in found] == [1.5, 1.5, 2.0]
    assert [o.subject_id for o in found[:2]] == ["shopify:9013808660771"] * 2
    assert found[2].subject_id.startswith("p_")
    assert len({o.outcome_id for o in found}) == 3
    assert outcomes.record(ledger, found) == 3
    assert outcomes.record(ledger, outcomes_from(ledger, path, name="coupon")) == 0


def test_outcomes_come_from_tables_too(ledger: Ledger) -> None:
    """A table with ids and times counts one per row; its name column names the outcome."""
    table = pa.table({"subject_id": ["c1"], "ts": [NOW], "name": ["visit"]})
    (one,) = outcomes_from(ledger, table)
    assert (one.subject_id, one.name, one.value, one.ts) == ("c1", "visit", 1.0, NOW)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("subject_id,value\nc1,2\n", "does not say when"),
        ("ts,value\n2025-01-02,2\n", "does not say who"),
        ("subject_id,ts,value\nc1,2025-01-02,nan\n", "is not a"),
        ("subject_id,ts,value\nc1,2025-01-02,\nc1,2025-01-02,1\n", "Row 1: '' in column 'value' is not a number"),
        ("subject_id,ts,value\nc1,,2\n", "row 1: 'ts' is empty"),
        ("decision_id,ts\nd_nowhere,2025-01-02\n", "there is no decision 'd_nowhere'"),
    ],
)
def test_outcomes_that_say_too_little_are_refused(ledger: Ledger, tmp_path: Path, text: str, match: str) -> None:
    """Who, when and how much must be said, and what is wrong is named."""
    path = tmp_path / "o.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=match):
        outcomes_from(ledger, path, name="visit")


def test_dated_rows_without_a_meaning_say_how_to_make_them_orders(ledger: Ledger, tmp_path: Path) -> None:
    """Who and when alone is an event with a note that names --as order; said so, the rows are orders without a note."""
    path = tmp_path / "y.csv"
    path.write_text("Kunde;Datum\n" + "".join(f"c{i % 7};{i % 27 + 1:02d}.01.2025\n" for i in range(40)))
    (asked,) = load_file(ledger, path, dry_run=True)
    assert dict(asked.by_kind) == {"custom": 40}
    assert asked.notes == (
        "Nothing says what happened in a row: each counts as an event 'y'. If each is an order: --as order.",
    )
    (said,) = load_file(ledger, path, kind="order")
    assert (dict(said.by_kind), said.notes) == ({"order": 40}, ())


def test_a_flat_table_is_read_as_text(tmp_path: Path) -> None:
    """Ids keep their zeros, empty cells are null."""
    path = tmp_path / "t.csv"
    path.write_text("id,score\n007,1.50\n008,\n")
    assert read_table(path).to_pylist() == [{"id": "007", "score": "1.50"}, {"id": "008", "score": None}]


# --- real data --------------------------------------------------------------------------------------------------------

REAL = {
    "churn-telco/Telco-Customer-Churn.csv": ("subjects", 7_043),
    "ltv-cdnow/CDNOW_master.txt.gz": ("order", 69_659),
    "leads-x-education/lead_scoring.csv.gz": ("subjects", 9_240),
    "pipeline-maven-crm/sales_pipeline.csv": ("deal_stage", 8_800),
    "pipeline-maven-crm/accounts.csv": ("subjects", 85),
    "pipeline-maven-crm/products.csv": ("items", 7),
    "sendtime-outspot/opens_dev.csv.gz": ("message_open", 55_067),
    "clicks-expedia/expedia.csv.gz": ("page_view", 100_000),
    "er-febrl/dataset1.csv": ("subjects", 1_000),
    "campaign-personality/marketing_data.csv": ("subjects", 2_240),
    "abtest-cookie-cats/cookie_cats.csv.gz": ("subjects", 90_189),
    "retail-completejourney/coupon_redemptions.parquet": ("coupon_redeem", 2_102),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_get_sensible_kinds(ledger: Ledger, shared_data: Path, name: str) -> None:
    """Twelve published files are proposed as what they are, and accepted + rejected = read = the published rows."""
    kind, published = REAL[name]
    found = load(ledger, shared_data / name, dry_run=True)
    assert next(iter(found.by_kind)) == kind
    assert found.rows_accepted + found.rows_rejected == found.rows_read == published


@pytest.mark.slow
def test_no_real_file_is_taken_for_an_export_or_crashes(ledger: Ledger, shared_data: Path) -> None:
    """Every other file is proposed or refused with a remedy; none is taken for a table of the dictionary."""
    known = [p for p in discover([shared_data]).files if p.name != "transactions.parquet"]
    for path in known:
        try:
            found = load_file(ledger, path, dry_run=True)
        except NextbestError as error:
            assert "--map" in str(error)  # noqa: PT017 (either is fine)
        else:
            assert {f.recognised_as["system"] for f in found} == {"file"}


def test_a_file_without_headers_is_mapped_by_position(ledger: Ledger, shared_data: Path) -> None:
    """The one-tenth sample of CDNOW has no header: positions say what its columns are."""
    said = {"0": "subject_id", "2": "ts", "3": "quantity", "4": "revenue"}
    found = load(ledger, shared_data / "ltv-cdnow" / "CDNOW_sample.txt.gz", kind="order", overrides=said)
    assert (found.rows_accepted, found.rows_rejected, set(found.by_kind)) == (6_919, 0, {"order"})
