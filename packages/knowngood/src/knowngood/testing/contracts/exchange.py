"""
The contract of the Exchange port.

An adapter's test is a subclass with one fixture::

    class TestMyExchange(ExchangeContract):
        @pytest.fixture
        def processes(self) -> Sequence[Exchange]: ...
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Condition
from time import monotonic

import pytest

from knowngood.ports.exchange import Exchange
from knowngood.testing.contracts.store import SYSTEM, digest, manifest
from knowngood_sdk.errors import NotFoundError
from knowngood_sdk.model.counts import Sums, VersionCounts
from knowngood_sdk.model.route import Facts, FleetRoute, LocalTrip, Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["ExchangeContract", "Heard"]

_SOON = timedelta(seconds=10)


class Heard:
    """What a listener was told; waited for with a deadline."""

    def __init__(self) -> None:
        self._systems: list[str] = []
        self._changed = Condition()

    def __call__(self, system: str) -> None:
        """Take in a system's name."""
        with self._changed:
            self._systems.append(system)
            self._changed.notify_all()

    @property
    def systems(self) -> list[str]:
        """Every name so far, in order."""
        with self._changed:
            return list(self._systems)

    def of(self, system: str, longest: timedelta = _SOON) -> None:
        """Wait until a system was heard of."""
        until = monotonic() + longest.total_seconds()
        with self._changed:
            while system not in self._systems:
                assert self._changed.wait(until - monotonic()), f"nothing was heard of {system} within {longest}"

    def forget(self) -> None:
        """Begin anew."""
        with self._changed:
            self._systems.clear()


def rising(document: RouteDocument) -> RouteDocument:
    """Change a route to the next generation."""
    return replace(document, route=FleetRoute(document.route.generation + 1, 0, 0))


def _report(replica: str, at: str, latched: int = 0) -> ReplicaReport:
    trip = Trip(uid="u", version=digest("1"), generation=3, source="person", at="2026-01-01T18:00:00Z", why="bad ü")
    state = ReplicaState(
        fleet=FleetRoute(3, 1, 1_000),
        latched=latched,
        facts=Facts({"u": trip}, frozenset({"r"})),
        local=frozenset({LocalTrip(replica, 2**40, digest("2"))}),
    )
    return ReplicaReport(
        replica=replica,
        state=state,
        ready=frozenset({digest("1")}),
        failed={digest("2"): "out of memory"},
        load_seconds={digest("1"): 0.25},
        workers=2,
        memory_bytes=2**40,
        refusal=Refusal(generation=4, unready=frozenset({digest("2")})),
        at=at,
        anchor=(7, digest("anchor")),
        warnings=("a warning",),
    )


def _counted(worker: str, sequence: int, requests: int = 1, holds: tuple[str, ...] = ()) -> CountsReport:
    counts = VersionCounts(
        requests=requests, latency={-3: 4}, predictions=Sums(3, 0.1 + 0.2, 1e17), subjects=(1, 2**64 - 1)
    )
    return CountsReport(
        worker=worker, sequence=sequence, at="2026-01-01T18:00:00Z", versions={digest("1"): counts}, holds=holds
    )


def _requests(exchange: Exchange) -> Mapping[str, int]:
    return {name: report.versions[digest("1")].requests for name, report in exchange.counts(SYSTEM).items()}


