"""Report: the outcome of a run as one HTML file, which opens without network and without scripts, and prints well."""

import errno
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jinja2

from knowngood.demo.charts import Axis, Dot, Line, Mark, Stack, chart
from knowngood.demo.figures import Bin, bins_of
from knowngood.demo.moments import Moment
from knowngood.demo.outcome import Outcome
from knowngood.demo.record import epoch_of
from knowngood.demo.replay_clock import clock_text
from knowngood.demo.story import (
    RECOVERY_HEADINGS,
    VERSION_NAMES,
    canary_lines,
    gap_line,
    measure_lines,
    placebo_lines,
    recovery_rows,
    unnoticed,
    whole_evening,
)
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.riders import BAD_PRICE_MARGIN, EVENING_SECONDS
from knowngood.demo.world.training import CASUAL_WEIGHT
from knowngood_sdk.errors import PermanentError
from knowngood_sdk.serving.disk import write_whole

__all__ = ["check_writable", "render", "write_report"]

_BIN_SECONDS: Final = 300.0
_BEFORE_SECONDS: Final = 4.0
_AFTER_SECONDS: Final = 12.0


def write_report(outcome: Outcome, path: Path) -> None:
    """Write the report of a run; a file that is there is replaced, in one step."""
    write_whole(path, render(outcome).encode())


def check_writable(path: Path) -> None:
    """Raise PermanentError now if a report could not be written at the end; leaves all as it is."""
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise PermanentError(
            f"the report cannot be written to {path}: {error.strerror}", hint="Name another place with --report"
        ) from error


def render(outcome: Outcome) -> str:
    """Return the report of a run as HTML."""
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["short"] = _short
    return environment.get_template("report.html.j2").render(**_context(outcome))


@dataclass(frozen=True, slots=True)
class _Moment:
    """A moment of the timeline, with its number on the charts."""

    number: int
    at: float
    evening: str
    wall: str
    decision: str
    what: str
    minor: bool


def _context(outcome: Outcome) -> dict[str, Any]:
    """Return what the template shows."""
    seen = outcome.seen
    moments = _moments(outcome)
    bins = bins_of(seen.evening_log, seen.known_prices, seconds=_BIN_SECONDS)
    styles = _styles(outcome)
    return {
        "outcome": outcome,
        "seen": seen,
        "facts": outcome.to_json(),
        "what_changed": CHANGES.get(seen.change, "a stranger's own feature code"),
        "moments": moments,
        "unnoticed": unnoticed(outcome),
        "charts": {
            "flip": _flip_chart(outcome, moments),
            "price": _price_chart(bins, moments, outcome),
            "conversion": _conversion_chart(bins, moments, outcome),
            "served": _served_chart(bins, moments, outcome, styles),
        },
        "figures": _figures(outcome.decision["figures"]) if outcome.decision else [],
        "whole_evening": whole_evening(outcome),
        "measures": list(measure_lines(outcome)),
        "canary": list(canary_lines(outcome.canary)) if outcome.canary else [],
        "placebos": list(placebo_lines(outcome)),
        "recovery": _recovery(outcome),
        "recovery_headings": RECOVERY_HEADINGS,
        "version_names": VERSION_NAMES,
        "margin": BAD_PRICE_MARGIN,
        "casual_weight": CASUAL_WEIGHT,
    }


def _recovery(outcome: Outcome) -> tuple[list[tuple[str, ...]], str] | None:
    """Return the table with and without the product, and how fine it is; None where there is nothing to compare."""
    if outcome.recovery is None or outcome.seen.plain is None:
        return None
    pair = outcome.recovery, outcome.seen.plain.recovery
    return recovery_rows(*pair), gap_line(*pair)


def _moments(outcome: Outcome) -> list[_Moment]:
    """Return the moments of the whole evening, in their order."""
    at, seen = outcome.moments, outcome.seen
    later = [
        Moment(epoch_of(deployment["full_at"]), "the fix, version 1 with another note, has all traffic")
        for deployment in seen.record.deployments
        if deployment["version"] == seen.versions.get("fix") and deployment.get("full_at")
    ]
    if seen.canary is not None:
        later.append(Moment(seen.canary.started_at, "version 2 is released by name, and deployed again as a canary"))
    shown = [moment for moment in later if moment.at < seen.clock.epoch(EVENING_SECONDS)]
    return [
        _Moment(
            number=number,
            at=moment.at,
            evening=seen.clock.text(moment.at),
            wall=f"{moment.at - at.deployed_at:+.2f} s",
            decision="-" if at.decided_at is None else f"{moment.at - at.decided_at:+.2f} s",
            what=moment.what[0].upper() + moment.what[1:],
            minor=moment.minor,
        )
        for number, moment in enumerate(sorted([*outcome.timeline, *shown], key=lambda moment: moment.at), start=1)
    ]


def _styles(outcome: Outcome) -> dict[str, str]:
    """Return version -> CSS class; what has none is the static fallback or nobody's."""
    return {version: f"v-{key}" for key, version in outcome.seen.versions.items()}


