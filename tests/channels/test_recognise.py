"""The tables of seven systems are told apart by their headers, and a doubt is told as a doubt."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from nextbest.channels.headers import normalised
from nextbest.channels.recognise import SURE, mapping, recognise
from nextbest.channels.systems import NAMES, STAR, Table, tables
from nextbest.errors import UnknownNameError
from nextbest.ledger.kinds import kind

TRIALS = 20
LARGE = 10
UNKNOWN = [
    "Region Manager", "custom_1", "Notiz", "my_score", "abc", "Kundengruppe", "internal_flag", "extra", "foo_bar", "x9",
]  # fmt: skip
# Tables of 3 to 9 columns cannot always be told apart by half of them: the share of trials in which they are right.
SMALL_RIGHT = 0.80
EVERYDAY = [
    ["id", "name", "email"],
    ["id", "email", "name", "created_at", "phone"],
    ["customer_id", "date", "amount"],
    ["order_id", "customer_id", "created_at", "total_price", "currency"],
    ["Name", "Email", "Phone", "City", "Country", "Company"],
    ["user_id", "timestamp", "event", "value"],
    ["date", "channel", "spend", "clicks", "impressions"],
    ["id", "title", "price", "sku", "quantity"],
    ["ticket_id", "subject", "status", "priority", "created_at", "customer_id"],
    ["opportunity_id", "account", "amount", "stage", "close_date", "owner"],
]


def part(table: Table, rng: random.Random, share: float) -> list[str]:
    """Give a share of a table's headers, all as the first or all as the last spelling, and up to five unknown ones."""
    listed = [[s for s in h if not s.endswith(STAR)] for h in table.headers]
    chosen = rng.sample([h for h in listed if h], max(1, round(len([h for h in listed if h]) * share)))
    at = rng.choice([0, -1])
    found = [h[at] for h in chosen] + rng.sample(UNKNOWN, rng.randint(0, 5))
    rng.shuffle(found)
    return found


def trials(table: Table, share: float) -> list[tuple[bool, bool]]:
    """Give (right, sure) of each seeded trial."""
    rng = random.Random(f"{table.system}.{table.name}")
    found = [recognise(part(table, rng, share)) for _ in range(TRIALS)]
    return [((r.system, r.table) == (table.system, table.name), r.confidence >= SURE) for r in found]


def test_every_large_table_is_right_at_half_of_its_columns() -> None:
    """With half of ten or more columns kept and up to five unknown ones added, the table is always the right one."""
    large = [t for t in tables() if len(t.headers) >= LARGE]
    right = {f"{t.system}.{t.name}": sum(r for r, _ in trials(t, 0.5)) / TRIALS for t in large}
    assert len(right) > 40
    assert {n: share for n, share in right.items() if share < 1.0} == {}


def test_small_tables_ask_rather_than_be_wrong() -> None:
    """At half of three to nine columns they are right in most trials, and hardly ever sure of the wrong table."""
    small = {f"{t.system}.{t.name}": trials(t, 0.5) for t in tables() if len(t.headers) < LARGE}
    right = [r for found in small.values() for r, _ in found]
    wrong_and_sure = [not r and sure for found in small.values() for r, sure in found]
    assert sum(right) / len(right) >= SMALL_RIGHT
    assert sum(wrong_and_sure) / len(wrong_and_sure) <= 0.01


def test_whole_large_tables_are_sure() -> None:
    """A table of ten or more columns that is there whole is recognised without asking."""
    large = [t for t in tables() if len(t.headers) >= LARGE]
    doubtful = [t.name for t in large if not all(right and sure for right, sure in trials(t, 1.0))]
    assert doubtful == []


@pytest.mark.parametrize("columns", EVERYDAY, ids=lambda c: c[0])
def test_everyday_headers_belong_to_nobody(columns: list[str]) -> None:
    """Headers that any file may have make no system sure."""
    assert recognise(columns).confidence < SURE


def test_the_order_and_spelling_of_headers_do_not_matter() -> None:
    """Capitals, signs and spaces are not compared, nor is the order."""
    table = next(t for t in tables() if (t.system, t.name) == ("salesforce", "Lead"))
    api = [h[0] for h in table.headers]
    snake = ["".join(f"_{c.lower()}" if c.isupper() else c for c in h).lstrip("_") for h in reversed(api)]
    assert recognise(api).table == recognise(snake).table == "Lead"
    assert recognise(api).confidence == recognise(snake).confidence


