"""Made-up visitors for the demonstration's live play: decided by the real engine, clicking by the rates stated here.

The decisions are those of the engine, with its own chance, and are logged as any other. Whether a visitor clicks is
drawn by a simulator from a random stream of its own. Each decision carries `"simulated": true` in its context, each
click the source `simulator`.
"""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.types import NO_ACTION, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

    from nextbest.ledger import Ledger

PLAY = "home_banner"
SOURCE = "simulator"
VISITS, AT_A_TIME = 800, 20
BEGAN, LASTED = timedelta(minutes=155), timedelta(hours=2)  # over long enough ago that silence is a no
READING = timedelta(minutes=2)  # from the page to the click
UNHURRIED_MS = 60_000.0  # visitors of the past wait for a busy machine
SEED = 20_171_201
PHONES = 0.6
# What nobody tells the engine: how many in a hundred click, by device and banner.
CLICKS = {
    "phone": {"weekly_offers": 0.06, "recipe_box": 0.18, "fresh_bakery": 0.05, "wine_evening": 0.02},
    "desktop": {"weekly_offers": 0.05, "recipe_box": 0.03, "fresh_bakery": 0.06, "wine_evening": 0.18},
}


@dataclass(slots=True)
class _Clock:
    """A clock that is moved by hand."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One page that was shown."""

    subject_id: str
    device: str
    decision_id: str
    action_id: str
    arm: str


_COMMANDS = """\
KEY=$({program} key create --scope admin --expires 1d --json -w {folder} | sed -n 's/.*"key": "\\(.*\\)".*/\\1/p')
say() {{ curl -s http://127.0.0.1:{port}/v1/$1 -d "$2" \\
  -H "Authorization: Bearer $KEY" -H "Content-Type: application/json"; echo; }}
visits() {{ for i in $(seq 100); do
  say decide '{{"play": "{play}", "subject_id": "'$1-$i'", "context": {{"device": "tablet"}}}}'; done; }}
counts() {{ sed 's/.*"action_id":"\\([^"]*\\)".*/\\1/' | sort | uniq -c; }}

SHOWN=$(visits first); echo "$SHOWN" | head -1; echo "$SHOWN" | counts

echo "$SHOWN" | grep -n '"action_id":"{liked}"' | sed 's/:.*"decision_id":"\\([^"]*\\)".*/ \\1/' |
  while read I ID; do
  say outcomes '{{"outcomes": [{{"outcome_id": "click-'$ID'", "subject_id": "first-'$I'", "name": "click",
    "decision_id": "'$ID'"}}]}}'; done

sleep 2; visits then | counts
{program} measure {play} --outcome click --method replay --policy greedy -w {folder}"""


def commands(folder: Path, *, port: int, program: str = "nextbest", liked: str = "fresh_bakery") -> str:
    """Give what to paste into a shell while the service runs: key, decisions, clicks on one banner, decisions."""
    return _COMMANDS.format(
        program=shlex.quote(program), folder=shlex.quote(str(folder)), port=port, play=PLAY, liked=liked
    )


def visited(ledger: Ledger, play: str = PLAY) -> bool:
    """Say whether the play has decided anything yet."""
    from nextbest.ledger import analysis

    names = analysis.table(ledger, "decisions", columns=["play"])["play"].unique().to_pylist()
    return play in names


def simulate(ledger: Ledger, play: str = PLAY, *, visits: int = VISITS, seed: int = SEED) -> dict[str, Any]:
    """Let visitors come over two hours of the past, decide for each, learn as it goes; gives what came of it."""
    from nextbest import verbs
    from nextbest.policies.learners.loop import Learning
    from nextbest.policies.live.engine import Engine

    clock = _Clock(ledger.clock() - BEGAN)
    past = replace(ledger, clock=clock)
    learning = Learning(past)
    engine = Engine(past, states=learning.state)
    who, whether = (np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(2))
    seen: list[Visit] = []
    clicked: set[str] = set()
    for start in range(0, visits, AT_A_TIME):
        shown = _shown(engine, play, start, min(AT_A_TIME, visits - start), who)
        clock.now += READING
        fresh = [v for v in shown if whether.random() < CLICKS[v.device].get(v.action_id, 0.0)]
        verbs.record(past, [_click(v, clock.now) for v in fresh])
        learning.tick()
        clicked |= {v.decision_id for v in fresh}
        seen += shown
        clock.now += LASTED / (visits / AT_A_TIME) - READING
    return _figures(play, seen, clicked)


def _shown(engine: Any, play: str, start: int, many: int, who: np.random.Generator) -> list[Visit]:  # noqa: ANN401 (Engine)
    """Decide for some visitors in one commit."""
    from nextbest.policies.live.ask import Ask

    devices = ["phone" if who.random() < PHONES else "desktop" for _ in range(many)]
    asks = [
        Ask(
            play=play,
            subject_id=f"visitor-{start + i}",
            context={"device": device, "simulated": True},
            request_id=f"visit-{start + i}",
            deadline_ms=UNHURRIED_MS,
        )
        for i, device in enumerate(devices)
    ]
    slates = engine.submit(asks).result()
    return [
        Visit(
            subject_id=ask.subject_id,
            device=device,
            decision_id=chosen.decision_id,
            action_id=chosen.action_id,
            arm=chosen.arm,
        )
        for ask, device, (chosen,) in zip(asks, devices, slates, strict=True)
    ]


def _click(visit: Visit, ts: datetime) -> Outcome:
    return Outcome(
        outcome_id=f"click-{visit.decision_id}",
        subject_id=visit.subject_id,
        ts=ts,
        name="click",
        decision_id=visit.decision_id,
        source=SOURCE,
    )


def _figures(play: str, seen: list[Visit], clicked: set[str]) -> dict[str, Any]:
    banners = [v for v in seen if v.action_id != NO_ACTION]
    half = len(seen) // 2
    shares = {
        device: _shares(v.action_id for v in seen[half:] if v.device == device and v.arm == "policy")
        for device in CLICKS
    }
    return {
        "play": play,
        "simulated": True,
        "visits": len(seen),
        "banners": len(banners),
        "clicks": len(clicked),
        "by_action": dict(Counter(v.action_id for v in seen).most_common()),
        "shown_by_device_in_the_second_half": shares,
    }


def _shares(names: Iterable[str]) -> dict[str, float]:
    counted = Counter(names)
    return {name: round(many / counted.total(), 2) for name, many in counted.most_common()}
