"""People who may be one: the same e-mail or phone exactly, or names and addresses that are close."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from nextbest.ledger.statements import load

if TYPE_CHECKING:
    import duckdb

LEAST_WEIGHT = 6.0  # a full name alone weighs 5.5: it takes a postcode, an address or a birthday beside it
_FILE = "people.sql"
_SHARED = pa.schema([("identity_type", pa.string()), ("identity", pa.string()), ("people", pa.int64())])


def same_identity(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """Give `identity_type, identity, people`: every e-mail and phone that several rows of the view `subjects` share.

    A sort of 64-bit hashes finds the few that can be shared; only those are compared as text.
    """
    return pa.concat_tables([_shared(connection, identity_type) for identity_type in ("email", "phone")])


def _shared(connection: duckdb.DuckDBPyConnection, identity_type: str) -> pa.Table:
    found = connection.sql(load(_FILE, f"{identity_type}_hashes")).fetchnumpy()["hashed"]
    hashes = np.sort(np.asarray(found, np.uint64))
    met = np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
    if not len(met):
        return _SHARED.empty_table()
    connection.register("met", pa.table({"hashed": met}))
    shared = connection.sql(load(_FILE, f"shared_{identity_type}")).to_arrow_table()
    connection.unregister("met")
    return shared.cast(_SHARED)


def similar(connection: duckdb.DuckDBPyConnection, *, least: float = LEAST_WEIGHT) -> pa.Table:
    """Give `one, other, weight`: pairs of the view `subjects` who are probably one person, surest first."""
    return connection.sql(load(_FILE, "similar"), params={"least": least}).to_arrow_table()
