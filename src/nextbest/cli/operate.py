"""Commands of operation: keys, the stop switch, approved amounts, going live by steps, which model serves."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import App, Parameter

from nextbest.cli import render
from nextbest.cli.app import COMMON, Common, app, workspace
from nextbest.errors import ConfigError

_BY_FILE = (
    "To stop at once all the same: a file named `stop` in the workspace, with a line such as play=NAME, or empty."
)
key = App(name="key", help="Make, list and end the keys of the HTTP service.", sort_key=26)
app.command(key)


@key.command
def create(
    *,
    scope: Literal["decide", "ingest", "read", "admin", "write"],
    expires: Annotated[str | None, Parameter(help="A date such as 2027-01-31, or days such as 30d.")] = None,
    rate: Annotated[float | None, Parameter(help="Requests per second, instead of [server] rate.")] = None,
    kind: Annotated[tuple[str, ...], Parameter(help="For write: a kind of event that a page may hand in.")] = (),
    origin: Annotated[tuple[str, ...], Parameter(help="For write: a page's origin, https://shop.example.")] = (),
    common: Common = COMMON,
) -> None:
    """Make a key; it is shown once and stored only as a hash.

    Example: nextbest key create --scope decide --expires 90d
    Example: nextbest key create --scope write --origin https://shop.example --kind page_view
    """
    from nextbest import operations

    with workspace(common) as ledger:
        key_id, secret = operations.create_key(ledger, scope, expires=expires, rate=rate, kinds=kind, origins=origin)
    render.show({"id": key_id, "key": secret, "scopes": [scope]}, as_json=common.json)


@key.command(name="list")
def list_command(*, common: Common = COMMON) -> None:
    """List the keys, without the keys themselves.

    Example: nextbest key list
    """
    from nextbest import operations

    with workspace(common) as ledger:
        render.show({"keys": operations.list_keys(ledger)}, as_json=common.json)


@key.command
def revoke(id: str, *, common: Common = COMMON) -> None:  # noqa: A002 (the word of the contract)
    """End a key now.

    Example: nextbest key revoke key_0123
    """
    from nextbest import operations

    with workspace(common) as ledger:
        operations.revoke_key(ledger, id)
    render.show({"id": id, "revoked": True}, as_json=common.json)


@app.command(sort_key=27)
def stop(
    *, play: str = "*", channel: str = "*", action: str = "*", why: str, lift: bool = False, common: Common = COMMON
) -> None:
    """Stop everything, or one play, channel or action, within a second; --lift lets it go on.

    Example: nextbest stop --channel email --why "wrong template"
    """
    from nextbest import operations

    switch = operations.start if lift else operations.stop
    try:
        with workspace(common) as ledger:
            switch(ledger, play=play, channel=channel, action=action, why=why)
    except (
        ConfigError
    ) as error:  # a service that runs goes on with what it has read, and has to be stopped all the same
        raise ConfigError(f"{error} {_BY_FILE}") from error
    render.show({"stopped": not lift, "play": play, "channel": channel, "action": action}, as_json=common.json)


@app.command(sort_key=28)
def approve(play: str, action: str, *, amount: float, by: str, common: Common = COMMON) -> None:
    """Set the amount that stands for a money action when the model fails; its limits bind a person too.

    Example: nextbest approve prices list_price --amount 9.50 --by Kim
    """
    from nextbest import operations

    with workspace(common) as ledger:
        operations.approve_amount(ledger, play, action, amount=amount, by=by)
    render.show({"play": play, "action": action, "amount": amount, "by": by}, as_json=common.json)


@app.command(sort_key=15)
def rollout(
    play: str,
    *,
    to: Annotated[str | None, Parameter(help="Take a step: observe, shadow, 1%, 10%, 50%, 100%.")] = None,
    force: Annotated[bool, Parameter(negative="", help="Take it without the evidence; needs --why.")] = False,
    why: Annotated[str, Parameter(help="Kept with the step.")] = "",
    common: Common = COMMON,
) -> int:
    """Show how far a play is rolled out and the evidence for its next step, or take one; exit status 1 when refused.

    Example: nextbest rollout home_banner
    Example: nextbest rollout home_banner --to shadow
    """
    from nextbest import operations

    with workspace(common) as ledger:
        found = operations.rollout(ledger, play, to=to, force=force, why=why)
    render.show(found, as_json=common.json, story="rollout")
    return int(bool(found.missing))


@app.command(sort_key=16)
def models(recipe: str | None = None, *, common: Common = COMMON) -> None:
    """List the versions of models that are kept, and which one serves, since when and why.

    Example: nextbest models churn
    """
    from nextbest import operations

    with workspace(common) as ledger:
        found = operations.models(ledger, recipe)
    render.show({"models": found}, as_json=common.json, story="models")


@app.command(sort_key=17)
def rollback(recipe: str, *, to: str | None = None, why: str, common: Common = COMMON) -> None:
    """Bring the previous model of a recipe back, or another one with --to; it serves within a second.

    Example: nextbest rollback churn --why "scores jumped on Monday"
    """
    from nextbest import operations

    with workspace(common) as ledger:
        found = operations.rollback(ledger, recipe, to=to, why=why)
    render.show({"models": [found]}, as_json=common.json, story="models")
    render.say(f"Published predictions stay until they are made again: nextbest predict {recipe}")
