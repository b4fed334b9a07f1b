"""Telemetry from replica folders keeps the promises of the port."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from knowngood.adapters.folder.telemetry import FolderTelemetry
from knowngood.testing.contracts.traffic import OLD, SYSTEM, Counted, TelemetryContract
from knowngood_sdk.errors import InvalidError, PermanentError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.wire import CountsReport
from knowngood_sdk.serving.folder import ReplicaFolder


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep quiet."""


class FolderCounted:
    def __init__(self, directory: Path, stack: contextlib.ExitStack) -> None:
        self.directory = directory
        self.telemetry = FolderTelemetry(directory)
        self.stack = stack

    def put_counts(self, replica: str, counts: CountsReport) -> None:
        folder = ReplicaFolder.of(self.directory, SYSTEM, replica)
        folder.make()
        folder.write_counts(counts)

    def serve(self, status: int) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        self.stack.callback(server.server_close)
        self.stack.callback(thread.join)
        self.stack.callback(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}/{status}"

    def hang(self) -> str:
        listener = self.stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    def nothing(self) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            return f"http://127.0.0.1:{listener.getsockname()[1]}/"


class TestFolderTelemetry(TelemetryContract):
    @pytest.fixture
    def counted(self, tmp_path: Path) -> Iterator[Counted]:
        with contextlib.ExitStack() as stack:
            yield FolderCounted(tmp_path, stack)


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 99}', '{"format": 1}'])
def test_counts_that_cannot_be_read_are_an_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    folder = ReplicaFolder.of(tmp_path, SYSTEM, "a")
    folder.make()
    folder.write_counts(CountsReport(worker="w1", sequence=1, at="", versions={OLD: VersionCounts(requests=1)}))
    (folder.counts / "w2.json").write_text(text)
    with pytest.raises(PermanentError, match=r"w2\.json cannot be read.*Remove the file"):
        FolderTelemetry(tmp_path).counts(SYSTEM)


def test_a_file_that_a_worker_is_writing_is_not_counted(tmp_path: Path) -> None:
    folder = ReplicaFolder.of(tmp_path, SYSTEM, "a")
    folder.make()
    (folder.counts / ".w2.json.17.abcd").write_text("{")
    assert FolderTelemetry(tmp_path).counts(SYSTEM) == {}


def test_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("2\n")
    with pytest.raises(InvalidError, match=r"format '2'.*Upgrade"):
        FolderTelemetry(tmp_path)


def test_a_name_that_is_none_reaches_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="is not a system name"):
        FolderTelemetry(tmp_path).counts("../../etc")


def test_health_is_asked_over_http(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        url = FolderCounted(tmp_path, stack).serve(503)
        assert FolderTelemetry(tmp_path).health(url, timedelta(seconds=20)).status == 503
