"""The file of orders that the benchmark loads: plain text, one order per line, sorted within blocks of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = (
    "Order ID", "Customer ID", "Created At", "Total", "Subtotal", "Shipping", "Tax", "Discount",
    "Currency", "Country", "Channel", "Coupon", "Items", "Note",
)  # fmt: skip
_BLOCK = 100_000
_DAYS = 700
_CUSTOMERS = 500_000


def orders(path: Path, *, gigabytes: float, seed: int = 0, broken_every: int = 0) -> int:
    """Write about that many gigabytes of orders; gives the number of records. Every nth may have a broken date."""
    rng = np.random.default_rng(seed)
    written = records = 0
    with path.open("w", encoding="ascii", newline="") as file:
        file.write(",".join(COLUMNS) + "\n")
        while written < gigabytes * 1e9:
            text = _block(rng, records, broken_every)
            written += file.write(text)
            records += _BLOCK
    return records


def _block(rng: np.random.Generator, first: int, broken_every: int) -> str:
    customer = rng.integers(1, _CUSTOMERS, _BLOCK)
    seconds = np.sort(rng.integers(0, 86_400 * _DAYS, _BLOCK)).astype("timedelta64[s]")
    moments = np.datetime_as_string(np.datetime64("2023-01-01T00:00:00") + seconds)
    subtotal = rng.gamma(2, 30, _BLOCK)
    shipping = rng.choice([0.0, 4.9, 7.5], _BLOCK)
    lines = []
    for i in range(_BLOCK):
        n, s = first + i, subtotal[i]
        when = "never" if broken_every and n % broken_every == 0 else moments[i].replace("T", " ")
        lines.append(
            f"{1_000_000 + n},c{customer[i]},{when},{s * 1.2 + shipping[i]:.2f},{s:.2f},{shipping[i]:.2f},"
            f"{s * 0.2:.2f},0.00,{('EUR', 'USD', 'GBP')[n % 3]},{('DE', 'FR', 'US', 'GB', 'NL')[customer[i] % 5]},"
            f"{('web', 'app', 'store', 'marketplace')[n % 4]},{'SAVE10' if n % 7 == 0 else ''},{n % 5 + 1},"
            f"{f'note for order {n}' if n % 3 == 0 else ''}\n"
        )
    return "".join(lines)
