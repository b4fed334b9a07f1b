"""A control plane whose folder has replicas of its own, and others over HTTP: what each end sees of the rest."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from knowngood.control.fault_point import FaultPoint
from tests.acceptance.control import Control, start_control, token_for
from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import Stage, Started, until

pytestmark = [pytest.mark.requirement("A1", "N2"), pytest.mark.slow]


@pytest.fixture
def pricing(tmp_path: Path) -> Iterator[Pricing]:
    """Applied, with version 1 in the working places and one replica on this host; nothing is deployed."""
    pricing = Pricing(Stage(tmp_path))
    pricing.prepare()
    pricing.start("r1")
    pricing.joined()
    yield pricing
    pricing.stage.close()


@contextmanager
def asked(pricing: Pricing, **env: str) -> Iterator[Control]:
    """Run a server while the block runs, and let commands ask it."""
    with start_control(pricing.stage, env=env) as control:
        pricing.stage.client.update(control.client)
        yield control
        pricing.stage.client.clear()


def test_a_deployment_whose_server_was_killed_is_seen_and_holds_up_nobody_when_another_one_runs(
    pricing: Pricing,
) -> None:
    patient = {"KNOWNGOOD_LEASE_SECONDS": "600"}
    with asked(pricing, KNOWNGOOD_FAULT=FaultPoint.DEPLOY_MINTED, **patient) as doomed:
        assert pricing.stage.kg("deploy", "pricing").code == 7
        assert doomed.process.wait() == -signal.SIGKILL
    assert "is being deployed, and serves nobody yet" in pricing.stage.kg("status", "pricing").out
    with asked(pricing, **patient):
        until(lambda: pricing.stage.kg("deploy", "pricing").code == 0, "the next deployment to be let in")
        assert "is being deployed" not in pricing.stage.kg("status", "pricing").out


def far_agent(pricing: Pricing, control: Control, name: str) -> Started:
    """Start the agent of a replica on another host: nothing but HTTP is between it and the folder."""
    secret = pricing.stage.folder / "replica.token"
    secret.write_text(token_for(pricing.stage.home, "fleet", "replica", systems=("pricing",)))
    home = {"KNOWNGOOD_DIR": str(pricing.stage.folder / "far" / name), "KNOWNGOOD_URL": "", "KNOWNGOOD_TOKEN": ""}
    link = (f"--url={control.url}", "--token-file", str(secret))
    return pricing.stage.start_kg("agent", "pricing", "--replica", name, *link, env=home)


def replicas_of(pricing: Pricing) -> set[str]:
    return {one["replica"] for one in pricing.status()["replicas"]}


def test_what_is_asked_of_the_folder_says_which_replicas_it_does_not_reach_and_still_rolls_back(
    pricing: Pricing,
) -> None:
    pricing.deploy(1)
    pricing.verify()
    assert "other hosts" not in pricing.stage.kg("status", "pricing").out, "no server ever ran here"
    bad = pricing.deploy(2)
    here = {"KNOWNGOOD_URL": ""}
    with asked(pricing) as control:
        far_agent(pricing, control, "r7")
        until(lambda: replicas_of(pricing) == {"r1", "r7"}, "the far one to be known")
        seen = pricing.stage.kg("status", "pricing", env=here).out
        assert (
            f"not seen from here; the server that runs here sees them:\n    export KNOWNGOOD_URL={control.url}\n"
            in seen
        )
        until(lambda: pricing.stage.kg("deploy", "pricing", env=here).code == 1, "the folder to know of it")
        refused = pricing.stage.kg("deploy", "pricing", env=here)
        assert "which are not reached from here: r7" in refused.err
        assert f"export KNOWNGOOD_URL={control.url}" in refused.err
    assert "other hosts, if there are any, are not seen from here" in pricing.stage.kg("status", "pricing").out
    left = pricing.stage.kg("rollback", "pricing", "--no-wait", "--output", "json")
    assert (left.code, left.json["version"], left.json["elsewhere"]) == (7, bad, ["r7"])
    assert "not asked from here, for they are on other hosts: r7\n  Ask the server, once it runs: kg serve" in left.err


def test_an_agent_whose_token_was_revoked_says_so_once_and_the_server_names_its_replica(pricing: Pricing) -> None:
    with asked(pricing) as control:
        agent = far_agent(pricing, control, "r7")
        until(lambda: "r7" in replicas_of(pricing), "it to join")
        assert pricing.stage.kg("token", "revoke", "fleet", env={"KNOWNGOOD_URL": ""}).code == 0
        until(lambda: "refuses the token in" in agent.text, "the agent to say so")
        [line] = [line for line in agent.text.splitlines() if "refuses the token in" in line]
        assert "of fleet was revoked at" in line
        assert "Make a new one, kg token create --scope replica" in line
        until(
            lambda: (
                "r7: its agent was refused, and reports in vain: token" in pricing.stage.kg("status", "pricing").out
            ),
            "status to name the replica",
        )
        assert "replica r7 of pricing was refused: token" in control.process.text
        new = token_for(pricing.stage.home, "fleet-2", "replica", systems=("pricing",))
        (pricing.stage.folder / "replica.token").write_text(new)
        until(
            lambda: "in vain" not in pricing.stage.kg("status", "pricing").out, "a new token in the file to be enough"
        )
        assert agent.text.count("refuses the token") == 1


def test_a_rollback_that_nobody_can_verify_yet_says_how_many_requests_it_waits_for(pricing: Pricing) -> None:
    pricing.deploy(1)
    pricing.verify()
    pricing.deploy(2)
    assert pricing.stage.kg("rollback", "pricing", "--no-wait").code == 3
    in_vain = pricing.stage.kg("rollback", "pricing", "--timeout", "1")
    assert (in_vain.code, "still being verified (no request came (0 of 20))" in in_vain.out) == (8, True), in_vain
    fallback = pricing.stage.kg("rollback", "pricing", "--to", "fallback", "--no-wait")
    assert (fallback.code, "which nothing has to verify" in fallback.out) == (0, True), fallback


def test_what_was_deployed_without_a_server_reaches_replicas_on_other_hosts(pricing: Pricing) -> None:
    version = pricing.deploy(1)
    with asked(pricing) as control:
        agent = far_agent(pricing, control, "r7")
        home = pricing.stage.folder / "far" / "r7" / "systems" / "pricing"
        until((home / "manifests" / f"{version.removeprefix('sha256:')}.json").exists, "the version to be brought")
        until((home / "system.json").exists, "the rules to be brought")
        assert "was not brought here" not in agent.text


def test_a_replica_on_another_host_does_not_take_the_name_of_one_that_runs_beside_the_server(pricing: Pricing) -> None:
    with asked(pricing) as control:
        agent = far_agent(pricing, control, "r1")
        until(lambda: "a replica r1 of pricing runs on the host of this server" in agent.text, "it to be refused")
        assert "with 409" in agent.text
        assert "kg agent pricing --replica NAME" in agent.text


def test_an_agent_that_is_connected_to_the_server_of_its_own_folder_has_no_namesake(pricing: Pricing) -> None:
    with asked(pricing) as control:
        secret = pricing.stage.folder / "replica.token"
        secret.write_text(token_for(pricing.stage.home, "fleet", "replica", systems=("pricing",)))
        pricing.replicas["r1"].agent.end()
        link = (f"--url={control.url}", "--token-file", str(secret))
        agent = pricing.stage.start_kg("agent", "pricing", "--replica", "r1", *link)
        until(lambda: pricing.stage.kg("deploy", "pricing").code == 0, "a deployment on it")
        pricing.replicas["r1"].server.end()
        pricing.start_server("r1", pricing.port)
        until(lambda: pricing.status()["replicas"][0]["workers"] == 1, "its worker to be back")
        assert "409" not in agent.text
