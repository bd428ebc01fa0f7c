"""Columns that say who somebody is, not what they are like: never a feature."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from nextbest.ledger.kinds import KINDS

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Vector = NDArray[np.float64]

# One list for the whole product: what the ledger calls personal is never learnt from.
_PERSONAL = frozenset(c.name for k in KINDS.values() for c in k.columns if c.personal)
_ALSO = frozenset({
    "mail", "email_address", "e_mail", "phone_number", "telephone", "mobile", "firstname", "lastname", "full_name",
    "fullname", "surname", "street", "street_address", "address1", "postcode", "postal_code", "zip_code", "zipcode",
    "date_of_birth", "birth_date", "dob", "ssn", "iban", "ip", "ip_address", "latitude", "longitude",
})  # fmt: skip
_EMAIL = r"^[^@\s]+@[^@\s]+\.[A-Za-z]{2,}$"
_PHONE = r"^\+?[\d\s()./-]{8,20}$"
_DIGITS = r"\d"
_HALF = 0.5
_LEAST_DIGITS = 8
_LEAST_ROWS = 20
_OWN_VALUE = 0.9
_SAYS_SOMETHING = 2.0  # standard errors of a rank correlation with the label
# "id", "customer_id", "customerID", "Kundennr", "account no", "uuid": the last word of the name says it.
_ID_NAME = re.compile(r"(?i:(^|[^a-z0-9])(id|key|nr|no|num|number|uuid|guid)$)|[a-z](Id|ID|Key|Nr|No)$")
_FIRST = 1_000
_AS_LONG = 0.9
_COUNTER_REACH = 3  # a third of a running id may be here; as many different whole numbers do not fit by chance


def by_name(name: str) -> str | None:
    """Give why a column of this name is left out, or None."""
    folded = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if folded in _PERSONAL or folded in _ALSO:
        return "personal data: it says who somebody is, not what they are like"
    return None


def by_value(words: pa.Array, counts: Counts) -> str | None:
    """Give why a column of these words is left out (e-mail addresses, telephone numbers), or None.

    *counts* are the rows that have each word.
    """
    if not counts.sum():
        return None
    if _share(words, counts, _EMAIL) > _HALF:
        return "personal data: e-mail addresses"
    if _share(words, counts, _PHONE) > _HALF and _many_digits(words, counts):
        return "personal data: telephone numbers"
    return None


def own_value(counts: Counts) -> str | None:
    """Give why a column of words with a different one in nearly every row is left out, or None."""
    distinct, present = int((counts > 0).sum()), int(counts.sum())
    if present < _LEAST_ROWS or distinct <= _OWN_VALUE * present:
        return None
    return (
        f"nearly every row has a value of its own ({distinct:,} different in {present:,} rows): an id or free text,"
        f" not used"
    )


def running_number(name: str, values: Vector, actual: Vector | None = None) -> str | None:
    """Give why a column of whole numbers, hardly two alike, is left out, or None: it counts rows, or names them.

    Three signs: the numbers lie close together (a row number), the name says so (a shop's number is shared by many
    rows and stays), or all have as many digits and say nothing about the label. An amount that says nothing is no loss.
    """
    if not _unlike(values[: 2 * _FIRST]):
        return None  # the first rows settle most columns without sorting them whole
    present = values[np.isfinite(values)]
    distinct = len(np.unique(present))
    if not _unlike(present) or distinct <= _OWN_VALUE * len(present):
        return None
    if distinct == len(present) and np.ptp(present) <= _COUNTER_REACH * len(present):
        return "a row number or running id: no two rows share a whole number"
    if _ID_NAME.search(name):
        return f"an id: its name says so, and {distinct:,} of {len(present):,} rows have a number of their own"
    if distinct == len(present) and actual is not None and _idle(values, actual):
        return "an id: whole numbers of as many digits, no two alike, that say nothing about the label"
    return None


def _unlike(values: Vector) -> bool:
    """Tell whether numbers are whole and, among the first of them, hardly two alike."""
    present = values[np.isfinite(values)]
    first = present[:_FIRST]
    if len(first) < _LEAST_ROWS or len(np.unique(first)) <= _OWN_VALUE * len(first):
        return False
    return bool((present == np.round(present)).all())


def _idle(values: Vector, actual: Vector) -> bool:
    known = np.isfinite(values)
    present, label = values[known], actual[known]
    digits = np.floor(np.log10(np.maximum(np.abs(present), 1.0)))
    if np.bincount(digits.astype(np.int64)).max() < _AS_LONG * len(present):
        return False
    ranks = np.argsort(np.argsort(present, kind="stable"), kind="stable").astype(np.float64)
    spread = float(label.std()) * float(ranks.std())
    together = float(((ranks - ranks.mean()) * (label - label.mean())).mean()) / spread if spread else 0.0
    return abs(together) * float(np.sqrt(len(present))) <= _SAYS_SOMETHING


def _share(words: pa.Array, counts: Counts, pattern: str) -> float:
    return _weighed(pc.match_substring_regex(words, pattern), counts)


def _weighed(is_so: pa.Array, counts: Counts) -> float:
    return float(counts[is_so.to_numpy(zero_copy_only=False)].sum()) / float(counts.sum())


def _many_digits(words: pa.Array, counts: Counts) -> bool:
    """Tell telephone numbers from dates and amounts: many digits, and neither a date nor a decimal number."""
    enough = pc.greater_equal(pc.count_substring_regex(words, _DIGITS), _LEAST_DIGITS + 1)
    return _weighed(enough, counts) > _HALF and _share(words, counts, r"^\d{4}-\d{2}-\d{2}|^\d+\.\d+$") < _HALF
