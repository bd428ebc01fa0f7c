"""One worker of several: `python -m nextbest.serve.worker`, with its settings as one line of JSON on standard input."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from nextbest import operations
from nextbest.serve.listen import listen, server
from nextbest.serve.workers import shared_socket

if TYPE_CHECKING:
    import uvicorn


def main() -> None:
    """Serve until told to stop, or until the parent has gone."""
    said = json.loads(sys.stdin.buffer.readline())
    host, port = said["host"], said["port"]
    ledgers = [operations.open(folder) for folder in said["folders"]]
    made = server(
        *ledgers,
        host=host,
        port=port,
        token=said["tokens"],
        behind_proxy=said["behind_proxy"],
        workers=said["workers"],
        shared=Path(said["shared"]),
    )
    threading.Thread(target=_stop_with_parent, args=(made,), daemon=True).start()
    listen(made, *ledgers, sockets=[shared_socket(host, port)])


def _stop_with_parent(made: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    made.should_exit = True


if __name__ == "__main__":
    main()
