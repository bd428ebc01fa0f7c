"""How a text is written is told from a sample of it."""

from __future__ import annotations

import csv
import io
import random

import pytest

from nextbest.channels.files.sniff import names, sniff

NAMES = ["Ada Berg", "Ben, the younger", 'Cleo "C" Dahl', "Dan", "Eva\nFink"]


def written(delimiter: str, rows: list[list[str]], quote: str = '"') -> str:
    """Give rows as CSV text."""
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quotechar=quote, lineterminator="\n").writerows(rows)
    return out.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", "^"])
@pytest.mark.parametrize("seed", range(5))
def test_the_delimiter_is_found_whatever_the_cells_hold(delimiter: str, seed: int) -> None:
    """Commas, quotes and line breaks inside cells mislead nobody."""
    rng = random.Random(seed)
    rows = [["id", "name", "amount", "date"]]
    rows += [[str(i), rng.choice(NAMES), f"{rng.random():.2f}", "2025-01-02"] for i in range(40)]
    found = sniff(written(delimiter, rows))
    assert (found.delimiter, found.header, found.columns) == (delimiter, True, ("id", "name", "amount", "date"))
    assert [list(r) for r in found.records] == rows[1:]


def test_semicolons_with_decimal_commas_are_european() -> None:
    """A file of semicolons is not split at the commas of its numbers, and its decimal mark is the comma."""
    rows = "\n".join(f"{i};{i},50;1.234,{i:02d}" for i in range(10, 40))
    found = sniff(f"Kunde;Betrag;Umsatz\n{rows}\n")
    assert (found.delimiter, found.decimal, found.columns) == (";", ",", ("Kunde", "Betrag", "Umsatz"))


def test_thousands_do_not_make_a_decimal_comma() -> None:
    """1,234 may be either and decides nothing; 1,234.50 is a decimal point."""
    assert sniff("a|b\n1,234|2\n5,678|3\n").decimal == "."
    assert sniff("a|b\n1,234.50|2\n5,678.00|3\n").decimal == "."


def test_lines_above_the_table_are_skipped() -> None:
    """A title and a blank line above the header are no part of the table."""
    found = sniff("Report of January\n\nid,name,amount\n1,Ada,2.50\n2,Ben,3.50\n3,Cleo,4.50\n")
    assert (found.columns, found.skip_lines) == (("id", "name", "amount"), 2)


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("A11,6,A34\nA12,48,A32\nA14,12,A34\nA11,42,A32\n", False),
        ("39,Private,77516\n50,Private,83311\n38,Private,215646\n", False),
        ("text,category\nwhere is it,card\nlost it,card\n", True),
        (",Date,Price,Bags,4046,4225\n0,2015-12-27,1.3,8.5,1036.7,54.8\n1,2015-12-20,1.4,9.5,674.2,44.8\n", True),
        ("id,email\n", True),
        ("1,ada@example.com\n", False),
    ],
)
def test_a_header_is_told_from_a_first_row(text: str, header: bool) -> None:  # noqa: FBT001 (what is expected)
    """Words above numbers are a header, a first row like the others is none; codes as headers do not mislead."""
    assert sniff(text).header is header


def test_tables_set_in_spaces_are_read() -> None:
    """Columns aligned with runs of spaces are columns."""
    found = sniff(" customer date  value\n 00001 19970101  11.77\n 00002 19970112   9.00\n")
    assert (found.delimiter, found.columns) == (" ", ("customer", "date", "value"))


def test_backslash_escapes_are_seen() -> None:
    """A quote written as a backslash and a quote does not end its field."""
    rows = "".join(f'{i},"said \\"no, {i}\\" twice",x\n' for i in range(20))
    found = sniff("id,said,rest\n" + rows)
    assert (found.escape, found.records[0][1]) == ("\\", 'said "no, 0" twice')


def test_single_quotes_are_quotes_only_when_they_close() -> None:
    """Apostrophes before ids, as Shopify writes them, are no quotation marks."""
    ids = sniff("id,name\n" + "".join(f"'90{i},x\n" for i in range(20)))
    quoted = sniff("id,name\n" + "".join(f"{i},'a, b'\n" for i in range(20)))
    assert ids.quote == '"'
    assert (quoted.quote, quoted.records[0]) == ("'", ("0", "a, b"))


def test_columns_get_names_of_their_own() -> None:
    """Unnamed columns are numbered by position, repeated ones by turn."""
    assert names(["a", "", "a"], header=True) == ("a", "column_1", "a (2)")
    assert names(["x", "y"], header=False) == ("column_0", "column_1")


def test_an_empty_text_has_no_columns() -> None:
    """Nothing gives nothing."""
    assert sniff("\n \n").columns == ()
