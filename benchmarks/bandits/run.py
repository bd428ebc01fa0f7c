"""How much choosing costs while learning: nextbest's live learner and policy beside Vowpal Wabbit, on the same rounds.

Run: python benchmarks/bandits/run.py [--rounds 10000] [--seeds 3] [--sets iris,wine]

A public classification set becomes a bandit problem: the features are shown, one class is chosen, and only whether that
was right is learnt. Prints Markdown: wrong choices after all rounds (mean and standard error over seeds), nextbest with
its defaults, VW with its defaults and with the best of four settings in hindsight; then a world that changes at half.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small matrices: more threads only wait for each other

import argparse
import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from players import VW_SETTINGS, Played, play, play_vw
from sets import SETS, rounds

from nextbest.policies.learners.linear import Linear


def reductions(names: list[str], count: int, seeds: int) -> None:
    """Print the wrong choices per set."""
    print(f"Wrong choices after {count:,} rounds, mean of {seeds} orders (standard error).\n")
    print("| set | classes | nextbest | VW, defaults | VW, best of 4 settings | its setting | nextbest ms | VW ms |")
    print("|---|---|---|---|---|---|---|---|")
    kept, ratios = 0, []
    for name in names:
        ours, theirs = [], {setting: [] for setting in VW_SETTINGS}
        for seed in range(1, seeds + 1):
            rows, labels = rounds(name, count, seed)
            actions = sorted(set(labels))

            def reward(i: int, action: str, labels: list[str] = labels) -> float:
                return float(labels[i] == action)

            ours.append(play(rows, reward, actions, seed=seed))
            for setting, played in theirs.items():
                played.append(play_vw(rows, reward, actions, setting, seed=seed))
        best = min(theirs, key=lambda setting: _mean(theirs[setting]))
        kept += _mean(ours) <= _mean(theirs[best])
        ratios.append(_mean(ours) / _mean(theirs[best]))
        print(
            f"| {name} | {len(actions)} | {_said(ours)} | {_said(theirs[VW_SETTINGS[0]])} | {_said(theirs[best])} "
            f"| `{best}` | {np.mean([p.ms for p in ours]):.2f} | {np.mean([p.ms for p in theirs[best]]):.2f} |",
            flush=True,
        )
    print(f"\nAt most VW's best: {kept} of {len(names)} sets.\n")
    print(json.dumps({"figure": "bandits sets", "value": kept / len(names)}))
    print(json.dumps({"figure": "bandits ratio", "value": float(np.exp(np.mean(np.log(ratios))))}))


def _mean(played: list[Played]) -> float:
    return float(np.mean([p.wrong.sum() for p in played]))


def _said(played: list[Played]) -> str:
    totals = [p.wrong.sum() for p in played]
    return f"{np.mean(totals):,.0f} ({np.std(totals, ddof=1) / np.sqrt(len(totals)) if len(totals) > 1 else 0:.0f})"


def drift(count: int, seeds: int) -> None:
    """Print the share of wrong choices before and after a world changes at half."""
    print("\n## A world that changes at half\n")
    print("| learner | last tenth before | first tenth after | last tenth |")
    print("|---|---|---|---|")
    recovered = 0.0
    for name, learner in (
        ("nothing forgotten", Linear()),
        ("half-life of a tenth", Linear(half_life_days=count / 1e4)),
    ):
        shares = []
        for seed in range(1, seeds + 1):
            world = np.random.default_rng([seed, 31])
            weights, noise = world.normal(size=(2, 5, 6)), world.normal(size=(count, 5))
            seen = world.normal(size=(count, 6))
            best = [int((weights[int(i >= count // 2)] @ seen[i]).argmax()) for i in range(count)]
            rows = [{f"x{j}": float(v) for j, v in enumerate(row)} for row in seen]
            # The right action answers in 80% of cases, the others in 20%: wrong is what was not the right one.
            answers = noise < np.where(np.arange(5)[None, :] == np.array(best)[:, None], 0.84, -0.84)
            wrong = np.zeros(count)

            def reward(
                i: int, action: str, wrong: np.ndarray = wrong, best: list[int] = best, answers: np.ndarray = answers
            ) -> float:
                wrong[i] = float(int(action) != best[i])
                return float(answers[i, int(action)])

            play(rows, reward, [str(a) for a in range(5)], seed=seed, learner=learner)
            half, tenth = count // 2, count // 10
            shares.append([wrong[half - tenth : half].mean(), wrong[half : half + tenth].mean(), wrong[-tenth:].mean()])
        before, after, last = np.mean(shares, axis=0)
        recovered = float(last - before)
        print(f"| {name} | {before:.3f} | {after:.3f} | {last:.3f} |", flush=True)
    print()
    print(json.dumps({"figure": "bandits drift", "value": recovered}))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sets", default=",".join(SETS))
    said = parser.parse_args()
    reductions(said.sets.split(","), said.rounds, said.seeds)
    drift(said.rounds, said.seeds)


if __name__ == "__main__":
    main()
