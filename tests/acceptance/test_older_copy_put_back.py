"""
An older copy of the store is put back while replicas serve what was deployed since: nothing is left by it.

What it has for live no replica serves. Breaking the glass goes by the replicas, and a deployment above all that they
know lets the record lead again.
"""

from pathlib import Path

import pytest

from tests.acceptance.control import start_control
from tests.acceptance.pricing import Pricing
from tests.acceptance.stage import until

pytestmark = [pytest.mark.requirement("B1", "J2"), pytest.mark.slow]


def put_back(pricing: Pricing, copy: str, aside: str) -> str:
    """Move the store away, put a copy in its place, and return what that said."""
    (pricing.stage.folder / aside).mkdir()
    for path in pricing.stage.home.glob("store.db*"):
        path.rename(Path(pricing.stage.folder, aside, path.name))
    done = pricing.stage.kg("restore", copy)
    assert done.code == 0, done.err
    return done.out


def sentence(known: int, ends: int) -> str:
    return (
        f"the record of pricing is behind its replicas: they stand on generation {known}, the record ends at {ends}"
        " (an older copy was put back?)"
    )


def serve(pricing: Pricing) -> set[str | None]:
    """Return what the replicas serve."""
    return {version for replica in pricing.status()["replicas"] for version in replica["serves"]}


def nothing_is_left(pricing: Pricing, bad: str, known: int, ends: int) -> None:
    """Ask in every way for a rollback: refused, nothing barred, and the bad version serves on."""
    barred = pricing.status()["quarantined"]
    for words in (
        ("rollback",),
        ("rollback",),
        ("rollback", "--to", "live"),
        ("rollback", "--to", "fallback"),
        ("plan",),
    ):
        refused = pricing.stage.kg(words[0], "pricing", *words[1:])
        assert (refused.code, refused.out) == (1, ""), refused.err
        assert sentence(known, ends) in refused.err
        assert "kg rollback pricing --break-glass" in refused.err
    status = pricing.status()
    assert (status["quarantined"], serve(pricing)) == (barred, {bad})
    assert status["record_behind"] == {"known": known, "recorded": ends}
    said = pricing.stage.kg("status", "pricing").out
    assert f"⚠ the record is behind: the replicas stand on generation {known}, it ends at {ends}" in said


def test_what_no_replica_serves_is_not_left_and_the_glass_is_a_way_out(pricing: Pricing) -> None:
    good = pricing.deploy(2)
    pricing.verify()
    pricing.kg("backup", "old.db")
    ends = pricing.status()["generation"]
    bad = pricing.deploy(3)
    known = pricing.status()["generation"]
    assert sentence(known, ends) in put_back(pricing, "old.db", "aside")
    nothing_is_left(pricing, bad, known, ends)

    broken = pricing.stage.kg("rollback", "pricing", "--break-glass", "--why", "prices are wrong")
    assert broken.code == 0, broken.err
    assert f"2/2 left {bad[7:19]}" in broken.out
    assert serve(pricing) == {good}
    assert pricing.ask("r1").names == ("2", "2", "2")
    watch = pricing.stage.start_kg("watch", "pricing", "--every", "0.1")
    until(lambda: f"{good[7:19]} serves, failed: verify" in watch.text, "the rollback to be told as not verified")
    assert sentence(known, ends) in watch.text
    watch.end()
    tripped = pricing.ledger("tripped")[-1]
    assert (tripped["body"]["version"], tripped["body"]["generation"]) == (bad, known)
    assert pricing.status()["quarantined"][0] == bad

    again = pricing.kg("reissue", "pricing", "--why", "an older copy was put back")
    assert (again["version"], again["generation"]) == (good, known + 1)
    until(lambda: {one["generation"] for one in pricing.status()["replicas"]} == {known + 1}, "replicas to follow")
    assert pricing.status()["record_behind"] is None
    worse = pricing.deploy(4)
    with pricing.load():
        done = pricing.kg("rollback", "pricing", "--why", "worse")
    assert (done["version"], done["target"], serve(pricing)) == (worse, good, {good})


def test_a_server_leaves_nothing_by_it_either_and_a_deployment_stands_above(pricing: Pricing) -> None:
    good = pricing.deploy(5)
    pricing.verify()
    pricing.kg("backup", "older.db")
    ends = pricing.status()["generation"]
    bad = pricing.deploy(6)
    known = pricing.status()["generation"]
    put_back(pricing, "older.db", "aside-too")
    barred = pricing.status()["quarantined"]
    with start_control(pricing.stage) as control:
        pricing.stage.client.update(control.client)
        try:
            for words in (("rollback", "pricing"), ("rollback", "pricing", "--to", "live"), ("plan", "pricing")):
                refused = pricing.stage.kg(*words)
                assert refused.code == 1, refused.out
                assert sentence(known, ends) in refused.err
            assert (pricing.status()["quarantined"], serve(pricing)) == (barred, {bad})
            assert pricing.status()["record_behind"] == {"known": known, "recorded": ends}
            fix = pricing.deploy(7)
            assert pricing.status()["record_behind"] is None
            with pricing.load():
                done = pricing.kg("rollback", "pricing", "--why", "worse")
            assert (done["version"], done["target"], serve(pricing)) == (fix, good, {good})
        finally:
            pricing.stage.client.clear()


def test_rules_that_are_applied_to_an_empty_record_warn_of_what_replicas_serve(pricing: Pricing) -> None:
    known = pricing.status()["generation"]
    (pricing.stage.folder / "emptied").mkdir()
    for path in pricing.stage.home.glob("store.db*"):
        path.rename(Path(pricing.stage.folder, "emptied", path.name))
    applied = pricing.stage.kg("apply", "pricing.yaml")
    assert applied.code == 0, applied.err
    assert f"⚠ replicas stand on generation {known} of pricing already" in applied.out
    assert "kg backup and kg restore" in applied.out
    refused = pricing.stage.kg("rollback", "pricing")
    assert refused.code == 1
    assert f"serves no version on this record, and its replicas stand on generation {known}" in refused.err
