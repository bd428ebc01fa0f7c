"""Which files a path means: itself, or everything readable in the folder, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXT_ENDINGS = (".csv", ".tsv", ".tab", ".txt", ".psv")
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
BOOK_ENDINGS = (".xlsx", ".xlsm", ".xls", ".ods")
TABLE_ENDINGS = (".parquet",)
PLAIN_ENDINGS = (*TEXT_ENDINGS, *JSON_ENDINGS, *BOOK_ENDINGS, *TABLE_ENDINGS)
PACKED_ENDINGS = (".gz", ".zip")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The files to read, sorted, and a note for every one that was passed over."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def discover(paths: Sequence[str | Path]) -> Found:
    """Give the files that the paths mean, folders searched through, and notes on what was passed over.

    A file that was named is always taken. Raises `DataError` when there is none to read.
    """
    files: dict[Path, None] = {}
    notes: list[str] = []
    for given in paths:
        path = Path(given)
        if path.is_dir():
            for file in _inside(path):
                if readable(file):
                    files[file] = None
                else:
                    notes.append(f"{file.name} was passed over: '{file.suffix or 'no ending'}' is not a table.")
        elif path.is_file():
            files[path] = None
        else:
            raise DataError(f"There is no file or folder '{path}'.")
    if not files:
        listed = ", ".join(str(p) for p in paths) or "nothing"
        endings = ", ".join((*PLAIN_ENDINGS, *PACKED_ENDINGS))
        raise DataError(f"There is no file to read in {listed}. Known endings: {endings}.")
    return Found(files=tuple(files), notes=tuple(notes))


def readable(path: Path) -> bool:
    """Tell by the ending whether a file may be a table; `.json.gz` counts as its inner ending."""
    endings = [s.lower() for s in path.suffixes[-2:]]
    if endings[-1:] == [".gz"]:
        return len(endings) == 1 or endings[0] in {*TEXT_ENDINGS, *JSON_ENDINGS}
    return bool(endings) and endings[-1] in {".zip", *PLAIN_ENDINGS}


def _inside(folder: Path) -> Iterator[Path]:
    """Give the files under a folder, sorted; hidden ones and those in hidden folders are left out."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "~$", "__MACOSX")) for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path
