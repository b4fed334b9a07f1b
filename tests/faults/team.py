"""
A team with its control plane in some database: the system ``pricing`` on real replicas, and server processes.

The database is a file or a server; the replicas are real agents and workers in a folder, as in the acceptance tests.
One component stands behind a pointer, whose receipts show how often a rollback really moved it.
"""

import http.client
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

from knowngood import app
from knowngood.adapters.sql import SqlStore
from knowngood.adapters.sql.leases import SqlLeases
from knowngood.adapters.yaml import read_system_file
from knowngood.control.apply import apply
from knowngood.control.deploy import Order, deploy
from knowngood.control.plane import Plane
from knowngood.control.release import capture
from knowngood.domain.effect import Effect, EffectState
from knowngood.domain.saga import Saga, SagaState, StepName
from knowngood_sdk.model.manifest import Intent
from tests import strangers
from tests.acceptance.pricing import ROOT, SYSTEM_FILE, Load, Pricing
from tests.acceptance.stage import Stage, Started, until
from tests.strangers.outlasting import journal, record, write

__all__ = ["Health", "Team", "patience", "team_at_work"]

_log = logging.getLogger(__name__)
_LONG = timedelta(minutes=1)
_RULES = SYSTEM_FILE.replace(
    "  config: {inline: curve.yaml}\n",
    "  config: {inline: curve.yaml}\n  limits: {files: limits.json, role: config, switching: pointer}\n",
).replace("PORT/healthz", "HEALTH/")
_RULES += "state:\n  cache: {table: world.db, class: derived}\neffects:\n  mails: {outbox: world.db}\n"
_ACTS = 3
_WITH_STRANGERS = {"PYTHONPATH": f"{ROOT}{os.pathsep}{strangers.PLACE}"}


