"""Listen on a port: loopback unless a proxy in front speaks TLS."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from nextbest.errors import UsageError
from nextbest.serve.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import uvicorn

    from nextbest.ledger import Ledger

DRAIN_S = 10
_GARBAGE = (20_000, 50, 100)  # requests leave few cycles behind: look for them seldom
_SWITCH_S = 0.001  # the thread that writes the journal waits this long for the one that answers, not 5 ms
HEAVY = frozenset({"pandas", "sklearn", "shap"})


def run(
    ledger: Ledger,
    *others: Ledger,
    host: str,
    port: int,
    token: str | Sequence[str | None] | None,
    behind_proxy: bool = False,
    announce: Callable[[], None] | None = None,
) -> None:
    """Serve workspaces until told to stop, then close them; raises `UsageError` for an address open to the world.

    `announce` is called once the address is found to be fit, before the first request is answered.
    """
    made = server(ledger, *others, host=host, port=port, token=token, behind_proxy=behind_proxy)
    if announce is not None:
        announce()
    listen(made, ledger, *others)


def listen(made: uvicorn.Server, *ledgers: Ledger, sockets: list[socket.socket] | None = None) -> None:
    """Let a server answer until it is told to stop, then close its workspaces."""
    sys.setswitchinterval(_SWITCH_S)
    gc.collect()
    gc.freeze()  # what was loaded stays: looking through it again and again would make requests wait
    gc.set_threshold(*_GARBAGE)
    with contextlib.ExitStack() as stack, _light(), contextlib.suppress(KeyboardInterrupt):
        for ledger in ledgers:
            stack.enter_context(ledger)
        made.run(sockets=sockets)


def check_address(host: str, *, behind_proxy: bool) -> None:
    """Raise `UsageError` for an address that other machines can reach without TLS."""
    if not behind_proxy and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and this service speaks no TLS. Listen on 127.0.0.1, or put"
            " a proxy that speaks TLS in front and say --behind-proxy."
        )


def server(
    ledger: Ledger,
    *others: Ledger,
    host: str,
    port: int,
    token: str | Sequence[str | None] | None,
    behind_proxy: bool = False,
    workers: int = 1,
    shared: Path | None = None,
) -> uvicorn.Server:
    """Give the server that `run` runs; of several `workers`, `shared` is the folder in which they add up."""
    check_address(host, behind_proxy=behind_proxy)
    import uvicorn

    with _light():
        app = create_app(
            ledger, *others, token=token, hosts=_names(host), secure=behind_proxy, workers=workers, shared=shared
        )
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # addresses and paths are personal data
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=DRAIN_S,
    )
    return uvicorn.Server(config)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(host: str) -> tuple[str, ...]:
    """Give the name that the bound address answers to; `0.0.0.0` and `::` are no names."""
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return (host,)
    if address.is_unspecified:
        return ()
    return (f"[{address}]" if address.version == 6 else str(address),)


class _Without:
    """Finds no heavy package, so that what would use one if it were there goes on without."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """Refuse the packages that serving has no use for; say nothing of others."""
        del path, target
        if name in HEAVY:
            message = f"{name} is not used while serving"
            raise ModuleNotFoundError(message, name=name)


@contextlib.contextmanager
def _light() -> Iterator[None]:
    """Serve without pandas and scikit-learn: pyarrow and lightgbm import them when they are there, for seconds."""
    sys.meta_path.insert(0, _Without)
    try:
        yield
    finally:
        sys.meta_path.remove(_Without)
