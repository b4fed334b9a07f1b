"""What people ask for is answered alike from the working folder and by a server: words, documents, exit codes."""

import itertools
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import jsonschema_rs
import pytest

from knowngood.api.documents import ANSWERS
from tests.acceptance.control import start_control
from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import Stage, until

NUMBERS = itertools.count(2)

pytestmark = [pytest.mark.requirement("A1", "B2", "G1"), pytest.mark.slow]


@pytest.fixture(scope="module", params=["folder", "server"])
def asked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pricing]:
    """Version 1 serves on two replicas, verified; commands work on the folder, or ask a server that has it."""
    folder: Path = tmp_path_factory.mktemp(str(request.param))
    stage = Stage(folder)
    pricing = Pricing(stage)
    with ExitStack() as over:
        over.callback(stage.close)
        if request.param == "server":
            control = over.enter_context(start_control(stage))
            stage.client.update(control.client)
        pricing.prepare()
        for name in ("r1", "r2"):
            pricing.start(name)
        pricing.joined()
        pricing.deploy(1)
        verify(pricing)
        yield pricing


@pytest.fixture
def good(asked: Pricing) -> str:
    """A new version that serves and was verified: whatever other tests did, there is a way back to it."""
    version = asked.deploy(next(NUMBERS))
    verify(asked)
    return version


def verify(pricing: Pricing) -> None:
    """Let what serves be verified under some load: by a loop of one's own, or by the server's."""
    if not pricing.stage.client:
        pricing.verify()
        return
    with pricing.load():
        until(lambda: pricing.kg("history", "pricing")["deployments"][-1]["state"] == "verified", "the verification")


def test_a_rollback_names_each_replica_as_it_leaves_and_ends_verified(asked: Pricing, good: str) -> None:
    bad = asked.deploy(next(NUMBERS))
    plan = asked.kg("plan", "pricing")
    assert (plan["outcome"], plan["live"], plan["target"], plan["level"]) == ("planned", bad, good, 2)
    with asked.load() as load:
        done = asked.stage.kg("rollback", "pricing", "--why", "prices 40 % too high")
    assert done.code == 0, done.err
    assert load.failed == []
    assert load.mixed == []
    said = done.err.splitlines()
    assert sum(" left after " in line for line in said) == 2
    assert any(line.startswith(f"✔ 2/2 left {bad[7:19]}, slowest ") and "unreachable: none" in line for line in said)
    assert f"left {bad[7:19]}; {good[7:19]} serves, verified" in done.out
    assert asked.served() == good

    again = asked.stage.kg("rollback", "pricing")
    assert again.code == 1
    assert "say where to: kg rollback pricing --to VERSION" in again.err

    refused = asked.kg("deploy", "pricing", "--version", bad[7:19], code=5)["error"]
    assert refused["code"] == "refused"
    held = asked.kg("quarantine", "list", "pricing")["trips"]
    assert [(trip["version"], trip["why"]) for trip in held][-1] == (bad, "prices 40 % too high")
    released = asked.kg("quarantine", "release", "pricing", bad[7:19], "--reason", "false alarm")
    assert released["version"] == bad
    assert asked.kg("diff", "pricing", bad[7:19], "live")["after"] == good

    history = asked.kg("history", "pricing")
    assert history["sagas"][-1]["state"] == "done"
    tripped = [entry for entry in history["entries"] if entry["kind"] == "tripped" and entry["body"]["version"] == bad]
    assert [entry["actor"] for entry in tripped] == ["ann"]
    assert asked.kg("ledger", "verify", "pricing")["ok"]
    assert asked.kg("ledger", "show", "pricing")["entries"][0]["sequence"] == 1


def test_a_canary_is_given_up_or_given_all_traffic(asked: Pricing) -> None:
    before = asked.served()
    asked.write(next(NUMBERS))
    assert asked.kg("deploy", "pricing", "--canary", "10%")["state"] == "canary"
    assert asked.kg("deploy", "pricing", "--abandon")["state"] == "abandoned"
    assert asked.served() == before
    asked.write(next(NUMBERS))
    version = asked.kg("deploy", "pricing", "--canary", "10%")["version"]
    assert asked.kg("deploy", "pricing", "--promote")["state"] == "full"
    assert asked.served() == version
    assert asked.stage.kg("deploy", "pricing", "--promote").code == 1


def test_a_version_that_is_wrong_is_refused_with_the_same_words_and_code(asked: Pricing) -> None:
    before = asked.served()
    asked.write(next(NUMBERS), wrong=True)
    done = asked.stage.kg("deploy", "pricing", "--timeout", "20")
    assert done.code == 9
    assert "waiting for r1, r2 to load" in done.err
    assert "golden line 1: the output should be 4.0 and is " in done.err
    assert asked.served() == before


