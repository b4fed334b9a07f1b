"""A step of a rollback is put on record in one transaction, which asks for what it needs, however long the history."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from sqlalchemy import Engine, event

from knowngood.adapters.sql import SqlLeases, SqlStore
from knowngood.domain.saga import Saga, Step, StepName
from knowngood.testing.contracts.store import SYSTEM, digest, one_more, write_everything

AT = "2026-01-01T18:00:00.000Z"
STEP = Step(name=StepName.RECORD, at=AT, details={"counts_at_flip": {}})
OF_A_STEP = ["SELECT ledger", "SELECT sagas", "UPDATE sagas", "INSERT ledger"]


def begun(store: SqlStore) -> Saga:
    """Return a rollback that is on record without a step, beside one of everything else."""
    saga = Saga(
        id="rb", system=SYSTEM, version=digest("bad"), episode=1, target=digest("old"), generation=1, started_at=AT
    )
    with store.change(SYSTEM) as change:
        change.save_system({"system": SYSTEM})
        write_everything(change)
        change.save_saga(saga)
    return saga


def asked(act: Callable[[], object]) -> list[str]:
    """Return what a database is asked meanwhile, each statement by its verb and table; COMMIT where one ends."""
    seen: list[str] = []

    def statement(_connection: object, _cursor: object, text: str, *_: object) -> None:
        words = text.replace("INTO ", "").split()
        if words[0] in {"SELECT", "INSERT", "UPDATE"} and "pg_advisory_xact_lock" not in text:
            seen.append(f"{words[0]} {words[words.index('FROM') + 1] if words[0] == 'SELECT' else words[1]}")

    def commit(_connection: object) -> None:
        seen.append("COMMIT")

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", commit)
    try:
        act()
    finally:
        event.remove(Engine, "before_cursor_execute", statement)
        event.remove(Engine, "commit", commit)
    return seen


def put_on_record(store: SqlStore, saga: Saga) -> None:
    with store.change(SYSTEM) as change:
        change.save_saga(saga)
        change.append("rollback-step", "saga", AT, {"saga": saga.id})


def test_a_step_asks_for_its_rollback_and_the_end_of_the_ledger_alone(where: Path | str) -> None:
    with SqlStore.open(where) as store:
        saga = begun(store).with_step(STEP)
        assert asked(lambda: put_on_record(store, saga)) == [*OF_A_STEP, "COMMIT"]
        with store.change(SYSTEM) as change:
            for _ in range(20):
                write_everything(change)
                one_more(change)
        later = saga.with_step(replace(STEP, name=StepName.FAN_OUT))
        assert asked(lambda: put_on_record(store, later)) == [*OF_A_STEP, "COMMIT"]
        assert later in store.sagas(SYSTEM)


def test_the_lease_is_looked_at_before_it_and_right_before_it_is_committed(where: Path | str) -> None:
    with SqlStore.open(where) as store:
        held = SqlLeases(store.database).claim("worker:a", "a", timedelta(minutes=1))
        assert held is not None
        saga = begun(store).with_step(STEP)
        lease = "SELECT leases"
        assert asked(lambda: put_on_record(store.fenced(held), saga)) == [lease, *OF_A_STEP, lease, "COMMIT"]


def test_a_ledger_without_an_entry_is_begun_all_the_same(where: Path | str) -> None:
    with SqlStore.open(where) as store:
        with store.change(SYSTEM) as change:
            change.save_system({"system": SYSTEM})
        with store.change(SYSTEM) as change:
            assert change.append("applied", "ann", AT, {}).sequence == 1
        assert store.head(SYSTEM).length == 1


def test_a_system_that_is_new_has_none_of_another_ones_ledger(where: Path | str) -> None:
    with SqlStore.open(where) as store:
        put_on_record(store, begun(store).with_step(STEP))
        with store.change("fraud") as change:
            change.save_system({"system": "fraud"})
            assert change.append("applied", "ann", AT, {}).sequence == 1
