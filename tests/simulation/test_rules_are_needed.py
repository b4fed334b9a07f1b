"""
Each rule is needed: leave it out, and the simulation sees the promise break that it is for.

Seeds are tried in order until it does; other promises may break in other runs.
"""

from collections.abc import Set
from dataclasses import replace

import pytest

from knowngood.testing.simulation.absences import ABSENCES, Absence, notice
from knowngood.testing.simulation.actions import act
from knowngood.testing.simulation.promise import BrokenPromiseError, Promise
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Worlds
from knowngood.testing.simulation.scenario import Scenario
from knowngood_sdk.model.route import FleetRoute, Refusal, ReplicaState
from knowngood_sdk.model.wire import RouteDocument

SEEDS = 500


@pytest.mark.requirement("G3", "N1", "N2", "N3")
@pytest.mark.parametrize("absence", [pytest.param(one, id=f"{one.rule}: {one.what}") for one in ABSENCES])
def test_rule_is_needed(absence: Absence) -> None:
    noticed = notice(absence, SEEDS)
    assert noticed.seed is not None, (
        f"{SEEDS} runs without the rule did not break {absence.promise.name}; they broke {dict(noticed.broken)}"
    )


def test_every_rule_from_5_to_22_is_left_out_at_least_once() -> None:
    numbers = {int(number) for one in ABSENCES for number in one.rule.split(" and ")}
    assert set(range(5, 23)) <= numbers


def test_every_promise_is_broken_by_something_but_that_of_the_wire() -> None:
    # That a document arrives as it was sent is held by the properties of the wire formats.
    assert {one.promise for one in ABSENCES} == set(Promise) - {Promise.WIRE, Promise.SPLIT}


def test_names_of_absences_are_unique() -> None:
    names = [f"{one.rule}: {one.what}" for one in ABSENCES]
    assert sorted(set(names)) == sorted(names)


class LastMessageWins(Rules):
    def receive(
        self, state: ReplicaState, document: RouteDocument, ready: Set[str]
    ) -> tuple[ReplicaState, Refusal | None]:
        if document.route.generation == state.fleet.generation:
            state = replace(state, fleet=FleetRoute(state.fleet.generation, state.fleet.step, 0))
        return super().receive(state, document, ready)


@pytest.mark.parametrize(
    "rules", [pytest.param(LastMessageWins(), id="7: within a generation the last message wins"), Rules()]
)
def test_split_that_an_overtaken_message_lowers_is_lost_with_the_word(rules: Rules) -> None:
    # The word and the next look make good what such a message does; only a power cut in between shows it.
    world = Worlds(rules).start(
        Scenario(replicas=1, stage="arm", polls=False, budget={"flip": 1, "crash": 1, "advance": 1, "power-cut": 1})
    )
    for action in (("flip", "c1", "v1"), ("go", "c1"), ("go", "c1"), ("crash", "c1"), ("advance", "c1", "v3")):
        act(world, action)
    for _ in range(4):
        act(world, ("go", "c1"))
    overtaken, newest = (str(message.number) for message in world.messages)
    for number in (newest, overtaken):
        act(world, ("deliver", number))
        for _ in range(3):
            act(world, ("step", "r1"))
        if number == newest:
            act(world, ("step", "r1"))
    act(world, ("power-cut", "r1", "unlucky"))
    if type(rules) is Rules:
        act(world, ("start", "r1"))
        return
    with pytest.raises(BrokenPromiseError, match="SPLIT"):
        act(world, ("start", "r1"))
