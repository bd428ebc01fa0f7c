"""From the bytes on the disk to plain UTF-8 text: unpacked, decoded, measured, and never held whole."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, cast

from nextbest.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 1 << 20
UNPACKED_LIMIT = 50 * 1024**3
SUSPICIOUS_BYTES, SUSPICIOUS_RATIO = 200 * 1024**2, 250
GZIP, ZIP, PARQUET = b"\x1f\x8b", b"PK\x03\x04", b"PAR1"
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_LONE = re.compile("[\udc80-\udcff]")
_FOREIGN = re.compile("[^\x00-\x7f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one pass over a text's bytes told: their SHA-256, their encoding, and a note when it had to be guessed."""

    digest: str
    encoding: str
    note: str = ""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, through gzip when its first two bytes say so."""
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP
        raw.seek(0)
        if packed:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            yield raw


def chunks(path: Path) -> Iterator[bytes]:
    """Give the unpacked bytes of a file piece by piece; raises `DataError` for a bomb or a torn file."""
    size, total = max(path.stat().st_size, 1), 0
    try:
        with opened(path) as stream:
            while chunk := stream.read(CHUNK):
                total += len(chunk)
                check_size(path.name, packed=size, unpacked=total)
                yield chunk
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path.name} is a damaged gzip file: {error}. Export it again.") from error


def check_size(name: str, *, packed: int, unpacked: int) -> None:
    """Refuse what unpacks to more than a real export does."""
    bomb = unpacked > SUSPICIOUS_BYTES and unpacked > SUSPICIOUS_RATIO * packed
    if bomb or unpacked > UNPACKED_LIMIT:
        raise DataError(
            f"{name} unpacks to more than {unpacked // 1024**2:,} MB from {packed / 1024**2:,.1f} MB, "
            f"which no real export does. If it is genuine, unpack it and load what is inside."
        )


def measure(path: Path) -> Measured:
    """Give digest and encoding of a text file, from one pass over all of its bytes.

    A byte-order mark decides; else UTF-16 by its zero bytes; else UTF-8, unless most of what is not ASCII is no UTF-8.
    """
    told = digest(path)
    pieces = chunks(path)
    first = next(pieces, b"")
    if encoding := _by_mark(first) or _by_zeros(first):
        return Measured(digest=told, encoding=encoding)
    good, bad = _utf8(first, pieces)
    if bad > good:
        note = f"{path.name} is not UTF-8; it was read as Windows-1252 (Western European). Check the umlauts."
        return Measured(digest=told, encoding="cp1252", note=note)
    return Measured(digest=told, encoding="utf-8")


def decoded(path: Path, encoding: str) -> Iterator[str]:
    """Give the text of a file piece by piece; what cannot be decoded becomes the replacement character."""
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for chunk in chunks(path):
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def digest(path: Path) -> str:
    """Give the SHA-256 of a file's bytes as they are, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rewrite(path: Path, encoding: str, target: Path) -> None:
    """Write a file's text to *target* as plain UTF-8 without a byte-order mark; UTF-8 passes byte by byte."""
    with target.open("wb") as out:
        if encoding == "utf-8":
            for chunk in chunks(path):
                out.write(chunk)
        else:
            for text in decoded(path, encoding):
                out.write(text.encode("utf-8", errors="replace"))


def _by_mark(first: bytes) -> str:
    return next((name for mark, name in _MARKS if first.startswith(mark)), "")


def _by_zeros(first: bytes) -> str:
    """Tell UTF-16 and UTF-32 without a mark by where the zero bytes of ASCII text stand."""
    head = first[:4096]
    if head.count(0) < len(head) // 4:
        return ""
    if not any(head[i::4].count(0) < len(head) // 8 for i in (1, 2, 3)):
        return "utf-32-le"
    return "utf-16-le" if head[1::2].count(0) > head[0::2].count(0) else "utf-16-be"


def _utf8(first: bytes, rest: Iterator[bytes]) -> tuple[int, int]:
    """Count the foreign characters that are UTF-8, and the bytes that are not."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="surrogateescape")
    good = bad = 0
    held = False
    for chunk in chain((first,), rest):
        if chunk.isascii() and not held:
            continue
        text = decoder.decode(chunk)
        held = bool(decoder.getstate()[0])
        lone = len(_LONE.findall(text))
        bad += lone
        good += len(_FOREIGN.findall(text)) - lone
    return good, bad + len(_LONE.findall(decoder.decode(b"", final=True)))
