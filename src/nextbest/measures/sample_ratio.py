"""Whether the arms have the sizes they were designed to have; if not, subjects were lost, and nobody can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

ALARM = 0.001
_LEAST_EXPECTED = 5.0  # below five expected in a cell the chi-square approximation is not to be trusted


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRatio:
    """How unlikely the sizes of the arms are under the design; `why` is set when they are too unlikely."""

    p_value: float | None
    ok: bool
    why: str = ""


def sample_ratio(counts: Mapping[str, int], shares: Mapping[str, float], *, alarm: float = ALARM) -> SampleRatio:
    """Compare counts with the designed shares by Pearson's chi-square; arms without a share do not count."""
    arms = [a for a in shares if shares[a] > 0]
    total, design = sum(counts.get(a, 0) for a in arms), sum(shares[a] for a in arms)
    expected = {a: total * shares[a] / design for a in arms} if design else {}
    if len(arms) < 2 or min(expected.values()) < _LEAST_EXPECTED:
        return SampleRatio(p_value=None, ok=True)
    from scipy.special import chdtrc

    statistic = sum((counts.get(a, 0) - expected[a]) ** 2 / expected[a] for a in arms)
    p = float(chdtrc(len(arms) - 1, statistic))
    if p >= alarm:
        return SampleRatio(p_value=p, ok=True)
    told = ", ".join(f"{a} {counts.get(a, 0):,} instead of about {expected[a]:,.0f}" for a in arms)
    why = (
        f"The arms do not have the sizes they were designed to have ({told}; p = {p:.1e}): subjects were lost unevenly."
    )
    return SampleRatio(p_value=p, ok=False, why=why)
