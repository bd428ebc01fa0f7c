"""Whatever people export becomes columns of text."""

from __future__ import annotations

import gzip
import json
import zipfile
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nextbest.channels.files import Opened, discover, open_file, plain
from nextbest.channels.files.rows import read_all
from nextbest.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

TEXT = "id,name,amount\n007,Zoë,1.50\n008,Jürgen,2.50\n009,Ana,3.50\n"
ROWS = [{"id": "007", "name": "Zoë", "amount": "1.50"}, {"id": "008", "name": "Jürgen", "amount": "2.50"}]


def opened(path: Path, scratch: Path) -> Opened:
    """Open a file of one table."""
    scratch.mkdir(exist_ok=True)
    with open_file(path, scratch=scratch) as tables:
        (one,) = tables
    return one


def put(path: Path, content: bytes) -> Path:
    """Write bytes to a file."""
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", TEXT.encode()),
        ("b.csv", b"\xef\xbb\xbf" + TEXT.encode()),
        ("c.csv", TEXT.encode("utf-16")),
        ("d.csv", TEXT.encode("utf-16-le")),
        ("e.csv", TEXT.encode("utf-32")),
        ("f.csv", TEXT.encode("cp1252")),
        ("g.csv.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("h.csv.gz", gzip.compress(TEXT.encode("utf-16"), mtime=0)),
        ("i.csv", gzip.compress(TEXT.encode(), mtime=0)),
        ("j.tsv", TEXT.replace(",", "\t").encode()),
        ("k.txt", TEXT.replace(",", ";").encode()),
        ("l.csv", TEXT.replace("\n", "\r\n").encode()),
    ],
)
def test_encodings_and_packings_give_the_same_table(tmp_path: Path, name: str, content: bytes) -> None:
    """Byte-order marks, UTF-16 and 32, Windows-1252, gzip and any delimiter change nothing about the rows."""
    path = put(tmp_path / name, content)
    found = opened(path, tmp_path / "scratch")
    assert found.columns == ("id", "name", "amount")
    assert found.sample.slice(0, 2).to_pylist() == ROWS
    assert read_all(path).slice(0, 2).to_pylist() == ROWS
    assert bool(found.notes) == (name == "f.csv")


def test_a_plain_file_is_read_where_it_is(tmp_path: Path) -> None:
    """UTF-8 text is not copied, and its digest is that of its bytes."""
    path = put(tmp_path / "a.csv", TEXT.encode())
    found = opened(path, tmp_path / "scratch")
    assert found.text is not None
    assert found.text.path == path
    assert found.digest == plain.digest(path)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_one_bad_byte_does_not_make_a_utf8_file_latin(tmp_path: Path) -> None:
    """Where most foreign characters are UTF-8, the file is, and the bad line is refused when it is loaded."""
    path = put(tmp_path / "a.csv", TEXT.encode() + b"010,J\xfcrgen,1.0\n")
    assert plain.measure(path).encoding == "utf-8"


