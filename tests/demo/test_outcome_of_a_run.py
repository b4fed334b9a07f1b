"""The outcome of a run: every figure that is promised, from the riders' log and the product's record alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from knowngood.demo.incident import Attempt
from knowngood.demo.load import Request
from knowngood.demo.outcome import Outcome, Seen
from knowngood.demo.record import Record
from knowngood_sdk.errors import PermanentError

Play = Callable[..., Seen]
Visit = Callable[..., Request]

PROMISED = {
    "change",
    "seed",
    "replay_seconds_per_second",
    "detected_after_seconds",
    "detected_after_replay_seconds",
    "first_trigger",
    "decision",
    "level",
    "alternatives",
    "decision_to_last_bad_response_seconds",
    "decision_to_verified_seconds",
    "requests",
    "failed_requests",
    "mixed_requests",
    "bad_admissions_after_acknowledgement",
    "affected_riders",
    "replicas",
    "acknowledged",
    "redeploy_refused",
    "control_killed_and_recovered",
    "canary",
    "placebos",
    "without_the_product",
}


@pytest.mark.requirement("G1", "L1m", "L2m", "L4m")
def test_json_has_every_promised_figure(play: Play) -> None:
    document = json.loads(json.dumps(Outcome(play()).to_json(), allow_nan=False))
    assert document.keys() >= PROMISED
    assert document["detected_after_seconds"] == pytest.approx(1.9)
    assert document["detected_after_replay_seconds"] == pytest.approx(456.0)
    assert document["decision_to_last_bad_response_seconds"] == pytest.approx(0.05, abs=1e-3)
    assert document["decision_to_verified_seconds"] == pytest.approx(8.0)
    assert (document["decision"], document["level"], document["first_trigger"]) == ("roll-back", 2, "prediction_mean")
    assert (document["requests"], document["affected_riders"]) == (59, 21)
    assert document["canary"] == {"reached_percent": 10.0, "affected_riders": 1}
    assert document["placebos"]["deployments"] == 20
    assert document["without_the_product"].keys() >= {"seconds", "failed_requests"}
    assert document["did_not_hold"] == []
    for item in document["alternatives"]:
        assert item.keys() >= {"level", "verdict", "reason", "divergence", "bad_divergence", "tolerance", "n"}


@pytest.mark.requirement("A2")
def test_level_one_is_reported_with_the_evidence_that_came_later_and_says_so(play: Play) -> None:
    level_two, level_one = Outcome(play()).alternatives
    assert (level_two["level"], level_two["judged"]) == (2, "at the decision")
    assert (level_one["n"], level_one["judged"]) == (210, "later, at the canary's decision")
    assert level_one["at_the_decision"]["n"] == 35


@pytest.mark.requirement("A2")
def test_level_one_with_enough_evidence_stands_as_it_was_judged(play: Play) -> None:
    seen = play()
    body = seen.record.entries[0]["body"]
    level_two, level_one = body["plan"]["alternatives"]
    plan = {**body["plan"], "alternatives": [level_two, {**level_one, "n": 100}]}
    entries = [{"kind": "decided", "body": {**body, "plan": plan}}, *seen.record.entries[1:]]
    judged = Outcome(replace(seen, record=replace(seen.record, entries=entries))).alternatives[1]
    assert (judged["n"], judged["judged"]) == (100, "at the decision")


def test_without_a_later_decision_level_one_stands_as_it_was_judged(play: Play) -> None:
    seen = play()
    entries = [*seen.record.entries[:2], seen.record.entries[3]]
    level_one = Outcome(replace(seen, record=replace(seen.record, entries=entries))).alternatives[1]
    assert (level_one["n"], level_one["judged"]) == (35, "at the decision")
    assert "at_the_decision" not in level_one


def broken(play: Play, **changes: Any) -> list[str]:
    return Outcome(play(**changes)).broken


def test_a_promise_that_was_not_kept_is_never_hidden(play: Play, visit: Visit) -> None:
    log = [*play().log, visit(20, status=0, version="", price=None), visit(21, mixed=True)]
    assert broken(play, log=log) == ["riders who got no price: 1", "answers that were a mixture of versions: 1"]
    deployed = [Attempt(how="as it is", exit_code=0, reason="it was deployed")]
    assert broken(play, attempts=deployed) == ["version 2 could be deployed again"]
    assert broken(play, attempts=[]) == ["version 2 could be deployed again"]
    cut_off = {**play().ledger, "ok": False}
    assert broken(play, ledger=cut_off) == ["the control process was not recovered, or something was done twice"]


@pytest.mark.parametrize(
    ("seconds", "target", "count"),
    [
        pytest.param(15.5, "r1", 1, id="to the replica that had left before the kill, after it"),
        pytest.param(15.5, "r2", 0, id="to the other one, before it was seen to have left"),
        pytest.param(18.5, "r2", 1, id="to the other one, after it"),
        pytest.param(44.0, "r1", 1, id="after the canary was left"),
        pytest.param(41.0, "r1", 0, id="to the canary while it was one"),
    ],
)
def test_a_bad_admission_is_held_to_the_replica_it_was_sent_to(
    play: Play, visit: Visit, seconds: float, target: str, count: int
) -> None:
    seen = play()
    late = visit(seconds, version=seen.versions["bad"], target=seen.urls[target])
    outcome = Outcome(replace(seen, log=[*seen.log, late]))
    assert outcome.bad_admissions_after_acknowledgement == count


def test_an_incident_that_left_no_trace_is_a_failure_of_the_demo(play: Play, visit: Visit) -> None:
    with pytest.raises(PermanentError, match="left no trace"):
        Outcome(play(log=[visit(1)]))
    with pytest.raises(PermanentError, match="left no trace"):
        Outcome(play(record=Record([], [], [])))


def test_a_rollback_that_was_not_verified_is_a_failure_of_the_demo(play: Play) -> None:
    seen = play()
    first, second = seen.record.sagas
    failed = {**first["steps"][1], "outcome": "failed", "details": {"reason": "conversion not yet back"}}
    sagas = [{**first, "steps": [first["steps"][0], failed]}, second]
    with pytest.raises(PermanentError, match="conversion not yet back"):
        Outcome(replace(seen, record=replace(seen.record, sagas=sagas)))


def test_a_control_process_that_decided_twice_was_not_recovered(play: Play) -> None:
    seen = play()
    twice = [*seen.record.entries, seen.record.entries[1]]
    assert not Outcome(replace(seen, record=replace(seen.record, entries=twice))).recovered
