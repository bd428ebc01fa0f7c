"""The posterior of a hierarchical Bayesian linear model, from its sums alone.

    y = f'm + x'd[a] + noise         m ~ N(m0, P^-1)    d[a] ~ N(0, L^-1)    noise ~ N(0, s)

m is what all actions share, d[a] how action a departs from it; an action without data is the shared part with the
spread of the departures. With the sums of `sums.py` (xx[a] are the first columns of xf[a]),

    inverse[a] = (xx[a] + s L)^-1                pull[a] = inverse[a] xf[a]
    cov        = (P + (ff - sum xf[a]' pull[a]) / s)^-1
    mean       = cov (P m0 + (fy - sum pull[a]' xy[a]) / s)
    d[a]       = inverse[a] xy[a] - pull[a] mean
    variance of the response's mean at (f, x) = s x' inverse[a] x + (f - pull[a]'x)' cov (f - pull[a]'x)

which is the textbook's partitioned inverse (Bishop 2006, Pattern Recognition and Machine Learning, section 2.3; Gelman
& Hill 2007, chapter 12, for the model). The variances of m, of the departures and of the noise are those of greatest
evidence, by steps of EM (Bishop 2006, section 9.3.4), each held by two rows' worth of its starting value.

A response is 0 or 1, and its chance is linear here: least squares is calibrated along every column by construction, and
its sums can be corrected later, which those of a logistic model cannot. The chance is cut off at 0 and 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers
    from nextbest.policies.learners.sums import Sums

PRIOR_MEAN = 0.05  # as in `response.PRIOR_RESPONSE`: stated, not measured
PRIOR_SD = 0.5  # of the overall mean: any rate is possible
_NOISE = 0.2  # a response between 28% and 72% has this variance or more
_OFFSET = 0.05  # actions differ by some 0.2 in their rates
_SLOPES = 0.1  # and by half as much again in whom they are for, over all columns together
_LEAST_NOISE = 1e-4
_MOST_NOISE = 0.25  # that of a response of 0 or 1
_HELD = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Variances:
    """The variances of the noise, of shared weights, and of departures: of the constant and of the other columns."""

    noise: float
    shared: float
    offset: float
    slopes: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """How columns are measured: from `centre`, in units of `scale`; the first `d` are the subject's."""

    centre: Numbers
    scale: Numbers
    d: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Posterior:
    """The posterior in the units of its frame; shapes per action a of k: inverse (d, d), pull (d, D), departures (d,).

    `taken` are xf' pull, shape (k, D, D); `xy` the sums that the departures rest on.
    """

    frame: Frame
    variances: Variances
    inverse: Numbers
    pull: Numbers
    taken: Numbers
    xy: Numbers
    cov: Numbers
    mean: Numbers
    departures: Numbers


class _Framed(NamedTuple):
    """The sums of all rows, and of some actions, as if columns had been centred and scaled first."""

    ff: Numbers
    fy: Numbers
    xf: Numbers
    xy: Numbers


class _Parts(NamedTuple):
    inverse: Numbers
    pull: Numbers
    taken: Numbers


def frame_of(sums: Sums, numeric: np.ndarray[Any, np.dtype[np.bool_]]) -> Frame:
    """Give centres and scales by the sums: numbers in their standard deviations, marks as they are."""
    mean = sums.ff[0] / max(sums.n, 1e-12)
    variance = np.maximum(np.diag(sums.ff) / max(sums.n, 1e-12) - mean * mean, 0.0)
    scale = np.where(numeric & (variance > 1e-18), np.sqrt(variance), 1.0)
    mean[0], scale[0] = 0.0, 1.0
    return Frame(centre=mean, scale=scale, d=sums.xy.shape[1])


def starting(d: int, whole: int) -> Variances:
    """Give the variances before any data, for d columns of subjects among the whole."""
    slopes = _SLOPES / max(1, d - 1)
    return Variances(noise=_NOISE, shared=_SLOPES / max(1, whole - 1), offset=_OFFSET, slopes=slopes)


def solve(sums: Sums, frame: Frame, variances: Variances, *, steps: int) -> Posterior:
    """Give the posterior after so many steps of EM for the variances."""
    framed = _in_frame(sums, frame)
    for _ in range(steps):
        found = _joined(framed, _parts(framed.xf, frame.d, variances), frame, variances)
        variances = _better(sums, found, framed)
    return _joined(framed, _parts(framed.xf, frame.d, variances), frame, variances)


def updated(before: Posterior, sums: Sums, groups: Any) -> Posterior:  # noqa: ANN401 (indices)
    """Give the posterior after rows of a few actions were added; frame and variances stay as they are."""
    frame, v, k = before.frame, before.variances, len(sums.xy)
    framed = _in_frame(sums, frame, groups)
    parts = _Parts(*(_longer(part, k) for part in (before.inverse, before.pull, before.taken)))
    parts.inverse[len(before.xy) :] = np.diag(1.0 / (v.noise * _precision(frame.d, v)))
    for whole, new in zip(parts, _parts(framed.xf, frame.d, v), strict=True):
        whole[groups] = new
    xy = _longer(before.xy, k)
    xy[groups] = framed.xy
    return _joined(framed._replace(xy=xy), parts, frame, v)


