"""
A trip that comes beside a new generation waits for nothing that the generation waits for: real workers, a real agent.

The agent meets a signal between two writes: SIGSTOP before the disk takes the file of the generation, as a disk that
hangs would hold it up, and SIGKILL between that file and the word.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.protocol import REPORT, push_request
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from knowngood_sdk.serving.worker import TICK_SECONDS
from tests.sdk.serving.shop_server import ROOT, Load, uvicorn
from tests.sdk.serving.steward import PATIENCE_SECONDS, Steward, until

WORKERS = 2
LOOKS = 10
"""Looks at the file within which a worker must have seen it: one, on a machine that has nothing else to do."""

pytestmark = [pytest.mark.slow, pytest.mark.requirement("G1", "G3")]


@dataclass
class Push:
    """A message to the agent, under way in a thread: it may never be answered."""

    steward: Steward
    document: RouteDocument
    answers: list[ReplicaReport | str] = field(default_factory=list)

    def send(self) -> None:
        self.answers.append(ask(self.steward, push_request(self.document)))

    @contextmanager
    def running(self) -> Iterator[None]:
        thread = threading.Thread(target=self.send)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def ask(steward: Steward, request: object) -> ReplicaReport | str:
    return ask_each({"r1": steward.folder.agent_socket}, request, PATIENCE_SECONDS)["r1"]  # type: ignore[arg-type]


@contextmanager
def agent(steward: Steward, *, meets: str = "SIGCONT", at: str = "filed") -> Iterator[subprocess.Popen[bytes]]:
    """Run the agent of a replica; a SIGCONT does nothing to it."""
    command = [sys.executable, "-m", "tests.sdk.agent.agent_at_a_point", "pricing", "r1"]
    process = subprocess.Popen(
        [*command, "--directory", str(steward.directory)],
        cwd=ROOT,
        env={**os.environ, "AGENT_MEETS": meets, "AGENT_MEETS_IT": at},
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: isinstance(ask(steward, REPORT), ReplicaReport), "the agent")
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE_SECONDS)


@dataclass
class Stage:
    """
    A replica on which ``bad`` serves, with ``good`` behind it, and ``fix`` loaded.

    Attributes:
        push: Generation 2, in which ``fix`` serves: minted before, and published after ``bad`` was tripped.
    """

    steward: Steward
    bad: str
    good: str
    fix: str
    push: Push

    @classmethod
    def of(cls, directory: Path) -> "Stage":
        steward = Steward(directory)
        fix, bad, good = (steward.release(factor, surge=factor) for factor in (3.0, 2.0, 1.0))
        steward.accept(bad, good)
        steward.publish(prepare=(fix,))
        trip = Trip(uid="t-1", version=bad, generation=1, source="person", at="2026-01-01T00:00:00Z", why="prices")
        document = RouteDocument(
            system="pricing",
            route=FleetRoute(2, 0, FULL),
            generations={**steward.generations, 2: Generation(number=2, chain=(fix, bad, good))},
            facts=Facts({trip.uid: trip}),
        )
        return cls(steward, bad, good, fix, Push(steward, document))

    @property
    def all_loaded(self) -> bool:
        return all(report.ready == {self.bad, self.good, self.fix} for report in self.steward.reports.values())

    @property
    def told(self) -> set[str]:
        """The trips that anybody was told of."""
        report = self.steward.folder.report()
        return set(report.state.facts.trips) if report else set()


def served_since(load: Load, moment: float) -> dict[str, set[int]]:
    """Version -> the processes that gave it to requests sent after a moment."""
    found: dict[str, set[int]] = {}
    for sent, _, status, body, _ in tuple(load.seen):
        if sent > moment and status == 200:
            found.setdefault(body["version"], set()).add(body["pid"])
    return found


def test_every_worker_leaves_while_the_disk_holds_up_the_new_generation(tmp_path: Path) -> None:
    stage = Stage.of(tmp_path)
    with uvicorn(stage.steward, WORKERS) as server, agent(stage.steward, meets="SIGSTOP", at="filing") as process:
        until(lambda: stage.all_loaded, "every slot everywhere")
        load = Load(server, lasting=False)
        with load.running():
            until(lambda: len(served_since(load, 0).get(stage.bad, ())) == WORKERS, "both workers")
            with stage.push.running():
                os.waitid(os.P_PID, process.pid, os.WSTOPPED)
                stopped = time.monotonic()
                until(lambda: len(served_since(load, stopped).get(stage.good, ())) == WORKERS, "what is behind it")
                assert stage.steward.state.fleet.generation == 1, "the disk has not taken it"
                assert stage.push.answers == []
                assert stage.told == set()
                process.send_signal(signal.SIGCONT)
            acknowledged = time.monotonic()
            until(lambda: len(served_since(load, acknowledged).get(stage.fix, ())) == WORKERS, "the generation")
    assert isinstance(stage.push.answers[0], ReplicaReport)
    assert served_since(load, stopped).keys() == {stage.good, stage.fix}
    assert served_since(load, acknowledged).keys() == {stage.fix}
    assert [status for _, _, status, _, _ in load.seen if status != 200] == []


def test_no_worker_serves_it_any_more_after_a_kill_between_the_file_of_a_generation_and_its_word(
    tmp_path: Path,
) -> None:
    stage = Stage.of(tmp_path)
    with uvicorn(stage.steward, WORKERS) as server:
        load = Load(server, lasting=False)
        with agent(stage.steward, meets="SIGKILL", at="filed") as process:
            until(lambda: stage.all_loaded, "every slot everywhere")
            with load.running():
                until(lambda: len(served_since(load, 0).get(stage.bad, ())) == WORKERS, "both workers")
                with stage.push.running():
                    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
                    killed = time.monotonic()
                until(lambda: len(served_since(load, killed).get(stage.fix, ())) == WORKERS, "the file to be seen")
        assert process.returncode == -signal.SIGKILL
        assert not isinstance(stage.push.answers[0], ReplicaReport), "nobody was told"
        assert stage.told == set()
        assert stage.steward.state.facts.quarantined == {stage.bad}
        with agent(stage.steward):
            until(lambda: stage.told == {"t-1"}, "who starts next to tell of it")
    assert served_since(load, killed).keys() <= {stage.good, stage.fix}
    arrived: dict[int, float] = {}
    for _, answered, _, body, _ in load.seen:
        if body["version"] == stage.fix:
            arrived.setdefault(body["pid"], answered - killed)
    assert max(arrived.values()) < LOOKS * TICK_SECONDS, f"workers look at the file by themselves: {arrived}"
    assert [status for _, _, status, _, _ in load.seen if status != 200] == []
