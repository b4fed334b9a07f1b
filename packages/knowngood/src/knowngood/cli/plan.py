"""``kg plan``: how the system would be rolled back now."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from knowngood.cli.console import GIVEN, answer, directory_option, mark, output_option, system_argument
from knowngood.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from knowngood.domain.plan import Plan

_SHOWN = 5
"""Alternatives that are told to a person."""


@click.command(epilog="Example:  kg plan pricing --suspect features")
@system_argument
@click.option("--suspect", type=GIVEN, metavar="COMPONENT", help="Component that is believed to be at fault.")
@click.option("--level", type=click.IntRange(1, 4), help="Level to ask for; what it really is follows from the plan.")
@directory_option
@output_option
def command(system: str, suspect: str | None, level: int | None, directory: str, output: str) -> int:
    """Show how SYSTEM would be rolled back now: steps, level, risks, and every alternative with the reason."""
    from knowngood.app import open_plane
    from knowngood.control.situation import situation_of
    from knowngood.domain.level import Level
    from knowngood.domain.planner import plan

    asked = Level(level) if level else None
    made = plan(situation_of(open_plane(directory), system, suspected=suspect, asked=asked, probe=True))
    answer({"system": system, **made.to_json()}, output, lambda: lines_of(made, system))
    return ExitCode.NOT_READY if made.unsafe else ExitCode.DONE


def lines_of(made: "Plan", system: str) -> Iterator[str]:
    """Return a plan for a person."""
    chosen = made.chosen
    if chosen is None:
        yield f"{mark('bad')} {made}"
        yield "  a person could:"
        yield from (f"    {option}" for option in made.options)
    else:
        takes = "unknown" if chosen.estimate_seconds is None else f"{chosen.estimate_seconds * 1000:.1f} ms"
        yield f"{mark('good')} {made}"
        yield f"  takes {takes}; changes {', '.join(chosen.changes.components)}; evidence: {chosen.grade or 'measured'}"
        stages: dict[int, list[str]] = {}
        for step in chosen.steps:
            stages.setdefault(step.stage, []).append(f"{step.verb} {step.component}".strip())
        yield from (f"  {number}. {', '.join(steps)}" for number, steps in stages.items())
    yield from (f"  risk: {risk}" for risk in made.risks)
    yield from (f"  {mark('warning')} {flag}" for flag in made.flags)
    others = [other for other in made.alternatives if other is not chosen]
    for other in others[:_SHOWN]:
        sign = mark("warning" if other.allowed else "bad")
        named = other.target.label if other.proven else f"combination {other.target.label}"
        yield f"  {sign} {named}, level {other.level} ({other.scope}) {other.choice}: {other.reason}"
    if len(others) > _SHOWN:
        yield f"  ... and {len(others) - _SHOWN} more, with the reasons: kg plan {system} --output json"
