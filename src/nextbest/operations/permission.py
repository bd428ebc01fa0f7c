"""Who may be contacted, and what is stopped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nextbest.errors import UsageError

if TYPE_CHECKING:
    from nextbest.ledger import Ledger
    from nextbest.ledger.idempotency import Also


def consent(
    ledger: Ledger,
    subject_id: str,
    *,
    allow: bool,
    proof: str,
    purpose: str = "marketing",
    channel: str = "*",
    source: str = "",
    also: Also | None = None,
) -> int:
    """Store a yes or a no with its proof, durable before this returns; gives the consent version.

    The subject may be given by e-mail or phone, also before anything about the person is loaded.
    """
    from nextbest.ledger import consent as ledger_consent
    from nextbest.ledger import identities

    if not proof.strip():
        raise UsageError(
            "Consent needs a proof: say where and how it was given, such as 'newsletter form, 2026-03-01'."
        )
    known = identities.resolve_or_expect(ledger, subject_id)
    return ledger_consent.record(
        ledger, known, purpose=purpose, channel=channel, allow=allow, proof=proof, source=source, also=also
    )


def stop(
    ledger: Ledger, *, play: str = "*", channel: str = "*", action: str = "*", why: str, also: Also | None = None
) -> None:
    """Stop a play, channel or action at once, until `start`; raises `UnknownNameError` for a play that is not there."""
    from nextbest.errors import unknown
    from nextbest.ledger import switches
    from nextbest.policies.default import plays

    if play != switches.ANY and play not in plays(ledger):  # a slip must not look as if something had been stopped
        raise unknown("play", play, plays(ledger))
    switches.stop(ledger, play=play, channel=channel, action=action, why=why, also=also)


def start(
    ledger: Ledger, *, play: str = "*", channel: str = "*", action: str = "*", why: str, also: Also | None = None
) -> None:
    """Lift a stop."""
    from nextbest.ledger import switches

    switches.start(ledger, play=play, channel=channel, action=action, why=why, also=also)


def stops(ledger: Ledger) -> list[dict[str, str]]:
    """Give the stops in force: play, channel, action ('*' for all), why and since when; those of the file come first.

    The file `stop` in the workspace has no time and says no why.
    """
    from nextbest.ledger import switches
    from nextbest.ledger.times import from_micros

    with ledger.journal.read() as connection:
        written, rows = switches.written(connection), switches.listing(connection)
    scopes = (("*", "*", "*"),) if written.everything else written.scopes
    found: list[tuple[str, ...]] = [(*scope, f"the file {switches.STOP_FILE}", "") for scope in scopes]
    found += [(*scope, why, from_micros(ts).isoformat()) for *scope, why, ts in rows]
    return [dict(zip(("play", "channel", "action", "why", "since"), row, strict=True)) for row in found]
