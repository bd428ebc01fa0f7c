"""Estimators of another policy's value: closed forms, limits, slow versions, and the intervals around them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, get_args

import numpy as np
import pytest
from scipy import stats

from nextbest.errors import DataError, UsageError
from nextbest.measures.replay import choosing, estimators, expected, slates, support
from nextbest.measures.replay.evaluate import evaluate, judged, laid_over
from nextbest.measures.replay.intervals import Method, by_subject, interval
from nextbest.measures.replay.logged import Batch, Rows, reduced

if TYPE_CHECKING:
    from nextbest.measures.replay.logged import Numbers


def drawn(seed: int = 1, n: int = 400, k: int = 4, *, each: int = 1) -> tuple[Batch, Numbers]:
    """Give a log with known chances and another policy's."""
    people, action, reward = (np.random.default_rng(s) for s in np.random.SeedSequence([21, seed]).spawn(3))
    facts = people.normal(size=(n, 2))
    logged, target = people.dirichlet(np.ones(k) * 3, n), people.dirichlet(np.ones(k) * 3, n)
    chosen = (action.random(n)[:, None] >= logged.cumsum(axis=1)).sum(axis=1).clip(max=k - 1)
    y = (reward.random(n) < 0.2 + 0.1 * chosen).astype(float)
    batch = Batch(
        reward=y, chosen=chosen, probability=logged[np.arange(n), chosen], eligible=np.ones((n, k), dtype=bool),
        subject=np.arange(n) // each, facts=facts, cell_facts=np.zeros((n, k, 0)), logged=logged,
    )  # fmt: skip
    return batch, target


def rows_of(batch: Batch, target: Numbers) -> Rows:
    """Give the rows of one batch."""
    return laid_over(lambda: iter([batch]), lambda _: target)


def test_estimates_equal_a_loop_over_decisions() -> None:
    """Every estimator is what its formula gives, written out decision by decision."""
    batch, target = drawn()
    rows = rows_of(batch, target)
    q = expected.fit(lambda: iter([batch])).of(batch)
    slow: dict[str, list[float]] = {name: [] for name in ("ips", "dm", "dr", "switch_dr", "dr_ps", "dr_os")}
    for i, a in enumerate(batch.chosen):
        w = target[i, a] / batch.logged[i, a]
        v = sum(target[i, b] * q[i, b] for b in range(q.shape[1]))
        left = batch.reward[i] - q[i, a]
        slow["ips"].append(w * batch.reward[i])
        slow["dm"].append(v)
        slow["dr"].append(v + w * left)
        slow["switch_dr"].append(v + (w if w <= 1.5 else 0) * left)
        slow["dr_ps"].append(v + min(w, 1.5) * left)
        slow["dr_os"].append(v + 2.0 * w / (w**2 + 2.0) * left)
    fast = {n: estimators.simple(n, rows).estimate for n in ("ips", "dm", "dr")}
    fast |= {"switch_dr": estimators.switch_dr(rows, 1.5).estimate, "dr_ps": estimators.dr_ps(rows, 1.5).estimate}
    fast["dr_os"] = estimators.dr_os(rows, 2.0).estimate
    assert fast == pytest.approx({name: float(np.mean(scores)) for name, scores in slow.items()})


def test_the_logged_policy_earns_what_it_earned() -> None:
    """Where the other policy is the logged one, ips and snips are the mean reward and their interval is that of it."""
    batch, _ = drawn()
    assert batch.logged is not None
    rows = rows_of(batch, batch.logged)
    plain = interval(float(rows.reward.mean()), rows.reward - rows.reward.mean(), rows.subject)
    for name in ("ips", "snips"):
        made = estimators.simple(name, rows)
        assert made.estimate == pytest.approx(rows.reward.mean())
        assert interval(made.estimate, made.centred, rows.subject).low == pytest.approx(plain.low)


@pytest.mark.parametrize("name", estimators.SHRUNK)
def test_limits_lead_from_the_regression_to_doubly_robust(name: str) -> None:
    """A limit of 0 is the direct method, one without end is doubly robust (Su et al. 2020, after equation 8)."""
    rows = rows_of(*drawn())
    shrunk = getattr(estimators, name)
    assert shrunk(rows, 0.0).estimate == pytest.approx(estimators.dm(rows).estimate)
    assert shrunk(rows, np.inf).estimate == pytest.approx(estimators.dr(rows).estimate)
    assert shrunk(rows, 1e12).estimate == pytest.approx(estimators.dr(rows).estimate)


