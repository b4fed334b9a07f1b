"""What breaks while requests are served is said with what to do, costs no request, and brings no bad version back."""

import itertools
import json
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.acceptance.pricing import Load, Pricing
from tests.acceptance.stage import Started, until

NUMBERS = itertools.count(2)

pytestmark = pytest.mark.slow


@pytest.fixture
def load(pricing: Pricing) -> Iterator[Load]:
    """Riders ask both replicas; none of them may notice."""
    with pricing.load(every=0.02) as load:
        yield load
    assert load.failed == []
    assert load.mixed == []


def stopped_at(pricing: Pricing, point: str, *arguments: str) -> Started:
    """Start a command that stands still at a fault point."""
    started = pricing.stage.start_kg(*arguments, env={"KNOWNGOOD_FAULT": f"{point}:SIGSTOP"})
    until(lambda: started.stopped, f"{arguments[0]} to reach {point}")
    return started


def go_on(started: Started) -> int:
    """Let a command that stands still go on; return its exit code."""
    started.signal(signal.SIGCONT)
    return started.wait()


def place_of(pricing: Pricing, name: str) -> list[str | None]:
    """What ``kg status`` says that a replica serves."""
    found = next(one for one in pricing.status()["replicas"] if one["replica"] == name)
    serves: list[str | None] = found["serves"]
    return serves


@pytest.mark.usefixtures("load")
class TestTwoAtOnce:
    def test_of_two_deployments_the_second_is_refused_at_once_and_changes_nothing(self, pricing: Pricing) -> None:
        pricing.write(next(NUMBERS))
        first = stopped_at(pricing, "deploy.armed", "deploy", "pricing")
        before = (pricing.status()["serving"], pricing.status()["generation"], pricing.ledger())
        second = pricing.stage.kg("deploy", "pricing")
        after = (pricing.status()["serving"], pricing.status()["generation"], pricing.ledger())
        assert go_on(first) == 0, first.text
        assert second.code == 1
        assert f"another deployment of pricing is under way on this host (process {first.pid})" in second.err
        assert "kg status" in second.err
        assert after == before
        pricing.verify()

    def test_a_deployment_that_has_not_seen_a_persons_rollback_is_given_up(self, pricing: Pricing) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        pricing.verify()
        pricing.write(next(NUMBERS))
        third = stopped_at(pricing, "deploy.armed", "deploy", "pricing")
        pricing.kg("rollback", "pricing")
        assert go_on(third) == 1
        assert "Traceback" not in third.text
        assert "system pricing moved while" in third.text
        assert "look: kg status pricing; then deploy again" in third.text
        assert pricing.status()["serving"] == [good]
        assert bad in pricing.status()["quarantined"]
        assert pricing.kg("deploy", "pricing")["state"] == "full"
        pricing.verify()

    def test_a_deployment_that_has_not_seen_a_broken_glass_is_refused_by_the_replicas(self, pricing: Pricing) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        pricing.write(next(NUMBERS))
        third = stopped_at(pricing, "deploy.armed", "deploy", "pricing")
        broken = pricing.kg("rollback", "pricing", "--break-glass", "--why", "prices are wrong")
        assert broken["left"] == ["r1", "r2"]
        assert place_of(pricing, "r1") == place_of(pricing, "r2") == [good]
        assert go_on(third) == 1
        assert "left a version that this deployment has not seen" in third.text
        assert "Deploy again: what replicas left is put on record first" in third.text
        assert place_of(pricing, "r1") == place_of(pricing, "r2") == [good]
        again = pricing.stage.kg("deploy", "pricing", "--output", "json")
        assert again.code == 0, again.err
        assert f"replicas had left {bad[7:19]}" in again.err
        assert pricing.ledger("tripped")[-1]["body"]["source"] == "break-glass"
        assert pricing.status()["chain"] == [again.json["version"], good]
        pricing.verify()


