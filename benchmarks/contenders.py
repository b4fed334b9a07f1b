"""
Contenders: servers of one model that go back to its previous version, each by the way of its own documentation.

Each is started as its command line starts it, in one process that serves, serving the good version of a forest.
"""

import json
import os
import socket
import subprocess
import urllib.request
from abc import ABC, abstractmethod
from pathlib import Path

from benchmarks.deployer import Deployer
from benchmarks.forest import Forest, plant
from benchmarks.host import ROOT, SYSTEM, BenchmarkError, Child, Host, free_port, until
from benchmarks.load import start_server
from benchmarks.riders import Question
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role
from knowngood_sdk.model.wire import ReleaseDocument
from knowngood_sdk.serving.fingerprint import fingerprint

__all__ = ["BAD", "GOOD", "PEERS", "Contender", "MLServer", "MLflow", "Ours", "check_peers"]

GOOD, BAD = "good", "bad"
PEERS = Path(os.environ.get("BENCH_PEERS", ROOT / ".venv-peers"))
"""The environment of the model servers that we compare with, as ``make .venv-peers/.peers`` makes it."""
_X = 3.0
_ASK_SECONDS = 60.0


def check_peers() -> None:
    """Raise BenchmarkError where the model servers that we compare with are not installed."""
    missing = [str(path) for path in (PEERS / "bin" / "mlserver", PEERS / "bin" / "mlflow") if not path.exists()]
    if missing:
        raise BenchmarkError(
            f"the model servers to compare with are not installed: there is no {' and no '.join(missing)}. "
            "`make bench` installs them, `make .venv-peers/.peers` them alone; or name other benchmarks by --only"
        )


class Contender(ABC):
    """
    A server that goes back.

    Args:
        host: Where it runs.
        trees: The size of both versions.

    Attributes:
        name: For the figure.
        port: Where it answers.
        question: What it is asked.
        backs: How often it goes back in a full run.
    """

    name: str
    backs: int = 5
    port: int
    question: Question

    def __init__(self, host: Host, trees: int) -> None:
        self.host = host
        self.files = {version: host.folder / f"{version}.json" for version in (GOOD, BAD)}
        for version, path in self.files.items():
            plant(path, version, trees, host.random)

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it answers from the good version."""

    @abstractmethod
    def deploy(self) -> None:
        """Have the bad version serve instead, and return when it does."""

    @abstractmethod
    def back(self) -> None:
        """Go back to the good version, and return when the contender itself says that it is done."""


class Ours(Contender):
    """Our SDK under uvicorn, with one agent; the previous version stands by, loaded and tried."""

    name = "ours"

    def start(self) -> None:
        """Release both versions, and serve the good one."""
        self._versions = {version: self._release(version) for version in self.files}
        self._deployer = Deployer(self.host)
        self._deployer.prepare(list(self._versions.values()))
        self.host.start_agent()
        server = start_server(self.host, workers=1, application="benchmarks.forest_service:app")
        self.port = server.port
        self.question = Question(path="/price", body=json.dumps({"x": _X}), named=(GOOD, BAD))
        self.host.wait_ready(list(self._versions.values()), 1)
        self._deployer.deploy(self._versions[GOOD], behind=self._versions[BAD])
        until(lambda: _answers(self.port, self.question), "our server answers")

    def deploy(self) -> None:
        """Mint a generation that serves the bad version, with the good one behind it."""
        self._deployer.deploy(self._versions[BAD], behind=self._versions[GOOD])

    def back(self) -> None:
        """Take the route's step; returns when it is in force and durable."""
        self._deployer.back()

    def _release(self, version: str) -> str:
        path = self.files[version]
        golden = self.host.folder / f"{version}-golden.jsonl"
        line = {"input": {"x": _X}, "output": Forest(path).answer(_X)}
        golden.write_text(json.dumps(line) + "\n", encoding="utf-8")
        ref = Ref(digest=fingerprint(path), native=version, facets={"form": "file"})
        release = ReleaseDocument(
            manifest=Manifest(
                system=SYSTEM,
                components={"model": Component(role=Role.MODEL, kind="files", ref=ref)},
                intent=Intent(text=version),
            ),
            paths={"model": str(path)},
            golden=str(golden),
        )
        self.host.traffic.publish_release(release)
        return release.manifest.content_digest


