"""
Two control planes on one store, and replicas on other hosts (folders of their own, reached over HTTP alone).

One of the two is killed in the middle of a rollback; the replicas serve on, and the other one carries it to its end.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from knowngood.control.fault_point import FaultPoint
from knowngood.domain.saga import StepName
from tests.acceptance.control import Control, start_control, token_for
from tests.acceptance.pricing import Pricing, Replica
from tests.acceptance.stage import Stage, Started, until
from tests.postgres import Server

pytestmark = [pytest.mark.requirement("A1", "B2", "G1", "G2", "G3"), pytest.mark.slow]

LEASE = {"KNOWNGOOD_LEASE_SECONDS": "3"}


class FarPricing(Pricing):
    """The system with replicas that share nothing with the control plane but HTTP."""

    def reach(self, *urls: str) -> None:
        """Say where the control planes answer, and give agents a token that may report and read routes alone."""
        self.far = self.stage.folder / "far"
        secret = self.stage.folder / "replica.token"
        secret.write_text(token_for(self.stage.home, "fleet", "replica", systems=("pricing",), store=self.store))
        secret.chmod(0o600)
        self.link = [f"--url={url}" for url in urls] + ["--token-file", str(secret)]

    def home_of(self, name: str) -> dict[str, str]:
        return {"KNOWNGOOD_DIR": str(self.far / name), "KNOWNGOOD_URL": "", "KNOWNGOOD_TOKEN": ""}

    def start_agent(self, name: str) -> Started:
        return self.stage.start_kg("agent", "pricing", "--replica", name, *self.link, env=self.home_of(name))

    def start_server(self, name: str, port: int, *, workers: int = 1) -> Started:
        return self.serve(name, port, workers=workers, env=self.home_of(name))

    def _lives(self, replica: Replica) -> bool:
        for process in (replica.agent, replica.server):
            assert process.running, process.text
        found = {one["replica"]: one for one in self.status()["replicas"]}.get(replica.name)
        return bool(found and found["agent"] and found["workers"])

    store: str = ""


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[str]:
    """Where the record is kept: a file in the working folder, or a server."""
    if request.param == "sqlite":
        yield ""
        return
    server: Server = request.getfixturevalue("postgres")
    with server.store() as url:
        yield url


@pytest.fixture
def team(store: str, tmp_path: Path) -> Iterator[tuple[FarPricing, Control, Control]]:
    """Version 1 serves on two far replicas, verified; two control planes look after it."""
    stage = Stage(tmp_path)
    pricing = FarPricing(stage)
    pricing.store = store
    options = ["--store", store] if store else []
    with ExitStack() as over:
        over.callback(stage.close)
        first = over.enter_context(start_control(stage, *options, env=LEASE, store=store))
        second = over.enter_context(start_control(stage, *options, env=LEASE, store=store))
        stage.client.update(first.client)
        pricing.prepare()
        pricing.reach(first.url, second.url)
        for name in ("r1", "r2"):
            pricing.start(name)
        pricing.joined()
        pricing.deploy(1)
        verified(pricing)
        yield pricing, first, second


def verified(pricing: Pricing) -> None:
    with pricing.load():
        until(lambda: pricing.kg("history", "pricing")["deployments"][-1]["state"] == "verified", "the verification")


def rollback_of(pricing: Pricing, version: str) -> dict[str, object]:
    sagas = pricing.kg("history", "pricing")["sagas"]
    return next((saga for saga in reversed(sagas) if saga["version"] == version), {})


def test_far_replicas_go_back_as_one_and_no_request_fails(team: tuple[FarPricing, Control, Control]) -> None:
    pricing, _, _ = team
    good = pricing.served()
    bad = pricing.deploy(2)
    with pricing.load() as load:
        done = pricing.stage.kg("rollback", "pricing", "--why", "prices 40 % too high")
    assert done.code == 0, done.err
    assert "2/2 left" in done.err
    assert (load.failed, load.mixed) == ([], [])
    assert pricing.served() == good
    assert bad in pricing.status()["quarantined"]
    assert not list((pricing.stage.home / "systems" / "pricing").glob("replicas/*")), "nothing but HTTP between them"


@pytest.mark.parametrize("point", [FaultPoint.FLIP_FIRST_ACKNOWLEDGED, FaultPoint.FLIP_RECORDED])
def test_a_control_plane_that_is_killed_in_the_middle_is_replaced_by_the_other(
    team: tuple[FarPricing, Control, Control], point: FaultPoint
) -> None:
    pricing, first, second = team
    good = pricing.served()
    bad = pricing.deploy(2)
    first.process.end()
    options = ["--store", pricing.store] if pricing.store else []
    env = {**LEASE, "KNOWNGOOD_FAULT": point, "KNOWNGOOD_PORT": first.url.rpartition(":")[2]}
    with (
        start_control(pricing.stage, *options, env=env, store=pricing.store) as doomed,
        pricing.load() as load,
    ):
        pricing.stage.client.update(doomed.client)
        pricing.stage.kg("rollback", "pricing", "--no-wait")
        until(lambda: not doomed.process.running, "the control plane to be killed")
        assert doomed.process.wait() == -signal.SIGKILL
        pricing.stage.client.update(second.client)
        until(lambda: rollback_of(pricing, bad).get("state") == "done", "the other one to complete the rollback")
    assert (load.failed, load.mixed) == ([], [])
    found = rollback_of(pricing, bad)
    assert [step["name"] for step in found["steps"]] == [name.value for name in StepName]  # type: ignore[attr-defined]
    assert pricing.served() == good
    entries = pricing.kg("ledger", "show", "pricing")["entries"]
    ours = [entry["body"].get("step") for entry in entries if entry["body"].get("saga") == found["id"]]
    assert ours == [None, *[name.value for name in StepName]], "each step is on record once"
    assert pricing.kg("ledger", "verify", "pricing")["ok"]


def test_replicas_serve_on_without_any_control_plane_and_know_what_was_left_when_it_is_back(
    team: tuple[FarPricing, Control, Control],
) -> None:
    pricing, first, second = team
    good = pricing.served()
    bad = pricing.deploy(2)
    first.process.end()
    second.process.end()
    with pricing.load() as load:
        broken = pricing.stage.kg(
            "rollback", "pricing", "--break-glass", "--why", "nobody answers", env=pricing.home_of("r1")
        )
        assert broken.code in {0, 7}, broken.err
        options = ["--store", pricing.store] if pricing.store else []
        port = {"KNOWNGOOD_PORT": first.url.rpartition(":")[2]}
        with start_control(pricing.stage, *options, env={**LEASE, **port}, store=pricing.store) as back:
            pricing.stage.client.update(back.client)
            until(lambda: rollback_of(pricing, bad).get("state") == "done", "the fleet to follow, on record")
            assert pricing.served() == good
    assert (load.failed, load.mixed) == ([], [])


def test_a_replica_whose_agent_was_killed_is_not_taken_for_one_that_left(
    team: tuple[FarPricing, Control, Control],
) -> None:
    pricing, _, _ = team
    bad = pricing.deploy(2)
    pricing.replicas["r2"].agent.end()
    with pricing.load():
        done = pricing.stage.kg("rollback", "pricing", "--why", "prices 40 % too high", "--output", "json")
    assert pricing.ask("r2").body["version"] == bad, "its workers heard nothing, and serve on"
    assert done.code == 7, done.err
    fan_out = next(step for step in rollback_of(pricing, bad)["steps"] if step["name"] == "fan-out")  # type: ignore[attr-defined]
    assert (fan_out["outcome"], fan_out["details"]["left"], fan_out["details"]["staying"]) == ("failed", ["r1"], ["r2"])
    until(lambda: replica_of(pricing, "r2")["workers_unheard"] == 1, "status to say that nobody knows")
    shown = pricing.stage.kg("status", "pricing").out
    assert "may still serve" in shown
    assert "answers nobody" not in shown


def replica_of(pricing: Pricing, name: str) -> dict[str, object]:
    return next(one for one in pricing.status()["replicas"] if one["replica"] == name)
