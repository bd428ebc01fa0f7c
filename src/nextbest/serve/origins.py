"""Pages of other origins: which may ask, what a browser is told about it, and from which address a request comes.

Only origins that `[server] origins` names are answered, each by its own name, never by `*`, and only on the routes that
a page's key may use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.responses import Response

from nextbest.serve.public import WRITE
from nextbest.serve.service import Refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from starlette.datastructures import Headers
    from starlette.requests import Request

    from nextbest.serve.routes import Route
    from nextbest.serve.service import Who

_ASKS = "access-control-request-method"
_HEADERS = "authorization, content-type, idempotency-key"


def check(headers: Headers, allowed: Collection[str]) -> None:
    """Refuse a request of a page of another origin, unless it is one of the allowed."""
    for origin in headers.getlist("origin"):
        parts = urlsplit(origin)
        own = parts.scheme in {"http", "https"} and parts.netloc.lower() == headers["host"].lower()
        if not own and origin not in allowed:
            raise Refusal(403, "origin", "A page of another origin may not use this service.")


def check_page(headers: Headers, who: Who) -> None:
    """Refuse the key of a web page elsewhere than on the pages that it names."""
    if WRITE in who.scopes and headers.get("origin", "") not in who.origins:
        raise Refusal(403, "origin", "This key is for the pages that it names.")


def preflight(request: Request, routes: Sequence[Route]) -> Response | None:
    """Give the answer to a browser that asks whether a page may post; its origin has been checked."""
    if request.method != "OPTIONS" or "origin" not in request.headers or _ASKS not in request.headers:
        return None
    if not any(r.public for r in routes):
        return None
    said = {"access-control-allow-methods": "POST", "access-control-allow-headers": _HEADERS}
    return Response(status_code=204, headers={**said, **allowing(request, routes), "access-control-max-age": "600"})


def allowing(request: Request, routes: Sequence[Route]) -> dict[str, str]:
    """Give the headers that let the page read the answer of a route that is for pages."""
    origin = request.headers.get("origin")
    if origin is None or not any(r.public for r in routes):
        return {}
    return {"access-control-allow-origin": origin, "vary": "Origin"}


def address(request: Request, *, proxied: bool) -> str:
    """Give the address of the caller; behind a proxy, the one that the proxy put at the end of `X-Forwarded-For`."""
    said = request.headers.get("x-forwarded-for", "") if proxied else ""
    return said.rpartition(",")[2].strip() or (request.client.host if request.client else "")


def public_host(url: str) -> tuple[str, ...]:
    """Give the host that `[server] public_url` names, if it names one."""
    host = urlsplit(url).hostname
    return () if host is None else (f"[{host}]" if ":" in host else host,)


def host_name(host: str) -> str:
    """Give the name in a Host header, without its port; IPv6 addresses keep their brackets."""
    name = host.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.partition(":")[0]
