"""Riders are a process of their own: failures and mixtures are what they wrote down, whatever the service says."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from knowngood.demo.load import Forecast, Request, read_log, read_notes
from knowngood.demo.world.hours import evening_hours, load_hours
from knowngood.demo.world.riders import arrivals
from knowngood_sdk.model.manifest import Component, Manifest, Ref, Role
from knowngood_sdk.model.wire import ReleaseDocument

PARTS = {
    "model": (Role.MODEL, "files", "sha256:" + "a" * 64),
    "features": (Role.FEATURES, "git", "sha256:" + "b" * 64),
    "config": (Role.CONFIG, "inline", "sha256:" + "c" * 64),
}
MANIFEST = Manifest(
    system="pricing",
    components={name: Component(role=role, kind=kind, ref=Ref(digest=d)) for name, (role, kind, d) in PARTS.items()},
)
STAMPS = {name: digest for name, (_, _, digest) in PARTS.items()}


class Service(BaseHTTPRequestHandler):
    """Answers every fourth rider with a mixture, an error or the static fallback, by the last digit of its id."""

    heard: list[tuple[str, Any]]

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/price":
            self.heard.append((self.path, body))
            self._answer(200, {})
            return
        kind = int(self.headers["x-rider-id"][-1]) % 4
        quote = {"demand": 500.0, "multiplier": 1.0, "price": 1.0, **STAMPS}
        if kind == 1:
            self._answer(500, {"detail": "boom"})
        elif kind == 2:
            self._answer(200, {**quote, "features": "sha256:" + "d" * 64}, MANIFEST.content_digest)
        elif kind == 3:
            self._answer(200, {**quote, "model": "", "features": "", "config": ""}, "static-fallback")
        else:
            self._answer(200, quote, MANIFEST.content_digest)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, body: Any, version: str = "") -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        if version:
            self.send_header("kg-system-version", version)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def service() -> Iterator[ThreadingHTTPServer]:
    Service.heard = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def order(tmp_path: Path, targets: list[str], **fields: Any) -> dict[str, Any]:
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    name = f"{MANIFEST.content_digest.removeprefix('sha256:')}.json"
    (manifests / name).write_text(json.dumps(ReleaseDocument(manifest=MANIFEST, paths={}).to_json()), encoding="utf-8")
    return {
        "evening": "2011-10-06",
        "seed": 1,
        "share": 0.02,
        "replay_seconds_per_second": 7200.0,
        "starts_at": time.time() + 4.0,
        "start_offset_seconds": 3600.0,
        "targets": targets,
        "manifests": str(manifests),
        "log": str(tmp_path / "riders.jsonl"),
        **fields,
    }


def ride(document: dict[str, Any]) -> list[Request]:
    done = subprocess.run(
        [sys.executable, "-m", "knowngood.demo.load"],
        input=json.dumps(document).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return read_log(Path(document["log"]))


def test_every_rider_writes_down_what_it_got(tmp_path: Path, service: ThreadingHTTPServer) -> None:
    log = ride(order(tmp_path, [f"http://127.0.0.1:{service.server_port}"]))
    assert len(log) > 15
    for request in log:
        kind = int(request.rider[-1]) % 4
        assert request.failed is (kind == 1)
        assert request.mixed is (kind == 2)
        assert (request.version == MANIFEST.content_digest) is (kind in {0, 2})
        assert request.took is (kind != 1)  # a dollar is taken by everybody
        assert request.sent_at < request.answered_at
        assert request.offset_seconds >= 3600.0
    answers = [body for path, body in Service.heard if path == "/answer"]
    assert len(answers) == sum(not request.failed for request in log)
    assert all(request.model == (STAMPS["model"] if int(request.rider[-1]) % 4 in {0, 2} else "") for request in log)


def test_rides_become_known_when_their_hour_is_over_for_each_version_that_quoted(
    tmp_path: Path, service: ThreadingHTTPServer
) -> None:
    asked = order(
        tmp_path,
        [f"http://127.0.0.1:{service.server_port}"],
        share=0.1,
        replay_seconds_per_second=1800.0,  # two seconds an hour: an answer comes before its hour is over
        starts_at=time.time() + 8.0,
        start_offset_seconds=4 * 3600.0,
    )
    log = ride(asked)
    told = [body for path, body in Service.heard if path == "/rides"]
    quoted = sorted({request.hour for request in log if request.version == MANIFEST.content_digest})
    evening = evening_hours(load_hours(), date.fromisoformat(asked["evening"]))
    rides = dict(zip(evening["hr"].tolist(), evening["bikers"].astype("float64").tolist(), strict=True))
    version = MANIFEST.content_digest
    expected = [Forecast(hour=hour, version=version, demand=500.0, rides=rides[hour]) for hour in quoted]
    assert list(read_notes(Path(asked["log"])).forecasts) == expected
    assert [said.hour for said in expected] == [20, 21]
    assert told == [{"version": version, "demand": 500.0, "rides": rides[hour]} for hour in quoted]


def test_riders_whom_the_process_is_too_late_to_send_are_counted(tmp_path: Path, service: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{service.server_port}"
    late = order(tmp_path, [url], starts_at=time.time() - 1.6, start_offset_seconds=0.0)
    log = ride(late)
    everybody = arrivals(load_hours(), date.fromisoformat(late["evening"]), seed=late["seed"], share=late["share"])
    assert read_notes(Path(late["log"])).passed_over == len(everybody) - len(log) > 0


def test_notes_of_a_log_that_nobody_wrote_are_empty(tmp_path: Path) -> None:
    notes = read_notes(tmp_path / "riders.jsonl")
    assert (notes.passed_over, notes.forecasts) == (0, ())


def test_a_service_that_is_gone_is_a_failed_request_and_no_crash(tmp_path: Path) -> None:
    log = ride(order(tmp_path, ["http://127.0.0.1:9"], starts_at=time.time() + 2.0, share=0.005))
    assert log
    assert all(request.failed and request.error.startswith("Connect") for request in log)


def test_riders_of_the_same_seed_are_the_same_riders(tmp_path: Path, service: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{service.server_port}"
    (tmp_path / "again").mkdir()
    seen, late = [], []
    for folder in (tmp_path, tmp_path / "again"):
        one = order(folder, [url], share=0.005, replay_seconds_per_second=36_000.0)
        seen.append({request.rider: request.offset_seconds for request in ride(one)})
        late.append(read_notes(Path(one["log"])).passed_over)
    first, again = seen
    assert len(first) + late[0] == len(again) + late[1]
    fewer, more = sorted((first, again), key=len)
    assert fewer.items() <= more.items()


def test_a_last_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "riders.jsonl"
    assert read_log(path) == []
    line = (
        '{"rider": "a", "offset_seconds": 1, "hour": 17, "sent_at": 1, "answered_at": 2, "target": "t", "status": 200}'
    )
    path.write_text(f"{line}\n{line[:40]}", encoding="utf-8")
    assert [request.rider for request in read_log(path)] == ["a"]
