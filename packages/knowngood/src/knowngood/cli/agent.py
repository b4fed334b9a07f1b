"""``kg agent``: the process beside a replica's workers."""

import click

from knowngood.cli.console import directory_option, system_argument


@click.command(epilog="Example:  kg agent pricing --replica r1")
@system_argument
@click.option("--replica", envvar="KNOWNGOOD_REPLICA", default="r1", show_default=True, help="Name of the replica.")
@directory_option
def command(system: str, replica: str, directory: str) -> None:
    """Run the agent of one replica of SYSTEM until it is told to stop."""
    import logging

    from knowngood_sdk.agent import run
    from knowngood_sdk.serving.folder import ReplicaFolder

    logging.basicConfig(level=logging.INFO, format="%(asctime)s kg agent: %(message)s")
    run(ReplicaFolder.of(directory, system, replica))
