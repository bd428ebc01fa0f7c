"""Flat tables as people have them become numbers, and what must not be learnt is left out and named."""

from __future__ import annotations

import json
from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from nextbest.models import encode
from nextbest.models.encode_values import days, numbers, plain

ROWS = 100


def _why(**columns: object) -> dict[str, str]:
    encoder, _ = encode.learn(pa.table(columns))
    return {x["column"]: x["why"] for x in encoder.left_out}


def _some(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=ROWS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (["1", " 2.5 ", "-3e2"], [1.0, 2.5, -300.0]),
        (["1.234,50", "7,5", "8,0"], [1234.5, 7.5, 8.0]),
        (["1,234.50", "7.5", "1,000"], [1234.5, 7.5, 1000.0]),
        (["$12.50", "€3", "4 €"], [12.5, 3.0, 4.0]),
        (["85%", "3.5 %", "0%"], [85.0, 3.5, 0.0]),
        ([" ", "N/A", "7"], [np.nan, np.nan, 7.0]),
    ],
)
def test_numbers_written_as_text_are_read(text: list[str], expected: list[float]) -> None:
    """Blanks, currency signs, percent signs and both decimal marks are understood."""
    found = numbers(plain(pa.chunked_array([text])))
    assert found is not None
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("text", [["01234", "99999", "12345"], ["red", "1", "2"], ["1-2", "3-4", "5-6"]])
def test_codes_are_no_numbers(text: list[str]) -> None:
    """A leading zero, or words among the values, keep a column a category."""
    assert numbers(plain(pa.chunked_array([text]))) is None


@pytest.mark.parametrize(
    "values", [["2026-01-31", "2025-12-01"], ["31.01.2026", "01.12.2025"], [date(2026, 1, 31), date(2025, 12, 1)]]
)
def test_dates_become_days(values: list[object]) -> None:
    """Dates in usual forms, and typed ones, are days since 1970."""
    found = days(plain(pa.chunked_array([values])))
    assert found is not None
    np.testing.assert_array_equal(found, [20484.0, 20423.0])


def test_a_date_gives_its_day_month_and_weekday() -> None:
    """2026-01-31 was a Saturday in January."""
    stamps = [date.fromordinal(date(2026, 1, 31).toordinal() + i) for i in range(40)]
    encoder, matrix = encode.learn(pa.table({"signed": stamps}))
    assert encoder.sources == ["signed"] * 3
    np.testing.assert_array_equal(matrix[0], [20484.0, 1.0, 5.0])


def test_personal_columns_are_never_learnt_from() -> None:
    """Names, addresses, e-mails and telephone numbers are left out by name and by what they hold."""
    left = _why(
        email=[f"a{i}@x.com" for i in range(ROWS)],
        contact=[f"a{i % 9}@x.com" for i in range(ROWS)],
        reach=[f"+49 30 1234{i % 9:03d}" for i in range(ROWS)],
        First_Name=["Ann", "Bob"] * 50,
        spend=_some(),
    )
    assert set(left) == {"email", "contact", "reach", "First_Name"}
    assert all(why.startswith("personal data") for why in left.values())


def test_ids_constants_and_echoes_are_left_out() -> None:
    """Row numbers, a value per row, constants, empty columns and repeated columns are named with their reason."""
    spend = _some()
    left = _why(
        row=np.arange(1, ROWS + 1),
        token=[f"t-{i}" for i in range(ROWS)],
        same=["x"] * ROWS,
        nothing=pa.nulls(ROWS, pa.string()),
        spend=spend,
        spend_cents=spend * 100 + 5,
    )
    assert "running id" in left["row"]
    assert "value of its own" in left["token"]
    assert "constant" in left["same"]
    assert "empty" in left["nothing"]
    assert left["spend_cents"] == "says the same as 'spend'"
    assert "spend" not in left


def test_a_part_of_a_running_id_is_still_one() -> None:
    """Four fifths of the numbers 1 to n, as inside a fold, are recognised; spread-out whole numbers are not."""
    kept = np.sort(np.random.default_rng(0).choice(ROWS, 80, replace=False))
    draw = np.random.default_rng(1)
    assert "row" in _why(row=kept, x=draw.normal(size=80))
    assert "cents" not in _why(cents=draw.integers(0, 100_000, 80), x=draw.normal(size=80))


def test_codes_do_not_depend_on_the_order_of_rows() -> None:
    """Shuffling the table gives the same codes, by frequency."""
    values = ["a"] * 50 + ["b"] * 30 + ["c"] * 20
    order = np.random.default_rng(0).permutation(ROWS)
    _, straight = encode.learn(pa.table({"k": values}))
    _, shuffled = encode.learn(pa.table({"k": [values[i] for i in order]}))
    np.testing.assert_array_equal(straight[order], shuffled)
    assert [straight[i, 0] for i in (0, 60, 99)] == [1.0, 2.0, 3.0]


def test_rare_unseen_and_missing_levels_have_their_own_codes() -> None:
    """An unseen level is 0 like the rare ones, a missing one stays missing."""
    encoder, _ = encode.learn(pa.table({"k": ["a"] * 600 + ["b"] * 396 + ["rare"] * 4}))
    found = encode.matrix(encoder, pa.table({"k": ["a", "b", "rare", "new", None, " "]}))[:, 0]
    np.testing.assert_array_equal(found, [1.0, 2.0, 0.0, 0.0, np.nan, np.nan])


def test_an_encoder_survives_being_written_down() -> None:
    """Restoring from JSON gives the same matrix, and the text holds no value of a category."""
    table = pa.table({"k": ["secret", "word"] * 50, "x": _some(), "d": ["2026-01-31", "2025-12-01"] * 50})
    encoder, matrix = encode.learn(table)
    text = json.dumps(encoder.document())
    assert "secret" not in text
    np.testing.assert_array_equal(encode.matrix(encode.restore(json.loads(text)), table), matrix)


def test_typed_and_text_columns_read_the_same() -> None:
    """A number column that comes back as text, or a boolean as a number, gives the same values."""
    encoder, matrix = encode.learn(pa.table({"x": _some().round(3), "b": [True, False] * 50}))
    text = pa.table({"x": [str(v) for v in matrix[:, 0]], "b": [int(v) for v in matrix[:, 1]]})
    np.testing.assert_array_equal(encode.matrix(encoder, text), matrix)
