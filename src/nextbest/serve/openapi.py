"""The OpenAPI 3.1 document, made from the table of routes and the structs that the service itself reads with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

import nextbest
from nextbest.serve import bodies

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nextbest.serve.routes import Route

PAGE = "text/html"
_TEMPLATE = "#/components/schemas/{name}"
ERRORS = {
    400: "The request is malformed or off.",
    401: "A key or a session of the page is needed.",
    403: "The key may not do this, or the request comes from a foreign host or page.",
    404: "There is no such thing.",
    409: "This Idempotency-Key came before with another body.",
    413: "The body is too large.",
    415: "The body is not of the documented type.",
    429: "Too many requests wait; try again after Retry-After seconds.",
    503: "The workspace cannot be read or written now.",
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Your name for this request: the same key and body gets the first reply again, for 30 days.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
}


def statuses(route: Route) -> Iterator[int]:
    """Give the statuses other than 200 with which a route may answer."""
    yield from (403,) if route.scope == "open" else (401, 403)
    if route.body is not None:
        yield from (400, 413, 415)
    if route.missing:
        yield 404
    if route.kept:
        yield 409
    if route.scope != "open":
        yield from (429, 503)


def describe(routes: Sequence[Route]) -> dict[str, Any]:
    """Give the document of all routes."""
    types = [bodies.Problem, *(t for r in routes for t in (r.body, r.reply) if isinstance(t, type))]
    unique = list(dict.fromkeys(types))
    _, schemas = msgspec.json.schema_components(unique, ref_template=_TEMPLATE)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "nextbest", "version": nextbest.__version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key: nextbest key create"},
            },
        },
        "security": [{"key": []}],
    }


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.call.__name__,
        "summary": route.about,
        "description": f"Scope: {route.scope}.",
        "parameters": list(_parameters(route)),
        "responses": {"200": {"description": "Done.", "content": _content(route.reply)}, **_problems(route)},
    }
    if route.scope == "open":
        operation["security"] = []
    if route.body is not None:
        types = route.media
        schema = {"schema": _reference(route.body)}
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(types, schema)}
    if route.form:
        operation["responses"]["303"] = {"description": "The form was taken; the page shows it."}
    return operation


def _parameters(route: Route) -> Iterator[dict[str, Any]]:
    if route.parameter:
        schema = {"type": "string", "minLength": 1, "maxLength": 256}
        yield {"name": route.parameter, "in": "path", "required": True, "schema": schema}
    if route.kept:
        yield _KEY


def _problems(route: Route) -> dict[str, Any]:
    known: dict[str, dict[str, Any]] = {
        str(status): {"description": ERRORS[status], "content": _content(bodies.Problem)} for status in statuses(route)
    }
    if route.reply == PAGE and route.scope == "open":  # people open it: what went wrong is a page, too
        for told in known.values():
            told["content"] |= _content(PAGE)
    if isinstance(route.reply, type) and route.reply is bodies.ReadyReply:
        both = {"anyOf": [_reference(bodies.ReadyReply), _reference(bodies.Problem)]}
        known["503"] = {"description": "Not ready, and why.", "content": {"application/json": {"schema": both}}}
    return known


def _content(reply: type[bodies.Reply] | str) -> dict[str, Any]:
    if isinstance(reply, str):
        return {media: {"schema": {} if media == "application/json" else {"type": "string"}} for media in reply.split()}
    return {"application/json": {"schema": _reference(reply)}}


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": _TEMPLATE.format(name=kind.__name__)}