class TestKills:
    def test_a_replica_that_dies_in_the_middle_of_a_flip_comes_back_on_the_right_version(
        self, pricing: Pricing
    ) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        rollback = stopped_at(pricing, "flip.decided", "rollback", "pricing")
        replica = pricing.replicas["r2"]
        replica.agent.end()
        replica.server.end()
        with pricing.load(threads=1) as load:
            assert go_on(rollback) == 0, rollback.text
            assert "1/1 left" in rollback.text
            assert "not running: r2" in rollback.text
            pricing.restart("r2")
            pricing.joined()
            assert pricing.ask("r2").body["version"] == good
        of_r2 = {one.body["pid"] for one in load.log if one.status == 200} - {pricing.ask("r1").body["pid"]}
        assert {one.body["version"] for one in load.log if one.body.get("pid") in of_r2} <= {good}
        assert bad in pricing.status()["quarantined"]

    @pytest.mark.usefixtures("load")
    def test_workers_whose_agent_is_gone_are_reached_all_the_same(self, pricing: Pricing) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        pricing.replicas["r1"].agent.end()
        rollback = pricing.kg("rollback", "pricing")
        assert rollback["version"] == bad
        assert rollback["acknowledged"] == ["r1", "r2"]
        assert pricing.ask("r1").body["version"] == good
        shown = pricing.stage.kg("status").out
        assert "gone" in next(line for line in shown.splitlines() if " r1 " in line)
        pricing.restart("r1", server=False)
        pricing.joined()
        assert place_of(pricing, "r1") == [good]

    @pytest.mark.usefixtures("load")
    def test_without_its_agent_a_replica_is_not_deployed_to(self, pricing: Pricing) -> None:
        before = pricing.served()
        pricing.replicas["r1"].agent.end()
        pricing.write(next(NUMBERS))
        done = pricing.stage.kg("deploy", "pricing")
        assert done.code == 9
        assert "the routing of these replicas cannot be switched: r1: no agent runs" in done.err
        assert "kg agent" in done.err
        assert pricing.served() == before
        pricing.restart("r1", server=False)
        pricing.joined()
        pricing.kg("deploy", "pricing")
        pricing.verify()

    @pytest.mark.usefixtures("load")
    def test_an_agent_that_hangs_is_named_and_holds_the_others_up_for_two_seconds_at_most(
        self, pricing: Pricing
    ) -> None:
        good = pricing.served()
        pricing.deploy(next(NUMBERS))
        agent = pricing.replicas["r1"].agent
        agent.signal(signal.SIGSTOP)
        rollback = pricing.kg("rollback", "pricing", "--no-wait", code=7)
        assert rollback["acknowledged"] == ["r2"]
        assert "no answer within 2 s" in rollback["unreachable"]["r1"]
        agent.signal(signal.SIGCONT)
        until(lambda: place_of(pricing, "r1") == [good], "r1 to find what it missed")
        assert pricing.kg("rollback", "pricing")["state"] == "done"

    @pytest.mark.parametrize(
        "damage", [b"", b"123", b"\xff" * 8, b"x" * 4096], ids=["empty", "short", "garbage", "long"]
    )
    def test_a_damaged_word_is_replaced_and_told_when_it_is_opened(self, pricing: Pricing, damage: bytes) -> None:
        served = pricing.served()
        replica = pricing.replicas["r2"]
        replica.agent.end()
        replica.server.end()
        word = pricing.stage.home / "systems" / "pricing" / "replicas" / "r2" / "word"
        word.write_bytes(damage)
        pricing.restart("r2")
        pricing.joined()
        assert pricing.ask("r2").body["version"] == served
        assert word.stat().st_size == 8
        # Whoever opens it first tells it.
        told = [process.text for process in (pricing.replicas["r2"].agent, pricing.replicas["r2"].server)]
        assert any(str(word) in text for text in told)


class TestPorts:
    def test_a_port_in_use_is_the_servers_own_error_and_the_replica_is_missed(self, pricing: Pricing) -> None:
        taken = pricing.replicas["r1"].port
        agent = pricing.start_agent("r3")
        server = pricing.start_server("r3", taken)
        assert server.wait() != 0
        assert "address already in use" in server.text
        assert str(taken) in server.text
        until(lambda: any(one["replica"] == "r3" for one in pricing.status()["replicas"]), "r3 to be known")
        found = next(one for one in pricing.status()["replicas"] if one["replica"] == "r3")
        assert (found["agent"], found["workers"]) == (True, 0)
        assert "r3: no live worker, so it answers nobody: start its server" in pricing.stage.kg("status").out
        agent.end()
        assert pricing.deploy(next(NUMBERS)) == pricing.served(), "a replica that is gone holds nobody up"
        shutil.rmtree(pricing.stage.home / "systems" / "pricing" / "replicas" / "r3")
        pricing.verify()

    def test_a_second_agent_for_a_replica_says_that_there_is_one(self, pricing: Pricing) -> None:
        second = pricing.stage.kg("agent", "pricing", "--replica", "r1")
        assert second.code == 1
        assert "Traceback" not in second.err
        assert "another agent" in second.err.lower()


