"""A fault point does what the environment asks for, once, and nothing otherwise."""

import subprocess
import sys

import pytest

from knowngood.control.fault_point import FaultPoint, reach
from knowngood_sdk.errors import InvalidError

REACH_TWICE = """
from knowngood.control.fault_point import FaultPoint, reach
for _ in range(2):
    try:
        reach(FaultPoint.FLIP_PUSHED)
    except KeyboardInterrupt:
        print("interrupted")
print("alive")
"""


@pytest.mark.parametrize(
    ("asked", "code", "printed"),
    [
        pytest.param("", 0, "alive\n", id="nothing"),
        pytest.param("flip.decided", 0, "alive\n", id="another point"),
        pytest.param("flip.pushed", -9, "", id="death"),
        pytest.param("flip.pushed:SIGINT", 0, "interrupted\nalive\n", id="Ctrl-C, once"),
        pytest.param("flip.pushed:SIGTERM", -15, "", id="a termination"),
    ],
)
def test_what_the_environment_asks_for(asked: str, code: int, printed: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REACH_TWICE], env={"KNOWNGOOD_FAULT": asked}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.decode()) == (code, printed)


def test_a_signal_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KNOWNGOOD_FAULT", "flip.pushed:SIGNOTHING")
    with pytest.raises(InvalidError, match="'SIGNOTHING'"):
        reach(FaultPoint.FLIP_PUSHED)


def test_names_of_points_are_public_and_stay() -> None:
    assert [point.value for point in FaultPoint] == [
        "deploy.begun",
        "deploy.recording",
        "deploy.recorded",
        "deploy.checked",
        "deploy.arming",
        "deploy.armed",
        "deploy.minting",
        "deploy.minted",
        "deploy.offered",
        "deploy.taken",
        "deploy.advancing",
        "deploy.advanced",
        "rollback.deployed",
        "flip.decided",
        "flip.first-acknowledged",
        "flip.pushed",
        "flip.recording",
        "flip.recorded",
        "saga.record.before",
        "saga.record",
        "saga.record.after",
        "saga.fan-out.before",
        "saga.fan-out",
        "saga.fan-out.after",
        "saga.dependents.before",
        "saga.dependents",
        "saga.dependents.after",
        "saga.quarantine.before",
        "saga.quarantine",
        "saga.quarantine.after",
        "saga.verify.before",
        "saga.verify",
        "saga.verify.after",
        "saga.state.before",
        "saga.state",
        "saga.state.after",
        "saga.effects.before",
        "saga.effects",
        "saga.effects.after",
        "saga.people.before",
        "saga.people",
        "saga.people.after",
        "saga.close.before",
        "saga.close",
        "saga.close.after",
        "server.entered",
        "server.claimed",
        "server.launched",
        "server.reaping",
        "server.reaped",
        "server.opened",
    ]
