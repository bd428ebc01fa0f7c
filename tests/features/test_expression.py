"""The expression language: what it accepts, what it refuses, and that its three runs agree."""

from __future__ import annotations

import math
import struct
import timeit

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from nextbest.errors import ConfigError, DataError
from nextbest.features.expression import check, compile_closure, compile_sql, evaluate, parse

COLUMNS = {"a": "number", "b": "number", "n": "integer", "t": "text", "u": "text", "f": "boolean", "g": "boolean"}
ARROW = {"number": pa.float64(), "integer": pa.int64(), "text": pa.string(), "boolean": pa.bool_()}


def three_ways(text: str, rows: list[dict], columns: dict[str, str] = COLUMNS) -> tuple[list, list, list]:
    """Give the values of an expression by SQL, by Arrow and by closure."""
    expression = parse(text)
    table = pa.table({c: pa.array([r.get(c) for r in rows], ARROW[t]) for c, t in columns.items()})
    run = compile_closure(expression, columns)
    with duckdb.connect() as connection:
        connection.register("rows", table.append_column("row", pa.array(range(len(rows)))))
        query = exp.select(compile_sql(expression, columns).as_("v")).from_("rows").order_by("row")
        by_sql = [v for (v,) in connection.sql(query.sql(dialect="duckdb")).fetchall()]
    return by_sql, evaluate(expression, table).to_pylist(), [run(r) for r in rows]


def same(left: object, right: object) -> bool:
    """Compare doubles by their bits, but for the sign of zero."""
    if isinstance(left, float) and isinstance(right, float):
        return struct.pack("d", left + 0.0) == struct.pack("d", right + 0.0)
    return left == right and type(left) is type(right)


numbers = st.one_of(
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.1, 1e308, -1e308, 5e-324]),
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=4) | st.sampled_from(
    ["", "a", "b", "o'clock", "ä", "--", "%"]
)
number_literals = numbers.map(lambda x: repr(x) if math.copysign(1, x) > 0 else f"(-{-x!r})")
text_literals = texts.map(lambda t: "'" + t.replace("'", "''") + "'")


def _values(children: dict[str, st.SearchStrategy[str]]) -> dict[str, st.SearchStrategy[str]]:
    n, t, b = children["number"], children["text"], children["boolean"]
    comparators = st.sampled_from(["=", "==", "!=", "<", "<=", ">", ">="])
    number = st.one_of(
        number_literals,
        st.sampled_from(["a", "b", "n"]),
        st.builds("({} {} {})".format, n, st.sampled_from("+-*/"), n),
        st.builds("{}({}, {}, {})".format, st.sampled_from(["coalesce"]), n, n, n),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), st.sampled_from(["a", "b", "n", "0"]), n),
        st.builds("coalesce(null, {})".format, n),
        st.builds("-{}".format, n),
    )
    text = st.one_of(text_literals, st.sampled_from(["t", "u"]), st.builds("coalesce({}, {})".format, t, t))
    boolean = st.one_of(
        st.sampled_from(["f", "g", "true", "false"]),
        st.builds("{} {} {}".format, n, comparators, n),
        st.builds("{} {} {}".format, t, comparators, t),
        st.builds("({}) {} ({})".format, b, st.sampled_from(["=", "!="]), b),
        st.builds("({}) {} ({})".format, b, st.sampled_from(["and", "or"]), b),
        st.builds("not ({})".format, b),
        st.builds("{} is {}null".format, n | t, st.sampled_from(["", "not "])),
        st.builds("{} {}in [{}, {}]".format, t, st.sampled_from(["", "not "]), text_literals, text_literals),
        st.builds("{} {}in [{}, 1, 2.5]".format, n, st.sampled_from(["", "not "]), st.sampled_from(["0", "-1"])),
        st.builds("coalesce(f, {})".format, st.sampled_from(["g", "true", "a > 1"])),
    )
    return {"number": number, "text": text, "boolean": boolean}


