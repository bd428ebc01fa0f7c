"""Read the values of a column as people have them: numbers and dates written as text, blanks as missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLANK = pa.array(["", "na", "n/a", "nan", "null", "none", "-", "--", "?", "#n/a", "nil", "(null)"])
_NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?$"
_DECIMAL_COMMA = r"^[+-]?\d{1,3}(\.?\d{3})*,\d+$"
_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$"
_LEADING_ZERO = r"^0\d+$"
_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
_MOSTLY = 0.98


def plain(column: pa.ChunkedArray) -> pa.Array:
    """Give the column as one array, dictionaries unpacked; text is trimmed and blanks are null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # a column without chunks
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not is_text(array.type):
        return array
    trimmed = pc.utf8_trim_whitespace(array.cast(pa.string()))
    return pc.if_else(pc.is_in(pc.utf8_lower(trimmed), _BLANK), None, trimmed)


def is_text(kind: pa.DataType) -> bool:
    """Tell whether values of this type are text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def numbers(array: pa.Array, counts: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
    """Give the values as float64, missing and infinite ones as NaN; None when they are not numbers.

    Text counts as numbers when almost every value is one ("1234.5", "1.234,50", "1,234.50", "$12", "85%") and none
    starts with a zero it would lose ("01234" is a code). *counts* weigh the values, when each stands for many rows.
    """
    if pa.types.is_boolean(array.type) or pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return _floats(array.cast(pa.float64(), safe=False))
    if pa.types.is_decimal(array.type):
        return _floats(array.cast(pa.float64(), safe=False))
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    return _from_text(array, counts) if is_text(array.type) else None


def _from_text(array: pa.Array, counts: NDArray[np.int64] | None) -> NDArray[np.float64] | None:
    present = len(array) - array.null_count
    if not present:
        return np.full(len(array), np.nan)
    if pc.any(pc.match_substring_regex(array, _LEADING_ZERO)).as_py():
        return None
    parsed = read_numbers(array)
    return parsed if _share(parsed, present, counts) >= _MOSTLY else None


def read_numbers(array: pa.Array) -> NDArray[np.float64]:
    """Give the numbers in a text column; what is no number becomes NaN."""
    bare = pc.replace_substring_regex(array, r"^[$€£¥]\s*|\s*[%$€£¥]$", "")
    comma = pc.match_substring_regex(bare, _DECIMAL_COMMA)
    if pc.any(pc.and_(comma, pc.invert(pc.match_substring_regex(bare, _THOUSANDS)))).as_py():
        bare = pc.if_else(comma, pc.replace_substring(pc.replace_substring(bare, ".", ""), ",", "."), bare)
    else:
        bare = pc.if_else(pc.match_substring_regex(bare, _THOUSANDS), pc.replace_substring(bare, ",", ""), bare)
    good = pc.if_else(pc.match_substring_regex(bare, _NUMBER), bare, None)
    return _floats(good.cast(pa.float64()))


def days(array: pa.Array, counts: NDArray[np.int64] | None = None) -> NDArray[np.float64] | None:
    """Give dates and times as days since 1970-01-01 (UTC), NaN where missing; None when they are not dates.

    *counts* weigh the values, when each stands for many rows.
    """
    if pa.types.is_timestamp(array.type) or pa.types.is_date(array.type):
        stamp = array.cast(pa.timestamp("us", tz=getattr(array.type, "tz", None)))
        return _floats(stamp.cast(pa.int64()).cast(pa.float64())) / 86_400e6
    if not is_text(array.type):
        return None
    present = len(array) - array.null_count
    for form in _DATE_FORMATS:
        found = read_days(array, form)
        if present and _share(found, present, counts) >= _MOSTLY:
            return found
    return None


def read_days(array: pa.Array, form: str) -> NDArray[np.float64]:
    """Give the days since 1970-01-01 of text dates in one format, NaN for what does not fit it."""
    short = pc.utf8_slice_codeunits(array, 0, 19) if form.endswith("%S") else array
    stamps = pc.strptime(short, format=form, unit="s", error_is_null=True)
    return _floats(stamps.cast(pa.int64()).cast(pa.float64())) / 86_400


def _floats(array: pa.Array) -> NDArray[np.float64]:
    values: NDArray[np.float64] = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=True)
    values[~np.isfinite(values)] = np.nan
    return values


def _share(values: NDArray[np.float64], present: int, counts: NDArray[np.int64] | None) -> float:
    read = np.isfinite(values)
    return float(read.sum()) / present if counts is None else float(counts[read].sum()) / float(counts.sum())