def test_every_member_of_a_zip_is_a_table(tmp_path: Path) -> None:
    """Readable members come in order under their own names; the rest is left alone, and nothing is written outside."""
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil.csv", TEXT)
        archive.writestr("/evil.csv", TEXT)
        archive.writestr("b/orders.csv", TEXT)
        archive.writestr("__MACOSX/b/orders.csv", "junk")
        archive.writestr("readme.pdf", "junk")
    scratch = tmp_path / "x" / "y" / "scratch"
    scratch.mkdir(parents=True)
    with open_file(path, scratch=scratch) as tables:
        assert [t.name for t in tables] == ["all.zip//evil.csv", "all.zip/b/orders.csv"]
        assert all(t.text is not None and scratch in t.text.path.parents for t in tables)
    assert list(tmp_path.rglob("evil.csv")) == []


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What unpacks to far more than an export does is refused before it fills the disk, in gzip and in zip."""
    monkeypatch.setattr(plain, "SUSPICIOUS_BYTES", 1 << 20)
    zeros = b"a,b\n" * (4 << 20)
    packed = put(tmp_path / "bomb.csv.gz", gzip.compress(zeros))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", zeros)
    for path in (packed, tmp_path / "bomb.zip"):
        with pytest.raises(DataError, match="which no real export does"):
            opened(path, tmp_path / "scratch")


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("torn.csv.gz", gzip.compress(TEXT.encode() * 1000, mtime=0)[:-20], "damaged gzip"),
        ("torn.zip", b"PK\x03\x04nothing", "cannot be unpacked"),
        ("torn.parquet", b"PAR1nothing", "not a readable Parquet"),
        ("torn.xlsx", b"PK\x03\x04nothing", "not a readable workbook"),
        ("empty.csv", b"", "is empty"),
        ("empty.jsonl", b"\n", "no JSON object"),
    ],
)
def test_damaged_files_say_so(tmp_path: Path, name: str, content: bytes, match: str) -> None:
    """A torn or empty file is an error of data with a name, not a crash."""
    with pytest.raises(DataError, match=match):
        opened(put(tmp_path / name, content), tmp_path / "scratch")


def test_json_lines_keep_nested_values_and_late_keys(tmp_path: Path) -> None:
    """Strings are bare, nested values stay JSON, numbers keep their digits, and a late key is a column too."""
    lines = ['{"id": "007", "n": 12345678901234567890, "in": {"a": [1]}}', '{"id": "é\\n", "late": null, "yes": true}']
    found = opened(put(tmp_path / "a.jsonl", "\n".join(lines).encode()), tmp_path / "scratch")
    assert found.columns == ("id", "n", "in", "late", "yes")
    first, second = found.sample.to_pylist()
    assert (first["id"], first["n"], json.loads(first["in"])) == ("007", "12345678901234567890", {"a": [1]})
    assert (second["late"], second["yes"]) == (None, "true")
    assert not found.unnamed


@pytest.mark.parametrize(
    "text", ['[{"a": 1, "b": "x"},\n {"a": 2, "b": "]"}]', '{"data": [{"a": 1, "b": "x"}, {"a": 2, "b": "]"}]}']
)
def test_lists_of_objects_are_rows(tmp_path: Path, text: str) -> None:
    """A JSON list, bare or inside an answer, is a table."""
    found = opened(put(tmp_path / "a.json", text.encode()), tmp_path / "scratch")
    assert found.sample.to_pylist() == [{"a": "1", "b": "x"}, {"a": "2", "b": "]"}]


def test_a_broken_json_line_stays_a_record_to_be_refused(tmp_path: Path) -> None:
    """A line that is no object is kept, one field too long, so that the reader of records refuses and counts it."""
    found = opened(put(tmp_path / "a.jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n'), tmp_path / "scratch")
    assert found.text is not None
    assert found.text.path.read_text().splitlines() == ["1", '"{""a"":",not a JSON object', "3"]


def test_workbooks_become_text(tmp_path: Path) -> None:
    """Whole numbers have no '.0', dates are ISO, and every sheet with a table is a table of its own."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Orders"
    for row in [
        ["id", "when", "amount", "ok"],
        [7, datetime(2025, 1, 2, 3, 4), 1.5, True],  # noqa: DTZ001 (a workbook has no zones)
        [8, date(2025, 1, 3), 2, False],
    ]:
        sheet.append(row)
    book.create_sheet("Empty")
    people = book.create_sheet("People")
    for row in [["name", "email"], ["Ada", "ada@example.com"]]:
        people.append(row)
    path = tmp_path / "book.xlsx"
    book.save(path)
    (tmp_path / "scratch").mkdir()
    with open_file(path, scratch=tmp_path / "scratch") as tables:
        first, second = tables
    assert (first.name, second.name) == ("book.xlsx/Orders", "book.xlsx/People")
    assert first.sample.to_pylist()[0] == {"id": "7", "when": "2025-01-02 03:04:00", "amount": "1.5", "ok": "true"}
    assert first.sample["when"].to_pylist()[1] == "2025-01-03"
    assert first.digest != second.digest


def test_parquet_is_read_in_batches(tmp_path: Path) -> None:
    """A Parquet file keeps its types; its sample is text."""
    table = pa.table(
        {
            "id": ["a", "b"],
            "ts": pa.array([datetime(2025, 1, 2, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC")),
            "in": [{"x": 1}, None],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    found = opened(tmp_path / "t.parquet", tmp_path / "scratch")
    assert found.table is not None
    assert found.table().read_all().equals(table)
    assert found.sample.to_pylist()[0] == {"id": "a", "ts": "2025-01-02 00:00:00.000000Z", "in": '{"x":1}'}


def test_discover_gives_files_in_order_and_notes_the_rest(tmp_path: Path) -> None:
    """Folders are searched through; hidden files are left out, unknown endings noted, named files always taken."""
    for name in ("b.csv", "a.jsonl", "sub/c.csv.gz", ".hidden.csv", "sub/.git/d.csv", "x.pdf", "noending"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"a,b\n1,2\n")
    found = discover([tmp_path])
    assert [p.relative_to(tmp_path).as_posix() for p in found.files] == ["a.jsonl", "b.csv", "sub/c.csv.gz"]
    assert len(found.notes) == 2
    assert discover([tmp_path / "noending"]).files == (tmp_path / "noending",)
    with pytest.raises(DataError, match="There is no file or folder"):
        discover([tmp_path / "nowhere"])
    with pytest.raises(DataError, match="There is no file to read"):
        discover([_empty(tmp_path)])


def _empty(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def test_a_broken_line_is_named_when_a_whole_table_is_wanted(tmp_path: Path) -> None:
    """Learning from a table that lost lines would be learning from something else: the line is named instead."""
    path = put(tmp_path / "a.csv", b"a,b\n1,2\n3\n4,5\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3: the record has 1 fields"):
        read_all(path)
