"""``kg deploy``: a new system version, with the way back armed first."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import GIVEN, answer, directory_option, mark, output_option, say, system_argument
from knowngood.cli.number import WHOLE_SECONDS

if TYPE_CHECKING:
    from knowngood.domain.deployment import Deployment
    from knowngood_sdk.model.manifest import Intent


@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """How a version is to be deployed, as it was typed."""

    canary: str
    seconds: int
    override: str | None


@click.command(
    epilog="""\b
Examples:
  kg deploy pricing --intent "demand from attempts"
  kg deploy pricing --canary 10%
  kg deploy pricing --version 3f1c9a0b7d2e
"""
)
@system_argument
@click.option("--intent", default="", help="What this deployment is meant to do, in your words.")
@click.option(
    "--expect",
    "expects",
    multiple=True,
    metavar="METRIC=LOW..HIGH",
    help="An effect that is meant: prediction_mean=0%..10%.",
)
@click.option(
    "--version",
    "recorded",
    type=GIVEN,
    metavar="VERSION",
    shell_complete=versions,
    help="Deploy this recorded version instead of what the working places hold.",
)
@click.option("--canary", default="100%", show_default=True, help="First share of the traffic.")
@click.option(
    "--timeout", type=WHOLE_SECONDS, default=120, show_default=True, help="Seconds that replicas may take to get ready."
)
@click.option(
    "--override", type=GIVEN, metavar="REASON", help="Use an unproven combination, on record under your name."
)
@click.option("--abandon", is_flag=True, help="Give up the deployment under way instead.")
@click.option(
    "--promote",
    is_flag=True,
    help="Give the candidate under way all traffic instead; also lets a deployment go on that is held for a person.",
)
@directory_option
@output_option
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    system: str,
    intent: str,
    expects: tuple[str, ...],
    recorded: str | None,
    canary: str,
    timeout: int,
    override: str | None,
    abandon: bool,
    promote: bool,
    directory: str,
    output: str,
) -> None:
    """
    Put what SYSTEM's working places hold now into service, or a version that was recorded before.

    It is recorded, checked, loaded beside what serves, and tried on its golden inputs before any rider, reader or
    customer can meet it; without a tested way back it is blocked.
    """
    if recorded is not None and (abandon or promote):
        raise click.UsageError("--version starts a deployment; --abandon and --promote end one")
    if abandon and promote:
        raise click.UsageError("--abandon and --promote exclude each other")
    if abandon or promote:
        _finish(system, directory, output, abandon=abandon)
        return
    from knowngood.cli.reading import expected_effects
    from knowngood_sdk.model.manifest import Intent

    meant = Intent(text=intent, expects=expected_effects(expects))
    terms = _Terms(canary=canary, seconds=timeout, override=override)
    _deploy(system, recorded, meant, terms, (directory, output))


def _finish(system: str, directory: str, output: str, *, abandon: bool) -> None:
    from knowngood.app import actor, open_plane
    from knowngood.control import deploy as verb
    from knowngood.control.reconcile import reconcile
    from knowngood_sdk.errors import ConflictError
    from knowngood_sdk.model.canonical import short

    plane = open_plane(directory)
    who = actor()
    given_up = reconcile(plane, system).abandoned
    if given_up is not None:
        say(f"{mark('warning')} the deployment of {short(given_up)} had ended half done; it is given up now")
    if given_up is not None and abandon:
        deployment = plane.store.deployments(system)[-1]
    elif abandon and plane.store.read(system).candidate is None:
        raise ConflictError(
            f"no deployment of {system} is under way",
            hint=f"To start one: kg deploy {system}; to leave what is served: kg rollback {system}",
        )
    else:
        deployment = verb.abandon(plane, system, who) if abandon else verb.promote(plane, system, who)
    what = "abandoned; what was live serves on" if abandon else "takes all traffic"
    answer(_told(deployment), output, lambda: [f"{mark('good')} {short(deployment.version)} {what}"])


def _deploy(system: str, recorded: str | None, intent: "Intent", terms: _Terms, place: tuple[str, str]) -> None:
    from datetime import timedelta

    from knowngood.app import actor, open_plane
    from knowngood.cli.reading import basis_points
    from knowngood.control import deploy as verb
    from knowngood.control.reconcile import reconcile
    from knowngood.control.release import capture, recorded_again
    from knowngood.domain.compatibility import Override
    from knowngood_sdk.model.canonical import short

    directory, output = place
    plane = open_plane(directory)
    who = actor()
    # What replicas know and a killed command did not put on record comes first: no deployment undoes it unseen.
    repaired = reconcile(plane, system)
    for saga in repaired.started:
        say(f"{mark('warning')} replicas had left {short(saga.version)}; that is on record now")
    if repaired.abandoned is not None:
        say(f"{mark('warning')} the deployment of {short(repaired.abandoned)} had ended half done; it is given up now")
    manifest = recorded_again(plane, system, recorded, intent) if recorded else capture(plane, system, intent)
    leave = None
    if terms.override:
        leave = Override(by=who, reason=terms.override, combination=manifest.content_digest, at=plane.now())
    order = verb.Order(
        manifest=manifest,
        actor=who,
        split=basis_points(terms.canary),
        override=leave,
        deadline=timedelta(seconds=terms.seconds),
    )
    deployed = verb.deploy(plane, order, tell=lambda line: say(f"{mark('waiting')} {line}"))
    armed = deployed.armed
    document = {
        **_told(deployed.deployment),
        "replicas": list(armed.replicas),
        "load_seconds": armed.load_seconds,
        "way_back_seconds": armed.flip_seconds,
    }

    def text() -> list[str]:
        share = f"{deployed.deployment.split / 100:g} % of the traffic"
        generation = f"generation {deployed.deployment.generation}"
        return [
            f"{mark('good')} {system} {manifest.label} serves {share} on {', '.join(armed.replicas)}",
            f"  {generation}; loaded in every worker, the slowest took {armed.load_seconds:.1f} s",
            f"  the way back takes {armed.flip_seconds * 1000:.1f} ms",
        ]

    answer(document, output, text)


def _told(deployment: "Deployment") -> dict[str, Any]:
    """Return a deployment without its counts, which are for the watch."""
    return {key: value for key, value in deployment.to_json().items() if key != "baseline"}