def test_snips_does_not_move_with_the_level_of_rewards() -> None:
    """A constant added to every reward is added to snips and to dr, which ips does not do."""
    batch, target = drawn()
    before, after = rows_of(batch, target), rows_of(replace(batch, reward=batch.reward + 100), target)
    for name in ("snips", "dr"):
        moved = estimators.simple(name, after).estimate - estimators.simple(name, before).estimate
        assert moved == pytest.approx(100, abs=0.05)
    assert abs(estimators.ips(after).estimate - estimators.ips(before).estimate - 100) > 0.05


def test_categories_of_one_action_each_change_nothing() -> None:
    """With a category per action mips is ips; with one category for all, every weight is 1."""
    batch, target = drawn()
    q = np.zeros(target.shape)
    own, one = (reduced(batch, target, q, start=0, categories=c) for c in (np.arange(4), np.zeros(4, dtype=np.int64)))
    assert estimators.mips(own).estimate == pytest.approx(estimators.ips(own).estimate)
    assert one.marginal == pytest.approx(1.0)


def test_categories_make_what_was_never_tried_known() -> None:
    """Two actions of one effect, of which the log takes only one: mips tells what ips cannot (known truth 0.3)."""
    random = np.random.default_rng(2)
    n = 20_000
    chosen = (random.random(n) < 0.5).astype(np.int64) * 2  # action 0 or 2, never 1
    logged = np.tile([0.5, 0.0, 0.5], (n, 1))
    y = (random.random(n) < np.array([0.3, 0.3, 0.1])[chosen]).astype(float)
    batch = Batch(
        reward=y, chosen=chosen, probability=np.full(n, 0.5), eligible=np.ones((n, 3), dtype=bool),
        subject=np.arange(n), facts=np.zeros((n, 0)), cell_facts=np.zeros((n, 3, 0)), logged=logged,
    )  # fmt: skip
    target = np.tile([0.0, 1.0, 0.0], (n, 1))
    rows = reduced(batch, target, np.zeros((n, 3)), start=0, categories=np.array([0, 0, 1]))
    assert estimators.mips(rows).estimate == pytest.approx(0.3, abs=0.02)
    assert estimators.ips(rows).estimate == 0


def test_expected_rewards_never_see_their_own_subject() -> None:
    """Changing one subject's reward leaves what is expected of that subject as it was."""
    batch, _ = drawn(each=2)
    changed = replace(batch, reward=np.where(batch.subject == 7, 1 - batch.reward, batch.reward))
    one, two = (expected.fit(lambda b=b: iter([b])).of(batch) for b in (batch, changed))
    mine = batch.subject % expected.FOLDS == 7 % expected.FOLDS
    assert np.allclose(one[mine], two[mine], rtol=0, atol=1e-12)  # but for rounding of the sums
    assert np.abs(one[~mine] - two[~mine]).max() > 1e-4


def test_expected_rewards_do_not_depend_on_how_the_log_is_cut() -> None:
    """One batch or three: the same expected rewards."""
    batch, _ = drawn()
    parts = [_part(batch, s) for s in (slice(0, 100), slice(100, 250), slice(250, 400))]
    whole, pieces = expected.fit(lambda: iter([batch])), expected.fit(lambda: iter(parts))
    assert pieces.coefficients == pytest.approx(whole.coefficients)


def _part(batch: Batch, span: slice) -> Batch:
    names = ("reward", "chosen", "probability", "eligible", "subject", "facts", "cell_facts", "logged")
    return Batch(**{name: getattr(batch, name)[span] for name in names})


def test_a_plain_interval_is_students() -> None:
    """With one row per subject the plain interval is scipy's."""
    x = np.random.default_rng(4).normal(size=50)
    got = interval(float(x.mean()), x - x.mean(), np.arange(50), method="normal")
    assert (got.low, got.high) == pytest.approx(stats.t.interval(0.95, 49, x.mean(), stats.sem(x)))


