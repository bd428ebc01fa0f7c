"""What the workspace knows about one subject, in one answer: also what the person may ask to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from nextbest.ledger import analysis, published
from nextbest.ledger.kinds import EVENTS
from nextbest.ledger.views import relation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.ledger.workspace import Ledger

_DECISIONS = ("decision_id", "play", "ts", "action_id", "arm", "choice_probability", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One subject: attributes, identities, permission, predictions with their models, decisions, events per kind."""

    subject_id: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    identities: tuple[Mapping[str, Any], ...] = ()
    consent: tuple[Mapping[str, Any], ...] = ()
    predictions: Mapping[str, Any] = field(default_factory=dict)
    model_versions: Mapping[str, str] = field(default_factory=dict)
    decisions: tuple[Mapping[str, Any], ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)


def profile(ledger: Ledger, subject_id: str) -> Profile:
    """Give what is known about a subject by its canonical id."""
    with ledger.journal.read() as connection:
        predictions, versions = published.published(connection, subject_id)
    states = _rows(ledger, "subjects", subject_id)
    present = analysis.kinds_present(ledger)
    counts = {kind: len(_rows(ledger, kind, subject_id, "ts")) for kind in EVENTS if kind in present}
    return Profile(
        subject_id=subject_id,
        attributes={k: v for k, v in (states[0] if states else {}).items() if v is not None and k != "subject_id"},
        identities=tuple(_rows(ledger, "identities", subject_id, "identity_type", "identity", "source")),
        consent=tuple(_rows(ledger, "consent", subject_id, "purpose", "channel", "allowed", "ts", "proof")),
        predictions=predictions,
        model_versions=versions,
        decisions=tuple(_rows(ledger, "decisions", subject_id, *_DECISIONS)),
        events={kind: rows for kind, rows in counts.items() if rows},
    )


def _rows(ledger: Ledger, name: str, subject_id: str, *columns: str) -> list[dict[str, Any]]:
    wanted: list[exp.Expr] = [exp.column(c, quoted=True) for c in columns] or [exp.Star()]
    mine = exp.column("subject_id").eq(exp.Parameter(this=exp.var("subject_id")))
    query = exp.select(*wanted).from_(relation(name)).where(mine)
    found: list[dict[str, Any]] = analysis.fetch(ledger, query, parameters={"subject_id": subject_id}).to_pylist()
    return found
