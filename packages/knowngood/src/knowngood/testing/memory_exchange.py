"""
In-memory exchange: documents in one process, shared by as many control planes as a test starts there.

It keeps the promises of the port; ``cut_off`` makes it unreachable, as a database is that went away.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import RLock
from typing import Any

from knowngood.ports.exchange import Reported
from knowngood_sdk.errors import NotFoundError, TransientError
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["MemoryExchange"]


class MemoryExchange:
    """
    An exchange in memory. Safe for threads.

    Args:
        now: Its clock.
    """

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._now = now
        self._lock = RLock()
        self._cut_off = False
        self._routes: dict[str, RouteDocument] = {}
        self._releases: dict[tuple[str, str], ReleaseDocument] = {}
        self._rules: dict[str, Mapping[str, Any]] = {}
        self._reports: dict[str, dict[str, Reported]] = {}
        self._counts: dict[str, dict[str, CountsReport]] = {}
        self._changes: dict[str, int] = {}
        self._listeners: list[Callable[[str], None]] = []
        self.writes = 0

    def cut_off(self) -> None:
        """Let every call fail, until ``restore``."""
        self._cut_off = True

    def restore(self) -> None:
        """Undo ``cut_off``."""
        self._cut_off = False

    def route(self, system: str) -> RouteDocument | None:
        """See the port."""
        with self._reached():
            return self._routes.get(system)

    def change_route(
        self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False
    ) -> RouteDocument:
        """See the port."""
        del anew  # what is here can always be read
        with self._reached():
            before = self._routes.get(system)
            document = change(before or RouteDocument(system=system))
            if document == (before or RouteDocument(system=system)):
                return document
            self._routes[system] = RouteDocument.from_json(document.to_json())
            self._changes[system] = self._changes.get(system, 0) + 1
            self.writes += 1
            listeners = list(self._listeners)
        for heard in listeners:
            heard(system)
        return document

    def save_release(self, release: ReleaseDocument) -> None:
        """See the port."""
        with self._reached():
            self._releases[release.manifest.system, release.manifest.content_digest] = release

    def release(self, system: str, version: str) -> ReleaseDocument:
        """See the port."""
        with self._reached():
            release = self._releases.get((system, version))
        if release is None:
            raise NotFoundError(f"version {version} of {system} was never released")
        return release

    def save_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """See the port."""
        with self._reached():
            self._rules[system] = dict(rules)

    def rules(self, system: str) -> Mapping[str, Any] | None:
        """See the port."""
        with self._reached():
            return self._rules.get(system)

    def save_reports(self, system: str, reports: Sequence[ReplicaReport]) -> None:
        """See the port."""
        with self._reached():
            kept = self._reports.setdefault(system, {})
            self._changes[system] = self._changes.get(system, 0) + 1
            for report in reports:
                known = kept.get(report.replica)
                if known is None or known.report.at <= report.at:
                    kept[report.replica] = Reported(report=report, seen_at=self._now())
            self.writes += 1

    def reports(self, system: str) -> Mapping[str, Reported]:
        """See the port."""
        with self._reached():
            return dict(self._reports.get(system, {}))

    def stamps(self) -> Mapping[str, str]:
        """See the port."""
        with self._reached():
            return {system: str(changes) for system, changes in self._changes.items()}

    def save_counts(self, system: str, counts: Mapping[str, Sequence[CountsReport]]) -> None:
        """See the port."""
        with self._reached():
            kept = self._counts.setdefault(system, {})
            for replica, reports in counts.items():
                for report in reports:
                    name = f"{replica}/{report.worker}"
                    if name not in kept or kept[name].sequence < report.sequence:
                        kept[name] = report
                held = {f"{replica}/{worker}" for report in reports for worker in report.holds}
                for name in held & kept.keys():
                    del kept[name]
            self.writes += 1

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """See the port."""
        with self._reached():
            return dict(self._counts.get(system, {}))

    @contextmanager
    def listening(self, heard: Callable[[str], None]) -> Iterator[None]:
        """See the port."""
        with self._lock:
            self._listeners.append(heard)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(heard)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        if self._cut_off:
            raise TransientError("the exchange cannot be reached", hint="Try again")
        with self._lock:
            yield
