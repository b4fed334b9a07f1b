"""What all tests share: requirement marks name ids that exist, Ctrl-C means what it does to people, and a Postgres."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.postgres import OwnServer, Server

REQUIREMENTS = Path(__file__).parents[1] / "docs" / "requirements.md"

# A shell without job control starts what it puts into the background with Ctrl-C ignored, and every process that the
# suite starts would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def known_requirements() -> set[str]:
    return set(re.findall(r"^\| ([A-Z]\d+m?) \|", REQUIREMENTS.read_text(encoding="utf-8"), flags=re.MULTILINE))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = known_requirements()
    for item in items:
        named = {str(id_) for mark in item.iter_markers("requirement") for id_ in mark.args}
        if unknown := sorted(named - known):
            message = f"{item.nodeid} names requirements that docs/requirements.md does not have: {unknown}"
            raise pytest.UsageError(message)


@pytest.fixture(scope="session")
def postgres() -> Iterator["Server"]:
    """Give a server for the session; see ``tests.postgres``."""
    # Most sessions need none, and most tests no database layer.
    from tests.postgres import running  # noqa: PLC0415

    with running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: "Server") -> Iterator[str]:
    """Give the address of a database of a test's own, with the tables of a store."""
    with postgres.store() as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres: "Server") -> Iterator[str]:
    """Give the address of a database of a test's own, without tables."""
    with postgres.empty_database() as url:
        yield url


@pytest.fixture(scope="module")
def own_postgres() -> Iterator["OwnServer"]:
    """Give a server that the tests of a module may kill, freeze and start again."""
    from tests.postgres import own_server  # noqa: PLC0415

    with own_server() as server:
        yield server
