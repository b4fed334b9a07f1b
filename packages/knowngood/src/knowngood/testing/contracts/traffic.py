"""
What every Traffic and every Telemetry adapter promises.

Subclass a contract and give it a fixture. Replicas in these tests run the real rules of the data plane; how they are
started, stalled and killed is the adapter's affair, behind ``Fleet``.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Protocol

import pytest

from knowngood.ports.telemetry import HealthSample, Telemetry
from knowngood.ports.traffic import Answers, Replica, Traffic, Unreachable
from knowngood_sdk.errors import InvalidError, NotFoundError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, Trip
from knowngood_sdk.model.wire import CountsReport, ReplicaReport, RouteDocument

__all__ = ["NEW", "OLD", "SYSTEM", "Counted", "Fleet", "TelemetryContract", "TrafficContract", "trip_of"]

SYSTEM = "pricing"
OLD = "sha256:" + "1" * 64
NEW = "sha256:" + "2" * 64
_OLDER = "sha256:" + "3" * 64
_SOON = timedelta(seconds=20)
"""A test waits for what must come for so long; it comes in milliseconds."""
_BRIEF = timedelta(milliseconds=300)
"""A test waits for what must not come for so long."""

_FIRST = Generation(number=1, chain=(OLD, _OLDER))
_SECOND = Generation(number=2, chain=(NEW, OLD))
_ON_OLD = RouteDocument(system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: _FIRST})
_ON_NEW = RouteDocument(system=SYSTEM, route=FleetRoute(2, 0, FULL), generations={1: _FIRST, 2: _SECOND})


class Fleet(Protocol):
    """Replicas of the system ``SYSTEM``, to be done things to."""

    @property
    def traffic(self) -> Traffic:
        """The adapter under test."""
        ...

    def start(self, name: str, ready: Collection[str]) -> None:
        """Start a replica: an agent and one worker, in which these versions are ready."""
        ...

    def set_ready(self, name: str, ready: Collection[str]) -> None:
        """Change which versions are ready in the worker."""
        ...

    def stall(self, name: str) -> None:
        """Let the agent run and answer nobody."""
        ...

    def resume(self, name: str) -> None:
        """Undo ``stall``."""
        ...

    def kill_agent(self, name: str) -> None:
        """End the agent without notice."""
        ...

    def restart_agent(self, name: str) -> None:
        """Start the agent again."""
        ...

    def kill_workers(self, name: str) -> None:
        """End the worker without notice."""
        ...


def trip_of(version: str, uid: str = "t-1") -> Trip:
    """Return a trip by a person."""
    return Trip(uid=uid, version=version, generation=2, source="person", at="2026-01-01T00:00:00Z", why="prices")


def _report(answers: Answers, name: str) -> ReplicaReport:
    answer = answers[name]
    assert isinstance(answer, ReplicaReport), answer
    return answer


def _position(report: ReplicaReport) -> tuple[int, int]:
    return (report.state.fleet.generation, report.state.latched)


def _all_at(generation: int, latched: int) -> Callable[[Mapping[str, Replica]], bool]:
    return lambda seen: all(_position(replica.report) == (generation, latched) for replica in seen.values())


class TrafficContract:
    """Promises of ``knowngood.ports.traffic.Traffic``; the fixture is ``fleet``."""

    def test_before_the_first_publication_there_is_no_document(self, fleet: Fleet) -> None:
        assert fleet.traffic.published(SYSTEM) is None
        assert fleet.traffic.replicas(SYSTEM) == {}

    def test_what_was_published_last_is_what_is_read(self, fleet: Fleet) -> None:
        fleet.traffic.publish(SYSTEM, lambda _: _ON_OLD)
        fleet.traffic.publish(SYSTEM, lambda _: _ON_NEW)
        fleet.traffic.publish(SYSTEM, lambda _: _ON_NEW)
        assert fleet.traffic.published(SYSTEM) == _ON_NEW

    def test_a_stamp_tells_a_publication_and_a_replica_that_joins(self, fleet: Fleet) -> None:
        fleet.traffic.replicas(SYSTEM)
        before = fleet.traffic.stamp(SYSTEM)
        assert fleet.traffic.stamp(SYSTEM) == before
        fleet.traffic.publish(SYSTEM, lambda _: _ON_OLD)
        published = fleet.traffic.stamp(SYSTEM)
        assert published != before
        assert fleet.traffic.stamp(SYSTEM) == published
        fleet.start("a", [OLD])
        fleet.traffic.wait(SYSTEM, lambda seen: "a" in seen, _SOON)
        assert fleet.traffic.stamp(SYSTEM) != published

    def test_writers_at_once_take_nothing_back_from_each_other(self, fleet: Fleet) -> None:
        trips = [Trip(uid=str(n), version=OLD, generation=1, source="person", at="", why="") for n in range(20)]

        def add(trip: Trip) -> None:
            fleet.traffic.publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip)))

        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(add, trips))
        document = fleet.traffic.published(SYSTEM)
        assert document is not None
        assert document.facts.trips.keys() == {trip.uid for trip in trips}

    def test_a_published_document_reaches_a_replica_without_a_push(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.traffic.publish(SYSTEM, lambda _: _ON_OLD)
        seen = fleet.traffic.wait(SYSTEM, _all_at(1, 0), _SOON)
        assert seen["a"].report.state.fleet == _ON_OLD.route

    def test_a_replica_that_joins_later_reads_what_is_published(self, fleet: Fleet) -> None:
        fleet.traffic.publish(SYSTEM, lambda _: _ON_OLD)
        fleet.start("late", [OLD])
        seen = fleet.traffic.wait(SYSTEM, lambda all_: bool(all_) and _all_at(1, 0)(all_), _SOON)
        assert seen["late"].report.state.fleet == _ON_OLD.route

    def test_a_push_is_acknowledged_by_every_replica_with_its_own_state(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.start("b", [OLD])
        answers = fleet.traffic.push(_ON_OLD, _SOON)
        assert {name: _report(answers, name).replica for name in answers} == {"a": "a", "b": "b"}
        assert {_position(_report(answers, name)) for name in answers} == {(1, 0)}

    def test_each_acknowledgement_is_told_as_it_comes(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.start("b", [OLD])
        told: list[str] = []
        fleet.traffic.push(_ON_OLD, _SOON, on_acknowledged=told.append)
        assert sorted(told) == ["a", "b"]

    def test_a_pushed_trip_moves_every_replica_down_its_chain(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.start("b", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        tripped = RouteDocument(system=SYSTEM, route=_ON_NEW.route, facts=Facts({"t-1": trip_of(NEW)}))
        answers = fleet.traffic.push(tripped, _SOON)
        assert {_position(_report(answers, name)) for name in answers} == {(2, 1)}
        assert all(_report(answers, name).state.facts.quarantined == {NEW} for name in answers)

    def test_a_push_publishes_nothing(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.traffic.push(_ON_OLD, _SOON)
        assert fleet.traffic.published(SYSTEM) is None

    def test_a_push_that_comes_twice_or_late_moves_nothing_back(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        once = _report(fleet.traffic.push(_ON_NEW, _SOON), "a")
        twice = _report(fleet.traffic.push(_ON_NEW, _SOON), "a")
        late = _report(fleet.traffic.push(_ON_OLD, _SOON), "a")
        assert once.state == twice.state == late.state

    def test_a_replica_that_refuses_a_generation_acknowledges_with_its_reason(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.traffic.push(_ON_OLD, _SOON)
        report = _report(fleet.traffic.push(_ON_NEW, _SOON), "a")
        assert _position(report) == (1, 0)
        assert report.refusal is not None
        assert report.refusal.unready == {NEW}

    def test_a_refused_generation_is_taken_once_its_versions_are_ready(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.traffic.publish(SYSTEM, lambda _: _ON_OLD)
        fleet.traffic.push(_ON_NEW, _SOON)
        fleet.set_ready("a", [OLD, NEW])
        seen = fleet.traffic.wait(SYSTEM, _all_at(2, 0), _SOON)
        assert _position(seen["a"].report) == (2, 0)
        assert seen["a"].report.refusal is None

    def test_a_generation_that_has_not_seen_a_trip_is_refused(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.traffic.push(_ON_OLD, _SOON)
        fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON)
        report = _report(fleet.traffic.push(_ON_NEW, _SOON), "a")
        assert report.refusal is not None
        assert report.refusal.unseen_quarantine == {NEW}

    def test_a_replica_that_does_not_answer_holds_nobody_up(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.start("b", [OLD])
        fleet.stall("b")
        answers = fleet.traffic.push(_ON_OLD, _BRIEF)
        assert _position(_report(answers, "a")) == (1, 0)
        assert isinstance(answers["b"], Unreachable)
        assert "no answer" in answers["b"].reason
        fleet.resume("b")

    def test_a_replica_that_missed_a_push_finds_it_published(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.stall("a")
        fleet.traffic.push(_ON_OLD, _BRIEF)
        fleet.traffic.publish(SYSTEM, lambda _: _ON_OLD)
        fleet.resume("a")
        assert _position(fleet.traffic.wait(SYSTEM, _all_at(1, 0), _SOON)["a"].report) == (1, 0)

    def test_a_dead_agent_with_living_workers_is_told_from_a_dead_replica(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.kill_agent("a")
        without_agent = fleet.traffic.replicas(SYSTEM)["a"]
        fleet.kill_workers("a")
        dead = fleet.traffic.replicas(SYSTEM)["a"]
        assert (without_agent.agent_alive, without_agent.workers_alive, without_agent.alive) == (False, 1, True)
        assert (dead.agent_alive, dead.workers_alive, dead.alive) == (False, 0, False)

    def test_a_push_names_the_replica_that_has_no_agent(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        fleet.kill_agent("a")
        answer = fleet.traffic.push(_ON_OLD, _SOON)["a"]
        assert isinstance(answer, Unreachable)
        assert "no agent" in answer.reason

    def test_a_restarted_agent_knows_what_it_acknowledged(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        before = _report(fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON), "a")
        fleet.kill_agent("a")
        fleet.restart_agent("a")
        after = fleet.traffic.wait(SYSTEM, lambda seen: seen["a"].report.state == before.state, _SOON)["a"]
        assert after.agent_alive
        assert after.report.state == before.state

    def test_breaking_the_glass_takes_the_fact_to_every_replica(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.start("b", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        answers = fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON)
        assert {_position(_report(answers, name)) for name in answers} == {(2, 1)}

    def test_breaking_the_glass_works_without_an_agent(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        fleet.kill_agent("a")
        assert _position(_report(fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON), "a")) == (2, 1)
        assert _position(fleet.traffic.replicas(SYSTEM)["a"].report) == (2, 1)

    def test_breaking_the_glass_twice_is_one_fact(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        once = _report(fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON), "a")
        twice = _report(fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON), "a")
        assert once.state == twice.state

    def test_one_replica_can_leave_alone(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.start("b", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        answers = fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON, replicas=["a"], local=True)
        report = _report(answers, "a")
        assert list(answers) == ["a"]
        assert _position(report) == (2, 1)
        assert {(trip.replica, trip.version) for trip in report.state.local} == {("a", NEW)}
        assert report.state.facts.quarantined == frozenset()
        other = fleet.traffic.wait(SYSTEM, lambda seen: _position(seen["b"].report) != (0, 0), _SOON)["b"]
        assert _position(other.report) == (2, 0)

    def test_one_replica_leaving_twice_leaves_once(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD, NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        once = _report(fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON, replicas=["a"], local=True), "a")
        twice = _report(fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON, replicas=["a"], local=True), "a")
        assert once.state == twice.state

    def test_one_replica_does_not_leave_alone_for_a_version_that_is_not_ready(self, fleet: Fleet) -> None:
        fleet.start("a", [NEW])
        fleet.traffic.push(_ON_NEW, _SOON)
        answer = fleet.traffic.leave(SYSTEM, trip_of(NEW), _SOON, replicas=["a"], local=True)["a"]
        assert isinstance(answer, Unreachable)
        assert "ready" in answer.reason
        assert _position(_report(fleet.traffic.push(_ON_NEW, _SOON), "a")) == (2, 0)

    def test_an_unknown_replica_is_an_error_that_names_those_there_are(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        with pytest.raises(NotFoundError, match=r"'nobody'.*a"):
            fleet.traffic.leave(SYSTEM, trip_of(OLD), _SOON, replicas=["nobody"], local=True)

    def test_a_replica_keeps_the_anchor_of_the_longest_ledger(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        anchored = [RouteDocument(system=SYSTEM, anchor=anchor) for anchor in ((3, "c"), (5, "e"), (4, "d"))]
        reports = [_report(fleet.traffic.push(document, _SOON), "a") for document in anchored]
        assert [report.anchor for report in reports] == [(3, "c"), (5, "e"), (5, "e")]

    def test_a_report_tells_when_it_was_written(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        seen = fleet.traffic.wait(SYSTEM, lambda all_: all_["a"].seen_at is not None, _SOON)["a"].seen_at
        assert seen is not None
        assert seen.tzinfo is UTC

    def test_waiting_in_vain_ends_and_returns_what_is_there(self, fleet: Fleet) -> None:
        fleet.start("a", [OLD])
        assert list(fleet.traffic.wait(SYSTEM, lambda _: False, _BRIEF)) == ["a"]


class Counted(Protocol):
    """What a contract test puts where the adapter measures."""

    @property
    def telemetry(self) -> Telemetry:
        """The adapter under test."""
        ...

    def put_counts(self, replica: str, counts: CountsReport) -> None:
        """Let a worker of a replica of ``SYSTEM`` write its counts."""
        ...

    def serve(self, status: int) -> str:
        """Let an endpoint answer with this status, and return its URL."""
        ...

    def hang(self) -> str:
        """Let an endpoint accept requests and never answer, and return its URL."""
        ...

    def nothing(self) -> str:
        """Return a URL at which nothing listens."""
        ...


class TelemetryContract:
    """Promises of ``knowngood.ports.telemetry.Telemetry``; the fixture is ``counted``."""

    def test_a_system_without_workers_has_no_counts(self, counted: Counted) -> None:
        assert counted.telemetry.counts(SYSTEM) == {}

    def test_counts_of_all_workers_of_all_replicas_are_there(self, counted: Counted) -> None:
        reports = {name: _counts(name, 1, requests) for name, requests in (("w1", 5), ("w2", 7), ("w3", 11))}
        for replica, worker in (("a", "w1"), ("a", "w2"), ("b", "w3")):
            counted.put_counts(replica, reports[worker])
        assert counted.telemetry.counts(SYSTEM) == reports

    def test_the_newest_counts_of_a_worker_hold(self, counted: Counted) -> None:
        counted.put_counts("a", _counts("w1", 1, 5))
        counted.put_counts("a", _counts("w1", 2, 9))
        assert counted.telemetry.counts(SYSTEM)["w1"].versions[OLD].requests == 9

    @pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (302, True), (404, False), (503, False)])
    def test_an_endpoint_is_healthy_below_status_400(self, counted: Counted, status: int, ok: bool) -> None:  # noqa: FBT001 - a column of the table
        sample = counted.telemetry.health(counted.serve(status), _SOON)
        assert (sample.ok, sample.status, sample.error) == (ok, status, "")
        assert sample.latency_seconds >= 0

    def test_an_endpoint_that_is_not_there_is_an_answer(self, counted: Counted) -> None:
        sample = counted.telemetry.health(counted.nothing(), _SOON)
        assert (sample.ok, sample.status) == (False, None)
        assert sample.error

    def test_an_endpoint_that_hangs_costs_the_timeout_and_no_more(self, counted: Counted) -> None:
        sample: HealthSample = counted.telemetry.health(counted.hang(), _BRIEF)
        assert (sample.ok, sample.status) == (False, None)
        assert _BRIEF.total_seconds() * 0.9 <= sample.latency_seconds < _SOON.total_seconds()

    def test_a_url_that_is_no_url_is_refused(self, counted: Counted) -> None:
        with pytest.raises(InvalidError, match="file:///etc/passwd"):
            counted.telemetry.health("file:///etc/passwd", _SOON)


def _counts(worker: str, sequence: int, requests: int) -> CountsReport:
    versions = {OLD: VersionCounts(requests=requests)}
    return CountsReport(worker=worker, sequence=sequence, at="2026-01-01T00:00:00Z", versions=versions)