class ExchangeContract:
    """Every promise of ports/exchange.py, tried on a real exchange."""

    @pytest.fixture
    def processes(self) -> Sequence[Exchange]:
        """Give one exchange as two processes see it, each its own object; a subclass does."""
        raise pytest.UsageError("a subclass of ExchangeContract gives the fixture processes")

    @pytest.fixture
    def exchange(self, processes: Sequence[Exchange]) -> Exchange:
        """Give the exchange as the first of them sees it."""
        return processes[0]

    def test_before_the_first_document_there_is_none(self, exchange: Exchange) -> None:
        assert exchange.route(SYSTEM) is None
        assert exchange.rules(SYSTEM) is None
        assert exchange.reports(SYSTEM) == {}
        assert exchange.counts(SYSTEM) == {}
        with pytest.raises(NotFoundError, match="never released"):
            exchange.release(SYSTEM, digest("1"))

    def test_a_route_that_is_changed_is_what_everybody_reads(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        first = mine.change_route(SYSTEM, lambda before: replace(rising(before), prepare=(digest("1"),)))
        assert (
            first
            == theirs.route(SYSTEM)
            == RouteDocument(system=SYSTEM, route=FleetRoute(1, 0, 0), prepare=(digest("1"),))
        )
        second = theirs.change_route(SYSTEM, rising)
        assert second.route.generation == 2
        assert second.prepare == first.prepare
        assert mine.route(SYSTEM) == second
        assert mine.route("fraud") is None

    def test_writers_of_a_route_come_one_after_another(self, processes: Sequence[Exchange]) -> None:
        def rise(number: int) -> None:
            for _ in range(10):
                processes[number % 2].change_route(SYSTEM, rising)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(rise, range(4)))
        route = processes[0].route(SYSTEM)
        assert route is not None
        assert route.route.generation == 40

    def test_a_change_that_fails_leaves_what_is_published(self, exchange: Exchange) -> None:
        def fail(_: RouteDocument) -> RouteDocument:
            raise RuntimeError("out of luck")

        first = exchange.change_route(SYSTEM, rising)
        with pytest.raises(RuntimeError, match="out of luck"):
            exchange.change_route(SYSTEM, fail)
        assert exchange.route(SYSTEM) == first

    def test_a_release_is_kept_as_it_is_and_the_same_version_replaces_it(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        first = ReleaseDocument(manifest=manifest("1"), paths={"model": "/a"}, golden="/golden")
        second = replace(first, paths={"model": "/b"}, golden=None)
        other = ReleaseDocument(manifest=manifest("1", system="fraud"), paths={})
        for release in (first, second, second, other):
            mine.save_release(release)
        assert theirs.release(SYSTEM, first.manifest.content_digest) == second
        assert theirs.release("fraud", other.manifest.content_digest) == other

    def test_rules_are_kept_as_they_are_and_replaced(self, processes: Sequence[Exchange]) -> None:
        rules = {"system": SYSTEM, "text": "ü\u2028", "numbers": [1, 0.1, None, True], "deep": {"a": {"b": []}}}
        for document in ({"system": SYSTEM}, rules, rules):
            processes[0].save_rules(SYSTEM, document)
        assert processes[1].rules(SYSTEM) == rules

    def test_the_newest_report_of_each_replica_holds_however_they_arrive(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        early, late = _report("a", "2026-01-01T18:00:01Z"), _report("a", "2026-01-01T18:00:01.250Z", 1)
        other = _report("b", "2026-01-01T18:00:00Z")
        mine.save_reports(SYSTEM, [early])
        theirs.save_reports(SYSTEM, [late, other, early])
        mine.save_reports(SYSTEM, [early])
        mine.save_reports(SYSTEM, [])
        reports = theirs.reports(SYSTEM)
        assert {name: reported.report for name, reported in reports.items()} == {"a": late, "b": other}
        assert theirs.reports("fraud") == {}

    def test_one_question_tells_where_something_changed(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        assert theirs.stamps() == {}
        mine.change_route(SYSTEM, rising)
        mine.change_route("fraud", rising)
        before = theirs.stamps()
        assert before.keys() == {SYSTEM, "fraud"}
        assert theirs.stamps() == before
        mine.change_route(SYSTEM, rising)
        after = theirs.stamps()
        assert (after[SYSTEM] != before[SYSTEM], after["fraud"] == before["fraud"]) == (True, True)
        for at in ("2026-01-01T18:00:01Z", "2026-01-01T18:00:02Z"):
            mine.save_reports("fraud", [_report("a", at)])
            before, after = after, theirs.stamps()
            assert (after["fraud"] != before["fraud"], after[SYSTEM] == before[SYSTEM]) == (True, True)

    def test_a_report_says_when_it_was_taken(self, exchange: Exchange) -> None:
        before = datetime.now(UTC)
        exchange.save_reports(SYSTEM, [_report("a", "2026-01-01T18:00:00Z")])
        seen_at = exchange.reports(SYSTEM)["a"].seen_at
        assert abs(seen_at - before) < _SOON

    def test_the_highest_sequence_of_each_worker_holds_however_they_arrive(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        mine.save_counts(SYSTEM, {"a": [_counted("w1", 2, 20), _counted("w2", 1, 5)]})
        theirs.save_counts(SYSTEM, {"a": [_counted("w1", 1, 10)], "b": [_counted("w1", 1, 7), _counted("w1", 3, 9)]})
        theirs.save_counts(SYSTEM, {"a": [_counted("w1", 2, 20)], "c": []})
        theirs.save_counts(SYSTEM, {})
        assert _requests(mine) == {"a/w1": 20, "a/w2": 5, "b/w1": 9}
        assert mine.counts(SYSTEM)["a/w1"] == _counted("w1", 2, 20)

    def test_counts_of_workers_that_are_gone_count_once_whatever_comes_late(self, exchange: Exchange) -> None:
        exchange.save_counts(SYSTEM, {"a": [_counted("w1", 2, 20)], "b": [_counted("w1", 4, 40)]})
        gone = _counted("departed of a", 1, 20, holds=("w0", "w1"))
        for batch in ([gone], [_counted("w1", 1, 10)], [_counted("w1", 3, 30)], [gone]):
            exchange.save_counts(SYSTEM, {"a": batch})
            assert _requests(exchange) == {"a/departed of a": 20, "b/w1": 40}

    def test_another_process_hears_of_a_change(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        with _listening(theirs) as heard:
            mine.change_route(SYSTEM, rising)
            heard.of(SYSTEM)
            heard.forget()
            mine.change_route("fraud", rising)
            heard.of("fraud")
            assert SYSTEM not in heard.systems
            heard.forget()
            theirs.change_route("spam", rising)
            mine.change_route(SYSTEM, rising)
            heard.of(SYSTEM)

    def test_a_change_that_leaves_the_document_as_it_is_tells_nobody(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        mine.change_route(SYSTEM, rising)
        with _listening(theirs) as heard:
            mine.change_route(SYSTEM, lambda before: before)
            mine.change_route("spam", lambda before: before)
            mine.change_route("fraud", rising)
            heard.of("fraud")
            assert set(heard.systems) == {"fraud"}
        assert theirs.route("spam") is None

    def test_nobody_hears_of_what_happens_after_they_stopped_listening(self, processes: Sequence[Exchange]) -> None:
        mine, theirs = processes
        with ExitStack() as stack:
            still = stack.enter_context(_listening(theirs))
            with _listening(theirs) as before:
                pass
            mine.change_route(SYSTEM, rising)
            still.of(SYSTEM)
        assert before.systems == []


@contextmanager
def _listening(exchange: Exchange) -> Iterator[Heard]:
    heard = Heard()
    told: Callable[[str], None] = heard
    with exchange.listening(told):
        yield heard
