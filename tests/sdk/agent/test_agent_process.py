"""The agent as a process: started, asked, stopped, killed, and starved of disk."""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.agent import run
from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.protocol import REPORT, leave_request, push_request, socket_path
from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument, trip_to_json
from knowngood_sdk.serving.folder import ReplicaFolder
from knowngood_sdk.serving.shared_word import Position

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
ON_B = RouteDocument(
    system="pricing", route=FleetRoute(2, 0, FULL), generations={2: Generation(number=2, chain=(B, A))}
)
PATIENCE = 20.0


def trip(version: str = B, uid: str = "t-1") -> Trip:
    return Trip(uid=uid, version=version, generation=2, source="person", at="2026-01-01T00:00:00Z", why="prices")


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[ReplicaUnderTest]:
    with ReplicaUnderTest.of(tmp_path, "pricing", "a", ready=[A, B, C]) as replica:
        yield replica


def ask(replica: ReplicaUnderTest, request: Any, seconds: float = PATIENCE) -> ReplicaReport | str:
    return ask_each({"a": replica.folder.agent_socket}, request, seconds)["a"]


def report_of(replica: ReplicaUnderTest, request: Any = REPORT) -> ReplicaReport:
    report = ask(replica, request)
    assert isinstance(report, ReplicaReport), report
    return report


# ----------------------------------------------------------------------------------------------------------- requests


def test_a_push_is_answered_with_what_is_durable(replica: ReplicaUnderTest) -> None:
    report = report_of(replica, push_request(ON_B))
    assert report.state.fleet == ON_B.route
    assert replica.folder.state() == report.state


def test_the_report_file_follows_what_was_acknowledged(replica: ReplicaUnderTest) -> None:
    state = report_of(replica, push_request(ON_B)).state

    def reported() -> bool:
        report = replica.folder.report()
        return report is not None and report.state == state

    until(reported, "the report")


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        pytest.param([], "must be an object", id="no object"),
        pytest.param({}, "request None is not known", id="no request"),
        pytest.param({"request": "serve"}, "Known are: push, leave, report", id="an unknown request"),
        pytest.param({"request": "push"}, "must be an object", id="a push of nothing"),
        pytest.param({"request": "push", "document": {"format": 99}}, "format 99", id="a newer document"),
        pytest.param({"request": "push", "document": {"format": 1}}, "malformed", id="an empty document"),
        pytest.param({"request": "leave", "scope": "fleet"}, "malformed", id="leave without a trip"),
        pytest.param({"request": "leave", "trip": trip_to_json(trip()), "scope": "all"}, "scope 'all'", id="a scope"),
        pytest.param(leave_request(trip("v7"), fleet=True), "is not a digest", id="leave without a version"),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing_and_says_why(
    replica: ReplicaUnderTest, request_: Any, reason: str
) -> None:
    before = report_of(replica, push_request(ON_B)).state
    assert reason in str(ask(replica, request_))
    assert report_of(replica).state == before


def test_flips_go_through_while_others_hang_on_the_socket(replica: ReplicaUnderTest) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(40):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            with socket_path(replica.folder.agent_socket) as address:
                peer.connect(address)
            peer.sendall(b'{"request": "pu')
        assert report_of(replica, push_request(ON_B)).state.fleet == ON_B.route
        assert report_of(replica, leave_request(trip(), fleet=True)).state.latched == 1


def test_many_can_push_at_once(replica: ReplicaUnderTest) -> None:
    trips = [trip(C, f"t-{number}") for number in range(32)]
    threads = [threading.Thread(target=ask, args=(replica, leave_request(one, fleet=True))) for one in trips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert report_of(replica).state.facts.trips.keys() == {one.uid for one in trips}


# ------------------------------------------------------------------------------------------------- what it looks at


def test_a_published_document_is_taken_without_a_push(replica: ReplicaUnderTest) -> None:
    (replica.folder.system_folder / "route.json").write_text(json.dumps(ON_B.to_json()))
    until(lambda: replica.folder.word().read() == (2, 0, FULL), "the published route")


def test_a_trip_in_the_journal_is_taken(replica: ReplicaUnderTest) -> None:
    report_of(replica, push_request(ON_B))
    replica.folder.journal().append(trip())
    until(lambda: report_of(replica).state.latched == 1, "the trip")


def test_a_refused_generation_is_taken_when_its_versions_are_ready(replica: ReplicaUnderTest) -> None:
    replica.workers["w1"].say([A])
    until(lambda: report_of(replica).ready == {A}, "the worker's report")
    assert report_of(replica, push_request(ON_B)).refusal is not None
    replica.workers["w1"].say([A, B])
    until(lambda: report_of(replica).state.fleet == ON_B.route, "the generation")


# ------------------------------------------------------------------------------------------------- start and stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_agent_that_is_told_to_stop_stops_in_good_order(replica: ReplicaUnderTest, number: int) -> None:
    report_of(replica, push_request(ON_B))
    replica.process.send_signal(number)
    assert replica.process.wait(PATIENCE) == 0
    report = replica.folder.report()
    assert report is not None
    assert report.stopped
    assert report.state.fleet == ON_B.route
    assert not replica.folder.agent_socket.exists()


def test_an_agent_can_be_a_thread(tmp_path: Path) -> None:
    folder = ReplicaFolder.of(tmp_path, "pricing", "a")
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(folder,), kwargs={"stop": stop})
    thread.start()
    answer = ask_each({"a": folder.agent_socket}, REPORT, PATIENCE)["a"]
    stop.set()
    thread.join()
    assert isinstance(answer, ReplicaReport)


