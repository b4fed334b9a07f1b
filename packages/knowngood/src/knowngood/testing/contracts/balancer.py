"""
What every Balancer adapter promises.

Subclass the contract and give it the fixture ``rotation``: a balancer, and replicas that start and die.
"""

from collections.abc import Collection
from typing import Protocol

import pytest

from knowngood.ports.balancer import Balancer

__all__ = ["SYSTEM", "BalancerContract", "Rotation"]

SYSTEM = "pricing"


class Rotation(Protocol):
    """A balancer over replicas of ``SYSTEM``, to be done things to."""

    @property
    def balancer(self) -> Balancer:
        """The adapter under test."""
        ...

    def run(self, names: Collection[str]) -> None:
        """Let exactly these replicas run."""
        ...

    def sends_to(self, name: str) -> bool:
        """Tell whether a replica gets requests."""
        ...


class BalancerContract:
    """Promises of ``knowngood.ports.balancer.Balancer``; the fixture is ``rotation``."""

    def test_at_first_everybody_is_in(self, rotation: Rotation) -> None:
        rotation.run(["a", "b"])
        assert rotation.balancer.held_out(SYSTEM) == frozenset()
        assert rotation.sends_to("a")

    def test_who_is_held_out_gets_no_requests_until_it_is_let_in(self, rotation: Rotation) -> None:
        rotation.run(["a", "b"])
        assert rotation.balancer.hold_out(SYSTEM, "a")
        assert rotation.balancer.held_out(SYSTEM) == {"a"}
        assert (rotation.sends_to("a"), rotation.sends_to("b")) == (False, True)
        rotation.balancer.let_in(SYSTEM, "a")
        assert rotation.balancer.held_out(SYSTEM) == frozenset()
        assert rotation.sends_to("a")

    def test_twice_is_once(self, rotation: Rotation) -> None:
        rotation.run(["a", "b"])
        assert rotation.balancer.hold_out(SYSTEM, "a")
        assert rotation.balancer.hold_out(SYSTEM, "a")
        rotation.balancer.let_in(SYSTEM, "a")
        rotation.balancer.let_in(SYSTEM, "a")
        assert rotation.balancer.held_out(SYSTEM) == frozenset()

    def test_whoever_was_never_held_out_can_be_let_in(self, rotation: Rotation) -> None:
        rotation.run(["a"])
        rotation.balancer.let_in(SYSTEM, "a")
        rotation.balancer.let_in(SYSTEM, "nobody")
        assert rotation.balancer.held_out(SYSTEM) == frozenset()

    @pytest.mark.parametrize(("live", "out"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (10, 5)])
    def test_at_least_half_of_the_live_ones_stay_in(self, rotation: Rotation, live: int, out: int) -> None:
        names = [f"r{number}" for number in range(live)]
        rotation.run(names)
        assert [rotation.balancer.hold_out(SYSTEM, name) for name in names] == [True] * out + [False] * (live - out)
        assert rotation.balancer.held_out(SYSTEM) == set(names[:out])
        assert sum(rotation.sends_to(name) for name in names) == live - out

    def test_whoever_does_not_run_is_not_held_out(self, rotation: Rotation) -> None:
        rotation.run(["a", "b"])
        assert not rotation.balancer.hold_out(SYSTEM, "nobody")
        assert rotation.balancer.held_out(SYSTEM) == frozenset()

    def test_whoever_died_while_held_out_stays_so(self, rotation: Rotation) -> None:
        rotation.run(["a", "b", "c"])
        assert rotation.balancer.hold_out(SYSTEM, "a")
        rotation.run(["b", "c"])
        assert rotation.balancer.held_out(SYSTEM) == {"a"}
        rotation.run(["a", "b", "c"])
        assert not rotation.sends_to("a")

    def test_systems_do_not_see_each_other(self, rotation: Rotation) -> None:
        rotation.run(["a", "b"])
        assert rotation.balancer.hold_out(SYSTEM, "a")
        assert rotation.balancer.held_out("another") == frozenset()
