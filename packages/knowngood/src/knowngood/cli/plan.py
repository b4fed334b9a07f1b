"""``kg plan``: how the system would be rolled back now."""

from collections.abc import Iterator
from typing import Any

import click

from knowngood.cli.console import GIVEN, answer, mark, output_option, system_argument
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.place import Place, place_options

_SHOWN = 5
"""Alternatives that are told to a person."""


@click.command(epilog="Example:  kg plan pricing --suspect features")
@system_argument
@click.option("--suspect", type=GIVEN, metavar="COMPONENT", help="Component that is believed to be at fault.")
@click.option("--level", type=click.IntRange(1, 4), help="Level to ask for; what it really is follows from the plan.")
@place_options
@output_option
def command(system: str, suspect: str | None, level: int | None, place: Place, output: str) -> int:
    """Show how SYSTEM would be rolled back now: steps, level, risks, and every alternative with the reason."""
    made = place.verbs().plan(system, suspect, level)
    answer(made, output, lambda: lines_of(made))
    return ExitCode.NOT_READY if made["outcome"] == "unsafe" else ExitCode.DONE


def lines_of(made: dict[str, Any]) -> Iterator[str]:
    """Return a plan for a person."""
    from knowngood_sdk.model.canonical import short

    chosen = made["chosen"]
    if chosen is None:
        yield f"{mark('bad')} no safe target for {short(made['live'])}"
        yield "  a person could:"
        yield from (f"    {option}" for option in made["options"])
    else:
        way = f"level {chosen['level']} from {short(made['live'])} to {short(chosen['target'])}"
        yield f"{mark('good')} {way}: {chosen['reason']}"
        seconds, evidence = chosen["estimate_seconds"], chosen["grade"] or "measured"
        takes = "unknown" if seconds is None else f"{seconds * 1000:.1f} ms"
        yield f"  takes {takes}; changes {', '.join(chosen['changes'])}; evidence: {evidence}"
        stages: dict[int, list[str]] = {}
        for step in chosen["steps"]:
            stages.setdefault(step["stage"], []).append(f"{step['verb']} {step['component']}".strip())
        yield from (f"  {number}. {', '.join(steps)}" for number, steps in stages.items())
    yield from (f"  risk: {risk}" for risk in made["risks"])
    yield from (f"  {mark('warning')} {flag}" for flag in made["flags"])
    others = [other for other in made["alternatives"] if other != chosen]
    yield from (_line_of(other) for other in others[:_SHOWN])
    if len(others) > _SHOWN:
        yield f"  ... and {len(others) - _SHOWN} more, with the reasons: kg plan {made['system']} --output json"


def _line_of(other: dict[str, Any]) -> str:
    from knowngood_sdk.model.canonical import short

    target, verdict = short(other["target"]), other["verdict"]
    named = target if other["proven"] else f"combination {target}"
    sign = mark("bad" if verdict == "refused" else "warning")
    return f"  {sign} {named}, level {other['level']} ({other['scope']}) {verdict}: {other['reason']}"