def _in_frame(sums: Sums, frame: Frame, groups: Any = slice(None)) -> _Framed:  # noqa: ANN401 (indices)
    m, s, d = frame.centre, frame.scale, frame.d
    ff, xf, xy = sums.ff, sums.xf[groups], sums.xy[groups]
    ff = ff - np.outer(m, ff[0]) - np.outer(ff[:, 0], m) + ff[0, 0] * np.outer(m, m)
    rows = xf[:, :1, :]
    xf = xf - m[None, :d, None] * rows - xf[:, :, :1] * m + rows[:, :, :1] * np.outer(m[:d], m)
    return _Framed(
        ff=np.asarray(ff / np.outer(s, s), dtype=np.float64),
        fy=(sums.fy - m * sums.fy[0]) / s,
        xf=np.asarray(xf / np.outer(s[:d], s), dtype=np.float64),
        xy=(xy - m[:d] * xy[:, :1]) / s[:d],
    )


def _parts(xf: Numbers, d: int, v: Variances) -> _Parts:
    inverse = np.asarray(np.linalg.inv(xf[:, :, :d] + v.noise * np.diag(_precision(d, v))), dtype=np.float64)
    pull = inverse @ xf
    return _Parts(inverse=inverse, pull=pull, taken=np.matmul(xf.transpose(0, 2, 1), pull))


def _joined(framed: _Framed, parts: _Parts, frame: Frame, v: Variances) -> Posterior:
    prior = np.full(len(framed.fy), 1.0 / v.shared)
    prior[0] = PRIOR_SD**-2.0
    cov = np.linalg.inv(np.diag(prior) + (framed.ff - parts.taken.sum(axis=0)) / v.noise)
    cov = (cov + cov.T) / 2
    wanted = (framed.fy - np.einsum("kdw,kd->w", parts.pull, framed.xy)) / v.noise
    wanted[0] += prior[0] * PRIOR_MEAN
    mean = cov @ wanted
    departures = np.matmul(parts.inverse, framed.xy[:, :, None])[:, :, 0] - parts.pull @ mean
    return Posterior(
        frame=frame, variances=v, **parts._asdict(), xy=framed.xy, cov=cov, mean=mean, departures=departures
    )


def _better(sums: Sums, p: Posterior, framed: _Framed) -> Variances:
    """Give the variances of one step of EM."""
    v, d = p.variances, p.frame.d
    start, seen = starting(d, len(p.mean)), sums.count > 0
    pull = p.pull[seen]
    spread = v.noise * np.diagonal(p.inverse[seen], axis1=1, axis2=2) + ((pull @ p.cov) * pull).sum(axis=2)
    squares = p.departures[seen] ** 2 + spread
    # How many weights the data determine (MacKay 1992, "Bayesian interpolation", section 4.3): each takes one row from
    # those that tell of the noise.
    told = (p.inverse[seen] * framed.xf[seen][:, :, :d]).sum() + (
        p.cov * (framed.ff - p.taken.sum(axis=0))
    ).sum() / v.noise
    noise = (max(_residual(sums, p, framed), 0.0) + _HELD * start.noise) / (max(sums.n - told, 0.0) + _HELD)
    return Variances(
        noise=float(min(max(noise, _LEAST_NOISE), _MOST_NOISE)),
        shared=_held(p.mean[1:] ** 2 + np.diag(p.cov)[1:], start.shared),
        offset=_held(squares[:, 0], start.offset),
        slopes=_held(squares[:, 1:], start.slopes),
    )


def _residual(sums: Sums, p: Posterior, framed: _Framed) -> float:
    """Give the squared residuals of the means, summed over rows."""
    own = p.departures
    fitted = (
        p.mean @ framed.ff @ p.mean
        + 2 * (own * (framed.xf @ p.mean)).sum()
        + (own * np.matmul(framed.xf[:, :, : p.frame.d], own[:, :, None])[:, :, 0]).sum()
    )
    return float(sums.yy - 2 * (framed.fy @ p.mean + (framed.xy * own).sum()) + fitted)


def _held(squares: Numbers, start: float) -> float:
    return float((squares.sum() + _HELD * start) / (squares.size + _HELD))


def _precision(d: int, v: Variances) -> Numbers:
    out = np.full(d, 1.0 / v.slopes)
    out[0] = 1.0 / v.offset
    return out


def _longer(part: Numbers, k: int) -> Numbers:
    out = np.zeros((k, *part.shape[1:]))
    out[: len(part)] = part
    return out
