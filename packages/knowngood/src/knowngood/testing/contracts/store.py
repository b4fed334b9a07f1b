"""
The contract of the Store port.

An adapter's test is a subclass with one fixture::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def harness(self) -> StoreHarness: ...

One that keeps its records on disk subclasses ``DurableStoreContract`` instead (durable_store.py).
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from threading import Thread
from typing import Any, Protocol

import pytest

from knowngood.domain.deployment import DeploymentState, Strategy
from knowngood.domain.evidence import Evidence, Grade
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import EMPTY, verify
from knowngood.domain.saga import SagaState, Step, StepName
from knowngood.ports.store import Change, Store
from knowngood.testing.contracts.on_record import (
    AT,
    SYSTEM,
    a_deployment,
    a_saga,
    digest,
    manifest,
    minted_in,
    noted,
    one_more,
    states,
    version_count,
    write_everything,
)
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError, TransientError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute

__all__ = [
    "AT",
    "SYSTEM",
    "StoreContract",
    "StoreHarness",
    "digest",
    "manifest",
    "noted",
    "one_more",
    "version_count",
    "write_everything",
]

_LONG = timedelta(seconds=30)
_SHORT = timedelta(milliseconds=50)


class StoreHarness(Protocol):
    """What the contract needs to know about a store."""

    def open(self, patience: timedelta = _LONG) -> AbstractContextManager[Store]:
        """Return the store, on the same records each time, with the time that a change waits for another one."""
        ...


def _write_everything_then(change: Change, error: type[BaseException]) -> None:
    write_everything(change)
    raise error


READS: dict[str, Callable[[Store, str], object]] = {
    "read": lambda store, system: store.read(system),
    "system_spec": lambda store, system: store.system_spec(system),
    "manifests": lambda store, system: store.manifests(system),
    "versions": lambda store, system: store.versions(system),
    "manifest": lambda store, system: store.manifest(system, "abcd"),
    "evidence": lambda store, system: store.evidence(system),
    "deployments": lambda store, system: store.deployments(system),
    "deployment": lambda store, system: store.deployment(system, 1),
    "sagas": lambda store, system: store.sagas(system),
    "ledger": lambda store, system: store.ledger(system),
    "head": lambda store, system: store.head(system),
}
WRITES: dict[str, Callable[[Change], object]] = {
    "deployment": lambda change: change.deployment(1),
    "save": lambda change: change.save(FleetState()),
    "append": lambda change: change.append("applied", "somebody", AT, {}),
    "record_manifest": lambda change: change.record_manifest(manifest("1"), AT),
    "add_evidence": lambda change: change.add_evidence(digest("1"), Grade.ARMED, AT, {}),
    "save_deployment": lambda change: change.save_deployment(a_deployment(1)),
    "save_saga": lambda change: change.save_saga(a_saga()),
}


class StoreContract:
    """Every promise of ports/store.py that needs no second process, tried on a real store."""

    @pytest.fixture
    def harness(self) -> StoreHarness:
        """Give the store under test; a subclass does."""
        raise pytest.UsageError("a subclass of StoreContract gives the fixture harness")

    @pytest.fixture
    def store(self, harness: StoreHarness) -> Iterator[Store]:
        """Give the store, with one system applied."""
        with harness.open() as store:
            with store.change(SYSTEM) as change:
                change.save_system({"system": SYSTEM})
            yield store

    def test_a_new_store_knows_no_system(self, harness: StoreHarness) -> None:
        with harness.open() as store:
            assert store.systems() == ()

    @pytest.mark.parametrize("read", READS)
    def test_reading_a_system_that_was_never_applied_names_the_nearest_one(self, store: Store, read: str) -> None:
        with pytest.raises(NotFoundError, match=r"there is no system 'pricng'.*Did you mean 'pricing'.*kg apply"):
            READS[read](store, "pricng")

    @pytest.mark.parametrize("write", WRITES)
    def test_a_system_begins_with_the_rules_that_are_applied_to_it(self, store: Store, write: str) -> None:
        with pytest.raises(NotFoundError, match="there is no system 'fraud'"), store.change("fraud") as change:
            WRITES[write](change)
        assert store.systems() == (SYSTEM,)
        with store.change("fraud") as change:
            assert change.state == FleetState()
            change.save_system({"system": "fraud"})
            one_more(change)
        assert store.systems() == ("fraud", SYSTEM)

    def test_how_far_all_ledgers_go_is_one_question(self, store: Store) -> None:
        for system, entries in (("spam", 2), ("fraud", 0)):
            with store.change(system) as change:
                change.save_system({"system": system})
                for _ in range(entries):
                    one_more(change)
        heads = store.heads()
        assert heads == {system: store.head(system) for system in store.systems()}
        assert (heads["spam"].length, heads["fraud"]) == (2, EMPTY)

    def test_applying_again_replaces_the_rules_and_leaves_the_rest(self, store: Store) -> None:
        rules = {"system": SYSTEM, "sla": {"latency_p99": "80ms"}, "numbers": [1, 0.5, 1e20, None, True]}
        with store.change(SYSTEM) as change:
            one_more(change)
        with store.change(SYSTEM) as change:
            change.save_system(rules)
        assert store.system_spec(SYSTEM) == rules
        assert version_count(store.read(SYSTEM)) == 1

    def test_a_name_that_no_system_can_have_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidError, match="is not a system name"), store.change("No System") as change:
            change.save_system({})
        assert store.systems() == (SYSTEM,)

    @pytest.mark.parametrize("seed", range(8))
    def test_every_state_of_a_route_comes_back_exactly(self, store: Store, seed: int) -> None:
        for state in states(seed):
            with store.change(SYSTEM) as change:
                change.save(state)
                assert change.state == state
                noted(change)
            assert store.read(SYSTEM) == state

    @pytest.mark.parametrize("write", ["save", "add_evidence", "save_saga"])
    def test_what_the_ledger_would_not_tell_is_not_put_on_record(self, store: Store, write: str) -> None:
        *_, state = states(1)
        writes: dict[str, Callable[[Change], object]] = {**WRITES, "save": lambda change: change.save(state)}
        with pytest.raises(InvalidError, match="no entry in the ledger"), store.change(SYSTEM) as change:
            writes[write](change)
        assert (store.read(SYSTEM), store.evidence(SYSTEM), store.sagas(SYSTEM)) == (FleetState(), (), ())
        with store.change(SYSTEM) as change:
            change.save(FleetState())

    def test_what_was_read_before_is_read_anew_once_anybody_put_more_on_record(
        self, store: Store, harness: StoreHarness
    ) -> None:
        with harness.open() as other:
            for number in range(1, 4):
                for writer in (store, other):
                    with writer.change(SYSTEM) as change:
                        write_everything(change)
                    for reader in (store, other):
                        assert len(reader.read(SYSTEM).generations) == len(reader.evidence(SYSTEM))
                    assert store.read(SYSTEM) == other.read(SYSTEM)
                    assert store.sagas(SYSTEM) == other.sagas(SYSTEM)
                assert len(store.sagas(SYSTEM)) == len(other.evidence(SYSTEM)) == 2 * number

    def test_what_a_change_that_failed_saved_is_read_by_nobody(self, store: Store) -> None:
        with store.change(SYSTEM) as change:
            write_everything(change)
        before = store.read(SYSTEM), store.evidence(SYSTEM), store.sagas(SYSTEM)
        with pytest.raises(KeyError), store.change(SYSTEM) as change:
            _write_everything_then(change, KeyError)
        assert (store.read(SYSTEM), store.evidence(SYSTEM), store.sagas(SYSTEM)) == before
        with store.change(SYSTEM) as change:
            assert change.state == before[0]

    def test_the_route_is_the_same_when_a_change_asks_for_it_late_or_not_at_all(self, store: Store) -> None:
        with store.change(SYSTEM) as change:
            minted_in(change, digest("old"), digest("new"))
            noted(change)
        minted = store.read(SYSTEM)
        with store.change(SYSTEM) as change:
            change.save_saga(a_saga())
            one = noted(change)
            assert (change.state, one.sequence) == (minted, 2)
        with store.change(SYSTEM) as change:
            change.save(FleetState())
            noted(change)
        assert store.read(SYSTEM) == FleetState()

    def test_a_state_with_less_in_it_replaces_one_with_more(self, store: Store) -> None:
        *_, long = states(1)
        short = replace(long, row=FleetRoute(), facts=Facts(), local=frozenset(), episodes={})
        for state in (long, short):
            with store.change(SYSTEM) as change:
                change.save(state)
                noted(change)
        assert store.read(SYSTEM) == short

    def test_systems_do_not_see_each_other(self, store: Store) -> None:
        with store.change("fraud") as change:
            change.save_system({"system": "fraud"})
            minted_in(change, digest("f"))
            one_more(change)
            change.record_manifest(manifest("f", system="fraud"), AT)
        with store.change(SYSTEM) as change:
            assert change.state == FleetState()
            one_more(change)
        assert store.systems() == ("fraud", SYSTEM)
        assert [entry.system for entry in store.ledger("fraud")] == ["fraud"]
        assert store.head("fraud").length == store.head(SYSTEM).length == 1
        assert store.manifests(SYSTEM) == ()

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    def test_a_change_that_fails_leaves_nothing(self, store: Store, error: type[BaseException]) -> None:
        with store.change(SYSTEM) as change:
            one_more(change)
        before = store.read(SYSTEM), store.head(SYSTEM)
        with pytest.raises(error), store.change(SYSTEM) as change:
            _write_everything_then(change, error)
        assert (store.read(SYSTEM), store.head(SYSTEM)) == before
        assert store.system_spec(SYSTEM) == {"system": SYSTEM}
        assert not (*store.manifests(SYSTEM), *store.evidence(SYSTEM), *store.deployments(SYSTEM), *store.sagas(SYSTEM))
        with store.change(SYSTEM) as change:
            assert one_more(change) == 2

    def test_nobody_sees_a_change_before_it_is_committed(self, store: Store) -> None:
        with store.change(SYSTEM) as change:
            one_more(change)
            assert store.head(SYSTEM) == EMPTY
            assert version_count(store.read(SYSTEM)) == 0
        assert store.head(SYSTEM).length == version_count(store.read(SYSTEM)) == 1

    def test_threads_that_change_at_once_come_one_after_another(self, store: Store) -> None:
        def count_up(name: str) -> None:
            for _ in range(20):
                with store.change(SYSTEM) as change:
                    one_more(change, name)

        threads = [Thread(target=count_up, args=(f"thread-{number}",)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        entries = store.ledger(SYSTEM)
        assert [entry.body["counted"] for entry in entries] == list(range(1, 81))
        assert version_count(store.read(SYSTEM)) == 80
        assert verify(entries).ok

    def test_a_change_that_waits_too_long_for_another_says_that_the_store_is_locked(
        self, harness: StoreHarness, store: Store
    ) -> None:
        with harness.open(_SHORT) as impatient, store.change(SYSTEM) as change:
            one_more(change)
            with pytest.raises(TransientError, match=r"locked.*Try again") as refusal, impatient.change(SYSTEM):
                pytest.fail("two changes are open at once")
            assert refusal.value.details == {"locked": True}, "it is there, for all who want to know"
            assert impatient.head(SYSTEM) == EMPTY, "reading goes on"
        assert store.head(SYSTEM).length == 1

    def test_the_ledger_is_a_chain_from_the_first_entry_to_the_head(self, store: Store) -> None:
        bodies: list[dict[str, Any]] = [
            {},
            {"text": "a\u0000\u2028ü"},
            {"big": 1e20, "small": [0.1 + 0.2, -0.0, 2**53 - 1]},
        ]
        appended = []
        for body in bodies:
            with store.change(SYSTEM) as change:
                appended += [change.append("said", "Ada", AT, body), change.append("said", "Bob", AT, body)]
        entries = store.ledger(SYSTEM)
        assert list(entries) == appended
        assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5, 6]
        assert [entry.body for entry in entries[::2]] == bodies
        assert store.head(SYSTEM) == entries[-1].anchor == appended[-1].anchor
        assert verify(entries, *(entry.anchor for entry in entries)).ok

    def test_the_ledger_is_read_in_parts(self, store: Store) -> None:
        with store.change(SYSTEM) as change:
            for _ in range(5):
                one_more(change)
        assert [entry.sequence for entry in store.ledger(SYSTEM, after=3)] == [4, 5]
        assert [entry.sequence for entry in store.ledger(SYSTEM, after=1, limit=2)] == [2, 3]
        assert store.ledger(SYSTEM, limit=0) == store.ledger(SYSTEM, after=5) == ()

    def test_an_entry_without_a_json_form_is_refused_and_changes_nothing(self, store: Store) -> None:
        with pytest.raises(InvalidError, match="nan has no JSON form"), store.change(SYSTEM) as change:
            change.append(f"number-{one_more(change)}", "watch", AT, {"mean": math.nan})
        assert store.head(SYSTEM) == EMPTY
        assert store.read(SYSTEM) == FleetState()

    @pytest.mark.requirement("B2")
    def test_manifests_come_back_exactly_in_the_order_of_recording(self, store: Store) -> None:
        recorded = [manifest("1", intent="first"), manifest("2", intent="second"), manifest("1", intent="again")]
        for item in (*recorded, recorded[0]):
            with store.change(SYSTEM) as change:
                change.record_manifest(item, AT)
        assert store.manifests(SYSTEM) == tuple(recorded)
        kept = store.versions(SYSTEM)
        assert [one.version for one in kept] == [item.content_digest for item in recorded]
        assert [one.read() for one in kept] == recorded
        for one, item in zip(kept, recorded, strict=True):
            parts = [part.ref.digest for part in item.components.values()]
            assert all(map(one.may_mention, parts)), "what is in it is never overlooked"

    @pytest.mark.requirement("B2")
    def test_a_manifest_is_found_by_whatever_names_it_alone(self, store: Store) -> None:
        first, other, again = manifest("1", intent="first"), manifest("2"), manifest("1", intent="again")
        with store.change(SYSTEM) as change:
            for item in (first, other, again):
                change.record_manifest(item, AT)
        version = first.content_digest
        for name in (version, version.removeprefix("sha256:"), first.label, version[:12]):
            assert store.manifest(SYSTEM, name) == again, "the newest record of that content"
        assert store.manifest(SYSTEM, first.digest) == first
        assert store.manifest(SYSTEM, other.label) == other

    def test_a_name_that_several_versions_share_is_refused_with_all_of_them(self, store: Store) -> None:
        many = [manifest(str(number)) for number in range(17)]  # two of them share their first digit
        with store.change(SYSTEM) as change:
            for item in many:
                change.record_manifest(item, AT)
        digits = [item.label[0] for item in many]
        shared = next(digit for digit in digits if digits.count(digit) > 1)
        with pytest.raises(InvalidError, match="Give more digits") as caught:
            store.manifest(SYSTEM, shared)
        candidates = sorted(item.content_digest for item in many if item.label.startswith(shared))
        assert caught.value.details["candidates"] == candidates
        assert all(candidate.removeprefix("sha256:")[:12] in str(caught.value) for candidate in candidates)

    @pytest.mark.parametrize("name", ["", "sha256:", "%", "f" * 64, "no-digest"])
    def test_a_name_that_no_version_has_says_which_there_are(self, store: Store, name: str) -> None:
        with store.change(SYSTEM) as change:
            change.record_manifest(manifest("1"), AT)
        with pytest.raises(NotFoundError, match=f"has no version .*newest on record: {manifest('1').label}"):
            store.manifest(SYSTEM, name)

    def test_evidence_comes_back_in_the_order_of_recording(self, store: Store) -> None:
        facts = [
            Evidence(version=digest("1"), grade=Grade.VERIFIED, at=AT, figures={"requests": 200, "rate": 0.004}),
            Evidence(version=digest("1"), grade=Grade.ARMED, at=AT, figures={"load_seconds": [1.5]}),
            Evidence(version=digest("1"), grade=Grade.ARMED, at=AT, figures={"load_seconds": [1.5]}),
        ]
        for fact in facts:
            with store.change(SYSTEM) as change:
                change.add_evidence(fact.version, fact.grade, fact.at, fact.figures)
                noted(change)
        assert store.evidence(SYSTEM) == tuple(facts)

    def test_that_a_version_is_known_good_cannot_be_put_on_record(self, store: Store) -> None:
        with pytest.raises(InvalidError, match="known good cannot be recorded"), store.change(SYSTEM) as change:
            change.add_evidence(digest("1"), Grade.KNOWN_GOOD, AT, {})

    def test_a_deployment_comes_back_exactly_with_its_baseline(self, store: Store) -> None:
        with store.change(SYSTEM) as change:
            minted_in(change, digest("old"), digest("new"))
            noted(change)
            change.save_deployment(a_deployment(2))
            change.save_deployment(a_deployment(1, split=FULL, strategy=Strategy.FULL, baseline={}))
        full = a_deployment(2, split=FULL, state=DeploymentState.FULL, full_at=AT)
        with store.change(SYSTEM) as change:
            assert change.deployment(2) == a_deployment(2)
            change.save_deployment(full)
            assert change.deployment(2) == full
        assert store.deployment(SYSTEM, 2) == full
        assert [deployment.generation for deployment in store.deployments(SYSTEM)] == [1, 2]

    def test_a_deployment_that_does_not_exist_is_not_found(self, store: Store) -> None:
        with pytest.raises(NotFoundError, match="no deployment of generation 3"):
            store.deployment(SYSTEM, 3)
        with pytest.raises(NotFoundError, match="no deployment of generation 3"), store.change(SYSTEM) as change:
            change.deployment(3)

    def test_a_deployment_of_a_generation_that_was_not_minted_is_refused(self, store: Store) -> None:
        with pytest.raises(InvalidError, match="generation 1 of system pricing was not minted"):  # noqa: SIM117
            with store.change(SYSTEM) as change:
                change.save_deployment(a_deployment(1))

    def test_a_rollback_goes_on_from_where_it_was_left(self, store: Store) -> None:
        saga = a_saga()
        for name in (None, *StepName):
            if name is not None:
                (saga,) = store.sagas(SYSTEM)
                saga = saga.with_step(Step(name=name, at=AT, details={"replicas": ["a", "b"], "seconds": 0.031}))
                saga = saga.with_figures(**{f"{name}_at": AT, "decision_to_verified_seconds": 1.5})
            with store.change(SYSTEM) as change:
                change.save_saga(saga)
                noted(change)
            assert store.sagas(SYSTEM) == (saga,)
        assert saga.state is SagaState.DONE

    def test_a_rollback_that_waits_for_a_person_says_what_is_needed(self, store: Store) -> None:
        for saga in (a_saga().stuck("Start the agent of replica b"), a_saga()):
            with store.change(SYSTEM) as change:
                change.save_saga(saga)
                noted(change)
            assert store.sagas(SYSTEM) == (saga,)

    def test_of_two_that_take_a_rollback_further_the_second_is_refused(self, store: Store) -> None:
        first = a_saga().with_step(Step(name=StepName.RECORD, at=AT, details={"by": "first"}))
        second = a_saga().with_step(Step(name=StepName.RECORD, at=AT, details={"by": "second"}))
        with store.change(SYSTEM) as change:
            change.save_saga(a_saga())
            change.save_saga(first)
            noted(change)
        # The same in the same millisecond too: its entry would stand in the ledger twice.
        for late in (second, a_saga(), a_saga().stuck("nothing any more"), first):
            with pytest.raises(ConflictError, match=r"meanwhile|somebody else"), store.change(SYSTEM) as change:
                change.save_saga(late)
        assert store.sagas(SYSTEM) == (first,)

    def test_rollbacks_come_in_the_order_in_which_they_started(self, store: Store) -> None:
        sagas = [a_saga(1, started_at="2026-01-01T20:00:00Z"), a_saga(3), a_saga(2)]
        with store.change(SYSTEM) as change:
            for saga in sagas:
                change.save_saga(saga)
            noted(change)
        assert [saga.episode for saga in store.sagas(SYSTEM)] == [2, 3, 1]
