"""What a forecast of deals rests on: hazards, factors of reps and segments, arrivals; and the open deals seen by it.

`learn` gives plain values (for JSON) in which names stand as hashes only; `setting` puts them to deals as of a moment.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from nextbest.models import shrink, stages
from nextbest.models.deal_forecast import Arrivals, Open, Pool
from nextbest.models.deal_history import DAY, NEVER, STAYS, UNKNOWN, spells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nextbest.models.deal_history import Deals, Spells

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

REP = "owner_id"
SEGMENTS = ("product", "pipeline", "deal_type", "lead_source")
MONTH = 30.0
FEWEST_BLOCKS = 6  # of the length of the period; with fewer, ups and downs are told by the month, which scatters more
MOST_BLOCKS = 36
HALF_LIFE_DAYS = 180.0  # half a year ago counts half as much for how many deals are to come
_MOST_POOL = 3_000
_BANDS = 3
_CLOSE = 1e-6


def hashed(value: str, salt: str) -> str:
    """Give a name as it may stand in a model file."""
    return hashlib.blake2b(value.encode(), digest_size=8, key=bytes.fromhex(salt)).hexdigest()


def segment_of(deals: Deals, wanted: str = "") -> str:
    """Give the column that cuts deals into segments: the one asked for, or the first that tells at least two apart."""
    if wanted:
        return wanted
    return next((name for name in SEGMENTS if len(np.unique(deals.text[name])) > 1), SEGMENTS[0])


def learn(deals: Deals, *, segment: str, period_days: float, seed: int = 0) -> dict[str, Any]:
    """Give hazards, factors, common ups and downs of periods, and arrivals, as plain values."""
    seen = spells(deals)
    blocks = _blocks(deals, period_days)
    hazards = stages.learn(seen, stages=len(deals.stages))
    salt = hashlib.blake2b(f"{seed}/{len(deals.ids)}".encode(), digest_size=16).hexdigest()
    first = np.flatnonzero(seen.start == deals.opened[seen.deal])
    starts = np.bincount(seen.stage[first], minlength=len(deals.stages)) + 1e-6
    edges = _band_edges(deals)
    expected = stages.expected_wins(hazards, seen, len(deals.ids))
    named, factors = [], []
    for codes, words in _groupings(deals, segment, edges):
        factor = shrink.factors(*_sums(codes, len(words), deals.won & (deals.closed < NEVER), expected))
        expected = expected * np.where(codes >= 0, factor.mean[codes], 1.0) if len(words) else expected
        pairs = zip(words, factor.shape, factor.rate, strict=True)
        named.append({hashed(word, salt): [float(shape), float(rate)] for word, shape, rate in pairs})
        factors.append(factor)
    return {
        "salt": salt, "segment": segment, "hazards": hazards.document(), "factors": named, "band_edges": edges.tolist(),
        "stages": [hashed(s, salt) for s in deals.stages], "starts": (starts / starts.sum()).tolist(),
        "common": _common(deals, seen, hazards, blocks), "arrivals": _arrivals(deals, blocks),
    }  # fmt: skip


def setting(
    facts: Mapping[str, Any], deals: Deals
) -> tuple[Ints, Open, Pool, Arrivals, list[shrink.Factors], list[list[str]]]:
    """Give the open deals, those seen, the pool of amounts, arrivals and factors, and the names of both groupings."""
    salt, edges = facts["salt"], np.asarray(facts["band_edges"])
    which, stage, days = standing(deals, facts)
    groupings = _groupings(deals, facts["segment"], edges)
    group = np.stack([codes for codes, _ in groupings])
    factors = [_restored(words, said, salt) for (_, words), said in zip(groupings, facts["factors"], strict=True)]
    amount = deals.row_amount[deals.rows_at(which, np.full(len(which), deals.now))]
    amount = np.where(amount > 0, amount, np.nan)
    won = np.flatnonzero(deals.won & (deals.amount_won > 0))
    won = won[np.argsort(deals.closed[won], kind="stable")][-_MOST_POOL:]
    pool = Pool(amount=deals.amount_won[won], group=group[:2, won], ratio=_ratios(deals, won))
    per_day, error, k = facts["arrivals"]
    arrivals = Arrivals(per_day=per_day, error=error, k=k, starts=np.asarray(facts["starts"]))
    there = Open(stage=stage, days=days, amount=amount, group=group[:, which])
    return which, there, pool, arrivals, factors, [words for _, words in groupings[:2]]


def standing(deals: Deals, facts: Mapping[str, Any]) -> tuple[Ints, Ints, Floats]:
    """Give the open deals, the place of their stage among the learnt ones, and the days they have been in it."""
    which = deals.open_at(deals.now)
    at = deals.rows_at(which, np.full(len(which), deals.now))
    since = deals.row_ts[at].copy()
    seen = spells(deals)
    last = seen.leaves == STAYS
    begun = np.full(len(deals.ids), -1)
    begun[seen.deal[last]] = seen.start[last]
    since = np.where(begun[which] >= 0, begun[which], since)
    learnt = {name: place for place, name in enumerate(facts["stages"])}
    usual = int(np.asarray(facts["hazards"]["exposure"]).sum(axis=1).argmax())  # of a stage that nobody knows
    places = np.array([learnt.get(hashed(s, facts["salt"]), usual) for s in deals.stages] or [usual])
    stage = np.where(deals.row_stage[at] == UNKNOWN, usual, places[deals.row_stage[at]])
    return which, stage, (deals.now - since) / DAY


def won_amounts(deals: Deals, start: int, end: int) -> tuple[Ints, Floats]:
    """Give the deals won in [start, end), and their amounts; one without an amount brings nothing."""
    won = np.flatnonzero(deals.won & (deals.closed >= start) & (deals.closed < end))
    return won, np.nan_to_num(deals.amount_won[won])


# --- parts ------------------------------------------------------------------------------------------------------------


def _groupings(deals: Deals, segment: str, edges: Floats) -> list[tuple[Ints, list[str]]]:
    """Give reps, segments and bands of amount as codes (-1: none) and names."""
    found = [
        (deals.text[name][deals.last_row(np.arange(len(deals.ids)))], deals.words[name].to_pylist())
        for name in (REP, segment)
    ]
    if not len(edges):
        return [*found, (np.full(len(deals.ids), -1), [])]
    amount = deals.row_amount[_last_open_rows(deals)]
    band = np.where(np.isfinite(amount), np.searchsorted(edges, np.nan_to_num(amount)), -1)
    return [*found, (band, [str(k) for k in range(_BANDS)])]


def _last_open_rows(deals: Deals) -> Ints:
    """Give the last row of every deal before its end."""
    every = np.arange(len(deals.ids))
    return deals.rows_at(every, np.minimum(np.maximum(deals.closed - 1, deals.opened), NEVER))


def _band_edges(deals: Deals) -> Floats:
    """Give the thirds of the amounts deals had while they were open; none where those are not known."""
    if not deals.history:
        return np.zeros(0)
    amount = deals.row_amount[_last_open_rows(deals)]
    amount = amount[np.isfinite(amount)]
    edges = np.unique(np.quantile(amount, [1 / _BANDS, 2 / _BANDS])) if len(amount) else np.zeros(0)
    return edges if len(edges) == _BANDS - 1 else np.zeros(0)


def _sums(codes: Ints, size: int, won: NDArray[np.bool_], expected: Floats) -> tuple[Floats, Floats]:
    there = codes >= 0
    weights = won[there].astype(np.float64), expected[there]
    seen, due = (np.asarray(np.bincount(codes[there], weights=w, minlength=size), np.float64) for w in weights)
    return seen, due


def _restored(words: Sequence[str], said: Mapping[str, Sequence[float]], salt: str) -> shrink.Factors:
    """Give the factors of names as deals know them; a name that was not there is an average one."""
    spread = max((min(shape, rate) for shape, rate in said.values()), default=1.0)
    pairs = [said.get(hashed(word, salt), (spread, spread)) for word in words]
    return shrink.Factors(shape=np.array([p[0] for p in pairs]), rate=np.array([p[1] for p in pairs]))


def _ratios(deals: Deals, won: Ints) -> Floats:
    """Give amount at the end over amount known midway, of won deals; empty where amounts never change."""
    middle = deals.opened[won] + (deals.closed[won] - deals.opened[won]) // 2
    before = deals.row_amount[deals.rows_at(won, middle)]
    known = before > 0
    ratio = deals.amount_won[won][known] / before[known]
    return ratio if np.any(np.abs(ratio - 1) > _CLOSE) else np.zeros(0)


def _blocks(deals: Deals, period_days: float) -> Ints:
    """Give the starts of whole blocks of time before now, and now: of the period's length where there are enough."""
    span = (deals.now - int(deals.opened.min(initial=deals.now))) / DAY
    days = period_days if span >= FEWEST_BLOCKS * period_days else MONTH
    count = min(int(span / days), MOST_BLOCKS)
    return np.asarray(deals.now - np.arange(count, -1, -1) * days * DAY).astype(np.int64)


