"""Draw: the same (seed, subject) gives the same number, for one subject or a million, today or in an audit.

A counter-based generator has no state to carry: the seed is the key, the subject is the counter. This is numpy's
Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", section 3.3), vectorised over counters:

    numpy.random.Generator(numpy.random.Philox(key=[seed, 0], counter=[0, 0, *subject])).random()   # the same number
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

Numbers = np.ndarray[Any, np.dtype[np.float64]]
Words = np.ndarray[Any, np.dtype[np.uint64]]

_ROUNDS = 10
_BLOCK = 1 << 14  # the working set of one block stays in the processor's cache
_MASK32 = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLY = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_WRAP = (1 << 64) - 1


def seed_of(*parts: str) -> int:
    """Give a 63-bit seed that depends on every part; parts are kept apart by their lengths."""
    hashed = blake2b(digest_size=8)
    for part in parts:
        text = part.encode()
        hashed.update(len(text).to_bytes(8, "little") + text)
    return int.from_bytes(hashed.digest(), "little") >> 1


def fingerprints(subject_ids: Iterable[str]) -> Words:
    """Give 128 bits per subject, as two 64-bit words: shape (subjects, 2)."""
    fresh, digests = blake2b(digest_size=16).copy, []  # a copy costs less than a beginning
    for subject in subject_ids:
        hashed = fresh()
        hashed.update(subject.encode())
        digests.append(hashed.digest())
    return np.frombuffer(b"".join(digests), dtype="<u8").reshape(-1, 2)


def uniforms(seed: int, subjects: Words) -> Numbers:
    """Give one number in [0, 1) per fingerprint."""
    out = np.empty(len(subjects), dtype=np.float64)
    for start in range(0, len(subjects), _BLOCK):
        block = slice(start, start + _BLOCK)
        out[block] = _first_word(seed, subjects[block, 0], subjects[block, 1]) >> np.uint64(11)
    return out * 2.0**-53


def _first_word(seed: int, low: Words, high: Words) -> Words:
    """Give the first output word of Philox4x64-10 for the counters (1, 0, low, high)."""
    a, b = np.ones_like(low), np.zeros_like(low)
    c, d = low, high
    key = [seed, 0]
    for _ in range(_ROUNDS):
        high_a, low_a = _multiply(_MULTIPLY[0], a)
        high_c, low_c = _multiply(_MULTIPLY[1], c)
        a, b, c, d = high_c ^ b ^ np.uint64(key[0]), low_c, high_a ^ d ^ np.uint64(key[1]), low_a
        key = [(key[0] + _WEYL[0]) & _WRAP, (key[1] + _WEYL[1]) & _WRAP]
    return a


def _multiply(constant: int, x: Words) -> tuple[Words, Words]:
    """Give the high and low 64 bits of constant times x, by four products of 32 bits."""
    m_high, m_low = np.uint64(constant >> 32), np.uint64(constant & 0xFFFFFFFF)
    x_high, x_low = x >> _32, x & _MASK32
    middle = m_high * x_low + ((m_low * x_low) >> _32)
    other = m_low * x_high + (middle & _MASK32)
    return m_high * x_high + (middle >> _32) + (other >> _32), np.uint64(constant) * x
