"""The example with two services runs as its page says, and no answer is ever a mixture of two versions."""

import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.acceptance.stage import Stage, until
from tests.adapters.hub.served import free_port

EXAMPLE = Path(__file__).parents[2] / "examples" / "two_services"
RIDE = {"km": 10}


class TwoServices:
    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.edge, self.inner = free_port(), free_port()
        self.answers: list[dict[str, Any]] = []
        self.failed: list[str] = []
        self._stop = threading.Event()

    def start(self) -> None:
        assert self.stage.kg("apply", "pricing.yaml").code == 0
        for replica in ("edge", "features"):
            self.stage.start_kg("agent", "pricing", "--replica", replica)
        self._serve("feature_service:app", self.inner)
        self._serve("edge:app", self.edge)
        until(lambda: self._answers(self.inner) and self._answers(self.edge), "both services answer")

    def deploy(self, factor: float, unit: str) -> str:
        """Deploy a model and the features that it was made for; return the version that serves then."""
        folder = self.stage.folder
        (folder / "model.json").write_text(f'{{"factor": {factor}}}')
        (folder / "features" / "features.py").write_text(f"def features(ride):\n    return ride['km']{unit}\n")
        done = self.stage.kg("deploy", "pricing", "--intent", f"a factor of {factor}")
        assert done.code == 0, done.err
        return str(self.ask().headers["kg-system-version"])

    def ask(self, **headers: str) -> httpx.Response:
        return httpx.post(f"http://127.0.0.1:{self.edge}/price", json=RIDE, headers=headers, timeout=10)

    @contextmanager
    def riding(self) -> Iterator[None]:
        """Let riders ask while the block runs."""
        with ThreadPoolExecutor(3) as pool:
            riders = [pool.submit(self.riders) for _ in range(3)]
            try:
                yield
            finally:
                self.stop()
            for rider in riders:
                rider.result(20)

    def riders(self) -> None:
        """Ask again and again, until told to stop."""
        while not self._stop.is_set():
            response = self.ask()
            if response.status_code == 200:
                self.answers.append({**response.json(), "named": response.headers["kg-system-version"]})
            else:
                self.failed.append(response.text)

    def stop(self) -> None:
        self._stop.set()

    def _serve(self, app: str, port: int) -> None:
        env = {"FEATURES_URL": f"http://127.0.0.1:{self.inner}"}
        command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning"]
        self.stage.start(command, name=app.partition(":")[0], env=env)

    def _answers(self, port: int) -> bool:
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
        except httpx.TransportError:
            return False
        return True


@pytest.fixture
def services(tmp_path: Path) -> Iterator[TwoServices]:
    shutil.copytree(EXAMPLE, tmp_path / "example")
    services = TwoServices(Stage(tmp_path / "example"))
    yield services
    services.stop()
    services.stage.close()


@pytest.mark.slow
@pytest.mark.requirement("A1", "G1")
def test_model_and_features_of_two_services_go_out_and_back_together(services: TwoServices) -> None:
    services.start()
    old = services.deploy(1.0, "")
    watch = services.stage.start_kg("watch", "pricing", "--every", "0.2")
    with services.riding():
        until(lambda: "verified: " in watch.text, "the first version is known to be good")
        # Metres instead of kilometres, and a model made for them: with the other's parts it would be off by a thousand.
        new = services.deploy(0.0014, " * 1000")
        until(lambda: any(answer["price"] == pytest.approx(14) for answer in services.answers), "the new one serves")
        back = services.stage.kg("rollback", "pricing", "--why", "prices 40 % too high", "--no-wait")
        assert back.code == 3, back.err
        since = len(services.answers)
        until(lambda: len(services.answers) > since + 50, "riders go on")
        # A stranger asks for the version that was left.
        stranger = services.ask(baggage=f"kg.sv={new}", **{"kg-system-version": new})
    prices = {
        (answer["model_by"], answer["features_by"], answer["named"]): answer["price"] for answer in services.answers
    }
    assert prices == {(old, old, old): pytest.approx(10), (new, new, new): pytest.approx(14)}
    assert services.failed == []
    assert stranger.headers["kg-system-version"] == old
    # Those that were admitted before the acknowledgement may still be under way.
    assert {answer["model_by"] for answer in services.answers[since + 3 :]} == {old}
