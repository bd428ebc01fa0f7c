"""What was proposed is remembered as text, and what was edited there wins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nextbest.channels import mappings
from nextbest.channels.files import open_file
from nextbest.channels.propose import propose
from nextbest.channels.recognise import mapping
from nextbest.channels.systems import STAR, tables
from nextbest.errors import ConfigError, UnknownNameError

if TYPE_CHECKING:
    from pathlib import Path

    from nextbest.channels.files import Opened

TEXT = "customer_id,date,amount\n" + "".join(f"c{i % 7},2025-01-{i % 27 + 1:02d},{i}.50\n" for i in range(30))


def opened(tmp_path: Path, text: str = TEXT, name: str = "Sales 2025.csv") -> Opened:
    """Open a text as a file."""
    path = tmp_path / name
    path.write_text(text)
    (tmp_path / "scratch").mkdir(exist_ok=True)
    with open_file(path, scratch=tmp_path / "scratch") as (one,):
        return one


def test_a_mapping_comes_back_as_it_was(tmp_path: Path) -> None:
    """Remembered and recalled, a mapping is the same, also for another file with the same headers in another order."""
    first = opened(tmp_path)
    proposed = propose(first)
    path = mappings.remember(tmp_path, first, proposed)
    assert path is not None
    assert path.name.startswith("sales-2025-")
    assert mappings.recall(tmp_path, first) == proposed
    other = opened(tmp_path, "Amount,Customer ID,Date\n5,c1,2025-01-02\n", "other.csv")
    assert mappings.key(other) == mappings.key(first)
    assert mappings.recall(tmp_path, opened(tmp_path, "a,b\n1,2\n", "b.csv")) is None


@pytest.mark.parametrize("table", tables(), ids=lambda t: f"{t.system}.{t.name}")
def test_every_mapping_can_be_written(tmp_path: Path, table: object) -> None:
    """The mapping of every known table survives being written and read."""
    entry = next(t for t in tables() if t is table)
    made = mapping(entry.system, entry.name, [h[0].replace(STAR, 'News "A" \\ ü') for h in entry.headers])
    path = tmp_path / "m.toml"
    path.write_text(mappings._written(made, opened(tmp_path)), encoding="utf-8")
    assert mappings.read(path).emits == made.emits


def test_an_edited_file_wins(tmp_path: Path) -> None:
    """What a person wrote into the file is what is recalled, and remembering again does not overwrite it."""
    one = opened(tmp_path)
    path = mappings.remember(tmp_path, one, propose(one))
    assert path is not None
    path.write_text(path.read_text().replace('to = "revenue"', 'to = "discount"'))
    mappings.remember(tmp_path, one, propose(one))
    found = mappings.recall(tmp_path, one)
    assert found is not None
    assert {r.to for r in found.emits[0].columns} == {"ts", "discount"}


def test_the_file_says_how_to_edit_it(tmp_path: Path) -> None:
    """The comment on top names what may be written, and every value stands in plain text."""
    one = opened(tmp_path)
    path = mappings.remember(tmp_path, one, propose(one))
    assert path is not None
    text = path.read_text()
    assert text.startswith("# How Sales 2025.csv becomes facts.")
    assert '{ to = "ts", source = "date", parse = "timestamp", required = true' in text


def test_recognised_tables_are_not_frozen(tmp_path: Path) -> None:
    """A table of the dictionary is remembered only where the user changed it, so that the dictionary may get better."""
    one = opened(tmp_path)
    made = mapping("shopify", "customer_tag", ["customer_id", "value"])
    assert mappings.remember(tmp_path, one, made) is None
    assert mappings.remember(tmp_path, one, made, said=True) is not None


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('kind = "order"', 'kynd = "order"', "no key 'kynd'. Did you mean 'kind'"),
        ('kind = "order"', 'kind = "oder"', "no kind 'oder'. Did you mean 'order'"),
        ('to = "revenue"', 'to = "revenu"', "Did you mean 'revenue'"),
        ('parse = "number"', 'parse = "numbr"', "parse is 'numbr'. Did you mean 'number'"),
        ("[[emits]]", "[[emits", "is not valid TOML"),
        ('system = "file"', "", "lacks the key 'system'"),
    ],
)
def test_slips_in_the_file_are_named(tmp_path: Path, old: str, new: str, match: str) -> None:
    """An unknown key, kind, column or parse is refused with the nearest known one."""
    one = opened(tmp_path)
    path = mappings.remember(tmp_path, one, propose(one))
    assert path is not None
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises((ConfigError, UnknownNameError), match=match):
        mappings.recall(tmp_path, one)


def test_unnamed_columns_are_remembered_by_the_file(tmp_path: Path) -> None:
    """Two files without headers are not taken for one another because they are as wide."""
    rows = "".join(f"{i},{i}\n" for i in range(10))
    assert mappings.key(opened(tmp_path, rows, "a.csv")) != mappings.key(opened(tmp_path, rows, "b.csv"))
