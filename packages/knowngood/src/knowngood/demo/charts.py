"""
Charts: small SVG by our own code, for a report that is one file and needs neither network nor script.

Colours are CSS variables of the page, so that a chart is right in light, in dark and on paper; what a colour says, a
shape or a label says too.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

__all__ = ["Axis", "Dot", "Line", "Mark", "Stack", "chart"]

_WIDTH: Final = 920
_LEFT: Final = 56
_RIGHT: Final = 28
_TOP: Final = 46
_BOTTOM: Final = 30
_MARK_GAP: Final = 17.0
_MARK_RADIUS: Final = 8
_TICKS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """
    A range of values and how they are written.

    Attributes:
        low: Lowest value shown.
        high: Highest value shown.
        ticks: Values with a label.
        label: Writes a value.
        title: What it is.
    """

    low: float
    high: float
    ticks: Sequence[float]
    label: Callable[[float], str]
    title: str = ""

    @classmethod
    def over(cls, values: Sequence[float], label: Callable[[float], str], *, title: str = "") -> "Axis":
        """Return an axis with round ticks over some values, at least one."""
        low, high = min(values), max(values)
        span = high - low or max(abs(high), 1.0)
        step = _round_step(span / _TICKS)
        first = math.floor(low / step)
        last = max(first + 1, math.ceil(high / step))
        ticks = [step * number for number in range(first, last + 1)]
        return cls(low=ticks[0], high=ticks[-1], ticks=ticks, label=label, title=title)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line through points ``(x, y)``; None is a gap. ``style`` is a CSS class of the page."""

    points: Sequence[tuple[float, float] | None]
    style: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """One point; ``shape`` is ``circle`` or ``diamond``, ``style`` a CSS class of the page."""

    x: float
    y: float
    style: str
    shape: str = "circle"
    title: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A bar from x to x + width, of shares that add up to 1 at most: CSS class -> share."""

    x: float
    width: float
    shares: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment: a line across the chart with its number, and what it is as a tool tip."""

    x: float
    number: int
    title: str


def chart(
    x: Axis, y: Axis, shapes: Sequence[Line | Dot | Stack], *, marks: Sequence[Mark] = (), height: int = 240
) -> str:
    """
    Return a chart as one SVG element.

    Args:
        x: The horizontal axis.
        y: The vertical axis.
        shapes: What is drawn, later ones on top.
        marks: Moments across it; those that lie close together are numbered one above the other.
        height: In pixels at its natural width; it scales with the page.
    """
    frame = _Frame(x, y, height)
    parts = [
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="{escape(y.title)}">',
        f'<text class="axis-title" x="{_LEFT}" y="12">{escape(y.title)}</text>',
        *frame.grid(),
        *(frame.drawn(shape) for shape in shapes),
        *frame.marked(marks),
        "</svg>",
    ]
    return "\n".join(parts)


