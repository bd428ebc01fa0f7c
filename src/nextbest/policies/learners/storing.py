"""A state as bytes and back: a JSON header and raw little-endian float64, nothing that could run.

The posterior is not kept: it follows from the sums, the frame and the variances.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from nextbest.errors import ModelError
from nextbest.policies.learners.layout import Layout
from nextbest.policies.learners.linear import Linear, LinearState
from nextbest.policies.learners.posterior import Frame, Variances, solve
from nextbest.policies.learners.sums import Sums

if TYPE_CHECKING:
    from nextbest.policies.draw import Numbers

_MARK = b"nextbest learner 1\n"
_ARRAYS = ("ff", "fy", "xf", "xy", "count")


def to_bytes(state: LinearState) -> bytes:
    """Give the state as bytes; the same state gives the same bytes."""
    known, sums = state.known, state.sums
    arrays = [*(getattr(sums, name) for name in _ARRAYS), known.frame.centre, known.frame.scale]
    header = {
        "settings": asdict(state.settings),
        "subject": {"columns": state.subject.columns, "centre": state.subject.centre},
        "action": {"columns": state.action.columns, "centre": state.action.centre},
        "groups": state.groups,
        "sums": {"yy": sums.yy, "n": sums.n, "since": sums.since},
        "variances": asdict(known.variances),
        "refreshed": state.refreshed,
        "shapes": [list(a.shape) for a in arrays],
    }
    text = msgspec.json.encode(header, order="deterministic")
    raw = b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays)
    return _MARK + len(text).to_bytes(8, "little") + text + raw


def version_of(body: bytes) -> str:
    """Give the name of a state by its bytes: 16 hex digits."""
    return blake2b(body, digest_size=8).hexdigest()


def from_bytes(body: bytes) -> LinearState:
    """Give the state that `to_bytes` wrote, with its version; raises `ModelError` for anything else."""
    try:
        header, arrays = _parts(body)
        return _state(header, arrays, version_of(body))
    except (ValueError, KeyError, TypeError, IndexError, msgspec.DecodeError, np.linalg.LinAlgError) as error:
        raise ModelError(f"A learner's state of {len(body)} bytes cannot be read: {error}.") from error


def _parts(body: bytes) -> tuple[dict[str, Any], list[Numbers]]:
    start = len(_MARK) + 8
    if body[: len(_MARK)] != _MARK:
        raise ValueError("it does not start as a state does")
    end = start + int.from_bytes(body[len(_MARK) : start], "little")
    header = msgspec.json.decode(body[start:end])
    sizes = [int(np.prod(shape)) for shape in header["shapes"]]
    flat = np.frombuffer(body[end:], dtype="<f8")
    if len(flat) != sum(sizes) or not np.isfinite(flat).all():
        raise ValueError(f"it holds {len(flat)} numbers, all finite or not, instead of {sum(sizes)} finite ones")
    edges = np.cumsum([0, *sizes])
    parts = zip(header["shapes"], edges[:-1], edges[1:], strict=True)
    return header, [flat[a:b].reshape(shape).astype(np.float64) for shape, a, b in parts]


def _state(header: dict[str, Any], arrays: list[Numbers], version: str) -> LinearState:
    settings = Linear(**{**header["settings"], "features": tuple(header["settings"]["features"])})
    layouts = [
        Layout(
            columns=tuple(header[name]["columns"]),
            centre=tuple(header[name]["centre"]),
            most=settings.most_columns,
            only=settings.features if name == "subject" else (),
        )
        for name in ("subject", "action")
    ]
    ff, fy, xf, xy, count, centre, scale = arrays
    sums = Sums(ff=ff, fy=fy, xf=xf, xy=xy, count=count, **header["sums"])
    frame = Frame(centre=centre, scale=scale, d=sums.xy.shape[1])
    state = LinearState(
        settings=settings,
        subject=layouts[0],
        action=layouts[1],
        groups=tuple(header["groups"]),
        sums=sums,
        posterior=solve(sums, frame, Variances(**header["variances"]), steps=0),
        refreshed=(float(header["refreshed"][0]), float(header["refreshed"][1])),
    )
    return replace(state, version=version)
