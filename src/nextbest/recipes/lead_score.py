"""Which lead first? The chance to convert, for who they are and for what they did, as events come.

    nb.fit(ledger, LeadScore(horizon_days=90, capacity=0.2))
    nb.fit(ledger, LeadScore(table="leads.csv", id="Lead Number", label="Converted"))

`lead_score` is 100 times the probability, so that a score moves only when the lead's own chance does.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 (the registry reads the types of the settings)
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # noqa: TC002 (the registry reads the types of the settings)

from nextbest.recipes import lead_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nextbest.types import Fitted


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadScore:
    """The chance that a lead of the ledger converts within `horizon_days`, or the label of a flat `table`.

    `goal` names what counts as converting (`leads.GOALS`; '' = the firmest that the ledger holds). `capacity` is the
    share of leads that can be called, or their number above 1. `engagement` names the columns that hold behaviour; the
    others say who they are. `time` of a table orders the rows: the latest fifth judges, and first come is by it.
    """

    name: str = field(default="lead_score", init=False)
    goal: str = ""
    horizon_days: int = 90
    capacity: float = 0.2
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
        """Learn from the table, or from the leads before `as_of`; `report.status` says when there is too little."""
        return lead_model.fit(self, ledger, as_of=as_of)

    def predict(self, ledger: Any, fitted: Fitted, *, as_of: datetime) -> pa.Table:  # noqa: ANN401
        """Give `subject_id`, `lead_score` (0 to 100) and `conversion_probability` with `_low` and `_high`, `fit_score`
        and `engagement_score` (0 to 100).
        """  # noqa: D205 (the columns are the summary)
        return lead_model.predict(self, ledger, fitted, as_of=as_of).table()

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
