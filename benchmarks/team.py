"""
Team: a control plane over HTTP, and replicas that share nothing with it but HTTP, as a team runs them.

Each replica has a working folder of its own, as on another host. Whoever is killed is started again at once.
"""

import json
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.host import SYSTEM, Child, Host, free_port, until
from benchmarks.load import Server, start_server
from knowngood.adapters.remote import Remote
from knowngood.ports.verbs import SystemText
from knowngood_sdk.errors import NotAuthenticatedError, TransientError
from knowngood_sdk.serving.fingerprint import fingerprint

__all__ = ["Team"]

_PARTS = ("model", "features", "config")
_FILE = f"{SYSTEM}.yaml"
_RULES = f"""\
system: {SYSTEM}
kind: realtime
components: {{model: {{files: model.json}}, features: {{files: features.json}}, config: {{files: config.json}}}}
golden: golden.jsonl
fallback: {{price: 2}}
verify: {{requests: 20, within: 60s}}
triggers:
  errors: {{over: 5%, windows: 2, min_requests: 20, do: rollback}}
"""


@dataclass(slots=True)
class Team:
    """
    The processes of a team, on a host that ends them.

    Attributes:
        host: Where they run.
        names: Of the replicas.
        workers: Worker processes of each.
        store: Where the record is kept: an address ``postgresql://…``, or empty for a file.
        remote: The verbs, with the token of an owner; set by ``start``, closed by ``close``.
        control: The control plane's process, as it runs now.
        servers: Replica -> its server.
        stamps: Part -> the digest of what lies in the working place.
    """

    host: Host
    names: Sequence[str]
    workers: int
    store: str = ""
    remote: Remote = field(init=False)
    control: Child = field(init=False)
    servers: dict[str, Server] = field(default_factory=dict)
    stamps: dict[str, str] = field(default_factory=dict)
    _port: int = field(default_factory=free_port)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Start everything, and return once every replica has joined; nothing is deployed yet."""
        folder = self.host.folder
        golden = {"input": {"x": 2.0}, "output": {"price": 2.0}}
        (folder / "golden.jsonl").write_text(json.dumps(golden) + "\n", encoding="utf-8")
        self.write("first")
        url = f"http://127.0.0.1:{self._port}"
        self.start_control()
        with closing(Remote(url, None)) as self.remote:
            self.wait_up()
        self.remote = Remote(url, self._token("ann", "--scope", "owner", "--every-system"))
        self._token("fleet", "--scope", "replica", "--system", SYSTEM)
        self.remote.apply(SystemText(text=_RULES, file=_FILE, root=str(folder)))
        for name in self.names:
            self.start_agent(name)
            self.servers[name] = start_server(self.host, workers=self.workers, replica=name, env=self._far(name))
        until(self._joined, "every replica joins")

    def close(self) -> None:
        """Close what this process holds; the host ends the others."""
        self.remote.close()

    def write(self, label: str) -> None:
        """Put another version into the working place; its prices are those of every other one, its stamps are not."""
        for part in _PARTS:
            path = self.host.folder / f"{part}.json"
            path.write_text(json.dumps({"part": part, "label": label, "weight": 1}), encoding="utf-8")
            self.stamps[part] = fingerprint(path)

    def home(self, name: str) -> Path:
        """Return the working folder of a replica."""
        return self.host.folder / "far" / name

    def start_control(self) -> None:
        """Start the control plane; ``wait_up`` waits for it."""
        more = {"KNOWNGOOD_COMPONENT_ROOTS": str(self.host.folder), "KNOWNGOOD_WATCH_SECONDS": "0.25"}
        self.control = self.host.start(
            "control", "knowngood.cli serve", env={**self._near(), "KNOWNGOOD_PORT": str(self._port), **more}
        )

    def kill_control(self) -> None:
        """Kill the control plane, and do not start it again."""
        self.control.kill()

    def restart_control(self) -> None:
        """Kill the control plane, and start it again at once."""
        with self._lock:
            self.kill_control()
            self.start_control()

    def start_agent(self, name: str) -> None:
        """Start the agent of a replica."""
        url, token = f"http://127.0.0.1:{self._port}", self.host.folder / "fleet.token"
        command = f"knowngood.cli agent {SYSTEM} --replica {name} --url {url} --token-file {token}"
        self.host.agents[name] = self.host.start(f"agent-{name}", command, env=self._far(name))

    def restart_agent(self, name: str) -> None:
        """Kill the agent of a replica, and start it again at once."""
        self.host.agents[name].kill()
        self.start_agent(name)

    def wait_up(self) -> None:
        """Return once the control plane answers; raises BenchmarkError where it ended by itself."""
        until(self._up, "the control plane answers")

    def status(self) -> dict[str, Any]:
        """Return what the control plane says of the system, as soon as it says anything."""
        while True:
            try:
                found: dict[str, Any] = self.remote.status(SYSTEM)["systems"][0]
            except TransientError:
                self.wait_up()
            else:
                return found

    def _up(self) -> bool:
        with self._lock:
            self.control.check()
        try:
            self.remote.status()
        except NotAuthenticatedError:
            return True  # no token was made yet
        except TransientError:
            return False
        return True

    def _joined(self) -> bool:
        for child in [*self.host.agents.values(), *(server.child for server in self.servers.values())]:
            child.check()
        found = {one["replica"]: one for one in self.status()["replicas"]}
        return all(found.get(name, {}).get("workers", 0) >= self.workers for name in self.names)

    def _token(self, name: str, *scope: str) -> str:
        path = self.host.folder / f"{name}.token"
        command = " ".join(["knowngood.cli token create --for", name, *scope, "--to", str(path)])
        child = self.host.start(f"token-{name}", command, env=self._near())
        child.process.wait()
        child.stopped = child.process.returncode == 0
        child.check()
        return path.read_text(encoding="ascii").strip()

    def _near(self) -> dict[str, str]:
        return {"KNOWNGOOD_STORE": self.store} if self.store else {}

    def _far(self, name: str) -> dict[str, str]:
        return {"KNOWNGOOD_DIR": str(self.home(name)), "KNOWNGOOD_REPLICA": name}
