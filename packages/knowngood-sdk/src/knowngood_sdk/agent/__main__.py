"""``python -m knowngood_sdk.agent``: the agent where only the SDK is installed; elsewhere it is ``kg agent``."""

import argparse
import logging
import os
import sys

from knowngood_sdk.agent.agent import run
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
    arguments = parser.parse_args()
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s kg agent: %(message)s")
    try:
        run(ReplicaFolder.of(arguments.directory, arguments.system, arguments.replica))
    except KnownGoodError as error:
        logging.getLogger("knowngood.agent").critical("cannot start: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
