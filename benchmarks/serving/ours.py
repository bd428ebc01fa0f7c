"""One worker of ours for the benchmark: the service as it is, with a play that is ranked by the model of 200 trees.

python benchmarks/serving/ours.py WORKSPACE MODEL PORT
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np

from nextbest import deciding, operations
from nextbest.models.fast_predict import scorer
from nextbest.policies.live.engine import Engine
from nextbest.policies.live.memory import Memory
from nextbest.policies.rollout import Staged
from nextbest.serve.listen import listen, server
from nextbest.serve.workers import shared_socket

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.models.fast_predict import Scorer


@dataclass(frozen=True, slots=True)
class Trees:
    """A learnt state: the response of an item is what the trees say of its features, that of `none` is 0."""

    score: Scorer
    version: str = "bench-trees"

    def response(
        self,
        row: Mapping[str, Any],  # noqa: ARG002 (the trees read the items alone)
        offers: deciding.Offers,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give mean and standard deviation per candidate; `none` comes last."""
        mean = np.zeros(len(offers.ids))
        if len(mean) > 1:  # warming up asks about nothing
            mean[:-1] = self.score(offers.values[:-1])
        return mean, np.zeros(len(offers.ids))


def main() -> None:
    """Serve until told to stop."""
    folder, model, port = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    score = scorer(lightgbm.Booster(model_file=model), version=lightgbm.__version__)
    state = Trees(score)
    deciding.engine = lambda ledger: Engine(  # type: ignore[assignment]
        ledger, plays=Staged(ledger), know=Memory(ledger), states=lambda _: state
    )
    ledger = operations.open(folder)
    made = server(ledger, host="127.0.0.1", port=port, token=None)
    listen(made, ledger, sockets=[shared_socket("127.0.0.1", port)])


if __name__ == "__main__":
    main()
