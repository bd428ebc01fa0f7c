"""Columns that say who somebody is, not what they are like: never a feature."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest.ledger.kinds import KINDS
from nextbest.models.encode_values import is_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
_COUNTER_REACH = 3  # a third of a running id may be here; as many different whole numbers do not fit by chance


def by_name(name: str) -> str | None:
    """Give why a column of this name is left out, or None."""
    folded = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if folded in _PERSONAL or folded in _ALSO:
        return "personal data: it says who somebody is, not what they are like"
    return None


def by_value(array: pa.Array) -> str | None:
    """Give why a text column is left out (e-mail addresses, telephone numbers, a value of its own per row), or None."""
    present = array.drop_null()
    if not is_text(array.type) or not len(present):
        return None
    if _share(present, _EMAIL) > _HALF:
        return "personal data: e-mail addresses"
    if _share(present, _PHONE) > _HALF and _many_digits(present):
        return "personal data: telephone numbers"
    return None


def own_value(array: pa.Array) -> str | None:
    """Give why a text column with a different value in nearly every row is left out, or None."""
    present = array.drop_null()
    distinct = pc.count_distinct(present).as_py()
    if len(present) < _LEAST_ROWS or distinct <= _OWN_VALUE * len(present):
        return None
    return (
        f"nearly every row has a value of its own ({distinct:,} different in {len(present):,} rows): an id or free text"
    )


def counter(values: NDArray[np.float64]) -> str | None:
    """Give why a column of whole numbers that merely count the rows is left out, or None."""
    present = values[np.isfinite(values)]
    if len(present) < _LEAST_ROWS or (present != np.round(present)).any():
        return None
    if len(np.unique(present)) < len(present) or np.ptp(present) > _COUNTER_REACH * len(present):
        return None
    return "a row number or running id: no two rows share a whole number"


def _share(present: pa.Array, pattern: str) -> float:
    return float(pc.mean(pc.match_substring_regex(present, pattern).cast(pa.float64())).as_py())


def _many_digits(present: pa.Array) -> bool:
    """Tell telephone numbers from dates and amounts: many digits, and neither a date nor a decimal number."""
    digits = pc.count_substring_regex(present, _DIGITS)
    enough = pc.mean(pc.greater_equal(digits, _LEAST_DIGITS + 1).cast(pa.float64())).as_py()
    return bool(enough > _HALF) and _share(present, r"^\d{4}-\d{2}-\d{2}|^\d+\.\d+$") < _HALF