class _Frame:
    """Where values come to lie."""

    def __init__(self, x: Axis, y: Axis, height: int) -> None:
        self.x_axis, self.y_axis = x, y
        self.bottom = height - _BOTTOM

    def x(self, value: float) -> float:
        axis = self.x_axis
        return _LEFT + (value - axis.low) / (axis.high - axis.low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        axis = self.y_axis
        return self.bottom - (value - axis.low) / (axis.high - axis.low) * (self.bottom - _TOP)

    def grid(self) -> list[str]:
        """Return both axes with their labels."""
        right = _WIDTH - _RIGHT
        parts = []
        for tick in self.y_axis.ticks:
            at = self.y(tick)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}"/>')
            text = escape(self.y_axis.label(tick))
            parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
        parts.append(f'<line class="axis" x1="{_LEFT}" x2="{right}" y1="{self.bottom}" y2="{self.bottom}"/>')
        for tick in self.x_axis.ticks:
            at = self.x(tick)
            parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{self.bottom}" y2="{self.bottom + 5}"/>')
            text = escape(self.x_axis.label(tick))
            parts.append(f'<text class="tick" x="{at:.1f}" y="{self.bottom + 19}" text-anchor="middle">{text}</text>')
        return parts

    def drawn(self, shape: Line | Dot | Stack) -> str:
        match shape:
            case Line():
                return self._line(shape)
            case Dot():
                return self._dot(shape)
            case Stack():
                return self._stack(shape)

    def marked(self, marks: Sequence[Mark]) -> list[str]:
        """Return the moments, their numbers side by side, each as near to its moment as the others let it be."""
        ordered = sorted(marks, key=lambda mark: (mark.x, mark.number))
        moments = [self.x(mark.x) for mark in ordered]
        y = _TOP - 12
        parts = []
        for mark, at, number_at in zip(ordered, moments, _spread(moments), strict=True):
            parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{self.bottom}"/>')
            parts.append(f'<line class="mark" x1="{at:.1f}" x2="{number_at:.1f}" y1="{_TOP}" y2="{y + _MARK_RADIUS}"/>')
            parts.append(
                f'<g class="mark-number"><title>{escape(mark.title)}</title>'
                f'<circle cx="{number_at:.1f}" cy="{y}" r="{_MARK_RADIUS}"/>'
                f'<text x="{number_at:.1f}" y="{y + 3.5:.1f}" text-anchor="middle">{mark.number}</text></g>'
            )
        return parts

    def _line(self, line: Line) -> str:
        runs: list[list[str]] = [[]]
        for point in line.points:
            if point is None:
                runs.append([])
            else:
                runs[-1].append(f"{self.x(point[0]):.1f},{self.y(point[1]):.1f}")
        return "".join(f'<polyline class="line {escape(line.style)}" points="{" ".join(run)}"/>' for run in runs if run)

    def _dot(self, dot: Dot) -> str:
        x, y = self.x(dot.x), self.y(dot.y)
        title = f"<title>{escape(dot.title)}</title>" if dot.title else ""
        if dot.shape == "diamond":
            points = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
            return f'<polygon class="dot {escape(dot.style)}" points="{points}">{title}</polygon>'
        return f'<circle class="dot {escape(dot.style)}" cx="{x:.1f}" cy="{y:.1f}" r="3.4">{title}</circle>'

    def _stack(self, stack: Stack) -> str:
        left, right = self.x(stack.x), self.x(stack.x + stack.width)
        base, parts = 0.0, []
        for style, share in stack.shares.items():
            top, bottom = self.y(base + share), self.y(base)
            parts.append(
                f'<rect class="bar {escape(style)}" x="{left + 0.5:.1f}" y="{top:.1f}"'
                f' width="{max(0.5, right - left - 1):.1f}" height="{bottom - top:.1f}"/>'
            )
            base += share
        return "".join(parts)


def _spread(places: Sequence[float]) -> list[float]:
    """
    Return places of the same order of which no two are closer than the width of a number.

    Args:
        places: Where they should be, from left to right.

    Returns:
        The mean of pushing all to the right and pushing all to the left, which leaves a crowd about where it was; then
        back into the chart.
    """
    rightwards = _pushed(places)
    leftwards = [-place for place in reversed(_pushed([-place for place in reversed(places)]))]
    means = [(right + left) / 2 for right, left in zip(rightwards, leftwards, strict=True)]
    from_the_left = _pushed([max(place, _LEFT) for place in means])
    edge = _WIDTH - _RIGHT
    return [-place for place in reversed(_pushed([-min(place, edge) for place in reversed(from_the_left)]))]


def _pushed(places: Sequence[float]) -> list[float]:
    """Return rising places, each pushed up as far as the one before it demands."""
    pushed: list[float] = []
    for place in places:
        pushed.append(max(place, pushed[-1] + _MARK_GAP) if pushed else place)
    return pushed


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= least * (1 - 1e-9))
