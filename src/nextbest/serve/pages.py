"""The page: today's list, drawn on the server, without scripts."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from nextbest import operations, verbs
from nextbest.errors import unknown
from nextbest.serve import words

if TYPE_CHECKING:
    from nextbest.serve.service import Asked, Service

STATIC = {"page.css": "text/css", "icon.svg": "image/svg+xml"}
_USUAL, _MOST = 100, 2000


def today(service: Service, asked: Asked) -> HTMLResponse:
    """Show today's list."""
    everything = asked.query.get("show") == "all"
    found = operations.today(service.ledger, limit=_MOST if everything else _USUAL)
    plays = verbs.plays(service.ledger)
    page = _templates().get_template("today.html")
    html = page.render(
        today=found,
        acted=found.decided - found.by_action.get("none", 0),
        workspace=service.ledger.config.name,
        plays=list(plays),
        texts={a.id: a.text for p in plays.values() for a in p.actions if a.text},
        csrf=asked.who.csrf,
        rule_in_words=operations.rule_in_words,
    )
    return HTMLResponse(html)


def unsubscribe(
    service: Service, *, state: Literal["ask", "done", "unknown"], channel: str = "", status: int = 200
) -> HTMLResponse:
    """Show the page of an unsubscribe link; it names the sender, and nothing about the person."""
    page = _templates().get_template("unsubscribe.html")
    workspace = service.ledger.config.name if state != "unknown" else ""
    return HTMLResponse(page.render(state=state, workspace=workspace, channel=channel), status)


def static(service: Service, asked: Asked) -> Response:
    """Give the style or the icon of the page."""
    del service
    if asked.parameter not in STATIC:
        raise unknown("file", asked.parameter, STATIC)
    content = files("nextbest.serve").joinpath("static", asked.parameter).read_bytes()
    return Response(content, media_type=STATIC[asked.parameter])


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("nextbest.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"money": words.money, "share": words.share, "number": words.number, "moment": words.moment}
    made.filters |= {"arm": words.arm, "spoken": words.spoken}
    return made
