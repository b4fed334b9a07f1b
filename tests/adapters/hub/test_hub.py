"""A hub tells from memory, writes behind, and shares what it knows with the other processes of its control plane."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from knowngood.adapters.hub.channel import Channel
from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.room import Spans
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.ports.traffic import Unreachable
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, trip_of
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.errors import InvalidError, PermanentError, TransientError
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.joining import document_id
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, ReplicaState
from knowngood_sdk.model.wire import CountsReport, ReplicaReport, RouteDocument
from tests.adapters.hub.served import Control

SOON = timedelta(seconds=20)
DEPLOYED = RouteDocument(
    system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: Generation(number=1, chain=(NEW, OLD))}
)
TRIPPED = replace(DEPLOYED, facts=DEPLOYED.facts.with_trip(trip_of(NEW)))


@pytest.fixture
def exchange() -> MemoryExchange:
    return MemoryExchange()


@pytest.fixture
def hub(exchange: MemoryExchange) -> Iterator[Hub]:
    with Hub(exchange) as hub:
        yield hub


def report(name: str, at: str = "2026-01-01T00:00:00.000Z", **state: object) -> ReplicaReport:
    return ReplicaReport(replica=name, state=replace(ReplicaState(), **state), workers=1, at=at)  # type: ignore[arg-type]


def opened(hub: Hub, name: str, known: str = "") -> Channel:
    channel = Channel(SYSTEM, name, lambda: None)
    hub.open(channel, known)
    return channel


def counts(worker: str, sequence: int, holds: tuple[str, ...] = ()) -> CountsReport:
    versions = {OLD: VersionCounts(requests=sequence)}
    return CountsReport(worker=worker, sequence=sequence, at="", versions=versions, holds=holds)


# --------------------------------------------------------------------------------------------------------- streams


def test_a_stream_begins_with_what_its_replica_does_not_know(hub: Hub) -> None:
    HubTraffic(hub).publish(SYSTEM, lambda _: DEPLOYED)
    HubTraffic(hub).publish_rules(SYSTEM, {"rules": 1})
    news = opened(hub, "a").take()
    assert f"id: {document_id(DEPLOYED)}\n".encode() in news
    assert b'event: rules\ndata: {"rules":1}\n\n' in news
    assert b"event: route" not in opened(hub, "b", document_id(DEPLOYED)).take()


def test_a_replica_that_reads_slowly_gets_the_newest_route_alone(hub: Hub) -> None:
    channel = opened(hub, "a")
    for document in (DEPLOYED, TRIPPED):
        HubTraffic(hub).publish(SYSTEM, lambda _, new=document: new)  # type: ignore[misc]
    taken = channel.take()
    assert taken.count(b"event: route") == 1
    assert document_id(TRIPPED).encode() in taken
    assert channel.take() == b""


def test_a_replica_that_reads_nothing_loses_its_stream(hub: Hub) -> None:
    channel = opened(hub, "a")
    for number in range(300):
        channel.order(b"%d" % number)
    assert channel.ended


# ------------------------------------------------------------------------------------------------------ other processes


def test_a_route_that_another_process_published_is_streamed(hub: Hub, exchange: MemoryExchange) -> None:
    channel = opened(hub, "a")
    exchange.change_route(SYSTEM, lambda _: DEPLOYED)
    until(lambda: b"event: route" in channel.take(), "it is streamed")
    assert HubTraffic(hub).published(SYSTEM) == DEPLOYED


def test_a_change_that_nobody_told_of_is_found() -> None:
    class Deaf(MemoryExchange):
        @contextmanager
        def listening(self, heard: Callable[[str], None]) -> Iterator[None]:
            del heard
            yield

    deaf = Deaf()
    with Hub(deaf) as hub:
        channel = opened(hub, "a")
        HubTraffic(hub).published(SYSTEM)
        deaf.change_route(SYSTEM, lambda _: DEPLOYED)
        deaf.save_rules(SYSTEM, {"rules": 1})
        taken = bytearray()

        def all_there() -> bool:
            taken.extend(channel.take())
            return b"event: route" in taken and b"event: rules" in taken

        until(all_there, "both are streamed")


def test_replicas_of_another_process_are_seen_and_acknowledge(exchange: MemoryExchange, tmp_path: Path) -> None:
    other = Control(exchange)
    other.start()
    try:
        with (
            Hub(exchange) as hub,
            ReplicaUnderTest.of(tmp_path, SYSTEM, "a", [OLD, NEW], ["--url", other.url]),
        ):
            traffic = HubTraffic(hub)
            until(lambda: "a" in traffic.replicas(SYSTEM), "it is seen")
            assert traffic.replicas(SYSTEM)["a"].agent_alive
            told: list[str] = []
            thread = threading.Timer(0.2, lambda: traffic.publish(SYSTEM, lambda _: TRIPPED))
            thread.start()
            answers = traffic.push(TRIPPED, SOON, on_acknowledged=told.append)
            thread.join()
            answer = answers["a"]
            assert isinstance(answer, ReplicaReport)
            assert (answer.state.latched, told) == (1, ["a"])
    finally:
        other.stop()


def test_reports_that_say_something_new_are_shared_at_once_and_heartbeats_soon(
    hub: Hub, exchange: MemoryExchange
) -> None:
    hub.report(SYSTEM, report("a"), {})
    until(lambda: "a" in exchange.reports(SYSTEM), "it is left")
    writes = exchange.writes
    for second in range(1, 6):
        hub.report(SYSTEM, report("a", at=f"2026-01-01T00:00:0{second}.000Z"), {})
    assert exchange.writes == writes
    until(lambda: exchange.reports(SYSTEM)["a"].report.at == "2026-01-01T00:00:05.000Z", "the newest is left")
    assert exchange.writes <= writes + 2


def test_an_older_report_changes_nothing(hub: Hub) -> None:
    hub.report(SYSTEM, report("a", at="2026-01-01T00:00:05.000Z", latched=1), {})
    hub.report(SYSTEM, report("a", at="2026-01-01T00:00:01.000Z"), {})
    assert hub.replicas(SYSTEM)["a"].report.state.latched == 1


def test_counts_are_shared_with_what_workers_counted_that_are_gone(hub: Hub, exchange: MemoryExchange) -> None:
    hub.report(SYSTEM, report("a"), {})
    for sequence in (1, 3, 2):
        hub.count(SYSTEM, "a", "2026-01-01T00:00:01.000Z", [counts("w1", sequence)])
    until(lambda: bool(exchange.counts(SYSTEM)), "they are left")
    with Hub(exchange) as other:
        assert {worker: each.sequence for worker, each in other.counts(SYSTEM).items()} == {"w1": 3}
        hub.count(SYSTEM, "a", "2026-01-01T00:00:02.000Z", [counts("departed", 1, holds=("w1",))])
        until(lambda: set(other.counts(SYSTEM)) == {"departed"}, "a worker that is gone counts once")


def test_counts_are_a_sign_of_life(hub: Hub) -> None:
    hub.report(SYSTEM, report("a"), {})
    hub.count(SYSTEM, "a", "2026-01-01T00:00:09.000Z", [])
    assert hub.replicas(SYSTEM)["a"].report.at == "2026-01-01T00:00:09.000Z"


def test_a_replica_that_is_silent_is_taken_for_gone_at_last(exchange: MemoryExchange) -> None:
    with Hub(exchange, Spans(agent=0.2, workers=0.5)) as hub:
        hub.report(SYSTEM, report("a"), {})
        seen = hub.replicas(SYSTEM)["a"]
        assert (seen.agent_alive, seen.workers_alive) == (True, 1)
        until(lambda: not hub.replicas(SYSTEM)["a"].agent_alive, "its agent is taken for gone")
        assert hub.replicas(SYSTEM)["a"].workers_alive == 1
        until(lambda: not hub.replicas(SYSTEM)["a"].alive, "its workers are, too")
        assert hub.replicas(SYSTEM)["a"].workers_unheard == 1, "they may serve all the same"
    with Hub(exchange, Spans(agent=0.2, workers=0.5)) as later:
        assert list(later.replicas(SYSTEM)) == ["a"]
        until(lambda: not later.replicas(SYSTEM)["a"].alive, "nor does another process wait for it")
    with Hub(exchange, Spans(agent=0.1, workers=0.2, unheard=0.3)) as last:
        until(lambda: not last.replicas(SYSTEM)["a"].workers_unheard, "its host is taken for gone")


def test_nobody_wonders_about_a_replica_that_said_that_it_stops(exchange: MemoryExchange) -> None:
    with Hub(exchange, Spans(agent=0.1, workers=0.2)) as hub:
        hub.report(SYSTEM, replace(report("a"), stopped=True), {})
        until(lambda: not hub.replicas(SYSTEM)["a"].alive, "it is taken for gone")
        assert hub.replicas(SYSTEM)["a"].workers_unheard == 0


def test_an_agent_that_stopped_in_good_order_is_not_waited_for(hub: Hub) -> None:
    hub.report(SYSTEM, replace(report("a"), stopped=True), {})
    began = time.monotonic()
    answer = HubTraffic(hub).push(DEPLOYED, SOON)["a"]
    assert isinstance(answer, Unreachable)
    assert time.monotonic() - began < 1


# ------------------------------------------------------------------------------------------------------- exchange away


def test_what_cannot_be_written_is_streamed_and_written_later(hub: Hub, exchange: MemoryExchange) -> None:
    traffic = HubTraffic(hub)
    traffic.publish(SYSTEM, lambda _: DEPLOYED)
    channel = opened(hub, "a")
    exchange.cut_off()
    with pytest.raises(TransientError, match="not published yet"):
        traffic.publish(SYSTEM, lambda known: replace(known, facts=known.facts.with_trip(trip_of(NEW))))
    assert document_id(TRIPPED).encode() in channel.take()
    assert traffic.published(SYSTEM) == TRIPPED
    exchange.restore()
    # Meanwhile another process has published.
    exchange.change_route(SYSTEM, lambda known: replace(known, anchor=(4, "head")))
    until(lambda: exchange.route(SYSTEM) == replace(TRIPPED, anchor=(4, "head")), "it is written after all")
    until(lambda: traffic.published(SYSTEM) == replace(TRIPPED, anchor=(4, "head")), "and both are known here")


def test_pushes_and_reports_go_on_without_the_exchange(hub: Hub, exchange: MemoryExchange) -> None:
    exchange.cut_off()
    hub.report(SYSTEM, report("a"), {})
    channel = opened(hub, "a")
    answers: list[object] = []
    push = threading.Thread(target=lambda: answers.append(HubTraffic(hub).push(DEPLOYED, SOON)["a"]))
    push.start()
    taken = bytearray()

    def asked() -> bool:
        taken.extend(channel.take())
        return b'"ask":"' in taken

    until(asked, "it is asked")
    ask = taken.split(b'"ask":"')[1].split(b'"')[0].decode()
    hub.report(SYSTEM, report("a", at="2026-01-01T00:00:01.000Z", latched=1), {ask: ""})
    push.join(20)
    assert [answer.state.latched for answer in answers if isinstance(answer, ReplicaReport)] == [1]
    exchange.restore()
    until(lambda: "a" in exchange.reports(SYSTEM), "the report is left after all")
    assert exchange.reports(SYSTEM)["a"].report.state.latched == 1


def test_a_push_and_a_publication_do_not_wait_for_an_exchange_that_hangs() -> None:
    hang = threading.Event()

    class Hanging(MemoryExchange):
        def save_reports(self, system: str, reports: object) -> None:
            del system, reports
            hang.wait(2)
            raise TransientError("it hangs")

    with Hub(Hanging()) as hub:
        hub.report(SYSTEM, report("a"), {})
        opened(hub, "a")
        began = time.monotonic()
        HubTraffic(hub).publish(SYSTEM, lambda _: DEPLOYED)
        HubTraffic(hub).push(DEPLOYED, timedelta(milliseconds=50))
        assert time.monotonic() - began < 1
        hang.set()


def test_what_nobody_foresaw_is_told_and_ends_the_sharing_of_no_system(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryExchange):
        def save_reports(self, system: str, reports: Sequence[ReplicaReport]) -> None:
            if not mended.is_set():
                raise ZeroDivisionError("nobody foresaw this")
            super().save_reports(system, reports)

    mended, exchange = threading.Event(), Broken()
    with Hub(exchange) as hub:
        hub.report(SYSTEM, report("a"), {})
        until(lambda: "ZeroDivisionError: nobody foresaw this" in caplog.text, "it is told")
        assert "Traceback" in caplog.text
        hub.check()
        mended.set()
        until(lambda: "a" in exchange.reports(SYSTEM), "the report is left after all")


def test_a_hub_whose_thread_has_ended_says_so() -> None:
    with Hub(MemoryExchange()) as hub:
        hub.check()
    with pytest.raises(PermanentError, match="nothing is shared with the other processes"):
        hub.check()


def test_before_anything_was_read_nobody_knows_what_is_published(hub: Hub, exchange: MemoryExchange) -> None:
    exchange.cut_off()
    with pytest.raises(TransientError):
        HubTraffic(hub).published(SYSTEM)
    with pytest.raises(TransientError):
        hub.counts(SYSTEM)
    assert hub.replicas(SYSTEM) == {}


def test_a_document_of_no_system_is_refused(hub: Hub) -> None:
    with pytest.raises(InvalidError, match="system name"):
        HubTraffic(hub).publish("../out", lambda known: known)
