"""Who may open the agent's socket is told by the kernel too, not by the folder's permissions alone."""

import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood_sdk.agent.endpoint import Endpoint
from knowngood_sdk.agent.protocol import answer_of_report
from knowngood_sdk.model.route import ReplicaState
from knowngood_sdk.model.wire import ReplicaReport

NOBODY = 65534
ASK = """
import os, socket, sys
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[2]))
peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
peer.connect(sys.argv[1])
try:
    peer.sendall(b'{"request": "report"}\\n')
    print(peer.recv(1000).decode() or "hung up")
except OSError:
    print("hung up")
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def opened() -> Iterator[Path]:
    """A socket that somebody opened to every user of the host."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "agent.sock"
        report = answer_of_report(ReplicaReport(replica="a", state=ReplicaState()))
        endpoint = Endpoint(path, lambda _: report)
        path.chmod(0o666)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                endpoint.serve(0.01)

        thread = threading.Thread(target=serve)
        thread.start()
        yield path
        stop.set()
        thread.join()
        endpoint.close()


def asked_by(uid: int, path: Path) -> str:
    command = [sys.executable, "-S", "-c", ASK, str(path), str(uid)]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=20, check=True).stdout


def test_its_own_user_is_answered(opened: Path) -> None:
    assert '"ok":true' in asked_by(0, opened)


def test_another_user_is_not_though_the_socket_stands_open(opened: Path) -> None:
    assert asked_by(NOBODY, opened).strip() == "hung up"
    assert '"ok":true' in asked_by(0, opened)