def test_a_file_name_settles_a_doubt() -> None:
    """Two columns alone are a doubt; under the name of a table they are none."""
    columns = ["deal_id", "contact_id"]
    assert recognise(columns).confidence < SURE
    found = recognise(columns, name="exports/hubspot_deal_contact.csv")
    assert (found.system, found.table, found.confidence >= SURE) == ("hubspot", "deal_contact", True)


def test_alternatives_come_in_order() -> None:
    """The next tables come with their confidence, likeliest first."""
    found = recognise(["id", "email", "first_name", "last_name", "phone"])
    shares = [found.confidence, *(share for _, _, share in found.alternatives)]
    assert all(a >= b for a, b in pairwise(shares))
    assert len(found.alternatives) == 3


def test_nothing_known_is_nothing() -> None:
    """Headers that no table has give no table."""
    assert recognise(["foo", "bar"]).system == ""


# --- the dictionary ---------------------------------------------------------------------------------------------------


def test_the_dictionary_is_about_seven_systems() -> None:
    """Every system has tables, and every name of one is used once."""
    named = [(t.system, t.name) for t in tables()]
    assert {system for system, _ in named} == set(NAMES)
    assert len(named) == len(set(named)) >= 70


@pytest.mark.parametrize("table", tables(), ids=lambda t: f"{t.system}.{t.name}")
def test_every_table_gives_facts_that_its_kinds_have(table: Table) -> None:
    """Whole, a table gives every emit; each rule goes to a column of its kind, and every source is a header."""
    headers = [h[0].replace(STAR, "Newsletter") for h in table.headers]
    made = mapping(table.system, table.name, headers)
    assert len(made.emits) == (1 if table.empty else len(table.emits))
    for emit in made.emits:
        known = {c.name for c in kind(emit.kind).columns}
        assert {r.to for r in emit.columns} | set(emit.constants) <= known
        assert all(str(r.source).split(".", maxsplit=1)[0] in headers for r in (*emit.columns, *emit.subject))


@pytest.mark.parametrize("table", tables(), ids=lambda t: f"{t.system}.{t.name}")
def test_what_a_table_reads_is_among_its_headers(table: Table) -> None:
    """No emit of the dictionary names a column that the table does not list, and no spelling means two columns."""
    first = {h[0] for h in table.headers}
    for emit in table.emits:
        rules = [*emit["columns"].values(), *emit.get("subject", [])]
        for rule in rules:
            said = rule if isinstance(rule, str) else rule[0] if isinstance(rule, list) else rule["source"]
            for source in [said] if isinstance(said, str) else said:
                assert source.split(".", maxsplit=1)[0] in first or source in first
        assert {*emit.get("needs", ()), *emit.get("group_by", ()), *emit.get("where", {})} <= first
    spelt = [normalised(s) for h in table.headers for s in {normalised(x) for x in h if not x.endswith(STAR)}]
    assert len(spelt) == len(set(spelt))


@pytest.mark.parametrize("header", ["Card Last4", "Card Fingerprint", "Card Exp Year", "Statement Descriptor"])
def test_card_data_is_never_mapped(header: str) -> None:
    """What stands on a card is dropped, whatever else is in the file."""
    table = next(t for t in tables() if (t.system, t.name) == ("stripe", "payments"))
    made = mapping("stripe", "payments", [h[0] for h in table.headers])
    assert header in made.columns_unused


def test_another_models_scores_are_external_scores() -> None:
    """Klaviyo's predicted columns and HubSpot's scores go nowhere but into `external_score`."""
    for system, name, scores in (
        (
            "klaviyo",
            "profiles",
            {"Churn Risk Prediction", "Predicted Customer Lifetime Value", "Expected Date Of Next Order"},
        ),
        ("hubspot", "contacts", {"hs_predictivecontactscore_v2", "hubspotscore"}),
    ):
        table = next(t for t in tables() if (t.system, t.name) == (system, name))
        made = mapping(system, name, [h[0] for h in table.headers])
        found = {r.to for e in made.emits for r in e.columns if r.source in scores}
        assert found <= {"external_score"}


def test_an_unknown_table_is_named_with_the_near_one() -> None:
    """Asking for a table that is not there names what is."""
    with pytest.raises(UnknownNameError, match=r"shopify\.orders"):
        mapping("shopify", "order_s", ["Name"])