def _common(deals: Deals, seen: Spells, hazards: stages.Hazards, blocks: Ints) -> float:
    """Give k of how whole blocks win more or less often than their deals would: Gamma(k, k)."""
    if len(blocks) < 4:
        return shrink.MOST_WEIGHT
    rates = hazards.mean()[0, :, -2, :][seen.stage]
    until = [
        float((stages.at_risk((np.clip(b, seen.start, seen.end) - seen.start) / DAY, hazards.edges) * rates).sum())
        for b in blocks
    ]
    wins = np.sort(deals.closed[deals.won & (deals.closed < NEVER)])
    counts, expected = np.diff(np.searchsorted(wins, blocks)).astype(np.float64), np.diff(np.array(until))
    return float(shrink.factors(counts, expected).rate[0] - expected[0])


def _arrivals(deals: Deals, blocks: Ints) -> list[float]:
    """Give new deals per day, its standard error, and k of how blocks scatter beyond Poisson: Gamma(k, k)."""
    opened = np.sort(deals.opened)
    counts = np.diff(np.searchsorted(opened, blocks)).astype(np.float64)
    if len(counts) < 2:
        days = max((deals.now - int(opened.min(initial=deals.now))) / DAY, 1.0)
        return [len(opened) / days, float(np.sqrt(len(opened) + 1) / days), shrink.MOST_WEIGHT]
    days = float(blocks[1] - blocks[0]) / DAY
    weight = 0.5 ** (np.arange(len(counts))[::-1] * days / HALF_LIFE_DAYS)
    weight = weight / weight.sum()
    mean = float((weight * counts).sum())
    spread = float((weight * (counts - mean) ** 2).sum()) / max(1 - float((weight**2).sum()), 1e-9)
    extra = max(spread - mean, 0.0) / max(mean, 1e-9) ** 2
    error = np.sqrt(max(spread, mean, 1.0) * float((weight**2).sum()))
    k = float(np.clip(1 / extra, 0.5, shrink.MOST_WEIGHT)) if extra > 1 / shrink.MOST_WEIGHT else shrink.MOST_WEIGHT
    return [mean / days, float(error) / days, k]
