"""Where rows come from: a locked database connection that may see only what it needs, and relations over files."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from nextbest.ledger.intake.exact import is_gzip
from nextbest.ledger.parsing import call, literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nextbest.ledger.mapping import TextFile
    from nextbest.ledger.workspace import Ledger

DIALECT = "duckdb"
ROW = "_row"
MEMORY_MB = 600
_BLOCK = 64
_DICTIONARY = 4_096
INNER, OUTER = "inner_key", "outer_key"
# Both would compute for every row what a CASE tries only when the quick way failed: four times slower in all.
_EAGER = "common_subexpressions,in_clause"


def connect(ledger: Ledger, folders: Sequence[Path], temporary: Path) -> duckdb.DuckDBPyConnection:
    """Give a database in memory that sees only these folders, loads no extensions and spills to *temporary*."""
    limits = ledger.config.limits
    connection = duckdb.connect(
        config={
            "threads": str(limits.threads),
            "memory_limit": f"{min(limits.memory_mb, MEMORY_MB)}MB",
            "temp_directory": str(temporary),
            "autoload_known_extensions": "false",
            "autoinstall_known_extensions": "false",
            "preserve_insertion_order": "true",
        }
    )
    _set(connection, "TimeZone", literal(ledger.config.timezone))
    _hash_keys(connection, ledger.secret)
    _set(connection, "disabled_optimizers", literal(_EAGER))
    _set(connection, "allowed_directories", exp.Array(expressions=[literal(f"{f}/") for f in folders]))
    _set(connection, "enable_external_access", exp.false())
    _set(connection, "lock_configuration", exp.true())
    return connection


def _set(connection: duckdb.DuckDBPyConnection, name: str, value: exp.Expr) -> None:
    item = exp.SetItem(this=exp.EQ(this=exp.to_identifier(name), expression=value))
    connection.execute(exp.Set(expressions=[item]).sql(DIALECT))


def _hash_keys(connection: duckdb.DuckDBPyConnection, secret: bytes) -> None:
    """Keep the two padded keys of HMAC-SHA256 (RFC 2104, section 2) as variables, so that no SQL text shows them."""
    key = (secret if len(secret) <= _BLOCK else hashlib.sha256(secret).digest()).ljust(_BLOCK, b"\0")
    for name, pad in ((INNER, 0x36), (OUTER, 0x5C)):
        item = exp.SetItem(
            kind="VARIABLE", this=exp.EQ(this=exp.to_identifier(name), expression=exp.Placeholder(this="key"))
        )
        connection.execute(exp.Set(expressions=[item]).sql(DIALECT), {"key": bytes(b ^ pad for b in key)})


def keyed_hash(text: exp.Expr) -> exp.Expr:
    """Give `workspace.digest` of a text as SQL: HMAC-SHA256 under the workspace's secret, 64 hex digits."""
    inner = call("sha256", _joined(call("getvariable", literal(INNER)), call("encode", text)))
    return call("sha256", _joined(call("getvariable", literal(OUTER)), call("unhex", inner)))


def _joined(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return exp.DPipe(this=left, expression=right)


def text_relation(file: TextFile, path: Path) -> exp.Expr:
    """Give the records of a text file as columns c0, c1 ...; any line that does not fit raises an error."""
    columns = exp.Struct(
        expressions=[
            exp.PropertyEQ(this=literal(f"c{i}"), expression=literal("VARCHAR")) for i in range(len(file.columns))
        ]
    )
    options = {
        "auto_detect": exp.false(),
        "columns": columns,
        "delim": literal(file.delimiter),
        "quote": literal(file.quote),
        "escape": literal(file.escape if file.quote else ""),
        "header": exp.true() if file.header else exp.false(),
        "skip": exp.Literal.number(file.skip_lines),
        "compression": literal("gzip" if is_gzip(file) else "none"),
        "strict_mode": exp.true(),
        "null_padding": exp.false(),
        "nullstr": literal(""),
        "allow_quoted_nulls": exp.true(),
        "max_line_size": exp.Literal.number(1 << 20),
        "encoding": literal("utf-8"),
    }
    return _function("read_csv", literal(str(path)), options)


def parquet_relation(paths: Sequence[Path], *, numbered: bool = False) -> exp.Expr:
    """Give the rows of Parquet files; `numbered` adds `file_row_number`."""
    files = exp.Array(expressions=[literal(str(p)) for p in paths])
    return _function("read_parquet", files, {"file_row_number": exp.true()} if numbered else {})


def named(name: str) -> exp.Expr:
    """Give a registered relation or temporary table by its name."""
    return exp.Table(this=exp.to_identifier(name, quoted=True))


def copy_to(query: exp.Expr, path: Path) -> exp.Expr:
    """Give the statement that writes a query's rows to a Parquet file."""
    options = {
        "FORMAT": exp.var("PARQUET"),
        "COMPRESSION": exp.var("ZSTD"),
        "COMPRESSION_LEVEL": exp.Literal.number(1),
        "DICTIONARY_SIZE_LIMIT": exp.Literal.number(_DICTIONARY),  # ids are not worth one; codes and names are
    }
    return exp.Copy(
        this=exp.Subquery(this=query),
        kind=False,
        files=[literal(str(path))],
        params=[exp.CopyParameter(this=exp.var(k), expression=v) for k, v in options.items()],
    )


def run(connection: duckdb.DuckDBPyConnection, statement: exp.Expr) -> list[tuple[object, ...]]:
    """Run a statement and give its rows."""
    return connection.execute(statement.sql(DIALECT)).fetchall()


def count(connection: duckdb.DuckDBPyConnection, statement: exp.Expr) -> int:
    """Run a statement that gives one number, and give it."""
    value = run(connection, statement)[0][0]
    return value if isinstance(value, int) else 0


def _function(name: str, first: exp.Expr, options: Mapping[str, exp.Expr]) -> exp.Expr:
    given = [exp.PropertyEQ(this=exp.to_identifier(k), expression=v) for k, v in options.items()]
    return exp.Table(this=exp.Anonymous(this=name, expressions=[first, *given]))