def _evening_axis(bins: Sequence[Bin]) -> Axis:
    low, high = bins[0].from_seconds, bins[-1].from_seconds + _BIN_SECONDS
    first = int(-(-low // 1800))
    ticks = [1800.0 * number for number in range(first, int(high // 1800) + 1)]
    return Axis(low=low, high=high, ticks=ticks, label=clock_text)


def _marks(moments: Sequence[_Moment], outcome: Outcome, x: Axis) -> list[Mark]:
    """Return the moments that lie on the evening; of those that fall together there, one stands for all."""
    marks = [Mark(x=outcome.seen.clock.offset(m.at), number=m.number, title=m.what) for m in moments if not m.minor]
    return [mark for mark in marks if x.low <= mark.x <= x.high]


def _price_chart(bins: Sequence[Bin], moments: Sequence[_Moment], outcome: Outcome) -> str:
    x = _evening_axis(bins)
    middle = _BIN_SECONDS / 2
    seen = [(b.from_seconds + middle, b.price) for b in bins if b.price is not None]
    known = [(b.from_seconds + middle, b.known_price) for b in bins if b.known_price is not None]
    y = Axis.over(
        [price for _, price in (*seen, *known)],
        lambda value: f"${value:.2f}",
        title="Mean price that riders saw, and what version 1 asks on the same requests (dashed)",
    )
    lines = [Line(points=known, style="known"), Line(points=seen, style="seen")]
    return chart(x, y, lines, marks=_marks(moments, outcome, x))


def _conversion_chart(bins: Sequence[Bin], moments: Sequence[_Moment], outcome: Outcome) -> str:
    x = _evening_axis(bins)
    points = [(b.from_seconds + _BIN_SECONDS / 2, b.conversion) for b in bins if b.conversion is not None]
    y = Axis(
        low=0.0,
        high=1.0,
        ticks=[0.0, 0.25, 0.5, 0.75, 1.0],
        label=lambda value: f"{value:.0%}",
        title="Share of riders who took the price, in five minutes of the evening",
    )
    dots = [Dot(x=at, y=share, style="seen", title=f"{clock_text(at)}: {share:.0%}") for at, share in points]
    return chart(x, y, [Line(points=points, style="seen"), *dots], marks=_marks(moments, outcome, x))


def _served_chart(bins: Sequence[Bin], moments: Sequence[_Moment], outcome: Outcome, styles: Mapping[str, str]) -> str:
    x = _evening_axis(bins)
    y = Axis(low=0.0, high=1.0, ticks=[0.0, 0.5, 1.0], label=lambda value: f"{value:.0%}", title="Who answered")
    stacks = []
    for one in bins:
        shares: dict[str, float] = {}
        for version in sorted(one.by_version, key=lambda version: styles.get(version, "v-other"), reverse=True):
            style = styles.get(version, "v-other")
            shares[style] = shares.get(style, 0.0) + one.by_version[version] / one.riders
        stacks.append(Stack(x=one.from_seconds, width=_BIN_SECONDS, shares=shares))
    return chart(x, y, stacks, marks=_marks(moments, outcome, x), height=170)


def _flip_chart(outcome: Outcome, moments: Sequence[_Moment]) -> str:
    """Return every response around the flip, each a dot: wall seconds and price; around the deployment without one."""
    styles, decided_at = _styles(outcome), outcome.moments.decided_at
    at = outcome.moments.deployed_at if decided_at is None else decided_at
    since = "deployment" if decided_at is None else "decision"
    near = [
        request
        for request in outcome.seen.log
        if request.price is not None and -_BEFORE_SECONDS <= request.answered_at - at <= _AFTER_SECONDS
    ]
    ticks = [float(second) for second in range(-int(_BEFORE_SECONDS), int(_AFTER_SECONDS) + 1, 2)]
    x = Axis(low=-_BEFORE_SECONDS, high=_AFTER_SECONDS, ticks=ticks, label=lambda value: f"{value:+g} s")
    prices = [request.price or 0.0 for request in near]
    y = Axis.over(
        [*prices, 0.0],
        lambda value: f"${value:.2f}",
        title=f"Every response: price, by wall seconds since the {since} (◆ version 2, ● others)",
    )
    dots = [
        Dot(
            x=request.answered_at - at,
            y=request.price or 0.0,
            style=styles.get(request.version, "v-other"),
            shape="diamond" if request.version == outcome.seen.versions["bad"] else "circle",
        )
        for request in near
    ]
    marks = [Mark(x=m.at - at, number=m.number, title=m.what) for m in moments if x.low <= m.at - at <= x.high]
    return chart(x, y, dots, marks=marks, height=280)


def _figures(figures: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return trigger, verdict and the numbers behind it, in words."""
    rows = []
    for trigger, values in figures.items():
        numbers = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in values.items()
            if name != "verdict" and value is not None
        )
        rows.append((trigger, str(values["verdict"]), numbers))
    return rows


def _short(version: str) -> str:
    return version.removeprefix("sha256:")[:12]
