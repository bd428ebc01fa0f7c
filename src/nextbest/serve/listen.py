"""Listen on a port: loopback unless a proxy in front speaks TLS."""

from __future__ import annotations

import contextlib
import ipaddress
import sys
from typing import TYPE_CHECKING

from nextbest.errors import UsageError
from nextbest.serve.app import create_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import uvicorn

    from nextbest.ledger import Ledger

_DRAIN_S = 10
HEAVY = frozenset({"pandas", "sklearn", "shap"})


def run(
    ledger: Ledger,
    *,
    host: str,
    port: int,
    token: str | None,
    behind_proxy: bool = False,
    announce: Callable[[], None] | None = None,
) -> None:
    """Serve a workspace until told to stop, then close it; raises `UsageError` for an address open to the world.

    `announce` is called once the address is found to be fit, before the first request is answered.
    """
    made = server(ledger, host=host, port=port, token=token, behind_proxy=behind_proxy)
    if announce is not None:
        announce()
    with ledger, _light(), contextlib.suppress(KeyboardInterrupt):
        made.run()


def server(ledger: Ledger, *, host: str, port: int, token: str | None, behind_proxy: bool = False) -> uvicorn.Server:
    """Give the server that `run` runs."""
    if not behind_proxy and not _is_loopback(host):
        raise UsageError(
            f"{host} can be reached from other machines, and this service speaks no TLS. Listen on 127.0.0.1, or put"
            " a proxy that speaks TLS in front and say --behind-proxy."
        )
    import uvicorn

    app = create_app(ledger, token=token, hosts=_names(host), secure=behind_proxy)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # addresses and paths are personal data
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_DRAIN_S,
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
