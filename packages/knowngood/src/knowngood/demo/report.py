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
from knowngood.demo.outcome import Outcome
from knowngood.demo.record import epoch_of
from knowngood.demo.replay_clock import clock_text
from knowngood.demo.story import verdict_lines
from knowngood.demo.world.features import CHANGES
from knowngood.demo.world.riders import BAD_PRICE_MARGIN
from knowngood.demo.world.training import CASUAL_WEIGHT
from knowngood_sdk.errors import PermanentError
from knowngood_sdk.serving.disk import write_whole

__all__ = ["check_writable", "render", "write_report"]

_BIN_SECONDS: Final = 300.0
_BEFORE_SECONDS: Final = 4.0
_AFTER_SECONDS: Final = 12.0
_NAMES: Final = {"known": "version 1", "bad": "version 2", "fix": "version 1 with another note"}


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
        "charts": {
            "flip": _flip_chart(outcome, moments),
            "price": _price_chart(bins, moments, outcome),
            "conversion": _conversion_chart(bins, moments, outcome),
            "served": _served_chart(bins, moments, outcome, styles),
        },
        "names": {seen.versions[key]: name for key, name in _NAMES.items() if key in seen.versions},
        "figures": _figures(outcome.decision["figures"]),
        "verdicts": [line.strip() for line in verdict_lines(outcome)],
        "margin": BAD_PRICE_MARGIN,
        "casual_weight": CASUAL_WEIGHT,
    }


def _moments(outcome: Outcome) -> list[_Moment]:
    """Return the moments of all acts, in their order."""
    at, seen = outcome.moments, outcome.seen
    first = [
        (at.deployed_at, "Version 2 has all traffic"),
        (at.breach_at, "Breach: the first rider gets a bad price"),
        (at.detected_at, f"Detection: {outcome.decision['trigger']} is breached"),
        (at.decided_at, "Decision: leave version 2, by its plan"),
        (at.killed_at, "The control process is dead, killed by SIGKILL in the middle of the flip"),
        (at.last_bad_at, "Last bad response"),
        (at.acknowledged_at, f"{outcome.acknowledged} of {len(seen.urls)} replicas seen to have left"),
        (at.verified_at, "Verified: metrics back at their baseline"),
    ]
    later = [(seen.canary.started_at, "Second act: released by name, deployed again as a canary")]
    fix = [deployment for deployment in seen.record.deployments if deployment["version"] == seen.versions.get("fix")]
    later += [
        (epoch_of(deployment["full_at"]), "The fix, version 1 with another note, has all traffic")
        for deployment in fix
        if deployment.get("full_at")
    ]
    ordered = sorted([*first, *(moment for moment in later if moment[0] < seen.clock.epoch(6 * 3600.0))])
    return [
        _Moment(
            number=number,
            at=when,
            evening=seen.clock.text(when),
            wall=f"{when - at.deployed_at:+.2f} s",
            decision=f"{when - at.decided_at:+.2f} s",
            what=what,
        )
        for number, (when, what) in enumerate(ordered, start=1)
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
    shown = [moment for moment in moments if not moment.what.startswith(("Breach", "Detection", "The control"))]
    marks = [Mark(x=outcome.seen.clock.offset(m.at), number=m.number, title=m.what) for m in shown]
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
    """Return every response around the flip, each a dot: seconds of the wall since the decision, and the price."""
    at, styles = outcome.moments.decided_at, _styles(outcome)
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
        title="Every response around the flip: price, by wall seconds since the decision (◆ version 2, ● version 1)",
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