def patience(seconds: float) -> float:
    """Return how long something may take that takes so long on a machine that is not asked for more than it has."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Health:
    """
    A health endpoint in front of a replica's: it answers as that does, or that all is not well.

    Attributes:
        well: Whether it asks the replica at all.
        replica: Port of the replica.
    """

    def __init__(self) -> None:
        self.well = True
        self.replica = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805 - the endpoint is ``self``
                handler.send_response(self._status())
                handler.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        Thread(target=self._server.serve_forever, daemon=True).start()

    def _status(self) -> int:
        if not self.well:
            return 503
        with closing(http.client.HTTPConnection("127.0.0.1", self.replica, timeout=5)) as connection:
            try:
                connection.request("GET", "/healthz")
                return connection.getresponse().status
            except OSError:
                return 502

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()


@dataclass(slots=True)
class Team:
    """
    The system on its stage.

    Attributes:
        stage: The folder and its processes.
        pricing: Its versions and replicas.
        where: File or address of the store.
        runs: Address of the store of runs.
        plane: The ports, in the process of the test.
        health: One of its health endpoints.
        servers: Those that the present test started.
    """

    stage: Stage
    pricing: Pricing
    where: str
    runs: str
    plane: Plane = field(init=False)
    health: Health = field(default_factory=Health)
    number: int = 0
    servers: list[Started] = field(default_factory=list)

    def prepare(self) -> None:
        """Write the system file and version 1, and apply the file to the store."""
        folder = self.stage.folder
        (folder / "limits.json").write_text("{}")
        self.health.replica = self.pricing.port
        self.pricing.prepare(_RULES.replace("HEALTH", str(self.health.port)))
        store = SqlStore.open(self.where if "://" in self.where else Path(self.where))
        self.plane = app._plane(self.stage.home, store)
        apply(
            self.plane,
            read_system_file(folder / "pricing.yaml", kinds=app.installed_kinds()),
            root=str(folder),
            actor="ann",
        )

    def close(self) -> None:
        """Let go of what the test's process holds; the processes of the stage are ended by themselves."""
        self.health.close()
        if isinstance(self.plane.store, SqlStore):
            self.plane.store.close()

    def write(self, **model: Any) -> None:
        """Put the next version into the working places."""
        self.number += 1
        self.pricing.write(self.number, **model)
        (self.stage.folder / "limits.json").write_text(json.dumps({"version": self.number}))

    def deploy(self, **model: Any) -> str:
        """Put the next version into service, its component behind the pointer too; return its digest."""
        self.write(**model)
        manifest = capture(self.plane, "pricing", Intent())
        # Whoever deploys moves what stands behind a pointer; before the flip, so that a rollback finds it moved.
        limits = self.plane.adapters("pricing")["limits"]
        prepared = limits.prepare(manifest.components["limits"].ref, _LONG)
        limits.switch(prepared, expect=limits.current().token, key=f"deployed:{self.number}")
        self.act(manifest.content_digest)
        deploy(self.plane, Order(manifest=manifest, actor="ann"))
        return manifest.content_digest

    def act(self, version: str) -> None:
        """Write state and record acts as a version does that serves; before it does, for some are left at once."""
        for number in range(_ACTS):
            name = f"{self.number:04}-{number}"
            write(self.stage.folder / "world.db", "cache", version, name, "12.30")
            act = Effect(
                id=name,
                version=version,
                what="mail",
                subject="a rider",
                at="2026-01-01T18:00:00Z",
                state=EffectState.HELD,
                compensable=True,
            )
            record(self.stage.folder / "world.db", "mails", act)

    def server(self, point: str = "", *options: str) -> Started:
        """Start one process of the control plane, which dies at a fault point if one is given."""
        command = [sys.executable, "-m", "tests.faults.server", str(self.stage.home)]
        command += ["--store", self.where, "--runs", self.runs, *options]
        environment = {**_WITH_STRANGERS, "KNOWNGOOD_FAULT": point}
        self.servers.append(self.stage.start(command, name=f"server-{point or 'whole'}", env=environment))
        return self.servers[-1]

    @contextmanager
    def one_test(self) -> Iterator[Self]:
        """
        Let a test begin on what is settled, and leave nothing of it to the next one, however it ends.

        A server that lives on holds the lease of the system, so that those of the next test would wait for it in vain;
        and a rollback that was cut off with its server is carried on by whichever comes next.
        """
        try:
            if not self._is_settled():
                self.seconds_until(self._is_settled, "what a test before left to be completed", self.server())
                self._end_servers()
            yield self
        finally:
            self._end_servers()
            self.health.well = True

    def _end_servers(self) -> None:
        for server in self.servers:
            server.end()
        self.servers.clear()

    def _is_settled(self) -> bool:
        """Whether all that replicas left is on record, and nothing is under way."""
        known = self.plane.store.read("pricing").facts.trips.keys()
        heard = {uid for one in self.plane.traffic.replicas("pricing").values() for uid in one.report.state.facts.trips}
        under_way = any(saga.state is SagaState.RUNNING for saga in self.plane.store.sagas("pricing"))
        return heard <= known and not under_way and not self.half_done()

    def saga(self, version: str) -> Saga | None:
        """Return the newest rollback that left a version."""
        found = [saga for saga in self.plane.store.sagas("pricing") if saga.version == version]
        return found[-1] if found else None

    def is_over(self, version: str) -> bool:
        """Whether the rollback of a version is over."""
        saga = self.saga(version)
        return saga is not None and saga.state is SagaState.DONE

    @staticmethod
    def seconds_until(true: Callable[[], Any], what: str, log: Started | None = None) -> float:
        """Return how long something took to come true, from now."""
        began = time.monotonic()
        try:
            until(true, what, every=0.02)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{log.text if log else ''}") from error
        took = time.monotonic() - began
        _log.info("%s took %.2f s", what, took)
        return took

    def serving(self) -> set[str | None]:
        """Return what replicas serve, as they report it."""
        states = [replica.report.state for replica in self.plane.traffic.replicas("pricing").values()]
        return {state.chain[position] for state in states for position in state.positions}

    def leases(self) -> list[str]:
        """Return the processes that hold a lease of their own which is not over."""
        assert isinstance(self.plane.store, SqlStore)
        held = SqlLeases(self.plane.store.database).held("worker:")
        return [name for name, lease in held.items() if lease.expires_in > timedelta()]

    def half_done(self) -> bool:
        """Whether a deployment is neither in service nor given up."""
        state = self.plane.store.read("pricing")
        document = self.plane.traffic.published("pricing")
        never_minted = document is not None and not set(document.prepare) <= set(state.chain)
        return never_minted or state.candidate is not None

    def assert_left_once(self, version: str, good: str) -> None:
        """The version was left once, whoever died: each step is on record once, and was done once where it shows."""
        saga = self.saga(version)
        assert saga is not None
        assert saga.state is SagaState.DONE
        assert {step.outcome.value for step in saga.steps} <= {"done", "skipped"}
        ours = [entry for entry in self.plane.store.ledger("pricing") if entry.body.get("saga") == saga.id]
        steps = [entry.body["step"] for entry in ours if entry.kind == "rollback-step"]
        assert steps == [name.value for name in StepName], steps
        assert [entry.kind for entry in ours].count("rollback-started") == 1
        pointer = json.loads((self.stage.home / "systems/pricing/pointers/limits.json").read_text())
        moved = [receipt["key"] for receipt in pointer["switches"] if receipt["key"].startswith(saga.id)]
        assert moved == [f"{saga.id}:limits"], "the component behind the pointer was moved once"
        world = self.stage.folder / "world.db"
        for did in ("discarded", EffectState.CANCELLED):
            what = journal(world, did, version)
            assert (len(what), len(set(what))) == (_ACTS, _ACTS), f"what version left was {did} once: {what}"
            assert journal(world, did, good) == [], "what serves keeps what it wrote, and does what it has to do"
        state = self.plane.store.read("pricing")
        assert state.served == good
        assert version in state.facts.quarantined
        assert self.serving() == {good}


@contextmanager
def team_at_work(folder: Path, where: str, runs: str) -> Iterator[tuple[Team, Load]]:
    """Give the team with version 1 serving on two replicas, verified, while riders ask for prices."""
    stage, team = Stage(folder), None
    stage.client.update(_WITH_STRANGERS)
    try:
        team = Team(stage, Pricing(stage), where, runs)
        team.prepare()
        for name in ("r1", "r2"):
            team.pricing.start(name)
        team.pricing.joined()
        team.deploy()
        with team.pricing.load(every=0.02) as load:
            with team.one_test():
                server = team.server()
                team.seconds_until(lambda: " verified: " in server.text, "version 1 to be verified", server)
            yield team, load
            assert load.failed == []
            assert load.mixed == []
    finally:
        stage.close()
        if team is not None:
            team.close()
