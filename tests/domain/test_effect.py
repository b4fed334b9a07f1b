"""An act in the world goes forward only, and what a version did is counted by kind and by how far it went."""

import pytest

from knowngood.domain.effect import Damage, Effect, EffectState
from knowngood_sdk.errors import InvalidError

FORWARD = {
    (EffectState.HELD, EffectState.CANCELLED),
    (EffectState.HELD, EffectState.EXECUTED),
    (EffectState.EXECUTED, EffectState.COMPENSATED),
}


def act(state: EffectState, *, what: str = "mail", compensable: bool = True) -> Effect:
    return Effect(
        id="a1", version="sha256:b", what=what, subject="rider 1", at="2026-01-01", state=state, compensable=compensable
    )


@pytest.mark.parametrize("before", EffectState)
@pytest.mark.parametrize("after", EffectState)
def test_an_act_goes_forward_or_stays(before: EffectState, after: EffectState) -> None:
    if before is after or (before, after) in FORWARD:
        act(before).check_becomes(after)
    else:
        with pytest.raises(InvalidError, match=f"effect a1 is {before}, so it cannot become {after}"):
            act(before).check_becomes(after)


def test_what_nothing_makes_good_cannot_be_compensated() -> None:
    with pytest.raises(InvalidError, match=r"nothing makes effect a1 good\. Tell those whom it concerns"):
        act(EffectState.EXECUTED, compensable=False).check_becomes(EffectState.COMPENSATED)


def test_the_damage_is_counted_by_kind_and_by_how_far_it_went() -> None:
    damage = Damage.of(
        [
            act(EffectState.EXECUTED),
            act(EffectState.EXECUTED, compensable=False),
            act(EffectState.CANCELLED, compensable=False),
            act(EffectState.EXECUTED, what="price"),
        ]
    )
    assert damage.to_json() == {
        "counts": {"mail": {"cancelled": 1, "executed": 2}, "price": {"executed": 1}},
        "incurable": 1,
    }
    assert [damage.in_state(state) for state in EffectState] == [0, 1, 3, 0]


def test_where_nothing_was_done_there_is_no_damage() -> None:
    assert Damage.of([]) == Damage()
    assert Damage().to_json() == {"counts": {}, "incurable": 0}
