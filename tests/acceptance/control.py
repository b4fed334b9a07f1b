"""A control plane over HTTP, started as an operator would, and tokens for those who ask it."""

import json
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from knowngood.app import open_tokens
from knowngood.config import Settings
from knowngood.control.tokens import Giver, create
from knowngood.domain.level import Level
from knowngood.domain.token import Order, Scope, verbs_of
from tests.acceptance.stage import Stage, Started, until

__all__ = ["Control", "Reply", "free_port", "start_control", "token_for"]


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def token_for(
    home: Path,
    name: str = "ann",
    *scope: str,
    systems: tuple[str, ...] = ("*",),
    highest: int = 4,
    days: int = 1,
    store: str = "",
) -> str:
    """Make a token in a working folder, or in the store that it works on; return its secret."""
    wanted = Scope(verbs=verbs_of(scope or ("owner",)), systems=frozenset(systems), highest=Level(highest))
    order = Order(name=name, scope=wanted, life=timedelta(days=days))
    with closing(open_tokens(Settings(dir=home, store=store))) as tokens:
        return create(tokens, os.urandom(32), order, Giver(name="root", now=datetime.now(UTC))).secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The document."""
        document: dict[str, Any] = json.loads(self.body)
        return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A server that runs, with the token of somebody who may do everything."""

    process: Started
    url: str
    token: str

    @property
    def client(self) -> dict[str, str]:
        """Variables with which commands ask it."""
        return {"KNOWNGOOD_URL": self.url, "KNOWNGOOD_TOKEN": self.token}

    def ask(self, path: str, body: Any = None, *, token: str | None = "", **headers: str) -> Reply:
        """Send one request: a POST where there is a body. None for no token at all."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token or self.token}"
        if data is not None:
            given.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, data=data, headers=given)  # noqa: S310 - http on loopback
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                return Reply(status=answer.status, headers=dict(answer.headers), body=answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(status=error.code, headers=dict(error.headers), body=error.read())


@contextmanager
def start_control(
    stage: Stage, *options: str, env: Mapping[str, str] | None = None, store: str = ""
) -> Iterator[Control]:
    """Run a server on the stage's working folder while the block runs; components may be captured below its folder."""
    token = token_for(stage.home, store=store)
    variables = {"KNOWNGOOD_COMPONENT_ROOTS": str(stage.folder), "KNOWNGOOD_WATCH_SECONDS": "0.1", **(env or {})}
    process = stage.start(
        stage.command("serve", *([] if "KNOWNGOOD_PORT" in variables else ["--port", "0"]), *options),
        name="kg-serve",
        env={**variables, "KNOWNGOOD_URL": ""},
    )
    until(lambda: " listening at " in process.text or not process.running, "the server to listen")
    assert process.running, process.text
    found = re.search(r"listening at (\S+);", process.text)
    assert found is not None
    yield Control(process=process, url=found[1], token=token)
    process.end()
