"""
What every Effects adapter promises.

Subclass the contract and give it the fixture ``acts``: an empty record, and a world in which acts are made good.
"""

from collections.abc import Sequence
from typing import Protocol

import pytest

from knowngood.domain.effect import Effect, EffectState
from knowngood.ports.effects import Effects
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError

__all__ = ["Acts", "EffectsContract"]

BAD, GOOD = "sha256:" + "b" * 64, "sha256:" + "a" * 64


class Acts(Protocol):
    """A record that a system writes, and the world."""

    @property
    def effects(self) -> Effects:
        """The adapter under test."""
        ...

    def record(self, effect: Effect) -> None:
        """Record an act as whoever acts does."""
        ...

    def made_good(self) -> Sequence[str]:
        """Return the ids of acts that the world saw made good, each as often as it did."""
        ...


def act(number: int, state: EffectState = EffectState.HELD, *, version: str = BAD, compensable: bool = True) -> Effect:
    return Effect(
        id=f"mail-{number:04}",
        version=version,
        what="mail",
        subject=f"rider {number}",
        at="2026-01-01T18:00:00.000Z",
        state=state,
        compensable=compensable,
    )


class EffectsContract:
    """Promises of ``knowngood.ports.effects.Effects``; the fixture is ``acts``."""

    def test_what_a_version_did_is_found_by_it(self, acts: Acts) -> None:
        for effect in (act(2), act(1, EffectState.EXECUTED), act(3, version=GOOD)):
            acts.record(effect)
        assert list(acts.effects.caused_by(BAD)) == [act(1, EffectState.EXECUTED), act(2)]
        assert list(acts.effects.caused_by(BAD, state=EffectState.HELD)) == [act(2)]

    def test_acts_come_in_pages(self, acts: Acts) -> None:
        for number in range(7):
            acts.record(act(number))
        seen: list[Effect] = []
        while page := acts.effects.caused_by(BAD, after=seen[-1].id if seen else "", limit=3):
            assert len(page) <= 3
            seen.extend(page)
        assert seen == [act(number) for number in range(7)]

    def test_the_damage_is_counted(self, acts: Acts) -> None:
        acts.record(act(1))
        acts.record(act(2, EffectState.EXECUTED))
        acts.record(act(3, EffectState.EXECUTED, compensable=False))
        acts.record(act(4, EffectState.EXECUTED, version=GOOD))
        damage = acts.effects.damage(BAD)
        assert damage.to_json() == {"counts": {"mail": {"executed": 2, "held": 1}}, "incurable": 1}
        assert (damage.in_state(EffectState.EXECUTED), damage.in_state(EffectState.CANCELLED)) == (2, 0)

    def test_an_act_that_is_held_is_cancelled_once_and_for_all(self, acts: Acts) -> None:
        acts.record(act(1))
        for _ in range(2):
            assert acts.effects.cancel("mail-0001", generation=3) == act(1, EffectState.CANCELLED)

    def test_for_an_act_that_was_carried_out_it_is_too_late(self, acts: Acts) -> None:
        acts.record(act(1, EffectState.EXECUTED))
        assert acts.effects.cancel("mail-0001", generation=3).state is EffectState.EXECUTED

    def test_whoever_was_overtaken_is_refused_and_nothing_changes(self, acts: Acts) -> None:
        acts.record(act(1))
        acts.record(act(2))
        acts.effects.cancel("mail-0001", generation=4)
        with pytest.raises(ConflictError):
            acts.effects.cancel("mail-0002", generation=3)
        assert list(acts.effects.caused_by(BAD, state=EffectState.HELD)) == [act(2)]

    def test_a_later_rollback_of_another_version_overtakes_nobody(self, acts: Acts) -> None:
        acts.record(act(1))
        acts.record(act(2, version=GOOD))
        acts.effects.cancel("mail-0002", generation=4)
        assert acts.effects.cancel("mail-0001", generation=3) == act(1, EffectState.CANCELLED)

    def test_an_act_is_made_good_once(self, acts: Acts) -> None:
        acts.record(act(1, EffectState.EXECUTED))
        for _ in range(2):
            assert acts.effects.compensate("mail-0001", key="inc-7").state is EffectState.COMPENSATED
        with pytest.raises(ConflictError):
            acts.effects.compensate("mail-0001", key="inc-8")
        assert list(acts.made_good()) == ["mail-0001"]

    @pytest.mark.parametrize(
        "effect",
        [
            pytest.param(act(1), id="held"),
            pytest.param(act(1, EffectState.CANCELLED), id="cancelled"),
            pytest.param(act(1, EffectState.EXECUTED, compensable=False), id="that nothing makes good"),
        ],
    )
    def test_an_act_cannot_be_made_good_that_is(self, acts: Acts, effect: Effect) -> None:
        acts.record(effect)
        with pytest.raises(InvalidError):
            acts.effects.compensate("mail-0001", key="inc-7")
        assert list(acts.made_good()) == []

    def test_an_act_that_nobody_recorded_is_not_found(self, acts: Acts) -> None:
        with pytest.raises(NotFoundError):
            acts.effects.cancel("mail-0001", generation=3)
        with pytest.raises(NotFoundError):
            acts.effects.compensate("mail-0001", key="inc-7")
