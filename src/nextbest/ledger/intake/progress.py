"""How far an import is, told to whoever asked while the database works."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import duckdb

_EVERY_S = 0.25


@contextmanager
def told(
    connection: duckdb.DuckDBPyConnection, progress: Callable[[int, int], None] | None, total: int
) -> Iterator[None]:
    """Call *progress* with (done, total) bytes a few times a second until the block ends; never backwards."""
    if progress is None:
        yield
        return
    done = threading.Event()
    shown = 0

    def tell() -> None:
        nonlocal shown
        while not done.wait(_EVERY_S):
            share = max(connection.query_progress(), 0.0) / 100
            if int(share * total) > shown:
                shown = min(int(share * total), total)
                progress(shown, total)

    thread = threading.Thread(target=tell, name="import progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
    progress(total, total)