MAIN = """
import gettext, locale, os, shutil, sys  # all that is imported late: as somebody else it may be out of reach
from knowngood_sdk.agent.__main__ import main
if os.geteuid() == 0 and os.environ.get("BECOME"):
    os.setgroups([])
    os.setgid(int(os.environ["BECOME"]))
    os.setuid(int(os.environ["BECOME"]))
sys.exit(main())
"""


def agent_that_cannot_start(*arguments: str, user: int | None = None) -> str:
    """Start an agent, as another user if asked to and possible; return what it says when it gives up."""
    environment = dict(os.environ)
    if user is not None:
        # Coverage of a subprocess is written into a folder that somebody else may not write to.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
        environment["BECOME"] = str(user)
    command = [sys.executable, "-c", MAIN, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment)
    assert ended.returncode == 1, ended
    assert "Traceback" not in ended.stderr
    return str(ended.stderr)


def test_a_second_agent_is_refused(replica: ReplicaUnderTest, tmp_path: Path) -> None:
    said = agent_that_cannot_start("pricing", "a", "--directory", str(tmp_path))
    assert "another agent keeps" in said
    assert report_of(replica).replica == "a"


def test_an_agent_for_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is not a replica name" in agent_that_cannot_start("pricing", "../b", "--directory", str(tmp_path))


def test_an_agent_for_a_folder_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "format").write_text("2")
    assert "Upgrade" in agent_that_cannot_start("pricing", "a", "--directory", str(tmp_path))


def test_an_agent_that_may_not_write_its_folder_is_refused() -> None:
    nobody = 65534
    with tempfile.TemporaryDirectory() as directory:
        folder = ReplicaFolder.of(directory, "pricing", "a")
        folder.make()
        folder.path.chmod(0o500)
        # Root may write anywhere, so there the folder and the agent are somebody else's.
        if os.geteuid() == 0:
            for path in (Path(directory), *Path(directory).rglob("*")):
                os.chown(path, nobody, nobody)
        said = agent_that_cannot_start("pricing", "a", "--directory", directory, user=nobody)
        folder.path.chmod(0o700)
    assert "agent.lock cannot be written" in said


# ------------------------------------------------------------------------------------------------------- no disk


def test_a_full_disk_is_told_and_outlived(replica: ReplicaUnderTest) -> None:
    report_of(replica, push_request(ON_B))
    replica.fill_disk()
    assert "not durable" in str(ask(replica, leave_request(trip(), fleet=True)))
    assert replica.folder.word().read() == (2, 1, FULL)
    report = report_of(replica)
    assert report.state.latched == 0
    assert any("File too large" in warning for warning in report.warnings)
    replica.free_disk()
    until(lambda: report_of(replica).state.latched == 1, "the state is durable")
    assert report_of(replica).warnings == ()
    assert replica.stop() == 0
    assert "state.json cannot be written" in replica.said()


def test_a_kill_while_the_disk_is_full_forgets_only_what_was_not_acknowledged(replica: ReplicaUnderTest) -> None:
    acknowledged = report_of(replica, push_request(ON_B)).state
    replica.fill_disk()
    ask(replica, leave_request(trip(), fleet=True))
    replica.kill()
    replica.start()
    state = report_of(replica).state
    assert state.fleet == acknowledged.fleet
    assert state.latched == 1, "the word survives the process, though not a power cut"


# ---------------------------------------------------------------------------------------------------------- kills