class TestStore:
    @pytest.mark.usefixtures("load")
    def test_a_rollback_flips_while_the_store_is_locked_and_is_recorded_later(self, pricing: Pricing) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        with closing(sqlite3.connect(pricing.stage.home / "store.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            done = pricing.stage.kg("rollback", "pricing", "--why", "prices are wrong")
            assert done.code == 7
            assert f"{bad[7:19]} was left (2/2 left" in done.err
            assert "is not on record yet" in done.err
            assert "is locked" in done.err
            assert place_of(pricing, "r1") == place_of(pricing, "r2") == [good]
            other.execute("ROLLBACK")
        assert pricing.kg("rollback", "pricing")["resumed"]
        tripped = pricing.ledger("tripped")[-1]["body"]
        assert (tripped["version"], tripped["why"]) == (bad, "prices are wrong")

    @pytest.mark.usefixtures("load")
    def test_where_the_store_cannot_even_be_read_the_glass_can_be_broken(self, pricing: Pricing) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        # No file may grow beyond 12 KiB, as on a full disk: documents fit, and what SQLite needs to read does not.
        command = f"ulimit -f 12 && exec {sys.executable} -m knowngood.cli rollback pricing"
        done = pricing.stage.start(["bash", "-c", command], name="full")
        assert done.wait() == 1, done.text
        assert "cannot grow; nothing was changed" in done.text
        assert "To leave at once without the store: kg rollback pricing --break-glass" in done.text
        assert place_of(pricing, "r1") == place_of(pricing, "r2") == [bad]
        broken = pricing.stage.start(["bash", "-c", f"{command} --break-glass"], name="glass")
        assert broken.wait() == 0, broken.text
        assert place_of(pricing, "r1") == place_of(pricing, "r2") == [good]
        assert pricing.kg("rollback", "pricing")["resumed"]
        assert pricing.ledger("tripped")[-1]["body"]["version"] == bad

    @pytest.mark.usefixtures("load")
    def test_a_route_document_that_nobody_can_read_stops_neither_rollback_nor_broken_glass(
        self, pricing: Pricing
    ) -> None:
        good = pricing.served()
        bad = pricing.deploy(next(NUMBERS))
        route = pricing.stage.home / "systems" / "pricing" / "route.json"
        route.write_text("{")
        broken = pricing.kg("rollback", "pricing", "--break-glass", code=7)
        assert (broken["version"], broken["left"]) == (bad, ["r1", "r2"])
        assert "is not JSON" in broken["unpublished"]
        assert {pricing.ask(name).body["version"] for name in ("r1", "r2")} == {good}
        # The record knows it all: the next command that may write to it writes the document anew.
        assert pricing.kg("rollback", "pricing")["version"] == bad
        assert json.loads(route.read_text())["route"]["step"] == 1

    def test_a_ledger_whose_last_entry_was_cut_off_is_found_by_the_anchors(self, pricing: Pricing) -> None:
        entries = pricing.ledger()
        replicas = pricing.stage.home / "systems" / "pricing" / "replicas"

        def anchored() -> bool:
            reports = [json.loads((replicas / name / "report.json").read_text()) for name in ("r1", "r2")]
            return all(report["anchor"]["count"] == len(entries) for report in reports)

        until(anchored, "both replicas to keep how far the ledger goes")
        assert pricing.kg("ledger", "verify", "pricing")["anchors"] >= 2
        store = pricing.stage.home / "store.db"
        with closing(sqlite3.connect(store, isolation_level=None)) as other:
            row = other.execute("SELECT * FROM ledger ORDER BY sequence DESC LIMIT 1").fetchone()
            forbidding = other.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
            for name, _ in forbidding:
                other.execute(f"DROP TRIGGER {name}")
            other.execute("DELETE FROM ledger WHERE sequence = ?", [len(entries)])
            try:
                done = pricing.stage.kg("ledger", "verify", "pricing", "--output", "json")
                assert done.code == 1
                assert done.json["ok"] is False
                assert done.json["problem"] == (
                    f"the end was cut off: {len(entries) - 1} entries are left of at least {len(entries)}"
                )
            finally:
                other.execute(f"INSERT INTO ledger VALUES ({','.join('?' * len(row))})", row)  # noqa: S608 - a test's own
                for _, text in forbidding:
                    other.execute(text)
        assert pricing.kg("ledger", "verify", "pricing")["ok"]
