"""What described candidates is kept without loss, whatever the numbers are, and in few bytes where it can be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from nextbest.ledger import described

DECIMALS = st.decimals(-40_000, 40_000, places=3).map(float)
ANY = st.floats(width=64)


@pytest.mark.parametrize("numbers", [DECIMALS, ANY, st.one_of(DECIMALS, ANY, st.just(float("nan")))])
def test_a_table_comes_back_as_it_was(numbers: st.SearchStrategy[float]) -> None:
    """Decimals, any doubles, and both with gaps are the same numbers after they were stored and read."""

    @given(values=arrays.arrays(np.float64, (3, 4), elements=numbers))
    def check(values: np.ndarray) -> None:
        held = described.stored(described.pack(("a", "b", "c"), ("w", "x", "y", "z"), values))
        found = described.read(held)
        assert found is not None
        assert np.array_equal(found.values(), values, equal_nan=True)

    check()


@pytest.mark.parametrize(
    ("values", "digits", "size"),
    [
        ([[0.0, 1.0], [1.0, float("nan")]], 0, 1),
        ([[-127.0, 127.0], [0.0, 0.0]], 0, 1),
        ([[-128.0, 0.0], [0.0, 0.0]], 0, 2),
        ([[19.99, 4.5], [0.0, 327.67]], 2, 2),
        ([[19.99, 4.5], [0.0, 327.68]], 2, 4),
        ([[1 / 3, 4.5], [0.0, 1.0]], 0, 8),
        ([[float("inf"), 4.5], [0.0, 1.0]], 0, 8),
        ([[1e300, 4.5], [0.0, 1.0]], 0, 8),
    ],
)
def test_the_fewest_digits_and_bytes_are_taken(values: list[list[float]], digits: int, size: int) -> None:
    """Flags take a byte, prices two or four, and what is no short decimal stays a double."""
    names = (f"price {values}", "rank")  # of their own, for the digits of a table are remembered by its names
    found = described.pack(("a", "b"), names, np.array(values))
    assert (found.digits, found.size, len(found.numbers)) == (digits, size, 4 * size)


def test_digits_that_were_not_enough_are_remembered() -> None:
    """A table after one with more digits is packed by as many, and comes back all the same."""
    for text in ("0.125", "0.5", "7"):
        found = described.pack(("a",), ("remembered",), np.array([[float(Decimal(text))]]))
        assert (found.digits, found.values().tolist()) == (3, [[float(text)]])


def test_texts_are_names_of_their_own() -> None:
    """Features of declared actions come back by action; a text is the name `feature=text` with the value 1."""
    table = described.of_features({"a": {"price": 2.5, "colour": "red"}, "b": {"price": None, "new": True}, "c": {}})
    again = described.read(described.stored(table))
    assert described.by_action(again) == {"a": {"price": 2.5, "colour=red": 1.0}, "b": {"new": 1.0}, "c": {}}
    assert described.by_action(described.read(None)) == {}
    assert described.stored(described.of_features({})) is None


def test_one_odd_number_does_not_cost_bytes_for_ever() -> None:
    """After a number without few digits, tables are doubles for a while, and small again later."""
    names = ("odd for once",)
    sizes = [
        described.pack(("a",), names, np.array([[value]])).size for value in (0.5, 1 / 3, *[0.5] * described._AGAIN)
    ]
    assert (sizes[0], sizes[1], sizes[2], sizes[-1]) == (1, 8, 8, 1)


def test_threads_that_pack_the_same_names_do_not_mix_their_digits() -> None:
    """Tables of one, three and too many digits, packed by four threads at once, all come back as they were."""
    draw = np.random.default_rng(3)
    tables = [draw.normal(size=(2, 2)).round(digits) for digits in (0, 1, 3, 17)]

    def packs(table: np.ndarray) -> bool:
        back = [described.pack(("a", "b"), ("shared", "names"), table).values() for _ in range(2_000)]
        return all(np.array_equal(one, table) for one in back)

    with ThreadPoolExecutor(len(tables)) as threads:
        assert list(threads.map(packs, tables)) == [True] * len(tables)


def test_a_row_from_before_is_read() -> None:
    """A head of ids and names alone is followed by doubles."""
    numbers = np.array([[0.5, float("nan")]])
    found = described.read(b'[["a"],["x","y"]]\n' + numbers.astype("<f8").tobytes())
    assert found is not None
    assert (found.ids, found.names) == (("a",), ("x", "y"))
    assert np.array_equal(found.values(), numbers, equal_nan=True)
