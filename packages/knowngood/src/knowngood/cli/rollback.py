"""``kg rollback``: put the whole system back."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import (
    GIVEN,
    answer,
    directory_option,
    mark,
    output_option,
    say,
    system_argument,
)
from knowngood.cli.exit_code import ExitCode
from knowngood_sdk.errors import ComponentError

if TYPE_CHECKING:
    from knowngood.control.plane import Plane
    from knowngood.control.roll_back import Wish
    from knowngood.domain.saga import Saga, Step, StepName


@click.command(
    epilog="""\b
Examples:
  kg rollback pricing --why "prices 40 % too high"
  kg rollback pricing --to 3f1c9a0b7d2e
  kg rollback pricing --break-glass --why "store is down"
"""
)
@system_argument
@click.option("--why", default="a person asked for it", show_default=True, help="The reason; goes on record.")
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
    "--override", type=GIVEN, metavar="REASON", help="Use an unproven combination, on record under your name."
)
@click.option("--break-glass", is_flag=True, help="Tell the replicas' agents alone: no store, no control plane.")
@click.option("--this-host", type=GIVEN, metavar="REPLICA", help="With --break-glass: only this replica leaves.")
@click.option("--no-wait", is_flag=True, help="Do not wait until the metrics are back at their baseline.")
@click.option("--timeout", default=180, show_default=True, help="Seconds to wait.")
@directory_option
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
    directory: str,
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
        return _break_glass(system, why, this_host, directory, output)
    from datetime import timedelta

    from knowngood.app import actor, open_plane
    from knowngood.control.roll_back import Wish
    from knowngood.control.rollback import follow
    from knowngood.domain.level import Level

    wish = Wish(
        actor=actor(),
        why=why,
        target=target,
        level=Level(level) if level else None,
        suspected=suspect,
        override=override,
        deadline=timedelta(seconds=timeout),
    )
    try:
        plane = open_plane(directory)
        saga, flipped = _leave(plane, system, wish)
    except ComponentError as error:
        # Nothing was left yet: what could not be read is the record, and the replicas do not need it.
        hint = f"{error.hint}. To leave at once without the store: kg rollback {system} --break-glass"
        raise type(error)(error.message, hint=hint, **error.details) from error
    if not no_wait:
        say(f"{mark('waiting')} verifying; Ctrl-C leaves the rollback in place")
        saga = follow(plane, saga, timedelta(seconds=timeout))
    code = code_of(saga, waited=not no_wait, reached=not (flipped["unreachable"] or flipped["unpublished"]))
    answer({**saga.to_json(), **flipped}, output, lambda: lines_of(saga, code))
    return code


def _leave(plane: "Plane", system: str, wish: "Wish") -> "tuple[Saga, dict[str, Any]]":
    """Leave what is served; where a rollback is under way go on with that one, so that nothing is left twice."""
    from knowngood.control.reconcile import complete, learn
    from knowngood.control.roll_back import roll_back
    from knowngood.control.rollback import under_way
    from knowngood_sdk.errors import ConflictError
    from knowngood_sdk.model.canonical import short

    try:
        learn(plane, system)
    except (ComponentError, ConflictError) as error:
        # A store that cannot be written stops no flip.
        say(f"{mark('warning')} {error}")
    completed = complete(plane, system)
    completed = tuple(saga for saga in completed if wish.target is None or _names(plane, system, wish.target, saga))
    going = completed[0] if completed else under_way(plane, system) if wish.target is None else None
    if going is not None:
        serves = short(going.target) if going.target else "the static fallback"
        say(f"{mark('waiting')} going on with the rollback that left {short(going.version)}")
        say(f"  to leave {serves} too, say where to: kg rollback {system} --to VERSION")
        return going, {
            "resumed": True,
            "plan": None,
            "flip_seconds": None,
            "acknowledged": [],
            "unreachable": {},
            "gone": [],
            "unpublished": "",
        }
    done = roll_back(plane, system, wish, tell=lambda line: say(f"{mark('waiting')} {line}"))
    say(f"{mark('good')} {done.flip.summary}")
    return done.saga, {
        "resumed": False,
        "plan": done.plan.to_json(),
        "flip_seconds": done.flip.seconds,
        "acknowledged": sorted(done.flip.acknowledged),
        "unreachable": dict(done.flip.unreachable),
        "gone": list(done.flip.gone),
        "unpublished": done.flip.unpublished,
    }


def _names(plane: "Plane", system: str, target: str, saga: "Saga") -> bool:
    """Whether what a person typed as the target is where a rollback led."""
    from knowngood.control.lookup import version_named
    from knowngood.control.roll_back import STATIC_FALLBACK

    if target == STATIC_FALLBACK:
        return saga.target is None
    return version_named(plane, system, target).content_digest == saga.target


def code_of(saga: "Saga", *, waited: bool, reached: bool) -> ExitCode:
    """Return how a command ends that saw a rollback so far."""
    from knowngood.domain.saga import SagaState, StepName, StepOutcome

    if saga.state is SagaState.STUCK:
        return ExitCode.PARTIAL
    failed = {step.name for step in saga.steps if step.outcome is StepOutcome.FAILED}
    if StepName.VERIFY in failed:
        return ExitCode.NOT_VERIFIED
    if StepName.FAN_OUT in failed:
        return ExitCode.PARTIAL
    if saga.state is SagaState.RUNNING:
        return ExitCode.TIMED_OUT if waited else ExitCode.WAITING if reached else ExitCode.PARTIAL
    return ExitCode.DONE


def lines_of(saga: "Saga", code: ExitCode) -> Iterator[str]:
    """Return what became of a rollback, for a person."""
    from knowngood.domain.saga import StepName
    from knowngood_sdk.model.canonical import short

    serves = short(saga.target) if saga.target else "the static fallback"
    needs = saga.needs.replace("SYSTEM", saga.system)
    endings = {
        ExitCode.DONE: (mark("good"), "verified" if saga.target else "which nothing has to verify"),
        ExitCode.WAITING: (mark("waiting"), "not yet verified"),
        ExitCode.NOT_VERIFIED: (mark("bad"), f"not verified: {_seen(saga.steps, StepName.VERIFY)}"),
        ExitCode.PARTIAL: (
            mark("bad"),
            needs or "not every replica could be reached",
        ),
        ExitCode.TIMED_OUT: (
            mark("waiting"),
            f"still being verified; to go on with it: kg watch {saga.system}, or this command again",
        ),
    }
    sign, ending = endings[code]
    yield f"{sign} left {short(saga.version)}; {serves} serves, {ending}"
    if saga.target is None:
        yield f"  to bring a version back: kg deploy {saga.system} --version VERSION"
    for step in saga.steps:
        why = _seen([step], step.name)
        yield f"  {step.at}  {step.name}: {step.outcome}" + (f" ({why})" if why else "")


def _seen(steps: "Iterable[Step]", name: "StepName") -> str:
    """Return what a step saw, in words; empty where it says nothing."""
    details = next((step.details for step in steps if step.name is name), {})
    return str(details.get("reason") or details.get("why") or "")


def _break_glass(system: str, why: str, this_host: str | None, directory: str, output: str) -> int:
    """Tell the agents alone: what this needs is the replicas' folders and their sockets."""
    from datetime import UTC, datetime
    from pathlib import Path
    from uuid import uuid4

    from knowngood.adapters.folder.traffic import FolderTraffic
    from knowngood.control.break_glass import break_glass
    from knowngood.ports.traffic import Unreachable
    from knowngood_sdk.model.canonical import short
    from knowngood_sdk.model.route import Trip

    at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def make(generation: int, version: str) -> Trip:
        return Trip(uid=uuid4().hex, version=version, generation=generation, source="break-glass", at=at, why=why)

    broken = break_glass(FolderTraffic(Path(directory).resolve()), system, make, replica=this_host)
    silent = {name: reply.reason for name, reply in broken.answers.items() if isinstance(reply, Unreachable)}
    left = sorted(set(broken.answers) - set(silent))
    report: dict[str, Any] = {
        "system": system,
        "version": broken.trip.version,
        "left": left,
        "unreachable": silent,
        "unpublished": broken.unpublished,
    }

    def lines() -> Iterator[str]:
        yield f"{mark('good' if left else 'bad')} {len(left)}/{len(broken.answers)} left {short(broken.trip.version)}"
        for name, reason in silent.items():
            yield f"  {mark('bad')} {name}: {reason}"
        if broken.unpublished:
            yield f"  {mark('warning')} replicas that start now do not know of it: {broken.unpublished}"

    answer(report, output, lines)
    return ExitCode.PARTIAL if silent or not left or broken.unpublished else ExitCode.DONE