def test_rows_of_one_subject_count_once() -> None:
    """A log in which every row stands twice, under the same subject, has the interval of the log itself."""
    x = np.random.default_rng(5).exponential(size=60)
    twice = np.repeat(x, 2)
    for method in get_args(Method):
        one = interval(float(x.mean()), x - x.mean(), np.arange(60), method=method)
        two = interval(float(x.mean()), twice - x.mean(), np.repeat(np.arange(60), 2), method=method)
        assert (one.low, one.high) == pytest.approx((two.low, two.high))


def test_the_default_interval_leans_to_the_long_side() -> None:
    """Skewed scores have an interval that reaches further to the side of the tail; mirrored, it is mirrored."""
    x = np.random.default_rng(6).lognormal(sigma=1.2, size=300)
    x -= x.mean()
    right, left = (interval(0.0, sign * x, np.arange(300)) for sign in (1, -1))
    assert right.high > -right.low
    assert (left.low, left.high) == pytest.approx((-right.high, -right.low))


def test_the_default_interval_is_close_to_the_bootstrap() -> None:
    """On moderately skewed scores it agrees with scipy's BCa bootstrap to a tenth of its width."""
    x = np.random.default_rng(7).exponential(size=800)
    ours = interval(float(x.mean()), x - x.mean(), np.arange(800))
    bca = stats.bootstrap((x,), np.mean, n_resamples=2000, rng=np.random.default_rng(8)).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((bca.low, bca.high), abs=0.1 * (ours.high - ours.low))


def test_unequal_subjects_add_up() -> None:
    """What subjects add to the mean sums to the centred mean, however many rows each has."""
    random = np.random.default_rng(8)
    subject, x = random.integers(0, 20, 100), random.normal(size=100)
    assert by_subject(x, subject).mean() == pytest.approx(x.mean())


def test_the_rule_stops_where_intervals_part() -> None:
    """A biased estimator is chosen while it lies in the noise of the unbiased one, and not when it does not."""
    random = np.random.default_rng(9)
    n = 1000
    noise = random.normal(size=n)
    unbiased = estimators.Scores(name="wide", estimate=1.0, centred=noise)
    near = estimators.Scores(name="near", estimate=1.02, centred=noise / 10)
    far = estimators.Scores(name="far", estimate=1.5, centred=noise / 10)
    subject = np.arange(n)
    assert choosing.slope([unbiased, near], subject).name == "near"
    assert choosing.slope([unbiased, far], subject).name == "wide"


def test_effective_numbers_are_exact() -> None:
    """Kish's number of equal weights is their count; of weights 1, 1, 2 it is 16 / 6."""
    assert support.effective(np.ones(7)) == 7
    assert support.effective(np.array([1.0, 1.0, 2.0])) == pytest.approx(float(Fraction(16, 6)))
    assert support.effective(np.ones(4), np.array([0, 0, 1, 1])) == 2


def test_few_effective_decisions_are_refused() -> None:
    """A policy that the log hardly ever agrees with has fewer than 100 effective decisions: nobody can tell."""
    batch, target = drawn(n=150)
    effect = judged(rows_of(batch, target))
    assert effect.status == "cannot_tell"
    assert "effective of 100" in effect.why
    assert effect.estimate is None
    assert effect.details["effective_n"] < 100


def test_what_could_never_happen_is_refused() -> None:
    """A tenth of the other policy lies where the logged chance was 0: nobody can tell, and the share is named."""
    batch, _ = drawn(n=3000)
    assert batch.logged is not None
    logged = batch.logged * [1, 1, 1, 0]
    logged /= logged.sum(axis=1, keepdims=True)
    chosen = np.minimum(batch.chosen, 2)
    kept = replace(batch, logged=logged, chosen=chosen, probability=logged[np.arange(3000), chosen])
    effect = judged(rows_of(kept, 0.9 * logged + 0.1 * np.eye(4)[3]))
    assert effect.status == "cannot_tell"
    assert "10.0%" in effect.why


def test_wrong_chances_are_refused() -> None:
    """Chances that are not those of the log do not average to a weight of 1, and are refused."""
    batch, _ = drawn(n=4000)
    assert batch.logged is not None
    wrong = replace(batch, probability=np.full(4000, 0.5))
    effect = judged(rows_of(wrong, batch.logged))
    assert effect.status == "cannot_tell"
    assert "The weights average" in effect.why


