"""The pictures of a model card as inline SVG: no scripts, colours from the page, every text escaped."""

from __future__ import annotations

from html import escape
from itertools import pairwise
from math import floor
from typing import TYPE_CHECKING, Any

from nextbest.trust.frame import WIDTH, Axis, Frame, framed, nice, svg, ticks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nextbest.trust.frame import Points, Say

_BAR, _GAP = 26, 10
_LETTERS = 44  # of a level's name that fit above its bar
_MAJORITY = "majority"
_QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_DATE_DASHES = 2


def percent(value: float) -> str:
    """Give 0.125 as "12.5%", 0.5 as "50%"."""
    return f"{100 * value:.3g}%"


def number(value: float) -> str:
    """Give a number in three digits, thousands as k, millions as M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def calibration(points: Points) -> str:
    """Draw predicted against observed rates with their intervals; on the diagonal they agree."""
    top = nice(max(max(p["predicted"], p["high"]) for p in points))
    frame = Frame(across=(0.0, top), up=(0.0, top))
    marks = [frame.line((0.0, 0.0), (top, top), "even")]
    for p in points:
        marks.append(frame.line((p["predicted"], p["low"]), (p["predicted"], p["high"]), "span"))
        marks.append(frame.dot(p["predicted"], p["observed"]))
    at = ticks(0.0, top)
    across, up = (Axis(ticks=at, say=percent, name=name) for name in ("predicted", "observed"))
    return framed(frame, marks, across, up, title="Calibration")


def capture(points: Points) -> str:
    """Draw the share of positives among the best-scored, beside chance and the two best baselines."""
    frame = Frame(across=(0.0, 1.0), up=(0.0, 1.0))
    marks = [frame.line((0.0, 0.0), (1.0, 1.0), "even")]
    marks += [frame.path(points, "share", name, f"rival rival{k}") for k, name in enumerate(rivals(points))]
    marks.append(frame.path(points, "share", "captured", "ours"))
    across, up = (Axis(ticks=_QUARTERS, say=percent, name=n) for n in ("best-scored share of rows", "captured"))
    return framed(frame, marks, across, up, title="Capture")


def rivals(points: Points) -> list[str]:
    """Give the two baselines that capture most at a fifth of the rows; chance is drawn as the diagonal."""
    near = min(points, key=lambda p: abs(p["share"] - 0.2))
    names = [n for n in near if n not in {"share", "captured", _MAJORITY} and near[n] is not None]
    return sorted(names, key=lambda n: (-near[n], n))[:2]


def lift(points: Points) -> str:
    """Draw how often it happens in each tenth by score, as a multiple of the average."""
    at = {0.0: 0.0, **{round(p["share"], 2): p["captured"] for p in points}}
    tenths = [10 * (at[b] - at[a]) for a, b in pairwise(k / 10 for k in range(11)) if a in at and b in at]
    top = nice(max([*tenths, 1.0]))
    frame = Frame(across=(0.0, 10.0), up=(0.0, top))
    marks = [frame.bar(k + 0.15, 0.7, value) for k, value in enumerate(tenths)]
    marks.append(frame.line((0.0, 1.0), (10.0, 1.0), "even"))
    across = Axis(ticks=(0.5, 4.5, 9.5), say=_place, name="tenths, best-scored first")
    up = Axis(ticks=ticks(0.0, top), say=number, name="times the average")
    return framed(frame, marks, across, up, title="Lift")


def deciles(points: Points) -> str:
    """Draw predicted and actual amounts of the tenths by prediction side by side."""
    top = nice(max(max(p["predicted"], p["actual"]) for p in points))
    frame = Frame(across=(0.0, float(len(points))), up=(0.0, top))
    marks = [frame.bar(k + 0.12, 0.36, p["predicted"]) for k, p in enumerate(points)]
    marks += [frame.bar(k + 0.52, 0.36, p["actual"], "bar second") for k, p in enumerate(points)]
    across = Axis(ticks=(0.5, len(points) - 0.5), say=_place, name="tenths by prediction")
    up = Axis(ticks=ticks(0.0, top), say=number, name="mean amount")
    return framed(frame, marks, across, up, title="Predicted and actual")


def survival(points: Points, *, unit: str) -> str:
    """Draw the share that is still there by the time since the beginning, of all subjects."""
    last = max(float(points[-1]["time"]), 1e-9)
    frame = Frame(across=(0.0, last), up=(0.0, 1.0))
    across = Axis(ticks=ticks(0.0, last, inside=True), say=number, name=f"{unit or 'time'} since the beginning")
    up = Axis(ticks=_QUARTERS, say=percent, name="still there")
    marks = [frame.path(points, "time", "kept", "ours")]
    return framed(frame, marks, across, up, title="Still there")


def dependence(curve: Mapping[str, Any], *, share: bool) -> str:
    """Draw one column's dependence: a line along a scale, else a bar per level."""
    say = percent if share else number
    known = [p for p in curve["points"] if p["value"] is not None]
    if curve["graded"] and len(known) > 1:
        return _line(known, [p for p in curve["points"] if p["value"] is None], say, str(curve["column"]))
    return _bars(curve["points"], say, str(curve["column"]))


def _line(known: Points, missing: Points, say: Say, name: str) -> str:
    low, high = known[0]["value"], known[-1]["value"]
    means = [p["prediction"] for p in (*known, *missing)]
    least, top = -nice(-min(means)) if min(means) < 0 else 0.0, nice(max(means))
    frame = Frame(across=(low, high), up=(least, top))
    marks = [frame.line((low, p["prediction"]), (high, p["prediction"]), "even") for p in missing]
    marks += [_beside(frame, high, p["prediction"]) for p in missing]
    marks.append(frame.path(known, "value", "prediction", "ours"))
    marks += [frame.dot(p["value"], p["prediction"], radius=3) for p in known]
    dated = str(known[0]["label"]).count("-") == _DATE_DASHES
    labels = {p["value"]: str(p["label"]) for p in known}
    across = Axis(ticks=[low, high] if dated else ticks(low, high, inside=True), say=lambda v: labels.get(v, number(v)))
    return framed(frame, marks, across, Axis(ticks=ticks(least, top), say=say), title=f"Dependence on {name}")


def _beside(frame: Frame, across: float, up: float) -> str:
    return f'<text x="{frame.x(across)}" y="{frame.y(up) - 5:.1f}" text-anchor="end">when missing</text>'


def _bars(points: Points, say: Say, name: str) -> str:
    """Draw one bar per level, its name above, its figure at the end."""
    top = max([*(abs(p["prediction"]) for p in points), 1e-12])
    marks = []
    for k, p in enumerate(points):
        at = _GAP + k * (_BAR + _GAP)
        wide = max(1.0, (WIDTH - 70) * max(p["prediction"], 0.0) / top)
        rows = f" ({p['rows']:,} rows)" if p.get("rows") else ""
        marks.append(f'<text class="name" x="0" y="{at + 10}">{escape(_cut(str(p["label"])))}{rows}</text>')
        marks.append(f'<rect class="bar" x="0" y="{at + 16}" width="{wide:.1f}" height="8" rx="4"/>')
        marks.append(f'<text class="end" x="{wide + 8:.1f}" y="{at + 24}">{escape(say(p["prediction"]))}</text>')
    return svg("".join(marks), f"Dependence on {name}", len(points) * (_BAR + _GAP) + _GAP)


def _place(value: float) -> str:
    return str(floor(value) + 1)


def _cut(text: str) -> str:
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
