"""The system ``pricing`` on a stage: its versions, its replicas, and the riders who ask it for prices."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.adapters.sql import SqlStore
from tests.acceptance.stage import Stage, Started, until

__all__ = ["Answered", "Load", "Pricing", "Replica"]

ROOT = Path(__file__).parents[2]
SYSTEM_FILE = """\
system: pricing
kind: realtime
components:
  model: {files: model.json}
  features: {git: features}
  config: {inline: curve.yaml}
golden: golden.jsonl
fallback: {price: 2}
verify: {requests: 20, within: 20s}
health: ["http://127.0.0.1:PORT/healthz"]
triggers:
  errors: {over: 5%, windows: 2, min_requests: 5, do: rollback}
  health: {failures: 2, do: rollback}
"""
GOLDEN = '{"input": {"x": 4}, "output": 4.0}\n{"input": {"x": 0.5}, "output": 0.5}\n'


def _free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One agent with one server and its worker processes."""

    name: str
    port: int
    workers: int
    agent: Started
    server: Started


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One request as its client saw it: when it was sent and answered (monotonic seconds), and what it got."""

    sent: float
    answered: float
    status: int
    body: dict[str, Any]

    @property
    def names(self) -> tuple[str, str, str]:
        """What model, features and configuration said they were."""
        return (str(self.body.get("model")), str(self.body.get("features")), str(self.body.get("config")))


@dataclass(slots=True)
class Pricing:
    """
    The system on its stage.

    Attributes:
        stage: The folder and its processes.
        port: Where the first replica answers; its health is watched.
        replicas: Those that were started, by name.
    """

    stage: Stage
    port: int = field(default_factory=_free_port)
    replicas: dict[str, Replica] = field(default_factory=dict)

    def prepare(self, system_file: str = SYSTEM_FILE) -> None:
        """Write system file and version 1, and apply the file."""
        (self.stage.folder / "pricing.yaml").write_text(system_file.replace("PORT", str(self.port)))
        (self.stage.folder / "golden.jsonl").write_text(GOLDEN)
        (self.stage.folder / "features").mkdir()
        self.git("init", "-q")
        self.write(1)
        self.kg("apply", "pricing.yaml")

    def write(self, number: int, **model: Any) -> None:
        """Put version ``number`` into the working places; ``model`` adds to what the model file says."""
        name = str(number)
        folder = self.stage.folder
        (folder / "model.json").write_text(json.dumps({"name": name, "factor": 1 + number / 1000, **model}))
        (folder / "features" / "features.py").write_text(f"NAME = {name!r}\ndef features(x):\n    return x\n")
        (folder / "curve.yaml").write_text(f'name: "{name}"\nstart: 3\n')
        self.git("add", "features")
        self.git("commit", "-q", "--allow-empty", "-m", f"version {name}")

    def git(self, *arguments: str) -> None:
        """Run git in the folder."""
        person = ["-c", "user.name=ann", "-c", "user.email=ann@example.com"]
        subprocess.run(["git", *person, *arguments], cwd=self.stage.folder, check=True, capture_output=True)

    def kg(self, *arguments: str, code: int = 0, **more: Any) -> dict[str, Any]:
        """Run a command that answers as JSON and must end with this exit code."""
        done = self.stage.kg(*arguments, "--output", "json", **more)
        assert done.code == code, f"kg {' '.join(arguments)} ended with {done.code}, not {code}\n{done.out}{done.err}"
        return done.json

    def deploy(self, number: int, *options: str, **model: Any) -> str:
        """Put a version into service; return its digest."""
        self.write(number, **model)
        version: str = self.kg("deploy", "pricing", *options)["version"]
        return version

    def verify(self) -> None:
        """Let the control loop run under some load until what is served is verified."""
        with self.load():
            watch = self.stage.start_kg("watch", "pricing", "--every", "0.1")
            until(lambda: " verified: " in watch.text, "the version to be verified")
        watch.end()

    def start(self, name: str, *, workers: int = 1) -> Replica:
        """Start a replica; ``joined`` waits for it."""
        agent = self.start_agent(name)
        port = _free_port() if self.replicas else self.port
        server = self.start_server(name, port, workers=workers)
        replica = Replica(name=name, port=port, workers=workers, agent=agent, server=server)
        self.replicas[name] = replica
        return replica

    def start_agent(self, name: str) -> Started:
        """Start the agent of a replica."""
        return self.stage.start_kg("agent", "pricing", "--replica", name)

    def start_server(self, name: str, port: int, *, workers: int = 1) -> Started:
        """Start the server of a replica."""
        return self.serve(name, port, workers=workers)

    def serve(self, name: str, port: int, *, workers: int, env: Mapping[str, str] | None = None) -> Started:
        """Start a server of the system under a replica's name."""
        command = [sys.executable, "-m", "uvicorn", "tests.acceptance.service:app", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
        environment = {"KNOWNGOOD_REPLICA": name, "PYTHONPATH": str(ROOT), **(env or {})}
        return self.stage.start(command, name=f"server-{name}", env=environment)

    def restart(self, name: str, *, agent: bool = True, server: bool = True) -> Replica:
        """Kill the agent or the server of a replica, or both, and start them anew as a service manager would."""
        old = self.replicas[name]
        if agent:
            old.agent.end()
        if server:
            old.server.end()
        self.replicas[name] = Replica(
            name=name,
            port=old.port,
            workers=old.workers,
            agent=self.start_agent(name) if agent else old.agent,
            server=self.start_server(name, old.port, workers=old.workers) if server else old.server,
        )
        return self.replicas[name]

    def joined(self) -> None:
        """Wait until every replica that was started is there with its workers and answers."""
        for replica in self.replicas.values():
            until(lambda replica=replica: self._lives(replica), f"{replica.name} to join")  # type: ignore[misc]

    def status(self) -> dict[str, Any]:
        """Return what ``kg status`` says of the system."""
        systems: list[dict[str, Any]] = self.kg("status", "pricing")["systems"]
        return systems[0]

    def served(self) -> str | None:
        """Return the version that takes all traffic."""
        serving: list[str | None] = self.status()["serving"]
        assert len(serving) == 1
        return serving[0]

    def ledger(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the entries of the ledger, of one kind if one is given, oldest first."""
        with SqlStore.open(self.stage.home / "store.db") as store:
            return [entry.to_json() for entry in store.ledger("pricing") if kind in {"", entry.kind}]

    def rollback_of(self, version: str) -> dict[str, Any] | None:
        """Return the newest rollback that left a version, as it is on record."""
        with SqlStore.open(self.stage.home / "store.db") as store:
            found = [saga.to_json() for saga in store.sagas("pricing") if saga.version == version]
        return found[-1] if found else None

    def ask(self, name: str, query: str = "x=1") -> Answered:
        """Ask one replica once."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.replicas[name].port, timeout=10)) as connection:
            return ask(connection, query)

    @contextmanager
    def load(self, *, threads: int = 2, every: float = 0.02, query: str = "x=1") -> Iterator["Load"]:
        """Let riders ask the replicas, in turn, until the block is over."""
        load = Load([replica.port for replica in self.replicas.values()], every=every, query=query)
        load.start(threads)
        try:
            yield load
        finally:
            load.stop()

    def end_commands(self, begun: int) -> None:
        """End every process that still runs, from a number on in the order of starting, but those of replicas."""
        kept = [process for one in self.replicas.values() for process in (one.agent, one.server)]
        for started in self.stage.started[begun:]:
            if started.running and not any(started is one for one in kept):
                started.end()

    def _lives(self, replica: Replica) -> bool:
        for process in (replica.agent, replica.server):
            assert process.running, process.text
        found = FolderTraffic(self.stage.home).replicas("pricing").get(replica.name)
        if not found or not found.agent_alive or found.workers_alive < replica.workers:
            return False
        try:
            return self.ask(replica.name).status == http.client.OK
        except OSError:
            return False


_KEPT_FOR = 25
"""Requests after which a rider comes on a new connection: odd, so that each of two replicas has its turn."""


class Load:
    """
    Riders in threads, each on a connection that it keeps for a while.

    Which worker gets a connection is the kernel's choice: those that are kept for ever may leave one without any.

    Attributes:
        log: Every request that was answered or failed, in no order.
    """

    def __init__(self, ports: list[int], *, every: float, query: str) -> None:
        self.log: list[Answered] = []
        self._ports = ports
        self._every = every
        self._query = query
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, threads: int) -> None:
        """Begin to ask."""
        self._threads = [threading.Thread(target=self._ride, args=(number,), daemon=True) for number in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop asking, and wait for the last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join(timeout=20)
            assert not thread.is_alive()

    @property
    def failed(self) -> list[Answered]:
        """Requests that got no answer, or one that is an error."""
        return [one for one in list(self.log) if one.status != http.client.OK]

    @property
    def mixed(self) -> list[Answered]:
        """Answers whose parts were not of one version."""
        answers = [one for one in list(self.log) if one.status == http.client.OK]
        return [one for one in answers if len(set(one.names)) > 1 or not one.body["same"]]

    def _ride(self, number: int) -> None:
        connections = [http.client.HTTPConnection("127.0.0.1", port, timeout=10) for port in self._ports]
        while not self._over.wait(self._every):
            number += 1
            connection = connections[number % len(connections)]
            if number % _KEPT_FOR == 0:
                connection.close()
            self.log.append(ask(connection, self._query))
        for connection in connections:
            connection.close()


def ask(connection: http.client.HTTPConnection, query: str) -> Answered:
    """Send one request; a failure is an answer with status 0 and its reason."""
    sent = time.monotonic()
    try:
        connection.request("GET", f"/price?{query}")
        response = connection.getresponse()
        raw = response.read()
        status = response.status
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        status, raw = 0, repr(error).encode()
    body = json.loads(raw) if status == http.client.OK else {"error": raw.decode(errors="replace")}
    return Answered(sent=sent, answered=time.monotonic(), status=status, body=body)
