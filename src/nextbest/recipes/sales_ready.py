"""When is a lead ready for a sales person? By what a call is worth and costs, within what the sales people can call.

    nb.fit(ledger, SalesReady(capacity=50, cost_per_call=12.0, value_per_win=900.0))

A lead is ready when a call is expected to earn more than it costs, and it is among the best that the sales people have
time for. The chance already counts what the lead did; who wants to see behaviour as well can ask for it.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (the registry reads the types of the settings)
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from nextbest import registry
from nextbest.errors import UsageError
from nextbest.models.curves import wilson
from nextbest.recipes import lead_model, lead_parts
from nextbest.recipes.capacity import share_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from nextbest.recipes.moments import Panel
    from nextbest.types import Fitted, Report

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

EVERYBODY = "calling everybody"
READY = "ready"
_UNLIKELY = "the chance is below what a call costs"
_QUIET = "what it did speaks against it rather than for it"
_BUSY = "others come first within the capacity"


@dataclass(frozen=True, slots=True, kw_only=True)
class SalesReady:
    """Which leads to hand to sales: the settings of `LeadScore`, and what a call costs and a win is worth.

    The chance has to reach cost / value (0 where they are not given), and the height that only a share `capacity` of
    the leads reach. With `least_engagement` the log-odds that behaviour adds have to reach it as well: 0 is a behaviour
    that says nothing for or against. Without it no such gate stands: on calibrated chances a gate can only exchange
    better leads for worse ones.
    """

    name: str = field(default="sales_ready", init=False)
    goal: str = ""
    horizon_days: int = 90
    capacity: float = 0.2
    cost_per_call: float | None = None
    value_per_win: float | None = None
    least_engagement: float | None = None
    engagement: tuple[str, ...] = ()
    table: str | pa.Table | None = None
    id: str | None = None
    label: str | None = None
    positive: str | None = None
    time: str | None = None
    keep: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ()
    model: str = "boosting"
    monotone: Mapping[str, str] = field(default_factory=dict)
    select: str | None = None
    tune_seconds: float = 0.0
    tune_trials: int = 0
    seed: int = 0

    def fit(self, ledger: Any, *, as_of: datetime) -> Fitted:  # noqa: ANN401 (see types.Recipe)
        """Learn who converts and where the line is; `report.status` says when there is too little."""
        self._pays_from()
        return lead_model.fit(self, ledger, as_of=as_of, also=self._with_line)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id`, `sales_ready` (true or false), `reason`, `conversion_probability` with `_low`, `_high`,
        `fit_score` and `engagement_score`; null when nothing was learnt.
        """  # noqa: D205 (the columns are the summary)
        scored = lead_model.predict(self, ledger, fitted, as_of=as_of)
        known = scored.table()
        columns = [c for c in known.column_names if c != "subject_id" and not c.startswith("lead_score")]
        if "line" not in fitted.extra:
            ready, reason = pa.nulls(known.num_rows, pa.bool_()), pa.nulls(known.num_rows, pa.string())
        else:
            chance = known[lead_model.PREDICTION].to_numpy()
            ready, reason = (pa.array(x) for x in self._said(chance, scored.did, float(fitted.extra["line"])))
        columns_of = {c: known[c] for c in columns}
        said = pa.table({"subject_id": known["subject_id"], "sales_ready": ready, "reason": reason, **columns_of})
        return said.replace_schema_metadata(known.schema.metadata)

    def seen(
        self,
        ledger: Any,  # noqa: ANN401
        fitted: Fitted,
        *,
        as_of: datetime,
        subject_ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """Give what the model reads as of a moment: of these leads, or of all who have not converted."""
        return lead_model.seen(self, ledger, fitted, as_of=as_of, subject_ids=subject_ids)

    def _pays_from(self) -> float:
        """Give the chance from which a call earns more than it costs: p * value > cost."""
        cost, value = self.cost_per_call, self.value_per_win
        if cost is None and value is None:
            return 0.0
        if cost is None or value is None or cost < 0 or value <= 0:
            raise UsageError(f"cost_per_call and value_per_win are given together, above 0. Got {cost} and {value}.")
        return cost / value

    def _with_line(self, fitted: Fitted, learning: Panel, judging: Panel) -> Fitted:
        """Give the line between ready and not, and how those on either side of it did, on rows not learnt from.

        The line follows from scores, not from who converted, so the same rows may judge it.
        """
        maker = registry.make("models", self.model, {"seed": self.seed})
        model = maker.fit(learning.features, pa.table({"label": learning.actual}))
        chance = model.predict(judging.features)["prediction"].to_numpy()
        _, did, _ = lead_parts.parts(model, judging.features, fitted.extra["engagement"])
        line = self._line(chance, did)
        ready = (chance >= line) & self._engaged(did)
        report = self._judged(fitted.report, ready, judging.actual, line)
        return replace(fitted, report=report, extra={**fitted.extra, "line": line})

    def _engaged(self, did: Vector) -> Flags:
        """Tell which leads did enough."""
        return np.ones(len(did), dtype=bool) if self.least_engagement is None else did >= self.least_engagement

    def _line(self, chance: Vector, did: Vector) -> float:
        """Give the chance from which a lead is ready: where it pays, and where the capacity ends among the engaged."""
        pays = self._pays_from()
        engaged = np.sort(chance[self._engaged(did)])[::-1]
        room = max(1, int(share_of(self.capacity, len(chance)) * len(chance)))
        return max(pays, float(engaged[room - 1]) if len(engaged) > room else 0.0)

    def _said(self, chance: Vector, did: Vector, line: float) -> tuple[Flags, list[str]]:
        pays = self._pays_from()
        ready = (chance >= line) & self._engaged(did)
        which = np.select([ready, chance < pays, ~self._engaged(did)], [0, 1, 2], default=3)
        return ready, [(READY, _UNLIKELY, _QUIET, _BUSY)[i] for i in which]

    def _judged(self, report: Report, ready: Flags, actual: Vector, line: float) -> Report:
        """Give the report with the conversion rates above and below the line, and what calling them earns."""
        sides = {n: a for n, a in (("ready", actual[ready]), ("not_ready", actual[~ready])) if len(a)}
        rates = {f"rate_{n}": round(float(a.mean()), 4) for n, a in sides.items()}
        bounds = {f"rate_{n}": wilson(float(a.mean()), len(a)) for n, a in sides.items()}
        said = "; ".join(
            f"of {len(a):,} leads that were {n.replace('_', ' ')} {a.mean():.0%} converted"
            f" ({bounds[f'rate_{n}'][0]:.0%} to {bounds[f'rate_{n}'][1]:.0%})"
            for n, a in sides.items()
        )
        every = {"rate_ready": round(float(actual.mean()), 4)}
        ours: dict[str, float] = dict(rates)
        if self.cost_per_call is not None and self.value_per_win is not None:
            cost, value = self.cost_per_call, self.value_per_win
            ours["earned_per_lead"] = round(float(((actual * value - cost) * ready).mean()), 4)
            every["earned_per_lead"] = round(float((actual * value - cost).mean()), 4)
        return replace(
            report,
            why=f"Ready from a chance of {line:.1%}: {said}. {report.why}",
            metrics={**report.metrics, **ours},
            intervals={**report.intervals, **bounds},
            baselines={**report.baselines, EVERYBODY: every},
            details={**report.details, "line": {"probability": round(line, 4), "engagement": self.least_engagement}},
        )