class MLServer(Contender):
    """MLServer with its own defaults, so with one worker process; the settings file is replaced, then reloaded."""

    name = "MLServer, model reloaded"

    def start(self) -> None:
        """Start it on a repository of one model."""
        self.port = free_port()
        grpc_port = free_port()
        self._folder = self.host.folder / "repository"
        (self._folder / "price").mkdir(parents=True)
        settings = {"host": "127.0.0.1", "http_port": self.port, "grpc_port": grpc_port, "metrics_endpoint": None}
        (self._folder / "settings.json").write_text(json.dumps({**settings, "debug": False}), encoding="utf-8")
        self._settle(GOOD)
        numbers = [{"name": "x", "shape": [1], "datatype": "FP64", "data": [_X]}]
        self.question = Question(path="/v2/models/price/infer", body=json.dumps({"inputs": numbers}), named=(GOOD, BAD))
        self._child = _start_peer(self.host, "mlserver", "start", self._folder)
        _wait_answers(self._child, self.port, self.question)

    def deploy(self) -> None:
        """Load the bad version in the place of the good one."""
        self._load(BAD)

    def back(self) -> None:
        """Load the good version in the place of the bad one."""
        self._load(GOOD)

    def _load(self, version: str) -> None:
        self._settle(version)
        _ask(self.port, Question(path="/v2/repository/models/price/load", body="{}"))

    def _settle(self, version: str) -> None:
        settings = self._folder / "price" / "model-settings.json"
        document = {
            "name": "price",
            "implementation": "benchmarks.forest_runtime.ForestRuntime",
            "parameters": {"uri": str(self.files[version])},
        }
        beside = settings.with_suffix(".part")
        beside.write_text(json.dumps(document), encoding="utf-8")
        beside.replace(settings)


class MLflow(Contender):
    """``mlflow models serve``, which serves one version as long as it lives."""

    name = "mlflow models serve, restarted"
    backs = 3  # each takes two starts, for the bad version has to be deployed first

    def start(self) -> None:
        """Save both versions as MLflow's models, and serve the good one."""
        self.port = free_port()
        frame = {"columns": ["x"], "data": [[_X]]}
        self.question = Question(path="/invocations", body=json.dumps({"dataframe_split": frame}), named=(GOOD, BAD))
        for version, path in self.files.items():
            subprocess.run(
                [PEERS / "bin" / "python", "-m", "benchmarks.forest_flavour", path, self._model(version)],
                check=True,
                env=_environment(),
                capture_output=True,
            )
        self._serve(GOOD)

    def deploy(self) -> None:
        """Restart it with the bad version."""
        self._restart(BAD)

    def back(self) -> None:
        """Restart it with the good version; returns when its health check answers."""
        self._restart(GOOD)

    def _restart(self, version: str) -> None:
        self._child.stop()
        # The command is gone before the server that it started is, and a new one wants the port.
        until(lambda: not _listens(self.port), "the server that was stopped has let go of its port")
        self._serve(version)

    def _serve(self, version: str) -> None:
        options = f"--host 127.0.0.1 --port {self.port} --env-manager local".split()
        self._child = _start_peer(self.host, "mlflow", "models", "serve", "-m", self._model(version), *options)
        _wait_answers(self._child, self.port, Question(path="/ping"))

    def _model(self, version: str) -> Path:
        return self.host.folder / "models" / version


def _start_peer(host: Host, command: str, *arguments: str | Path) -> Child:
    return host.start_command(command, [PEERS / "bin" / command, *arguments], env=_environment())


def _environment() -> dict[str, str]:
    # MLflow looks for uvicorn in PATH, and tells its makers how it is used unless it is told not to.
    path = f"{PEERS / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    return {"PATH": path, "PYTHONPATH": str(ROOT), "MLFLOW_DISABLE_TELEMETRY": "true"}


def _wait_answers(child: Child, port: int, question: Question) -> None:
    def answered() -> bool:
        child.check()
        return _answers(port, question)

    until(answered, f"{child.name} answers")


def _answers(port: int, question: Question) -> bool:
    try:
        _ask(port, question)
    except OSError:
        return False
    return True


def _ask(port: int, question: Question) -> bytes:
    """Return the answer to a question; raises OSError where there is no proper one."""
    data = question.body.encode() or None
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{question.path}", data, headers)
    with urllib.request.urlopen(request, timeout=_ASK_SECONDS) as answer:  # noqa: S310 - loopback
        body: bytes = answer.read()
        return body


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
