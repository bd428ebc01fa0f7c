from __future__ import annotations

import numpy as np
from scipy import stats

from nextbest.policies.draw import fingerprints, seed_of, uniforms


def test_draw_is_numpys_philox() -> None:
    """Every number equals the first one of numpy's own generator with that key and counter."""
    subjects = fingerprints([f"c{i}" for i in range(200)] + ["", "ä", "007"])
    for seed in (0, 1, seed_of("a", "b"), 2**63 - 1):
        got = uniforms(seed, subjects)
        for u, (low, high) in zip(got, subjects.tolist(), strict=True):
            key = np.array([seed, 0], dtype=np.uint64)
            counter = np.array([0, 0, low, high], dtype=np.uint64)
            assert u == np.random.Generator(np.random.Philox(key=key, counter=counter)).random()


def test_draw_depends_on_the_subject_alone() -> None:
    """A subject gets the same number alone, in a crowd, and in any order."""
    ids = [f"c{i}" for i in range(40_000)]
    seed = seed_of("x")
    whole = uniforms(seed, fingerprints(ids))
    order = np.random.default_rng(0).permutation(len(ids))
    turned = uniforms(seed, fingerprints([ids[i] for i in order]))
    assert (turned == whole[order]).all()
    assert uniforms(seed, fingerprints(["c123"]))[0] == whole[123]


def test_draws_are_uniform_and_independent_between_seeds() -> None:
    """Numbers of sequential ids pass a test of uniformity, and two seeds are uncorrelated."""
    subjects = fingerprints([f"customer-{i}" for i in range(50_000)])
    first, second = uniforms(seed_of("one"), subjects), uniforms(seed_of("two"), subjects)
    assert stats.kstest(first, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(first, second)[0, 1]) < 4 / np.sqrt(len(first))
    assert ((first >= 0) & (first < 1)).all()


def test_parts_of_a_seed_are_kept_apart() -> None:
    """Moving a letter from one part to the next gives another seed, and a seed fits a signed integer."""
    assert seed_of("ab", "c") != seed_of("a", "bc")
    assert seed_of("a") != seed_of("a", "")
    assert all(0 <= seed_of(str(i)) < 2**63 for i in range(1000))
