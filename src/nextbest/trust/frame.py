"""The frame of a picture: where values lie, round ticks, and the SVG around them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Points = Sequence[Mapping[str, Any]]
    Say = Callable[[float], str]

WIDTH, HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The values that the picture spans, across and up."""

    across: tuple[float, float]
    up: tuple[float, float]

    def x(self, value: float) -> float:
        """Give the place of a value across, to a tenth of a unit."""
        low, high = self.across
        return round(_LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        """Give the place of a value up, to a tenth of a unit."""
        low, high = self.up
        return round(HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - _TOP - _BOTTOM), 1)

    def line(self, start: tuple[float, float], end: tuple[float, float], kind: str) -> str:
        """Give a line between two points."""
        (a, b), (c, d) = start, end
        return f'<line class="{kind}" x1="{self.x(a)}" y1="{self.y(b)}" x2="{self.x(c)}" y2="{self.y(d)}"/>'

    def dot(self, across: float, up: float, *, radius: float = 4.5) -> str:
        """Give a dot."""
        return f'<circle class="dot" cx="{self.x(across)}" cy="{self.y(up)}" r="{radius}"/>'

    def bar(self, start: float, width: float, value: float, kind: str = "bar") -> str:
        """Give a bar from nought up to a value; nought for one below."""
        top = self.y(max(value, 0.0))
        wide, tall = self.x(start + width) - self.x(start), self.y(0.0) - top
        return f'<rect class="{kind}" x="{self.x(start)}" y="{top}" width="{wide:.1f}" height="{tall:.1f}" rx="2"/>'

    def path(self, points: Points, across: str, up: str, kind: str) -> str:
        """Give a line through points; one of shares starts in the corner."""
        shown = [(p[across], p[up]) for p in points if p.get(up) is not None and isfinite(p[up])]
        start = [(0.0, 0.0)] if across == "share" else []
        places = " ".join(f"{self.x(a)},{self.y(b)}" for a, b in [*start, *shown])
        return f'<polyline class="{kind}" points="{places}"/>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """The ticks of one side, how they are said, and the side's name."""

    ticks: Sequence[float]
    say: Say
    name: str = ""


def framed(frame: Frame, marks: Sequence[str], across: Axis, up: Axis, *, title: str) -> str:
    """Give the picture with its grid, ticks and names."""
    base = HEIGHT - _BOTTOM
    left, right = frame.across
    lines = [frame.line((left, v), (right, v), "grid") for v in up.ticks]
    texts = [_text(_LEFT - 7, frame.y(v) + 4, up.say(v), "end") for v in up.ticks]
    texts += [_text(frame.x(v), base + 17, across.say(v), _anchor(frame.x(v))) for v in across.ticks]
    if across.name:
        texts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 4, across.name, "middle"))
    described = f"{title}: {up.name} by {across.name}" if across.name else title
    return svg("".join([*lines, *marks, *texts]), described, HEIGHT)


def svg(inside: str, title: str, height: float) -> str:
    """Give the element around a picture, with what it shows in words."""
    said = escape(title)
    box = f'viewBox="0 0 {WIDTH} {height:g}"'
    return f'<svg {box} role="img" aria-label="{said}"><title>{said}</title>{inside}</svg>'


def nice(top: float) -> float:
    """Give the next round number at or above."""
    if top <= 0 or not isfinite(top):
        return 1.0
    size = 10.0 ** floor(log10(top))
    return float(next(step * size for step in (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * size >= top * 0.9999))


def ticks(low: float, high: float, *, inside: bool = False) -> list[float]:
    """Give three to six round values from low to high; *inside* keeps them within."""
    rough = ((high - low) or 1.0) / 4
    size = 10.0 ** floor(log10(rough))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= rough * 0.9999)
    first = ceil(low / step - 1e-9) if inside else floor(low / step + 1e-9)
    return [v for k in range(8) if (v := round((first + k) * step, 10)) <= high + step * 1e-6]


def _text(x: float, y: float, said: str, anchor: str) -> str:
    return f'<text x="{x:g}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'


def _anchor(place: float) -> str:
    return "end" if place > WIDTH - _RIGHT - 10 else "middle"
