"""The file of rejects can be opened in a spreadsheet without harm, and read by people."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest

from nextbest.ledger import rejects

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "  =1", "\uff1d1+1", "\r=1"]
)
def test_formulas_are_disarmed(text: str) -> None:
    """A text that a spreadsheet would run gets an apostrophe before it."""
    assert rejects.safe_cell(text) == "'" + text


@pytest.mark.parametrize("text", ["-3.50", "+49 30", "12", "a=b", "", "x@y.z", "-1,234.5"])
def test_plain_texts_and_numbers_are_left_alone(text: str) -> None:
    """Numbers stay numbers, whatever their sign."""
    expected = "'" + text if text == "+49 30" else text
    assert rejects.safe_cell(text) == expected


def test_values_are_shown_on_one_short_line() -> None:
    """Line ends and NUL are written out, and a long value is cut."""
    assert rejects.shorten("a\r\nb\0c") == "a\\r\\nb\\0c"
    assert len(rejects.shorten("x" * 10_000)) == 120


def test_no_rejects_leave_no_file(tmp_path: Path) -> None:
    """Nothing rejected, nothing written."""
    assert rejects.write(tmp_path / "r.csv", []) == 0
    assert list(tmp_path.iterdir()) == []


def test_rejects_are_rows_of_a_csv_file(tmp_path: Path) -> None:
    """Every reject is one row that reads back, lone surrogates written out."""
    row = rejects.Reject(7, "price", "\udce9\n=1", "is not a number", "Write a number.")
    assert rejects.write(tmp_path / "r.csv", [row]) == 1
    with (tmp_path / "r.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            list(rejects.HEADER),
            ["7", "price", "\\udce9\\n=1", "is not a number", "Write a number."],
        ]


def test_names_of_files_are_made_safe() -> None:
    """A hostile name of a file stays inside the folder."""
    assert rejects.file_name("../../etc/pass wd;.csv", "abcdef0123") == "etc_pass_wd_.csv-abcdef01.csv"
    assert rejects.file_name("...", "abcdef0123") == "file-abcdef01.csv"
