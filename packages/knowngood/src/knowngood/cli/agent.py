"""``kg agent``: the process beside a replica's workers."""

import click

from knowngood.cli.console import directory_option


@click.command(epilog="Example:  kg agent pricing --replica r1")
@click.argument("system")
@click.option("--replica", envvar="KNOWNGOOD_REPLICA", default="r1", show_default=True, help="Name of the replica.")
@directory_option
def command(system: str, replica: str, directory: str) -> None:
    """Run the agent of one replica of SYSTEM until it is told to stop."""
    from pathlib import Path

    from knowngood_sdk.agent import run
    from knowngood_sdk.model.manifest import check_name

    check_name(system, "system")
    check_name(replica, "replica")
    run(Path(directory) / "systems" / system / "replicas" / replica)
