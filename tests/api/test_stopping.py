"""A server that did not stop well says so, and still sends what it traced."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from fastapi import FastAPI

from knowngood.api import create_app
from knowngood.api.traces import NoTraces
from knowngood.app import Server, open_server
from knowngood.config import Settings


class Traces(NoTraces):
    """Remember whether they were closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class Stumbling(Server):
    """A server that fails at the end of its work."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        with super().at_work():
            yield
        raise RuntimeError("it cannot be closed")


async def run_once(app: FastAPI) -> None:
    async with app.router.lifespan_context(app):
        assert not app.state.all_is_stopped


def test_what_fails_while_a_server_stops_is_told_and_traces_are_sent(tmp_path: Path) -> None:
    server = open_server(Settings(dir=tmp_path))
    app = create_app(Stumbling(**{one.name: getattr(server, one.name) for one in fields(server)}))
    app.state.tracer = traces = Traces()
    with pytest.raises(RuntimeError, match="cannot be closed"):
        asyncio.run(run_once(app))
    assert traces.closed
    assert not app.state.all_is_stopped


def test_a_server_that_stops_well_says_so(tmp_path: Path) -> None:
    app = create_app(open_server(Settings(dir=tmp_path)))
    asyncio.run(run_once(app))
    assert app.state.all_is_stopped
