"""A control plane for tests that is a process of its own, so that it can be killed: ``python -m … PORT``."""

import json
import sys
from datetime import timedelta

from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from tests.adapters.hub.served import Control


def main() -> None:
    """Serve until killed; a line with a route document on standard input is published and pushed."""
    control = Control(MemoryExchange())
    control.port = int(sys.argv[1])
    control.start()
    traffic: HubTraffic = control.traffic
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        document = RouteDocument.from_json(json.loads(line))
        traffic.publish(document.system, lambda _, new=document: new)  # type: ignore[misc]
        answers = traffic.push(document, timedelta(seconds=20))
        reports = {name: a.to_json() for name, a in answers.items() if isinstance(a, ReplicaReport)}
        seen = {name: replica.report.to_json() for name, replica in traffic.replicas(document.system).items()}
        sys.stdout.write(json.dumps({"acknowledged": reports, "seen": seen}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
