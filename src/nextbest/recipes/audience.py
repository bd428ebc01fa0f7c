"""Who is like these? The people most alike to a list of good ones: buyers of something, a segment, a hand-made list.

    nb.fit(ledger, Audience(seeds="best_customers.csv", share=0.1))
    nb.predict(ledger, fitted)["lookalike_score"]

The list says who is on it, not who does not belong: of those left off nothing is known. If the list was drawn by lot
from all who belong, ranking by the chance of being on it ranks by the chance of belonging (Elkan and Noto 2008, lemma
1): the score is for choosing people, it is no probability of anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextbest import registry
from nextbest.errors import UnknownNameError, UsageError
from nextbest.features.build import build
from nextbest.features.sets import feature_set
from nextbest.ledger import identities
from nextbest.ledger.workspace import digest
from nextbest.models import evaluate, store
from nextbest.recipes import flat_table
from nextbest.recipes import table as flat
from nextbest.recipes.fitting import not_enough, probabilities, settings_of
from nextbest.types import Report

if TYPE_CHECKING:
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.recipes.judged import Judged
    from nextbest.types import Fitted, Recipe

SCORE = "lookalike_score"
_LABEL = "on the list"
_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """Look-alikes of `seeds` (a file with a column of ids, or ids) or of the members of a `segment`.

    The best `share` of everyone else, or the best `count`, are the audience. `id` names the file's column of ids.
    """

    name: str = field(default="audience", init=False)
    seeds: str | tuple[str, ...] = ""
    segment: str = ""
    share: float = 0.1
    count: int | None = None
    id: str | None = None
    keep: tuple[str, ...] = ()
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn what sets the seeds apart from everyone else, as of the moment; judged on seeds that were held out."""
        if not 0 < self.share < 1:
            raise UsageError(f"share is the part of everyone that is wanted, between 0 and 1. Got {self.share}.")
        seeds, known = self._seeds(ledger, as_of), feature_set(ledger)
        if not known:
            why = "Nothing is known of anybody: load orders, visits or other events of the people first."
            report = Report(recipe=self.name, status="not_enough_data", as_of=as_of.isoformat(), why=why)
            return not_enough(self.name, self._settings(), report)
        features = build(ledger, known, as_of=as_of)
        on_list = pc.is_in(features["subject_id"], pa.array(sorted(seeds), pa.string()))
        rows = features.append_column(_LABEL, pc.if_else(on_list, "yes", "no"))
        asked = flat.Asked(
            recipe=self.name, prediction=SCORE, table=rows, id="subject_id", label=_LABEL, positive="yes",
            keep=self.keep, seed=self.seed, settings=self._settings(), also=self._also,
        )  # fmt: skip
        fitted = flat.fit(asked, ledger, as_of=as_of)
        unknown = len(seeds) - int(pc.sum(on_list).as_py() or 0)
        told = f"{fitted.report.why} {unknown} of the list are not in the ledger." if unknown else fitted.report.why
        hidden = sorted(digest(ledger, s)[:_DIGITS] for s in seeds)
        return replace(
            fitted,
            report=replace(fitted.report, why=told.strip()),
            extra={**fitted.extra, "features": features.column_names[1:], "seeds": hidden},
        )

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401 (see types.Recipe)
        """Give `subject_id`, `lookalike_score` with `_low`, `_high`, and whether they are in the `lookalike` audience.

        Those on the list are left out.
        """
        known = {f.name: f for f in feature_set(ledger)}
        features = build(ledger, [known[n] for n in fitted.extra["features"] if n in known], as_of=as_of)
        hidden = frozenset(fitted.extra["seeds"])
        others = [digest(ledger, s)[:_DIGITS] not in hidden for s in features["subject_id"].to_pylist()]
        features = features.filter(pa.array(others, pa.bool_()))
        said = probabilities(fitted, features["subject_id"], features, SCORE)
        score = said[SCORE].to_numpy()
        wanted = self.count if self.count is not None else int(np.ceil(self.share * len(score)))
        chosen = np.zeros(len(score), dtype=bool)
        chosen[np.argsort(-score, kind="stable")[:wanted]] = True
        return said.append_column("lookalike", pa.array(chosen))

    def _seeds(self, ledger: Any, as_of: datetime) -> frozenset[str]:  # noqa: ANN401
        """Give the ids of the list, as the ledger knows them."""
        if bool(self.seeds) == bool(self.segment):
            raise UsageError("Give seeds (a file or ids) or a segment, one of the two: who is to be matched?")
        if self.segment:
            return _members(ledger, self.segment, as_of)
        if isinstance(self.seeds, tuple):
            return frozenset(_resolved(ledger, s) for s in self.seeds)
        table = flat_table.read(Path(self.seeds))
        column = flat_table.column(table, self.id or table.column_names[0], "id")
        return frozenset(_resolved(ledger, s) for s in column.cast(pa.string()).drop_null().to_pylist())

    def _also(self, report: Report, judgement: Judged, _: NDArray[np.int64], __: flat_table.Labelled) -> Report:
        """Add how many held-out seeds are found in the audience, beside what chance would find."""
        found = evaluate.capture_at(judgement.actual, judgement.ours, self.share)
        interval = evaluate.bootstrap_interval(
            lambda actual, predicted: evaluate.capture_at(actual, predicted, self.share),
            judgement.actual, judgement.ours, seed=self.seed,
        )  # fmt: skip
        low, high = (round(end, 4) for end in interval)
        why = (
            f"The best {self.share:.0%} hold {found:.0%} ({low:.0%} to {high:.0%}) of seeds that were held out; a list "
            f"by lot would hold {self.share:.0%}."
        )
        return replace(
            report,
            why=f"{report.why} {why}".strip(),
            metrics={**report.metrics, "seeds_found": round(found, 4)},
            intervals={**report.intervals, "seeds_found": (low, high)},
        )

    def _settings(self) -> dict[str, Any]:
        """Give the settings without ids: those are kept as keyed digests only."""
        return {**settings_of(self), "seeds": self.seeds if isinstance(self.seeds, str) else ""}


def _resolved(ledger: Any, name: str) -> str:  # noqa: ANN401 (a ledger)
    """Give the subject that an id, e-mail or phone belongs to; what nobody knows stays as it is."""
    try:
        return identities.resolve(ledger, name)
    except UnknownNameError:
        return name


def _members(ledger: Any, segment: str, as_of: datetime) -> frozenset[str]:  # noqa: ANN401 (a ledger)
    fitted = store.latest(ledger, "segments")
    recipe: Recipe = registry.make("recipes", "segments", fitted.settings)
    said = recipe.predict(ledger, fitted, as_of=as_of)
    inside = pc.equal(said["segment"], segment)
    if not pc.any(inside).as_py():
        known = ", ".join(sorted(set(said["segment"].to_pylist())))
        raise UsageError(f"Nobody is in a segment '{segment}'. The segments are: {known}.")
    return frozenset(said["subject_id"].filter(inside).to_pylist())
