"""A rollback that is not verified says why: for want of requests, or because of what was measured."""

from typing import Any

import pytest

from knowngood.adapters.sql import SqlStore
from knowngood.cli.exit_code import ExitCode
from knowngood.cli.rollback import code_of, lines_of
from knowngood.domain.saga import Saga, Step, StepName, StepOutcome
from tests.acceptance.stage import Stage

LEFT, TARGET = (f"sha256:{digit * 64}" for digit in "ab")
AT = "2026-11-23T18:00:00.000Z"


def rolled_back(reason: str) -> Saga:
    """A rollback whose verification failed for some reason."""
    saga = Saga(id="rb", system="pricing", version=LEFT, episode=1, target=TARGET, generation=2, started_at=AT)
    for name in StepName:
        failed = {"outcome": StepOutcome.FAILED, "details": {"reason": reason}} if name is StepName.VERIFY else {}
        saga = saga.with_step(Step(name=name, at=AT, **failed))  # type: ignore[arg-type]
    return saga


@pytest.mark.parametrize("reason", ["no request came (0 of 20)", "errors breached"])
def test_why_it_is_not_verified_is_what_the_verification_saw(reason: str) -> None:
    first, *steps = lines_of(rolled_back(reason).to_json(), ExitCode.NOT_VERIFIED)
    assert first.endswith(f"left {LEFT[7:19]}; {TARGET[7:19]} serves, not verified: {reason}")
    assert f"  {AT}  verify: failed ({reason})" in steps
    assert f"  {AT}  people: done" in steps


def test_one_that_is_not_verified_yet_says_how_much_of_the_sample_is_there() -> None:
    document = {**rolled_back("").to_json(), "steps": [], "so_far": "only 3 requests came (3 of 20)"}
    assert next(lines_of(document, ExitCode.WAITING)).endswith("not yet verified (only 3 requests came (3 of 20))")
    timed_out = next(lines_of(document, ExitCode.TIMED_OUT))
    assert "serves, still being verified (only 3 requests came (3 of 20)); to go on with it: " in timed_out


@pytest.mark.parametrize(
    ("target", "unreachable", "waited", "code"),
    [
        pytest.param(TARGET, {}, False, ExitCode.WAITING, id="a version is not verified yet"),
        pytest.param(None, {}, False, ExitCode.DONE, id="nothing has to verify the static fallback"),
        pytest.param(None, {"r1": "no answer"}, False, ExitCode.PARTIAL, id="not everybody was reached"),
        pytest.param(None, {}, True, ExitCode.TIMED_OUT, id="steps were waited for in vain"),
    ],
)
def test_the_exit_code_of_a_rollback_under_way(
    *, target: str | None, unreachable: dict[str, str], waited: bool, code: ExitCode
) -> None:
    running: dict[str, object] = {
        "state": "running",
        "steps": [],
        "target": target,
        "unreachable": unreachable,
        "unpublished": "",
    }
    assert code_of(running, waited=waited) is code


def test_the_history_says_so_too_and_names_versions_and_shares_for_people(applied: Stage) -> None:
    bodies: list[dict[str, Any]] = [
        {"version": LEFT, "split": 500, "generation": 2},
        {"saga": "rb", "step": "fan-out", "outcome": "done", "left": ["r1", "r2"], "staying": []},
        {"saga": "rb", "step": "verify", "outcome": "failed", "requests": 0, "reason": "no request came (0 of 20)"},
    ]
    with SqlStore.open(applied.home / "store.db") as store, store.change("pricing") as change:
        for body in bodies:
            change.append("seen", "saga", AT, body)
    shown = applied.kg("history", "pricing").out
    assert f"{LEFT[7:19]} share=5%\n" in shown
    assert " step=fan-out outcome=done\n" in shown
    assert " step=verify outcome=failed reason=no request came (0 of 20)\n" in shown


@pytest.mark.parametrize("name", [StepName.STATE, StepName.EFFECTS])
def test_what_could_not_be_seen_to_afterwards_is_said_and_the_exit_code_too(name: StepName) -> None:
    saga = Saga(id="rb", system="pricing", version=LEFT, episode=1, target=TARGET, generation=2, started_at=AT)
    for step in StepName:
        failed = {"outcome": StepOutcome.FAILED, "details": {"why": "mails: it is gone"}} if step is name else {}
        saga = saga.with_step(Step(name=step, at=AT, **failed))  # type: ignore[arg-type]
    document = {**saga.to_json(), "unreachable": {}, "unpublished": ""}
    code = code_of(document, waited=True)
    assert code is ExitCode.PARTIAL
    assert next(lines_of(document, code)).endswith(f"{TARGET[7:19]} serves, {name}: mails: it is gone")
