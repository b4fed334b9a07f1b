"""A replica that is held out says so where a balancer asks, and goes on answering whoever comes (rule 13)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood.testing.replica import StandInWorker
from knowngood_sdk.agent.keeper import Keeper
from knowngood_sdk.model.route import FULL, FleetRoute, Generation
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder
from tests.sdk.serving.steward import Steward, system, until

A, B = ("sha256:" + digit * 64 for digit in "ab")
ON_A = {"system": "pricing", "route": FleetRoute(1, 0, FULL), "generations": {1: Generation(number=1, chain=(A, B))}}


@pytest.fixture
def steward(tmp_path: Path) -> Steward:
    return Steward(tmp_path)


def test_a_worker_is_in_rotation_once_it_can_serve_and_not_while_it_is_held_out(steward: Steward) -> None:
    version = steward.release(2.0)
    steward.accept(version, steward.release(1.0))
    steward.publish()
    with steward.system() as kg:
        until(lambda: kg.in_rotation, "it serves")
        steward.publish(held_out=frozenset({"r1"}))
        until(lambda: not kg.in_rotation, "it is held out")
        assert kg.ready
        with kg.request("rider") as priced:
            assert priced.price(1.0) == 2.0
        steward.publish(held_out=frozenset({"r2"}))
        until(lambda: kg.in_rotation, "it is let in, and another one is held out")


def test_a_worker_that_has_not_started_is_not_in_rotation(steward: Steward) -> None:
    assert not system(steward.directory).in_rotation


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    folder = ReplicaFolder.of(tmp_path, "pricing", "a")
    folder.make()
    worker = StandInWorker(folder, "w1", [A, B])
    with Keeper(folder) as keeper:
        yield keeper
    worker.die()


def test_the_report_says_that_it_is_held_out_and_who_works_there(keeper: Keeper) -> None:
    keeper.take(RouteDocument(**ON_A))  # type: ignore[arg-type]
    assert not keeper.report().held_out
    assert keeper.report().crew == {"w1"}
    keeper.take(RouteDocument(**ON_A, held_out=frozenset({"a", "b"})))  # type: ignore[arg-type]
    assert keeper.report().held_out
    keeper.take(RouteDocument(**ON_A, held_out=frozenset({"b"})))  # type: ignore[arg-type]
    assert not keeper.report().held_out
