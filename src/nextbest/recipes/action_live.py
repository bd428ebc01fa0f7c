"""Fitted chances of a response for the engine: the model that serves a play, taken over within a second of a change.

A model is loaded through the store only: hash, signature, a child process at first, canaries. While a new one cannot be
loaded the one before goes on; without any the engine falls back to the lifts, and says that it is degraded.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.errors import ModelError, NextbestError
from nextbest.ledger import rollout
from nextbest.models import store
from nextbest.models.boosting import Boosting, fitted_state
from nextbest.policies.settings import learner_of
from nextbest.recipes.action_matrix import Filler
from nextbest.recipes.action_value import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from numpy.typing import NDArray

    from nextbest.ledger import Ledger
    from nextbest.policies.learners.boosted import Boosted
    from nextbest.policies.live.ask import Offers
    from nextbest.types import Model, Play

LEARNER = "boosted"
EVERY_S = 0.5
_FAULTS = (NextbestError, sqlite3.Error, OSError, ValueError)
_log = logging.getLogger("nextbest")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ValueState:
    """A fitted model as the engine asks it: `filler` makes its matrix of a request, `chance` its answer to a matrix.

    `version` is the end of its id; `spread` the error that its calibration left, the same for all.
    """

    filler: Filler
    chance: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    version: str
    spread: float

    def response(self, row: Mapping[str, Any], offers: Offers) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give the chance of a response to every offer, and its standard deviation."""
        mean = self.chance(self.filler.matrix(row, offers))
        return mean, np.full(len(mean), self.spread)


def state_of(model: Model, *, version: str, spread: float, often: bool = True) -> ValueState:
    """Give a fitted model, ready to be asked; raises `ModelError` for one that is not of the recipe's kind.

    One that is asked *often* is made quick first, which may take a second or two; the numbers are the same.
    """
    if not isinstance(model, Boosting):
        raise ModelError(f"A play decides by a model of the recipe {NAME}. Got {type(model).__name__}: fit {NAME}.")
    _, encoder, _ = fitted_state(model)
    chance = model.scorer() if often else model.response
    return ValueState(filler=Filler(encoder), chance=chance, version=version, spread=spread)


class Fits:
    """The fitted models that serve a ledger's plays with the learner `boosted`; thread-safe."""

    def __init__(self, ledger: Ledger, *, plays: Mapping[str, Play], every_s: float = EVERY_S) -> None:
        self.ledger = ledger
        self.every_s = every_s
        self._plays = plays
        self._often = False  # until it starts it serves single decisions
        self._known: dict[str, ValueState] = {}
        self._stamp: tuple[int, int] | None = None
        self._thread: threading.Thread | None = None

    def state(self, play: Play) -> ValueState:
        """Give the play's model of now, from memory; raises `ModelError` while there is none."""
        found = self._known.get(play.name)
        if found is None:
            raise ModelError(f"No fitted model serves play '{play.name}'. nextbest fit {NAME} --set play={play.name}")
        return found

    def tick(self) -> int:
        """Take over what serves now; gives how many plays have another model. A model that fails is tried again."""
        with self.ledger.journal.read() as connection:
            stamp = rollout.stamp(connection)
        if stamp == self._stamp:
            return 0
        changed = sum(self._taken(play) for play in self._boosted())
        self._stamp = stamp
        return changed

    def start(self) -> Self:
        """Load what serves, then look for changes in a thread of its own until the ledger is closed."""
        if self._thread is None and self._boosted():
            self._often = True
            self._look()
            self._thread = threading.Thread(target=self._run, name="nextbest-models", daemon=True)
            self._thread.start()
        return self

    def _boosted(self) -> list[Play]:
        return [play for play in self._plays.values() if play.learner.get("name") == LEARNER]

    def _taken(self, play: Play) -> bool:
        settings: Boosted = learner_of(play)
        wanted = settings.model or store.serving(self.ledger).get(f"{NAME}_{play.name}")
        before = self._known.get(play.name)
        if wanted is None or (before is not None and before.version == wanted.rpartition("-")[2]):
            return False
        fitted = store.load(self.ledger, wanted)
        if "model" not in fitted.parts or "spread" not in fitted.extra:
            raise ModelError(f"Model {wanted} of play '{play.name}' is not of the recipe {NAME}. Set `model` to one.")
        self._known[play.name] = state_of(
            fitted.parts["model"],
            version=wanted.rpartition("-")[2],
            spread=settings.spread or float(fitted.extra["spread"]),
            often=self._often,
        )
        return True

    def _run(self) -> None:
        pause = threading.Event()
        while not pause.wait(self.every_s) and not self.ledger.journal.closed:
            self._look()

    def _look(self) -> None:
        try:
            self.tick()
        except _FAULTS as error:  # decisions go on with the model before
            if not self.ledger.journal.closed:
                _log.error("models: %s: %s", type(error).__name__, error)
