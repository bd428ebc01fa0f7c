"""One number in [0, 1) for one subject: what `policies.draw` gives for many, in plain integers.

NumPy needs some two hundred calls for one number of Philox; Python's integers need forty multiplications.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_MASK = (1 << 64) - 1
_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_KEYS = tuple(((i * 0x9E3779B97F4A7C15) & _MASK, (i * 0xBB67AE8584CAA73B) & _MASK) for i in range(10))
_MIDDLE, _LAST = _KEYS[1:-1], _KEYS[-1][0]
_ONES = 1 | 1 << 128
_HALVES = _MASK * _ONES
_BESIDE = tuple((key * _ONES, other * _ONES) for key, other in _MIDDLE)


def seed(first: tuple[str, ...], more: Iterable[str] = ()) -> int:
    """Give `draw.seed_of(*first, *more)`; what many seeds begin with is hashed once."""
    hashed = _begun(first).copy()
    for part in more:
        _add(hashed, part)
    return int.from_bytes(hashed.digest(), "little") >> 1


@lru_cache(maxsize=256)
def _begun(parts: tuple[str, ...]) -> blake2b:
    hashed = blake2b(digest_size=8)
    for part in parts:
        _add(hashed, part)
    return hashed


def _add(hashed: blake2b, part: str) -> None:
    text = part.encode()
    hashed.update(len(text).to_bytes(8, "little") + text)


def fingerprint(subject_id: str) -> tuple[int, int]:
    """Give the two words of `draw.fingerprints` for one subject."""
    digest = blake2b(subject_id.encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def uniform(seed: int, words: tuple[int, int]) -> float:
    """Give the number of `draw.uniforms` for one subject."""
    c, d = words
    x, y = _M0, c * _M1  # the counter's first two words are 1 and 0
    a, b, c, d = (y >> 64) ^ seed, y & _MASK, d, x
    for key, other in _MIDDLE:
        x, y = a * _M0, c * _M1
        a, b, c, d = (y >> 64) ^ b ^ ((seed + key) & _MASK), y & _MASK, (x >> 64) ^ d ^ other, x & _MASK
    # Of the last round only the first word is asked for.
    return (((c * _M1 >> 64) ^ b ^ ((seed + _LAST) & _MASK)) >> 11) * 2.0**-53


def two(first: int, second: int, words: tuple[int, int]) -> tuple[float, float]:
    """Give `uniform` for two seeds and one subject, side by side in integers of 256 bits: it takes less than both."""
    c, d = words[0] * _ONES, words[1] * _ONES
    seeds = first | second << 128
    x, y = _M0 * _ONES, c * _M1  # no product reaches into the other half: both factors have 64 bits
    a, b, c, d = (y >> 64) & _HALVES ^ seeds, y & _HALVES, d, x
    for key, other in _BESIDE:
        x, y = a * _M0, c * _M1
        a, b, c, d = (
            ((y >> 64) ^ b ^ (seeds + key)) & _HALVES,
            y & _HALVES,
            ((x >> 64) ^ d ^ other) & _HALVES,
            x & _HALVES,
        )
    last = (c * _M1 >> 64) ^ b ^ (seeds + _LAST * _ONES)
    return ((last & _MASK) >> 11) * 2.0**-53, ((last >> 128 & _MASK) >> 11) * 2.0**-53