def _deep(levels: int) -> st.SearchStrategy[str]:
    children = {
        "number": number_literals | st.sampled_from(["a", "b"]),
        "text": text_literals | st.just("t"),
        "boolean": st.sampled_from(["f", "g", "true"]),
    }
    for _ in range(levels):
        children = _values(children)
    return st.one_of(*children.values())


rows_of = st.lists(
    st.fixed_dictionaries(
        {
            "a": st.none() | numbers | st.sampled_from([math.nan, math.inf, -math.inf]),
            "b": st.none() | numbers,
            "n": st.none() | st.integers(-(2**40), 2**40) | st.integers(-2, 2),
            "t": st.none() | texts,
            "u": st.none() | texts,
            "f": st.none() | st.booleans(),
            "g": st.none() | st.booleans(),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(text=_deep(2), rows=rows_of)
def test_the_three_runs_agree(text: str, rows: list[dict]) -> None:
    """SQL, Arrow and closures give the same value for any expression on any rows, nulls and non-finite included."""
    by_sql, by_arrow, by_closure = three_ways(text, rows)
    for one, two, three in zip(by_sql, by_arrow, by_closure, strict=True):
        assert same(one, two), (text, one, two)
        assert same(float(three) if type(three) is int else three, one), (text, three, one)


@pytest.mark.parametrize(
    ("text", "row", "value"),
    [
        ("a > 0.5 and n >= 2", {"a": 0.6, "n": 2}, True),
        ("a > 0.5", {}, False),
        ("a != 0.5", {}, False),
        ("not a > 0.5", {}, True),
        ("a not in [1, 2]", {}, False),
        ("not a in [1, 2]", {}, True),
        ("a is null", {"a": math.nan}, True),
        ("a / b", {"a": 1.0, "b": 0.0}, None),
        ("a + b", {"a": 1.0}, None),
        ("a * 10", {"a": 1e308}, None),
        ("min(a, b)", {"a": 1.0}, None),
        ("max(a, b, 7)", {"a": 1.0, "b": 3.0}, 7.0),
        ("coalesce(b, a, 0)", {"a": 4.0}, 4.0),
        ("1 + 2 * 3 - 4 / 2", {}, 5.0),
        ("-a - -2", {"a": 1.0}, 1.0),
        ("t = 'it''s'", {"t": "it's"}, True),
        ("t in ['a', 'b'] OR false", {"t": "b"}, True),
        ("f", {}, False),
        ("not f", {}, True),
        ("f = false", {}, False),
        ("a < 1 or b < 1 and f", {"a": 0.0}, True),
        ("", {}, True),
    ],
)
def test_known_values(text: str, row: dict, value: object) -> None:
    """Each rule of the language gives the value the reference page states, all three ways."""
    assert three_ways(text, [row]) == ([value], [value], [value])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a >", r"position 4: wanted a value, got the end"),
        ("a > 1 b", r"position 7: wanted `and`, `or` or an operator, got 'b'"),
        ("1 < a < 3", r"position 7: .*`a < b and b < c`"),
        ("a > 'x", r"position 5: .* no closing quote"),
        ('t = "x"', r"position 5: .*single quotes"),
        ("a && b", r"position 3: .*Write `and`"),
        ("a; drop table x", r"position 2: .* not a statement"),
        ("a = null", r"position 5: nothing equals null; write `is null`"),
        ("mix(a, 1)", r"position 1: there is no function 'mix'\. Did you mean 'min'"),
        ("__import__('os')", r"there is no function '__import__'"),
        ("a > 1 and a = 'x'", r"position 11|wanted a number"),
        ("a + 'x'", r"position 5: wanted a number, got 'x', a text"),
        ("not 5", r"position 5: wanted a boolean, got 5, a number"),
        ("a in []", r"wanted a number or a 'text' in the list, got '\]'"),
        ("a in [1, 'x']", r"wanted a number, got 'x'"),
        ("a is 5", r"wanted `null` after `is`"),
        ("(a > 1) < (b > 1)", r"true and false have no order"),
        ("1e999", r"too large"),
        ("(" * 40 + "1" + ")" * 40, r"more than 32 levels"),
        ("1" + "+1" * 100, r"more than 64 sums"),
        ("max(max(max(max(1, 2), 3), 4), 5)", r"at most 3 deep"),
        ("a" * 5000, r"5000 characters"),
    ],
)
def test_errors_say_where(text: str, message: str) -> None:
    """A text that is not an expression is refused with its position, the word and what was wanted."""
    with pytest.raises(ConfigError, match=message):
        parse(text)


def test_unknown_column_gets_the_near_word() -> None:
    """A column that is not there is named with the nearest one that is."""
    expression = parse("churn_probability > 0.5 and orders_365 >= 2")
    with pytest.raises(ConfigError, match=r"position 29: there is no column 'orders_365'\. Did you mean 'orders_365d'"):
        check(expression, {"churn_probability": float, "orders_365d": pa.float64()})


def test_wrong_type_of_a_column_is_refused() -> None:
    """Comparing a text column with a number is refused when the columns are known."""
    with pytest.raises(ConfigError, match=r"wanted a text, got 5, a number"):
        check(parse("country = 5"), {"country": "text"})
    with pytest.raises(ConfigError, match="holds list"):
        check(parse("tags is null"), {"tags": pa.list_(pa.string())})
    with pytest.raises(ConfigError, match="gives a number; a boolean is needed"):
        check(parse("a + 1"), {"a": float}, gives="boolean")


def test_what_is_known_of_an_expression() -> None:
    """An expression knows its columns and, where its words tell, its type."""
    expression = parse("context.page = 'home' and a > 1")
    assert expression.columns == {"context.page", "a"}
    assert expression.type == "boolean"
    assert parse("average_order_value").type is None
    assert parse("flag", gives="boolean").type == "boolean"
    assert compile_closure(parse("flag", gives="boolean"))({}) is False
    assert compile_closure(expression)({"context.page": "home", "a": 2}) is True


def test_timestamps_compare_with_each_other() -> None:
    """Two timestamp columns may be compared; one with a number may not."""
    columns = {"x": "timestamp", "y": "timestamp"}
    assert check(parse("x < y and x is not null"), columns) == "boolean"
    with pytest.raises(ConfigError, match="wanted a timestamp, got 5"):
        check(parse("x < 5"), columns)


def test_a_value_of_the_wrong_type_is_named_without_its_content() -> None:
    """A closure that meets a text where a number is needed says which column, and not what it held."""
    run = compile_closure(parse("a > 5"))
    with pytest.raises(DataError, match=r"cannot be answered for a: str") as caught:
        run({"a": "secret"})
    assert "secret" not in str(caught.value)


def test_long_chains_of_conditions_are_answered() -> None:
    """A list of 300 conditions neither overflows the parser nor any of the three runs."""
    text = " or ".join(f"n = {i}" for i in range(300))
    assert three_ways(text, [{"n": 299}, {"n": 300}]) == ([True, False],) * 3


def test_a_rule_of_three_terms_takes_under_five_microseconds() -> None:
    """A closure of three conditions is fast enough for every decision (best of 20, so that load does not count)."""
    run = compile_closure(parse("churn_probability > 0.5 and orders_365d >= 2 and country in ['DE', 'AT']"))
    row = {"churn_probability": 0.7, "orders_365d": 3.0, "country": "AT"}
    assert run(row) is True
    assert min(timeit.repeat(lambda: run(row), number=1000, repeat=20)) / 1000 < 5e-6


def test_a_column_of_which_nothing_is_known_goes_with_everything() -> None:
    """A column of nulls without a type is null as a number, as a text and as a yes or no."""
    table = pa.table({"x": pa.nulls(2), "n": [1.0, 2.0]})
    for text in ("x > 1", "x = 'a'", "x and n > 0", "x in ['a']", "x > n", "x + n > 0", "min(x, n) > 0"):
        assert evaluate(parse(text), table).to_pylist() == [False, False], text
    assert evaluate(parse("coalesce(x, n)"), table).to_pylist() == [1.0, 2.0]
    assert evaluate(parse("x is null"), table).to_pylist() == [True, True]
