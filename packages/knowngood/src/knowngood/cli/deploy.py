"""``kg deploy``: a new system version, with the way back armed first."""

from typing import TYPE_CHECKING, Any

import click

from knowngood.cli.completion import versions
from knowngood.cli.console import GIVEN, REASON, WORDS, answer, mark, output_option, show, system_argument
from knowngood.cli.number import WHOLE_SECONDS
from knowngood.cli.place import Place, place_options

if TYPE_CHECKING:
    from knowngood.ports.verbs import DeployWish


@click.command(
    epilog="""\b
Examples:
  kg deploy pricing --intent "demand from attempts"
  kg deploy pricing --canary 10%
  kg deploy pricing --version 3f1c9a0b7d2e
"""
)
@system_argument
@click.option("--intent", type=WORDS, default="", help="What this deployment is meant to do, in your words.")
@click.option(
    "--expect",
    "expects",
    type=GIVEN,
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
    "--override", type=REASON, metavar="REASON", help="Use an unproven combination, on record under your name."
)
@click.option("--abandon", is_flag=True, help="Give up the deployment under way instead.")
@click.option(
    "--promote",
    is_flag=True,
    help="Give the candidate under way all traffic instead; also lets a deployment go on that is held for a person.",
)
@place_options
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
    place: Place,
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
        _finish(system, place, output, abandon=abandon)
        return
    from knowngood.cli.reading import as_typed, basis_points, expected_effects
    from knowngood.ports.verbs import DeployWish

    with as_typed():
        effects, split = expected_effects(expects), basis_points(canary)
    wish = DeployWish(
        intent=intent,
        expects=effects,
        version=recorded,
        split=split,
        timeout_seconds=timeout,
        override=override,
    )
    _deploy(system, wish, place, output)


def _finish(system: str, place: Place, output: str, *, abandon: bool) -> None:
    from knowngood_sdk.model.canonical import short

    verbs = place.verbs()
    deployment = verbs.abandon(system, show) if abandon else verbs.promote(system, show)
    what = "abandoned; what was live serves on" if abandon else "takes all traffic"
    answer(deployment, output, lambda: [f"{mark('good')} {short(deployment['version'])} {what}"])


def _deploy(system: str, wish: "DeployWish", place: Place, output: str) -> None:
    deployed = place.verbs().deploy(system, wish, show)
    answer(deployed, output, lambda: lines_of(deployed))


def lines_of(deployed: dict[str, Any]) -> list[str]:
    """Return what became of a deployment, for a person."""
    from knowngood_sdk.model.canonical import short

    share = f"{deployed['split'] / 100:g} % of the traffic"
    replicas = ", ".join(deployed["replicas"])
    loaded = f"loaded in every worker, the slowest took {deployed['load_seconds']:.1f} s"
    return [
        f"{mark('good')} {deployed['system']} {short(deployed['version'])} serves {share} on {replicas}",
        f"  generation {deployed['generation']}; {loaded}",
        f"  the way back takes {deployed['way_back_seconds'] * 1000:.1f} ms",
    ]
