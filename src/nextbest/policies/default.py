"""The play that a workspace without plays of its own gets: win back by e-mail who is silent for longer than usual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.types import NONE, Action, Cap, Play

if TYPE_CHECKING:
    from nextbest.ledger import Ledger

NAME = "win_back"
SILENT = "orders_ever >= 2 and days_since_last_order > 1.5 * average_days_between_orders"


def plays(ledger: Ledger) -> dict[str, Play]:
    """Give the plays of the workspace by name; the default one when its configuration has none."""
    return dict(ledger.config.plays) or {NAME: default_play(ledger)}


def default_play(ledger: Ledger) -> Play:
    """Give the default play; it suits any shop, assumes modest effects, and holds one in ten out to measure them."""
    return Play(
        name=NAME,
        audience=SILENT if _is_shop(ledger) else "",
        actions=(
            Action(
                id="reminder_email",
                channel="email",
                cost=0.01,
                assumed_log_odds=0.1,
                text="We have not seen you for a while. Here is what is new since your last order.",
            ),
            Action(
                id="coupon_10_email",
                channel="email",
                action_class="money",
                cost=2.0,
                assumed_log_odds=0.3,
                text="We miss you: 10% off your next order.",
            ),
            NONE,
        ),
        holdout=0.1,
        policy={"name": "greedy", "explore": 0.05},  # enough to learn from a few hundred people, at half the price
        caps=(Cap(count=1, days=7),),
    )


def _is_shop(ledger: Ledger) -> bool:
    from nextbest.ledger import analysis

    return not analysis.kinds_present(ledger).keys().isdisjoint(("order", "order_line"))
