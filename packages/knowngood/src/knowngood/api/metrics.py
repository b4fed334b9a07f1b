"""Metrics: what a scraper reads. Base units, counts that end in ``_total``, and no labels that grow with time."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from knowngood.app import Server
from knowngood.domain.saga import SagaState
from knowngood_sdk.errors import KnownGoodError

__all__ = ["MEDIA_TYPE", "Metrics", "SystemFigures"]

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_LONG = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """
    The figures of one server.

    Attributes:
        under_way: Long verbs that have not ended.
    """

    def __init__(self, server: Server) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "knowngood_http_requests_total",
            "Requests that were answered.",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "knowngood_http_request_duration_seconds",
            "From a request to the head of its answer.",
            ["method", "route"],
            buckets=_QUICK,
            registry=self._registry,
        )
        self._verbs = Counter(
            "knowngood_verbs_total",
            "Long verbs that ended, by how.",
            ["verb", "system", "outcome"],
            registry=self._registry,
        )
        self._verb_seconds = Histogram(
            "knowngood_verb_duration_seconds",
            "How long verbs took, whatever came of them.",
            ["verb", "system"],
            buckets=_LONG,
            registry=self._registry,
        )
        self.under_way = Gauge("knowngood_verbs_under_way", "Long verbs that have not ended.", registry=self._registry)
        self._registry.register(SystemFigures(server))

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request by the pattern of its path."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def ended(self, verb: str, system: str, outcome: str, seconds: float) -> None:
        """Count a long verb on a system that there is."""
        self._verbs.labels(verb, system, outcome).inc()
        self._verb_seconds.labels(verb, system).observe(seconds)

    def text(self) -> bytes:
        """Return everything, as scrapers read it."""
        return generate_latest(self._registry)


class SystemFigures(Collector):
    """What is true of each system at the moment of the scrape."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: what there is depends on the systems."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look at every system."""
        plane = self._server.plane
        replicas = GaugeMetricFamily(
            "knowngood_replicas", "Replicas that ever joined, by what of them runs.", labels=["system", "state"]
        )
        generation = GaugeMetricFamily("knowngood_generation", "Generation that is published.", labels=["system"])
        held = GaugeMetricFamily("knowngood_quarantined_versions", "Versions in quarantine.", labels=["system"])
        rollbacks = GaugeMetricFamily(
            "knowngood_rollbacks",
            "Rollbacks that are not over; a stuck one waits for a person.",
            labels=["system", "state"],
        )
        oldest = GaugeMetricFamily(
            "knowngood_oldest_route_timestamp_seconds",
            "When the oldest route that a live replica acts on was signed: time() minus this is its age.",
            labels=["system"],
        )
        try:
            systems = plane.store.systems()
        except KnownGoodError:
            # What a scrape cannot read it leaves out; readiness says that the store is gone.
            systems = ()
        for system in systems:
            self._rollbacks(rollbacks, system)
            try:
                published, seen = plane.traffic.published(system), plane.traffic.replicas(system).values()
            except KnownGoodError:
                continue
            alive = sum(1 for one in seen if one.alive)
            replicas.add_metric([system, "alive"], alive)
            replicas.add_metric([system, "gone"], len(seen) - alive)
            if signed := [at for one in seen if one.alive and (at := _seconds(one.report.signed[1]))]:
                oldest.add_metric([system], min(signed))
            if published is not None:
                generation.add_metric([system], published.route.generation)
                held.add_metric([system], len(published.facts.quarantined))
        yield from (replicas, generation, held, rollbacks, oldest)
        yield from self._looks()

    def _rollbacks(self, gauge: GaugeMetricFamily, system: str) -> None:
        try:
            states = [saga.state for saga in self._server.plane.store.sagas(system)]
        except KnownGoodError:
            # As above: left out, and readiness says why.
            return
        for state in (SagaState.RUNNING, SagaState.STUCK):
            gauge.add_metric([system, state.value], states.count(state))

    def _looks(self) -> Iterator[Metric]:
        looks = CounterMetricFamily(
            "knowngood_looks", "Looks of the control loop, by how they ended.", labels=["system", "outcome"]
        )
        last = GaugeMetricFamily(
            "knowngood_last_look_timestamp_seconds",
            "When the control loop last looked at a system and saw all.",
            labels=["system"],
        )
        for system, looked in sorted(self._server.overseer.looked.items()):
            looks.add_metric([system, "done"], looked.succeeded)
            looks.add_metric([system, "failed"], looked.failed)
            if looked.last_at:
                last.add_metric([system], looked.last_at)
        yield from (looks, last)


def _seconds(at: str) -> float | None:
    """Return an instant that a replica reported as seconds since the epoch; None where it is none."""
    try:
        return datetime.fromisoformat(at).timestamp()
    except ValueError:
        return None
