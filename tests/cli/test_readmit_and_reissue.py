"""A person lets replicas in again that left a version alone, on record under that person's name, or is told why not."""

from dataclasses import replace
from typing import Any

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood.domain.incident import SICK, opened
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, LocalTrip
from tests.acceptance.stage import Stage

SERVED, BEHIND = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
AT = "2026-11-23T18:00:00.000Z"

pytestmark = pytest.mark.requirement("B2", "G3")


@pytest.fixture
def sick(applied: Stage) -> Stage:
    """Its replica r1 left what is served, alone, and that is on record."""
    trip = LocalTrip("r1", 1, SERVED)
    with SqlStore.open(applied.home / "store.db") as store, store.change("pricing") as change:
        generations = {1: Generation(number=1, chain=(SERVED, BEHIND))}
        change.save(replace(change.state, row=FleetRoute(1, 0, FULL), generations=generations, local=frozenset({trip})))
        change.append(SICK, "reconciler", AT, opened(trip, frozenset(), {}).to_json("pricing"))
    return applied


def on_record(stage: Stage, kind: str) -> list[tuple[str, Any]]:
    with SqlStore.open(stage.home / "store.db") as store:
        return [(entry.actor, entry.body["why"]) for entry in store.ledger("pricing") if entry.kind == kind]


def test_a_sick_replica_is_well_again_on_a_persons_word(sick: Stage) -> None:
    done = sick.kg("readmit", "pricing", "r1", "--why", "another card", "--output", "json")
    assert done.code == 0, done.err
    assert done.json == {"system": "pricing", "replica": "r1", "incidents": [f"sick:pricing:r1:1:{SERVED}"]}
    assert on_record(sick, "replica-verified") == [("ann", "another card")]
    again = sick.kg("readmit", "pricing", "r1", "--why", "another card")
    assert again.code == 1
    assert "replica r1 of pricing is not held to be sick" in again.err
    assert len(on_record(sick, "replica-verified")) == 1


def test_a_replica_that_nobody_knows_is_refused_with_the_nearest_name(sick: Stage) -> None:
    done = sick.kg("readmit", "pricing", "r11", "--why", "another card")
    assert done.code == 1
    assert "pricing has no replica 'r11'" in done.err
    assert "Did you mean 'r1'?" in done.err
    assert on_record(sick, "replica-verified") == []


def test_what_is_served_is_minted_again_once(sick: Stage) -> None:
    done = sick.kg("reissue", "pricing", "--why", "r1 is mended", "--output", "json")
    assert done.code == 0, done.err
    assert (done.json["version"], done.json["generation"]) == (SERVED, 2)
    assert on_record(sick, "reissued") == [("ann", "r1 is mended")]
    again = sick.kg("reissue", "pricing", "--why", "r1 is mended")
    assert again.code == 1
    assert "every replica can be where the fleet is, on generation 2" in again.err
    assert "There is nothing to do" in again.err
    assert len(on_record(sick, "reissued")) == 1


@pytest.mark.parametrize("command", [["readmit", "pricing", "r1"], ["reissue", "pricing"]])
def test_it_takes_a_reason(sick: Stage, command: list[str]) -> None:
    done = sick.kg(*command)
    assert done.code == 2
    assert "--why" in done.err


def test_where_nothing_is_served_nothing_is_minted_again(applied: Stage) -> None:
    done = applied.kg("reissue", "pricing", "--why", "r1 is mended")
    assert done.code == 1
    assert "no version is served" in done.err


@pytest.mark.parametrize("command", [["readmit", "pricng", "r1"], ["reissue", "pricng"]])
def test_a_system_that_there_is_not_is_not_found_with_the_nearest_name(applied: Stage, command: list[str]) -> None:
    done = applied.kg(*command, "--why", "r1 is mended")
    assert done.code == 1
    assert "there is no system 'pricng'" in done.err
    assert "Did you mean 'pricing'?" in done.err
    assert not (applied.home / "systems" / "pricng").exists()
