"""``kg rollback``: put the whole system back."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import (
    GIVEN,
    REASON,
    WORDS,
    answer,
    mark,
    output_option,
    show,
    system_argument,
)
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.number import WHOLE_SECONDS
from knowngood.cli.place import Place, place_options


@click.command(
    epilog="""\b
Examples:
  kg rollback pricing --why "prices 40 % too high"
  kg rollback pricing --to 3f1c9a0b7d2e
  kg rollback pricing --break-glass --why "store is down"
"""
)
@system_argument
@click.option(
    "--why", type=WORDS, default="a person asked for it", show_default=True, help="The reason; goes on record."
)
@click.option(
    "--to",
    "target",
    type=GIVEN,
    metavar="VERSION",
    shell_complete=versions,
    help="Go back to this version, or to the static fallback (fallback); the plan's choice otherwise.",
)
@click.option(
    "--level", type=click.IntRange(1, 4), help="Level to ask for: 1 restores the model alone, if that is safe."
)
@click.option("--suspect", type=GIVEN, metavar="COMPONENT", help="Component that is believed to be at fault.")
@click.option(
    "--override",
    type=REASON,
    metavar="REASON",
    help="Go to what is not proven all the same, on record under your name.",
)
@click.option("--break-glass", is_flag=True, help="Tell the replicas' agents alone: no store, no control plane.")
@click.option("--this-host", type=GIVEN, metavar="REPLICA", help="With --break-glass: only this replica leaves.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the metrics are back at their baseline.")
@click.option("--timeout", type=WHOLE_SECONDS, default=180, show_default=True, help="Seconds to wait.")
@place_options
@output_option
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    system: str,
    why: str,
    target: str | None,
    level: int | None,
    suspect: str | None,
    override: str | None,
    break_glass: bool,
    this_host: str | None,
    no_wait: bool,
    timeout: int,
    place: Place,
    output: str,
) -> int:
    """
    Leave what SYSTEM serves now, at once and everywhere, and wait until what serves instead is verified.

    Once the version is left, Ctrl-C stops the waiting alone: kg watch, or this command again, goes on with it. A target
    that does not stand behind what is left is deployed first; until it serves, Ctrl-C gives that up. What a rollback
    led to is left only when you say where to, with --to.
    """
    if this_host is not None and not break_glass:
        raise click.UsageError("--this-host goes with --break-glass")
    if break_glass and (target or level or suspect or override):
        raise click.UsageError("--break-glass makes no plan: it takes --why and --this-host alone")
    if break_glass:
        return _break_glass(system, why, this_host, place, output)
    from knowngood.ports.verbs import RollbackWish

    wish = RollbackWish(
        why=why,
        to=target,
        level=level,
        suspect=suspect,
        override=override,
        wait=not no_wait,
        timeout_seconds=timeout,
    )
    done = place.verbs().rollback(system, wish, show)
    code = code_of(done, waited=not no_wait)
    if done.get("elsewhere") and code in {ExitCode.DONE, ExitCode.WAITING}:
        code = ExitCode.PARTIAL
    answer(done, output, lambda: lines_of(done, code))
    return code


def code_of(done: dict[str, Any], *, waited: bool) -> ExitCode:
    """Return the exit code of a rollback as it stands."""
    if done["state"] == "stuck":
        return ExitCode.PARTIAL
    failed = {step["name"] for step in done["steps"] if step["outcome"] == "failed"}
    if "verify" in failed:
        return ExitCode.NOT_VERIFIED
    if failed & {"fan-out", "state", "effects"}:
        return ExitCode.PARTIAL
    if done["state"] == "running":
        reached = not (done["unreachable"] or done["unpublished"])
        if waited or not reached:
            return ExitCode.TIMED_OUT if waited else ExitCode.PARTIAL
        # Nothing has to verify the static fallback, so nothing is waited for.
        return ExitCode.WAITING if done["target"] else ExitCode.DONE
    return ExitCode.DONE


def lines_of(done: dict[str, Any], code: ExitCode) -> Iterator[str]:
    """Return what became of a rollback, for a person."""
    from knowngood_sdk.model.canonical import short

    system, target = done["system"], done["target"]
    serves = short(target) if target else "the static fallback"
    needs = done["needs"].replace("SYSTEM", system)
    endings = {
        ExitCode.DONE: (mark("good"), "verified" if target else "which nothing has to verify"),
        ExitCode.WAITING: (mark("waiting"), f"not yet verified{_so_far(done)}"),
        ExitCode.NOT_VERIFIED: (mark("bad"), f"not verified: {_seen(done['steps'], 'verify')}"),
        ExitCode.PARTIAL: (
            mark("bad"),
            needs or _incomplete(done),
        ),
        ExitCode.TIMED_OUT: (
            mark("waiting"),
            f"still being verified{_so_far(done)}; to go on with it: kg watch {system}, or this command again",
        ),
    }
    sign, ending = endings[code]
    yield f"{sign} left {short(done['version'])}; {serves} serves, {ending}"
    if target is None:
        yield f"  to bring a version back: kg deploy {system} --version VERSION"
    for step in done["steps"]:
        why = _seen([step], step["name"])
        yield f"  {step['at']}  {step['name']}: {step['outcome']}" + (f" ({why})" if why else "")


def _incomplete(done: dict[str, Any]) -> str:
    """Return what a rollback that went on could not do."""
    steps, elsewhere = done["steps"], ", ".join(done.get("elsewhere", ()))
    failed = {step["name"] for step in steps if step["outcome"] == "failed"} - {"fan-out"}
    said = [f"{name}: {_seen(steps, name)}" for name in ("state", "effects") if name in failed]
    said += [f"not asked, on other hosts: {elsewhere}"] if elsewhere else []
    return "; ".join(said) or "not every replica could be reached"


def _so_far(done: dict[str, Any]) -> str:
    seen = done.get("so_far")
    return f" ({seen})" if seen else ""


def _seen(steps: Iterable[dict[str, Any]], name: str) -> str:
    """Return what a step saw, in words; empty where it says nothing."""
    details: dict[str, Any] = next((step["details"] for step in steps if step["name"] == name), {})
    return str(details.get("reason") or details.get("why") or "")


def _broken(system: str, why: str, this_host: str | None, place: Place) -> dict[str, Any]:
    """
    Ask the server, which reaches every host; where it cannot be asked or does not do it, the agents of this host.

    Nothing by which a server is found, and no answer of one, stands in the way, but that there is nothing to leave.
    """
    from knowngood_sdk.errors import ConflictError, KnownGoodError

    if place.url is not None and this_host is None:
        try:
            return place.verbs().break_glass(system, why, None)
        except ConflictError:
            raise
        except KnownGoodError as error:
            show("warning", error.message)
            show("", "  asking the agents of this host alone; on every other one: this command again")
    return place.here().break_glass(system, why, this_host)


def _break_glass(system: str, why: str, this_host: str | None, place: Place, output: str) -> int:
    """Tell the agents alone: all that this needs is a way to them."""
    from knowngood_sdk.model.canonical import short

    broken = _broken(system, why, this_host, place)
    left, unreachable, unpublished = broken["left"], broken["unreachable"], broken["unpublished"]

    def lines() -> Iterator[str]:
        total = len(left) + len(unreachable)
        yield f"{mark('good' if left else 'bad')} {len(left)}/{total} left {short(broken['version'])}"
        for name, reason in unreachable.items():
            yield f"  {mark('bad')} {name}: {reason}"
        if unpublished:
            yield f"  {mark('warning')} replicas that start now do not know of it: {unpublished}"

    answer(broken, output, lines)
    return ExitCode.PARTIAL if unreachable or not left or unpublished else ExitCode.DONE
