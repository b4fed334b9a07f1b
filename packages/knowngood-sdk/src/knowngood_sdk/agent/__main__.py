"""``python -m knowngood_sdk.agent``: the agent where only the SDK is installed; elsewhere it is ``kg agent``."""

import argparse
import logging
import os
import sys
from pathlib import Path

from knowngood_sdk.agent.agent import run
from knowngood_sdk.agent.uplink import Remote
from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.serving.folder import ReplicaFolder


def main() -> int:
    """Run the agent; return 1 when it cannot start, and 0 when it was told to stop."""
    parser = argparse.ArgumentParser(prog="python -m knowngood_sdk.agent", description="Keep one replica folder.")
    parser.add_argument("system", help="name of the system, such as pricing")
    parser.add_argument("replica", help="name of the replica, such as a")
    parser.add_argument(
        "--directory",
        default=os.environ.get("KNOWNGOOD_DIR", ".knowngood"),
        help="the working folder (default: KNOWNGOOD_DIR, or .knowngood)",
    )
    parser.add_argument("--url", action="append", default=[], help="a control plane to connect to; may be repeated")
    parser.add_argument("--token-file", type=Path, help="file with the token that control planes are shown")
    parser.add_argument("--ca-file", type=Path, help="file with the certificates of who vouches for control planes")
    parser.add_argument("--peer", action="append", default=[], help="URL of an agent to ask when nothing is known here")
    parser.add_argument("--listen", default="", help="host:port at which to answer newcomers, such as 127.0.0.1:8401")
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s kg agent: %(message)s")
    remote = Remote(
        urls=arguments.url,
        token_file=arguments.token_file,
        ca_file=arguments.ca_file,
        peers=arguments.peer,
        listen=arguments.listen,
    )
    try:
        run(ReplicaFolder.of(arguments.directory, arguments.system, arguments.replica), remote=remote)
    except KnownGoodError as error:
        logging.getLogger("knowngood.agent").critical("cannot start: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