@dataclass
class Storm:
    """Flips that stream to one replica, and what it acknowledged."""

    replica: ReplicaUnderTest
    chooser: random.Random
    route: FleetRoute = FleetRoute()
    generations: dict[int, Generation] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    acknowledged: ReplicaState = field(default_factory=ReplicaState)
    acknowledgements: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    @staticmethod
    def version(number: int) -> str:
        return digest_of(number)

    def step(self) -> None:
        """Deploy, widen or trip, as a control plane would."""
        route = self.route
        live = self.generations[route.generation].chain if route.generation else ()
        act = self.chooser.choice(["deploy", "widen", "widen", "trip"]) if route.generation else "deploy"
        if act == "widen" and route.step == 0 and route.split < FULL:
            self.route = replace(route, split=min(FULL, route.split + 2500))
        elif act == "trip" and live[0] not in self.facts.quarantined:
            fact = trip(live[0], f"t-{route.generation}")
            self.facts = self.facts.with_trip(fact)
        elif act == "deploy":
            number = route.generation + 1
            behind = tuple(version for version in live if version not in self.facts.quarantined)[:2]
            self.generations[number] = Generation(
                number=number, chain=(self.version(number), *behind), saw_quarantine=self.facts.quarantined
            )
            self.route = FleetRoute(number, 0, 0)

    def stream(self) -> None:
        while not self.stopped.is_set():
            self.step()
            document = RouteDocument(
                system="pricing", route=self.route, generations=dict(self.generations), facts=self.facts
            )
            answer = ask(self.replica, push_request(document), 1.0)
            if isinstance(answer, ReplicaReport):
                self.acknowledged = answer.state
                self.acknowledgements += 1

    def wait_for(self, acknowledgements: int) -> None:
        enough = self.acknowledgements + acknowledgements
        until(lambda: self.acknowledgements >= enough, "acknowledgements")


def watch_word(folder: ReplicaFolder, stopped: threading.Event, found: list[tuple[Position, Position]]) -> None:
    """Note every step back of the shared word, as a worker sees it."""
    word = folder.word()
    last: Position | None = None
    while not stopped.is_set():
        seen = word.read()
        if last is not None:
            back = (
                seen is None or seen[0] < last[0] or (seen[0] == last[0] and (seen[1] < last[1] or seen[2] < last[2]))
            )
            if back:
                found.append((last, seen or (0, 0, 0)))
        last = seen or last
        stopped.wait(0.0002)


def without_word(folder: ReplicaFolder) -> ReplicaState:
    tail = folder.journal().read()
    filed = folder.state() or ReplicaState()
    return filed.rejoin(word=None, trips=tail.facts, local=tail.local_trips, stands=tail.stands)


def at_least(state: ReplicaState, acknowledged: ReplicaState) -> bool:
    """Whether a state is the acknowledged one or one after it."""
    if state.fleet.generation == acknowledged.fleet.generation:
        position = state.fleet >= acknowledged.fleet and state.latched >= acknowledged.latched
    else:
        position = state.fleet.generation > acknowledged.fleet.generation
    facts = state.facts.trips.keys() >= acknowledged.facts.trips.keys()
    return position and facts and state.facts.released >= acknowledged.facts.released


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_kill_takes_back_what_was_acknowledged(tmp_path: Path, seed: int) -> None:
    chooser = random.Random(seed)
    versions = [Storm.version(number) for number in range(1, 2000)]
    with ReplicaUnderTest.of(tmp_path, "pricing", "a", ready=versions) as replica:
        storm = Storm(replica, random.Random(seed))
        steps_back: list[tuple[Position, Position]] = []
        threads = [
            threading.Thread(target=storm.stream),
            threading.Thread(target=watch_word, args=(replica.folder, storm.stopped, steps_back)),
        ]
        for thread in threads:
            thread.start()
        try:
            for _ in range(15):
                storm.wait_for(chooser.randrange(8))
                storm.stopped.wait(chooser.uniform(0.0, 0.01))
                replica.kill()
                acknowledged = storm.acknowledged
                assert at_least(replica.folder.recover().state, acknowledged)
                assert at_least(without_word(replica.folder), acknowledged), "a power cut takes the word"
                replica.start()
                assert at_least(report_of(replica).state, acknowledged)
        finally:
            storm.stopped.set()
            for thread in threads:
                thread.join()
        final = RouteDocument(
            system="pricing", route=storm.route, generations=dict(storm.generations), facts=storm.facts
        )
        state = report_of(replica, push_request(final)).state
    assert steps_back == []
    assert storm.acknowledgements > 30
    assert state.fleet == storm.route
    assert state.facts == storm.facts
