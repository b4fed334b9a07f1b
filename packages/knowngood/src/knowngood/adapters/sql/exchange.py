"""Exchange: documents of the control plane and of replicas over a network, as rows that several processes share."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, func, select

from knowngood.adapters.sql.database import Database
from knowngood.adapters.sql.repeating import writing_again
from knowngood.adapters.sql.schema import (
    exchange_counts,
    exchange_releases,
    exchange_reports,
    exchange_routes,
    exchange_rules,
)
from knowngood.ports.exchange import Reported
from knowngood_sdk.errors import InvalidError, NewerFormatError, NotFoundError, TransientError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["SqlExchange"]

_log = logging.getLogger(__name__)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _MILLISECOND = timedelta(microseconds=1), timedelta(milliseconds=1)
_MODULUS = 1_000_000_007


class SqlExchange:
    """
    The port's ``Exchange`` in a database that the processes of a control plane share.

    Attributes:
        process: What this process is called in the rows that it writes, unlike every other.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.process = uuid4().hex

    def route(self, system: str) -> RouteDocument | None:
        """Return the published route; see the port."""
        with self._database.reading() as connection:
            return _route(connection, system)

    def change_route(
        self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False
    ) -> RouteDocument:
        """Change the published route; see the port."""
        with writing_again(self._database, f"route of {system}") as connection:
            before = self._before(connection, system, anew=anew)
            document = change(before or RouteDocument(system=system))
            if document == before or (before is None and document == RouteDocument(system=system)):
                return document
            number = connection.execute(
                select(exchange_routes.c.changes).where(exchange_routes.c.system == system)
            ).scalar_one_or_none()
            row = {"document": document.to_json(), "changes": (number or 0) + 1, "writer": self.process}
            self._put(connection, exchange_routes, [{"system": system, **row}])
            self._database.announce(connection)
        return document

    def save_release(self, release: ReleaseDocument) -> None:
        """Keep what a replica needs to load a version; see the port."""
        manifest = release.manifest
        row = {"system": manifest.system, "version": manifest.content_digest, "document": release.to_json()}
        with writing_again(self._database) as connection:
            self._put(connection, exchange_releases, [row])

    def release(self, system: str, version: str) -> ReleaseDocument:
        """Return what a replica needs to load a version; see the port."""
        table = exchange_releases
        statement = select(table.c.document).where(table.c.system == system, table.c.version == version)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        if row is None:
            raise NotFoundError(
                f"version {short(version)} of system {system} was never released to replicas",
                hint=f"Deploy it: kg deploy {system}",
            )
        return ReleaseDocument.from_json(row.document)

    def save_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """Keep the rules that replicas of a system go by."""
        with writing_again(self._database) as connection:
            self._put(connection, exchange_rules, [{"system": system, "document": rules}])

    def rules(self, system: str) -> Mapping[str, Any] | None:
        """Return the rules, or None."""
        statement = select(exchange_rules.c.document).where(exchange_rules.c.system == system)
        with self._database.reading() as connection:
            row = connection.execute(statement).first()
        return None if row is None else dict(row.document)

    def save_reports(self, system: str, reports: Sequence[ReplicaReport]) -> None:
        """Keep the newest report of each replica; see the port."""
        rows = [
            {
                "system": system,
                "replica": report.replica,
                "written": _microseconds(report.at),
                "document": report.to_json(),
            }
            for report in reports
        ]
        with writing_again(self._database) as connection:
            self._put(connection, exchange_reports, rows, {"seen": self._database.now}, by="written")

    def reports(self, system: str) -> Mapping[str, Reported]:
        """Return the newest report of every replica; see the port."""
        table = exchange_reports
        statement = select(table).where(table.c.system == system).order_by(table.c.replica)
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return {
            row.replica: Reported(
                report=ReplicaReport.from_json(row.document), seen_at=_EPOCH + row.seen * _MILLISECOND
            )
            for row in rows
        }

    def stamps(self) -> Mapping[str, str]:
        """Return what tells a change of any system's route or reports; see the port."""
        routes, reports = exchange_routes.c, exchange_reports.c
        # Microseconds since 1970 add up to more than a whole number of SQLite holds, from some 5,000 replicas on.
        told_apart = func.sum(reports.written % _MODULUS)
        heard = select(reports.system, func.count(), func.max(reports.seen), told_apart)
        with self._database.reading() as connection:
            published = connection.execute(select(routes.system, routes.changes)).all()
            told = connection.execute(heard.group_by(reports.system)).all()
        stamps = {system: str(changes) for system, changes in published}
        for system, *figures in told:
            stamps[system] = f"{stamps.get(system, '')} {figures}"
        return stamps

    def save_counts(self, system: str, counts: Mapping[str, Sequence[CountsReport]]) -> None:
        """Keep the newest counts of each worker; see the port."""
        table = exchange_counts
        rows = [
            {
                "system": system,
                "replica": replica,
                "worker": report.worker,
                "sequence": report.sequence,
                "document": report.to_json(),
            }
            for replica, reports in counts.items()
            for report in reports
        ]
        held = {
            (replica, worker) for replica, reports in counts.items() for report in reports for worker in report.holds
        }
        with writing_again(self._database) as connection:
            self._put(connection, table, rows, by="sequence", rising=True)
            if held:
                known = connection.execute(select(table.c.replica, table.c.worker).where(table.c.system == system))
                # A replica's list of workers that are gone only grows; most of them went long ago.
                for replica, worker in sorted({(row.replica, row.worker) for row in known} & held):
                    this = and_(table.c.system == system, table.c.replica == replica, table.c.worker == worker)
                    connection.execute(delete(table).where(this))

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """Return the newest counts of every worker; see the port."""
        table = exchange_counts
        statement = select(table).where(table.c.system == system).order_by(table.c.replica, table.c.worker)
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        found = {(row.replica, row.worker): CountsReport.from_json(row.document) for row in rows}
        # One that came late, after the report that holds it, counts no more either.
        held = {(replica, worker) for (replica, _), report in found.items() for worker in report.holds}
        return {
            f"{replica}/{worker}": report
            for (replica, worker), report in found.items()
            if (replica, worker) not in held
        }

    @contextmanager
    def listening(self, heard: Callable[[str], None]) -> Iterator[None]:
        """Call back when another process has changed a route; see the port."""
        seen: dict[str, int] = {}
        try:
            seen.update({system: number for system, number, _ in self._numbers()})
        except TransientError as error:
            _log.warning("listening begins without the store: %s", error)

        def look() -> None:
            for system, number, writer in self._numbers():
                missed = number - seen.get(system, 0)
                seen[system] = number
                # Of several changes the last may be ours and the others not.
                if missed and (missed > 1 or writer != self.process):
                    _tell(heard, system)

        with self._database.listening(look):
            yield

    def _numbers(self) -> Sequence[tuple[str, int, str]]:
        table = exchange_routes
        with self._database.reading() as connection:
            rows = connection.execute(select(table.c.system, table.c.changes, table.c.writer)).all()
        return [(row.system, row.changes, row.writer) for row in rows]

    def _before(self, connection: Connection, system: str, *, anew: bool) -> RouteDocument | None:
        try:
            return _route(connection, system)
        except InvalidError as error:
            if not anew or isinstance(error, NewerFormatError):
                raise
            _log.warning("what is published for %s is written anew: %s", system, error)
            return None

    def _put(
        self,
        connection: Connection,
        table: Table,
        rows: Sequence[Mapping[str, Any]],
        computed: Mapping[str, ColumnElement[Any]] | None = None,
        *,
        by: str = "",
        rising: bool = False,
    ) -> None:
        """
        Insert rows, or put them in place of those with their keys.

        Args:
            connection: The transaction.
            table: Where to.
            rows: Column -> value.
            computed: Column -> what the database computes.
            by: Column by which a row that is older than what is there is passed over.
            rising: Whether one that is as old is passed over too.
        """
        if not rows:
            return
        names = [column.name for column in table.primary_key]
        statement = self._database.insert(table).values(computed or {})
        new, old = statement.excluded, table.c
        newer = None if not by else new[by] > old[by] if rising else new[by] >= old[by]
        changed = {column.name: new[column.name] for column in table.c if column.name not in names}
        # In one order always: of two that write the same rows none waits for the other.
        ordered = sorted(rows, key=lambda row: [row[name] for name in names])
        connection.execute(statement.on_conflict_do_update(index_elements=names, set_=changed, where=newer), ordered)


def _tell(heard: Callable[[str], None], system: str) -> None:
    try:
        heard(system)
    except Exception:  # noqa: BLE001 - it is the listener's, and in the log
        # Whoever listens is told of the next change all the same.
        _log.exception("a listener failed when the route of %s changed", system)


def _route(connection: Connection, system: str) -> RouteDocument | None:
    row = connection.execute(select(exchange_routes.c.document).where(exchange_routes.c.system == system)).first()
    return None if row is None else RouteDocument.from_json(row.document)


def _microseconds(at: str) -> int:
    """Return an instant as a number, so that texts of it with more digits and with fewer compare; 0 when it is none."""
    try:
        instant = datetime.fromisoformat(at)
    except ValueError:
        return 0
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND
