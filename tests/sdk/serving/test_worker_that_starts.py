"""A worker that starts leaves what was published as left, also before its agent has read it."""

import json
from pathlib import Path

import pytest

from knowngood_sdk.model.route import Facts, Trip
from knowngood_sdk.model.wire import RouteDocument
from tests.sdk.serving.steward import Steward

pytestmark = pytest.mark.requirement("G1", "G2")


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    return Steward(tmp_path)


def publish(steward: Steward, version: str, *, released: bool = False) -> None:
    """Publish a trip of a version, which neither the state file nor the word of the replica tells of."""
    trip = Trip(uid="t-1", version=version, generation=1, source="person", at="2026-01-01T00:00:00Z", why="prices")
    facts = Facts({"t-1": trip}, frozenset({"t-1"} if released else ()))
    state = steward.state
    document = RouteDocument(system="pricing", route=state.fleet, generations=state.generations, facts=facts)
    steward.folder.route_file.write_text(json.dumps(document.to_json()))


def test_it_never_serves_what_was_left_while_it_was_down(steward: Steward) -> None:
    bad, good = steward.release(2.0), steward.release(1.0)
    steward.accept(bad, good)
    publish(steward, bad)
    with steward.system() as kg:
        assert kg.start(wait_seconds=10)
        assert kg.slot().version == good


def test_the_whole_replica_follows_by_the_shared_word(steward: Steward) -> None:
    bad, good = steward.release(2.0), steward.release(1.0)
    steward.accept(bad, good)
    publish(steward, bad)
    with steward.system() as kg:
        assert kg.start(wait_seconds=10)
        assert steward.word.read() is not None
        assert steward.word.read()[1] == 1  # type: ignore[index]


def test_what_was_released_since_serves(steward: Steward) -> None:
    bad, good = steward.release(2.0), steward.release(1.0)
    steward.accept(bad, good)
    publish(steward, bad, released=True)
    with steward.system() as kg:
        assert kg.start(wait_seconds=10)
        assert kg.slot().version == bad