def test_ctrl_c_while_replicas_load_gives_the_deployment_up(asked: Pricing) -> None:
    before = asked.served()
    asked.write(next(NUMBERS), load_seconds=3)
    deploying = asked.stage.start_kg("deploy", "pricing")
    until(lambda: "waiting for r1, r2 to load" in deploying.text, "the replicas to load")
    deploying.signal(signal.SIGINT)
    assert deploying.wait() == 130
    until(lambda: asked.ledger("deployment-blocked")[-1]["body"]["why"] == "it was stopped", "it to be given up")
    assert asked.served() == before
    assert asked.stage.kg("deploy", "pricing", "--abandon").code == 1, "nothing is under way"


def test_ctrl_c_once_the_version_is_left_stops_the_waiting_alone(asked: Pricing, good: str) -> None:
    bad = asked.deploy(next(NUMBERS))
    rolling = asked.stage.start_kg("rollback", "pricing", "--to", good[7:19])
    until(lambda: "verifying" in rolling.text, "the version to be left")
    rolling.signal(signal.SIGINT)
    assert rolling.wait() == 130
    assert asked.served() == good
    with asked.load():
        if not asked.stage.client:  # a server goes on with it by itself
            assert asked.kg("rollback", "pricing")["state"] == "done"
        until(lambda: (asked.rollback_of(bad) or {}).get("state") == "done", "the rollback to end")


def test_a_replica_that_left_alone_comes_in_again_on_a_persons_word(asked: Pricing, good: str) -> None:
    with ExitStack() as over:
        if not asked.stage.client:  # a server looks by itself
            over.callback(asked.stage.start_kg("watch", "pricing", "--every", "0.1").end)
        falls_ill(asked, "r2")
        closed = asked.kg("readmit", "pricing", "r2", "--why", "another card")
        jsonschema_rs.validate(ANSWERS["readmitted"][0], closed)
        assert [name.split(":")[2] for name in closed["incidents"]] == ["r2"]
        until(lambda: r2_serves(asked, good), "r2 to be brought back by itself")
        unknown = asked.kg("readmit", "pricing", "rr2", "--why", "another card", code=1)["error"]
        assert (unknown["code"], "Did you mean 'r2'?" in unknown["hint"]) == ("not-found", True)

        falls_ill(asked, "r2")
        minted = asked.kg("reissue", "pricing", "--why", "r2 is mended")
        jsonschema_rs.validate(ANSWERS["reissued"][0], minted)
        assert (minted["version"], set(minted["brings_in"])) == (good, {"r2"})
        until(lambda: r2_serves(asked, good), "r2 to come in")
        assert asked.kg("reissue", "pricing", "--why", "r2 is mended", code=1)["error"]["code"] == "conflict"
    assert [asked.ledger(kind)[-1]["actor"] for kind in ("replica-verified", "reissued")] == ["ann", "ann"]


def falls_ill(pricing: Pricing, name: str) -> None:
    """Let a replica leave what is served, alone, and wait until that is on record."""
    before = len(pricing.ledger("sick"))
    pricing.kg("rollback", "pricing", "--break-glass", "--this-host", name, "--why", "its card is hot")
    until(lambda: len(pricing.ledger("sick")) > before, "the incident on record")


def r2_serves(pricing: Pricing, version: str) -> bool:
    """Whether r2 serves a version."""
    (system,) = pricing.kg("status", "pricing")["systems"]
    return any(one["replica"] == "r2" and one["serves"] == [version] for one in system["replicas"])


def test_every_document_is_as_the_openapi_says(asked: Pricing, good: str) -> None:
    asked.deploy(next(NUMBERS))
    for name, arguments in {
        "status": ["status", "pricing"],
        "history": ["history", "pricing"],
        "plan": ["plan", "pricing"],
        "diff": ["diff", "pricing"],
        "quarantined": ["quarantine", "list", "pricing"],
        "ledger": ["ledger", "show", "pricing"],
        "verified": ["ledger", "verify", "pricing"],
        "applied": ["apply", "pricing.yaml"],
    }.items():
        jsonschema_rs.validate(ANSWERS[name][0], asked.kg(*arguments))
    asked.write(next(NUMBERS))
    jsonschema_rs.validate(ANSWERS["deployed"][0], asked.kg("deploy", "pricing", "--canary", "10%"))
    jsonschema_rs.validate(ANSWERS["deployment"][0], asked.kg("deploy", "pricing", "--promote"))
    rolled = asked.kg("rollback", "pricing", "--to", good[7:19], "--no-wait", code=3)
    jsonschema_rs.validate(ANSWERS["rolled-back"][0], rolled)
    broken = asked.kg("rollback", "pricing", "--break-glass", "--why", "a test of the glass")
    jsonschema_rs.validate(ANSWERS["broken"][0], broken)
    asked.deploy(next(NUMBERS))


def test_what_does_not_exist_is_not_found_with_the_nearest_name(asked: Pricing) -> None:
    done = asked.stage.kg("history", "pricng")
    assert (done.code, done.out) == (1, "")
    assert "there is no system 'pricng'" in done.err
    assert "Did you mean 'pricing'?" in done.err