def test_amounts_of_few_are_refused() -> None:
    """A mean of amounts that a handful of answers decide is not told."""
    batch, _ = drawn(n=3000)
    assert batch.logged is not None
    few = np.where(np.arange(3000) % 300 == 0, 90.0 + np.arange(3000) / 100, 0.0)
    effect = judged(rows_of(replace(batch, reward=few), batch.logged))
    assert effect.status == "cannot_tell"
    assert "effective answers" in effect.why


def test_chances_that_do_not_sum_to_one_are_refused() -> None:
    """A policy whose chances sum to 2 is an error, not an estimate."""
    batch, target = drawn()
    with pytest.raises(DataError, match="sum to 1"):
        rows_of(batch, 2 * target)


def test_levels_and_short_logs() -> None:
    """A level outside of (0, 1) is refused; a log of 20 decisions is not enough data."""
    batch, target = drawn(n=20)
    with pytest.raises(UsageError, match="between 0 and 1"):
        evaluate(lambda: iter([batch]), lambda _: target, level=95)
    assert evaluate(lambda: iter([batch]), lambda _: target).status == "not_enough_data"


def test_pages_are_judged_as_pages() -> None:
    """The estimators of pages equal a loop over pages, and a log of one place each gives the ordinary ones."""
    batch, target = drawn(n=300)
    rows = rows_of(batch, target)
    single = slates.every(rows)
    assert single["iips"].estimate == pytest.approx(estimators.ips(rows).estimate)
    assert single["cascade_dr"].estimate == pytest.approx(estimators.dr(rows).estimate)
    order = np.random.default_rng(1).permutation(300)
    pages = replace(rows, request=np.arange(300) // 3, position=np.arange(300) % 3 + 1).where(order)  # type: ignore[arg-type]
    slow = _slow_pages(pages)
    assert {n: s.estimate for n, s in slates.every(pages).items()} == pytest.approx(slow)


def _slow_pages(rows: Rows) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in slates.NAMES}
    steps: list[list[float]] = []
    for page in np.unique(rows.request):
        at = [np.flatnonzero((rows.request == page) & (rows.position == k))[0] for k in (1, 2, 3)]
        w, r, q, v = (getattr(rows, name)[at] for name in ("weight", "reward", "fitted", "value"))
        found["iips"].append((w * r).sum())
        found["rips"].append((np.cumprod(w) * r).sum())
        found["sips"].append(np.prod(w) * r.sum())
        value = 0.0
        for k in (2, 1, 0):
            value = v[k] + w[k] * (r[k] + value - q[k])
        found["cascade_dr"].append(value)
        steps.append([1.0, w[0] - 1.0, w[0] * w[1] - w[0]])
    told = {name: float(np.mean(each)) for name, each in found.items()}
    level, *_ = np.linalg.lstsq(np.array(steps), np.array(found["cascade_dr"]), rcond=None)[0]
    return {**told, "cascade_dr": float(level)}


@pytest.mark.parametrize("seed", range(5))
def test_weights_of_pages_may_be_as_wide_as_they_are(seed: int) -> None:
    """Products of five weights average far from 1 by chance; the chances are judged place by place, and not refused."""
    random = np.random.default_rng([808, seed])
    pages, places = 8000, 5
    draws = random.random((pages, places)) < 0.3
    weight = np.where(draws, 0.5 / 0.3, 0.5 / 0.7).ravel()
    n = pages * places
    rows = Rows(
        reward=(random.random(n) < 0.1).astype(float), weight=weight, fitted=np.full(n, 0.1), value=np.full(n, 0.1),
        unsupported=np.zeros(n), subject=np.repeat(np.arange(pages), places), marginal=weight,
        request=np.repeat(np.arange(pages), places), position=np.tile(np.arange(places) + 1, pages),
        group=np.zeros(n, dtype=np.int64),
    )  # fmt: skip
    known = support.diagnostics(slates.per_page(rows))
    assert support.why_not(rows, known) == ""
    assert "weights average" in support.why_not(replace(rows, weight=weight * 1.05), known)
