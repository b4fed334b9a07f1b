"""A rollback only moves forward, one step after the other, and says what it needs when it cannot."""

from dataclasses import replace
from typing import Any

import pytest

from knowngood.domain.fleet import Episode
from knowngood.domain.saga import Saga, SagaState, Step, StepName, StepOutcome
from knowngood_sdk.errors import ConflictError, InvalidError

AT = "2026-01-01T18:00:00Z"
LEFT, TARGET = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def saga(**changes: Any) -> Saga:
    begun = Saga(
        id=Episode(LEFT, 2).saga("pricing"),
        system="pricing",
        version=LEFT,
        episode=2,
        target=TARGET,
        generation=7,
        started_at=AT,
    )
    return replace(begun, **changes)


def taken(steps: int) -> Saga:
    result = saga()
    for name in list(StepName)[:steps]:
        result = result.with_step(Step(name=name, at=AT))
    return result


def test_the_steps_after_a_flip_have_an_order() -> None:
    assert [str(name) for name in StepName] == [
        "record",
        "fan-out",
        "dependents",
        "quarantine",
        "verify",
        "state",
        "effects",
        "people",
        "close",
    ]


def test_each_step_leads_to_the_next_and_the_last_one_closes() -> None:
    for steps, name in enumerate(StepName):
        assert taken(steps).next_step() is name
        assert taken(steps).state is SagaState.RUNNING
    assert taken(len(StepName)).next_step() is None
    assert taken(len(StepName)).state is SagaState.DONE


@pytest.mark.parametrize("outcome", StepOutcome)
def test_a_step_that_is_over_is_over_however_it_ended(outcome: StepOutcome) -> None:
    assert saga().with_step(Step(name=StepName.RECORD, at=AT, outcome=outcome)).next_step() is StepName.FAN_OUT


@pytest.mark.parametrize(
    ("steps", "name", "expected"),
    [
        pytest.param(0, StepName.FAN_OUT, "record", id="skipping one"),
        pytest.param(1, StepName.RECORD, "fan-out", id="one that was done"),
        pytest.param(9, StepName.CLOSE, "none: it is over", id="after the end"),
    ],
)
def test_a_step_out_of_order_is_refused(steps: int, name: StepName, expected: str) -> None:
    with pytest.raises(ConflictError) as caught:
        taken(steps).with_step(Step(name=name, at=AT))
    assert str(caught.value) == (
        f"{name} is not the next step of {saga().id}; that is {expected}. Read it again and go on from there"
    )


def test_steps_that_are_not_in_order_make_no_rollback() -> None:
    with pytest.raises(InvalidError, match=r"are not in order: fan-out, record$"):
        saga(steps=(Step(name=StepName.FAN_OUT, at=AT), Step(name=StepName.RECORD, at=AT)))


def test_one_that_is_stuck_says_what_it_needs_and_goes_on_with_the_same_step() -> None:
    stuck = taken(2).stuck("Start the agent of replica b")
    assert (stuck.state, stuck.needs, stuck.next_step()) == (
        SagaState.STUCK,
        "Start the agent of replica b",
        StepName.DEPENDENTS,
    )
    assert stuck.resumed() == taken(2)
    assert stuck.with_step(Step(name=StepName.DEPENDENTS, at=AT)) == taken(3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"state": SagaState.STUCK}, "is stuck and needs ''. Say what a stuck one needs", id="stuck without a need"
        ),
        pytest.param(
            {"needs": "somebody"},
            "is running and needs 'somebody'. Say what a stuck one needs",
            id="a need without being stuck",
        ),
        pytest.param({"state": SagaState.DONE}, "is done after 0 of 9 steps", id="done before the end"),
    ],
)
def test_a_state_that_contradicts_the_rest_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError) as caught:
        saga(**changes)
    assert str(caught.value) == f"{saga().id} {message}"


def test_what_is_done_stays_done() -> None:
    done = taken(len(StepName))
    assert done.resumed() == done
    with pytest.raises(InvalidError):
        done.stuck("nothing any more")


def test_figures_are_added_and_the_newest_holds() -> None:
    timed = saga().with_figures(detected_at=AT, decision_to_verified_seconds=2).with_figures(detected_at="later")
    assert timed.timeline == {"detected_at": "later", "decision_to_verified_seconds": 2}


def test_whoever_goes_on_from_an_older_state_is_refused() -> None:
    on_record = taken(2)
    for next_one in (on_record, taken(3), on_record.stuck("x"), on_record.with_figures(a_seconds=1)):
        next_one.check_follows(on_record)
    other = taken(1).with_step(Step(name=StepName.FAN_OUT, at=AT, details={"by": "another"}))
    for late in (taken(1), taken(1).stuck("x"), other):
        with pytest.raises(ConflictError) as caught:
            late.check_follows(on_record)
        assert str(caught.value) == (
            f"{saga().id} went on meanwhile: 2 steps are on record. Read it again and go on from there"
        )


@pytest.mark.parametrize(
    "value",
    [
        saga(),
        saga(target=None),
        taken(3).stuck("x"),
        taken(9).with_figures(verified_at=AT, seconds=0.1 + 0.2),
        saga().with_step(Step(name=StepName.RECORD, at=AT, outcome=StepOutcome.FAILED, details={"a": [1, None, 1e20]})),
    ],
)
def test_it_is_read_as_it_was_written(value: Saga) -> None:
    assert Saga.from_json(value.to_json()) == value


def test_details_are_a_copy_of_what_has_a_json_form() -> None:
    details: dict[str, Any] = {"replicas": ("a", "b")}
    step = Step(name=StepName.FAN_OUT, at=AT, details=details)
    details["more"] = 1
    assert step.details == {"replicas": ["a", "b"]}
    with pytest.raises(InvalidError, match="no JSON form"):
        Step(name=StepName.FAN_OUT, at=AT, details={"replicas": {"a", "b"}})


def test_one_that_an_older_program_began_ends_with_the_steps_that_there_were() -> None:
    older = [name for name in StepName if name not in {StepName.STATE, StepName.EFFECTS}]
    on_record = saga(steps=(Step(name=StepName.RECORD, at=AT),))
    for name in older[1:]:
        assert on_record.next_step() is name
        on_record = on_record.with_step(Step(name=name, at=AT))
    assert (on_record.state, on_record.planned) == (SagaState.DONE, tuple(older))


def test_which_steps_it_began_with_is_on_record_from_the_first_one_on() -> None:
    assert taken(1).steps[0].details == {"planned": [name.value for name in StepName]}
    assert Saga.from_json(taken(6).to_json()).planned == tuple(StepName)


@pytest.mark.parametrize("field", saga().to_json())
def test_one_that_lacks_a_field_is_malformed(field: str) -> None:
    document = saga().to_json()
    del document[field]
    with pytest.raises(InvalidError, match=f"the rollback is malformed: KeyError '{field}'"):
        Saga.from_json(document)


@pytest.mark.parametrize("field", ["name", "at", "outcome", "details"])
def test_a_step_that_lacks_a_field_is_malformed(field: str) -> None:
    document = Step(name=StepName.CLOSE, at=AT).to_json()
    del document[field]
    with pytest.raises(InvalidError, match=f"the step of a rollback is malformed: KeyError '{field}'"):
        Step.from_json(document)


def test_a_step_that_nobody_knows_is_malformed() -> None:
    with pytest.raises(InvalidError, match="the step of a rollback is malformed"):
        Step.from_json({"name": "celebrate", "at": AT, "outcome": "done", "details": {}})
