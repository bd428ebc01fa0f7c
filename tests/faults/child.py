"""A worker of its own: decide over and over, and print when each decision was asked for and what came of it."""

from __future__ import annotations

import sys
import time

from nextbest.ledger import open_ledger
from nextbest.policies.live.ask import Ask
from nextbest.policies.live.engine import Engine

if __name__ == "__main__":
    folder, name = sys.argv[1:3]
    with open_ledger(folder) as ledger:
        engine = Engine(ledger)
        for number in range(1_000_000):
            asked = time.time()
            (one,) = engine.decide(Ask(play="p", subject_id=f"{name}-{number}"))
            print(f"{asked:.6f} {one.action_id}", flush=True)
