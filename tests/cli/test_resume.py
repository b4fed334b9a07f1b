"""A rollback that waits for a person is resumed by one command, on record under that person's name."""

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood.domain.saga import Saga, Step, StepName
from tests.acceptance.stage import Stage

LEFT = f"sha256:{'a' * 64}"
AT = "2026-11-23T18:00:00.000Z"
NEEDS = "fan-out: the folder of replicas cannot be read. Mend its permissions"

pytestmark = pytest.mark.requirement("B2", "E4")


@pytest.fixture
def waiting(applied: Stage) -> Stage:
    """Its rollback to the static fallback could not reach the replicas."""
    saga = Saga(
        id=f"rb:pricing:{LEFT}:1", system="pricing", version=LEFT, episode=1, target=None, generation=1, started_at=AT
    )
    with SqlStore.open(applied.home / "store.db") as store, store.change("pricing") as change:
        change.save_saga(saga.with_step(Step(name=StepName.RECORD, at=AT)).stuck(NEEDS))
        change.append("rollback-stuck", "saga", AT, {"saga": saga.id})
    return applied


def test_it_goes_on_from_the_step_that_could_not_be_done(waiting: Stage) -> None:
    done = waiting.kg("resume", "pricing", "--output", "json")
    assert done.code == 0, done.out + done.err
    (rollback,) = done.json["rollbacks"]
    assert rollback["state"] == "done"
    assert [step["name"] for step in rollback["steps"]] == [name.value for name in StepName]
    assert NEEDS in done.err
    with SqlStore.open(waiting.home / "store.db") as store:
        (resumed,) = (entry for entry in store.ledger("pricing") if entry.kind == "rollback-resumed")
    assert (resumed.actor, resumed.body["step"], resumed.body["needed"]) == ("ann", "fan-out", NEEDS)


def test_it_need_not_be_waited_for(waiting: Stage) -> None:
    done = waiting.kg("resume", "pricing", "--no-wait", "--output", "json")
    assert (done.code, done.json["rollbacks"][0]["state"]) == (3, "running")


def test_where_nothing_waits_that_is_said(applied: Stage) -> None:
    done = applied.kg("resume", "pricing")
    assert done.code == 1
    assert "no rollback of pricing waits for a person" in done.err
    assert "kg status pricing" in done.err
