"""``kg agent``: the process beside a replica's workers."""

from pathlib import Path

import click

from knowngood.cli.console import GIVEN, directory_option, mark, say, system_argument


@click.command(epilog="Example:  kg agent pricing --replica r1")
@system_argument
@click.option(
    "--replica",
    type=GIVEN,
    envvar="KNOWNGOOD_REPLICA",
    default="r1",
    show_default=True,
    help="Name of the replica.",
)
@directory_option
def command(system: str, replica: str, directory: str) -> None:
    """Run the agent of one replica of SYSTEM until it is told to stop."""
    import logging

    from knowngood.domain.spelling import did_you_mean
    from knowngood_sdk.agent import run
    from knowngood_sdk.serving.folder import ReplicaFolder

    folder = Path(directory).absolute()
    known = [path.parent.name for path in folder.glob("systems/*/system.json")]
    if system not in known:
        # It may be applied later: an agent is often the first to start.
        say(f"{mark('warning')} no system {system!r} was applied in {folder} yet; the agent waits for it")
        say(f"  To apply it here: kg apply {system}.yaml; another folder is named with --dir or KNOWNGOOD_DIR")
        if known:
            say(f"  {did_you_mean(system, known)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s kg agent: %(message)s")
    run(ReplicaFolder.of(folder, system, replica))
