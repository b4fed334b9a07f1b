"""The outcome of a run: every figure that is promised, from the riders' log and the product's record alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from knowngood.demo.incident import Attempt
from knowngood.demo.load import Request
from knowngood.demo.outcome import Outcome
from knowngood.demo.seen import Seen
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
    assert (document["requests"], document["affected_riders"], document["fallback_answers"]) == (60, 21, 0)
    assert document["riders_passed_over"] == 0
    assert (document["noticed"], document["decision_trigger"]) == (True, "prediction_mean")
    assert document["canary"].keys() >= {"reached_percent", "affected_riders"}
    said = {"hour": 18, "version": "bad", "demand": 675.0, "rides": 450.0, "over_rides": 0.5}
    assert document["rides_known_later"] == [said]
    assert document["placebos"]["deployments"] == 20
    assert document["without_the_product"].keys() >= {"seconds", "failed_requests", "riders_passed_over"}
    shared = document["with_the_product"].keys() & document["without_the_product"].keys()
    assert shared == document["with_the_product"].keys()
    assert document["did_not_hold"] == []
    for item in document["alternatives"]:
        assert item.keys() >= {"level", "verdict", "reason", "divergence", "bad_divergence", "tolerance", "n"}


def test_the_first_detection_is_the_first_breach_whatever_was_decided_on_it(forewarned: Seen) -> None:
    document = Outcome(forewarned).to_json()
    assert document["detected_after_seconds"] == pytest.approx(1.2)
    assert (document["first_trigger"], document["first_decision"]) == ("latency", "investigate")
    assert document["first_triggers"] == ["conversion", "latency"]
    assert (document["decision"], document["decision_trigger"], document["level"]) == (
        "roll-back",
        "prediction_mean",
        2,
    )
    assert document["decision_after_seconds"] == pytest.approx(2.0)
    told = [moment.what for moment in Outcome(forewarned).timeline]
    assert told.index("detection: breached: conversion, latency") < told.index("ground to act: prediction_mean")


def test_what_was_decided_about_the_canary_is_no_part_of_the_incident(play: Play) -> None:
    record = play().record
    bad = play().versions["bad"]
    assert [len(record.decisions(bad, episode)) for episode in (1, 2, 3)] == [1, 1, 0]
    assert record.advanced_at(bad, 3) is None


def test_a_version_that_nobody_noticed_is_a_finding_with_every_promised_figure(unnoticed: Seen) -> None:
    outcome = Outcome(unnoticed)
    document = json.loads(json.dumps(outcome.to_json(), allow_nan=False))
    assert document.keys() >= PROMISED
    assert (document["noticed"], document["waited_seconds"]) == (False, 60.0)
    for name in ("first_trigger", "decision", "level", "detected_after_seconds", "decision_to_verified_seconds"):
        assert document[name] is None
    assert (document["alternatives"], document["canary"], document["without_the_product"]) == ([], None, None)
    assert (document["redeploy_refused"], document["control_killed_and_recovered"]) == (None, None)
    assert (document["affected_riders"], document["riders_served_by_version_2"]) == (0, 3)
    assert document["did_not_hold"] == []
    assert [moment.what for moment in outcome.timeline] == [
        "version 2 has all traffic",
        "the first rider is answered by version 2",
    ]


def test_a_breach_that_was_left_to_a_person_is_noticed_and_no_rollback(investigated: Seen) -> None:
    document = Outcome(investigated).to_json()
    assert (document["noticed"], document["decision"], document["decision_after_seconds"]) == (
        True,
        "investigate",
        None,
    )
    assert document["first_trigger"] == "latency"
    assert document["did_not_hold"] == []


def test_a_version_whose_prices_are_too_low_is_bad_too(play: Play) -> None:
    seen = play()
    cheap = [replace(r, price=(r.price or 0) / 1.3 * 0.8) if r.version == seen.versions["bad"] else r for r in seen.log]
    outcome = Outcome(replace(seen, log=cheap))
    assert (outcome.harm.affected, outcome.harm.quoted) == (21, 21)
    assert outcome.moments.breach_at == outcome.moments.met_at


def test_without_a_bad_price_the_first_answer_of_version_two_stands_for_the_breach(play: Play) -> None:
    seen = play()
    fine = [replace(r, price=seen.known_prices[r.hour]) for r in seen.log]
    outcome = Outcome(replace(seen, log=fine))
    assert (outcome.moments.breach_at, outcome.harm.affected) == (None, 0)
    assert "the first rider is answered by version 2" in [moment.what for moment in outcome.timeline]
    assert outcome.to_json()["did_not_hold"] == []


def test_a_last_bad_response_before_the_decision_has_a_time_below_zero(play: Play) -> None:
    seen = play()
    early = [r for r in seen.log if r.version != seen.versions["bad"] or r.answered_at < seen.incident.deployed_at + 1]
    assert Outcome(replace(seen, log=early)).to_json()["decision_to_last_bad_response_seconds"] == pytest.approx(-1.05)


def test_canary_is_measured_from_what_riders_got(play: Play) -> None:
    seen = play()
    canary = Outcome(seen).canary
    assert canary is not None
    assert (canary.given, canary.riders, canary.served, canary.affected) == (0.1, 2, 1, 1)
    assert canary.measured_share == 0.5
    assert canary.on_shadow_answers
    nobody = [r for r in seen.log if r.version != seen.versions["bad"] or r in seen.incident_log]
    untouched = Outcome(replace(seen, log=nobody)).canary
    assert untouched is not None
    assert (untouched.riders, untouched.served, untouched.measured_share) == (1, 0, 0.0)
    assert untouched.to_json()["reached_percent"] == 10.0


@pytest.mark.requirement("A2")
def test_a_verdict_is_that_of_the_decision_and_one_on_more_evidence_stands_beside_it(play: Play) -> None:
    level_two, level_one = Outcome(play()).alternatives
    assert (level_two["level"], level_two["judged"], level_two["later"]) == (2, "at the decision", None)
    assert (level_one["n"], level_one["verdict"], level_one["judged"]) == (35, "refused", "at the decision")
    assert (level_one["later"]["n"], level_one["later"]["judged"]) == (210, "at the canary's decision")


def test_without_more_evidence_later_a_verdict_stands_alone(play: Play) -> None:
    seen = play()
    entries = [
        entry
        for entry in seen.record.entries
        if entry["kind"] != "decided" or entry["at"] < seen.record.entries[4]["at"]
    ]
    level_one = Outcome(replace(seen, record=replace(seen.record, entries=entries))).alternatives[1]
    assert (level_one["n"], level_one["later"]) == (35, None)


def broken(play: Play, **changes: Any) -> list[str]:
    return Outcome(play(**changes)).broken


def test_a_promise_that_was_not_kept_is_never_hidden(play: Play, visit: Visit) -> None:
    log = [*play().log, visit(20, status=0, version="", price=None), visit(21, mixed=True)]
    assert broken(play, log=log) == ["riders who got no price: 1", "answers that were a mixture of versions: 1"]
    fallen = [*play().log, visit(20, version="static-fallback", price=2.0, model="")]
    assert broken(play, log=fallen) == ["riders whom no version answered, but the static fallback: 1"]
    deployed = [Attempt(how="as it is", exit_code=0, reason="it was deployed")]
    assert broken(play, attempts=deployed) == ["version 2 could be deployed again"]
    assert broken(play, attempts=[]) == ["version 2 could be deployed again"]
    cut_off = {**play().ledger, "ok": False, "problem": "its end is missing"}
    assert broken(play, ledger=cut_off) == [
        "the ledger is not whole: its end is missing",
        "the control process was not recovered, or something was done twice",
    ]


@pytest.mark.parametrize(
    ("seconds", "target", "count"),
    [
        pytest.param(15.3, "r1", 0, id="to the replica that left first, before it was seen to have"),
        pytest.param(15.6, "r1", 1, id="to the replica that left first, after it was seen to have"),
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


def test_a_version_that_answered_nobody_is_a_failure_of_the_demo(play: Play, visit: Visit) -> None:
    with pytest.raises(PermanentError, match="answered no rider"):
        Outcome(play(log=[visit(1)]))


def test_a_rollback_that_was_not_verified_is_said_with_its_reason(play: Play) -> None:
    seen = play()
    first, second = seen.record.sagas
    failed = {**first["steps"][1], "outcome": "failed", "details": {"reason": "conversion not yet back"}}
    sagas = [{**first, "steps": [first["steps"][0], failed]}, second]
    outcome = Outcome(replace(seen, record=replace(seen.record, sagas=sagas)))
    assert outcome.broken == ["the rollback was not verified: conversion not yet back"]
    assert outcome.to_json()["decision_to_verified_seconds"] is None


def test_a_control_process_that_decided_twice_was_not_recovered(play: Play) -> None:
    seen = play()
    twice = [*seen.record.entries, seen.record.entries[3]]
    assert not Outcome(replace(seen, record=replace(seen.record, entries=twice))).recovered
