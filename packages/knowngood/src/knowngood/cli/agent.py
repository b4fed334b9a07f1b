"""``kg agent``: the process beside a replica's workers."""

from pathlib import Path
from typing import Any

import click

from knowngood.cli.console import GIVEN, directory_option, mark, say, system_argument

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(epilog="Example:  kg agent pricing --replica r1 --url https://control:8400 --token-file token")
@system_argument
@click.option(
    "--replica",
    type=GIVEN,
    envvar="KNOWNGOOD_REPLICA",
    default="r1",
    show_default=True,
    help="Name of the replica.",
)
@click.option(
    "--url",
    "urls",
    type=GIVEN,
    multiple=True,
    help="Control plane to connect to over the network, such as https://control:8400. Several: a stream to each.",
)
@click.option("--token-file", type=_FILE, help="File with the token that control planes are shown.")
@click.option("--ca-file", type=_FILE, help="File with the certificates of who vouches for the control planes.")
@click.option(
    "--peer",
    "peers",
    type=GIVEN,
    multiple=True,
    help="URL of another replica's agent, asked where nothing is known here and no control plane answers.",
)
@click.option(
    "--listen", type=GIVEN, default=None, help="HOST:PORT at which to tell such newcomers what is known here."
)
@directory_option
def command(system: str, replica: str, directory: str, **remote: Any) -> None:
    """Run the agent of one replica of SYSTEM until it is told to stop."""
    import logging

    from knowngood_sdk.agent import Remote, run
    from knowngood_sdk.serving.folder import ReplicaFolder

    folder = Path(directory).absolute()
    if not remote["urls"]:
        _look_for_system(system, folder)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s kg agent: %(message)s")
    found = Remote(**{**remote, "listen": remote["listen"] or ""})
    run(ReplicaFolder.of(folder, system, replica), remote=found)


def _look_for_system(system: str, folder: Path) -> None:
    """Say so where nobody has applied the system on this host, and nobody else will tell of it."""
    from knowngood.domain.spelling import did_you_mean

    known = [path.parent.name for path in folder.glob("systems/*/system.json")]
    if system not in known:
        # It may be applied later: an agent is often the first to start.
        say(f"{mark('warning')} no system {system!r} was applied in {folder} yet; the agent waits for it")
        say(f"  To apply it here: kg apply {system}.yaml; another folder is named with --dir or KNOWNGOOD_DIR")
        if known:
            say(f"  {did_you_mean(system, known)}")
