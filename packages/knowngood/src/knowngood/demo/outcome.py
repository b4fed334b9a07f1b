"""Outcome: everything that a run of the demo found. Pure: made from the riders' log and the product's record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowngood.demo.figures import (
    Harm,
    Served,
    admitted_after,
    first_bad_answer,
    harm_of,
    last_bad_answer,
    served_of,
)
from knowngood.demo.incident import Attempt, Canary, Incident
from knowngood.demo.load import Request
from knowngood.demo.placebos import Placebos
from knowngood.demo.record import Record, epoch_of
from knowngood.demo.replay_clock import ReplayClock
from knowngood.demo.without import Plain
from knowngood.demo.workplace import rules
from knowngood.demo.world.evenings import EveningResult
from knowngood.demo.world.training import Score
from knowngood_sdk.errors import PermanentError

__all__ = ["Moments", "Outcome", "Seen", "moments_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """
    When what happened, in epoch seconds.

    Attributes:
        deployed_at: Version 2 had all traffic.
        breach_at: The first rider was answered with a bad price.
        detected_at: The counts were read that showed the breach of a trigger.
        decided_at: The decision to leave was taken on them.
        killed_at: The control process was seen dead, after the first replica had acknowledged.
        last_bad_at: The last rider was answered by version 2.
        acknowledged_at: Every replica was seen to have left, durably.
        verified_at: The metrics were back at their baseline, on the stated sample.
    """

    deployed_at: float
    breach_at: float
    detected_at: float
    decided_at: float
    killed_at: float
    last_bad_at: float
    acknowledged_at: float
    verified_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    What was collected on stage.

    Attributes:
        change: Name of the change of features.
        seed: Of training and riders.
        evening: Date of the real evening, ISO.
        versions: ``known``, ``bad`` and ``fix`` -> content digest.
        processes: What ran: name, what it was, process id.
        urls: Replica -> its URL.
        clock: The two clocks.
        incident: The second act.
        attempts: Deployments of version 2 that were tried again.
        canary: The third act.
        record: What the product put on record.
        ledger: What ``kg ledger verify`` said at the end.
        diff: What ``kg diff`` said of the two versions.
        log: What riders wrote down, all of them.
        evening_log: What the riders of the evening wrote down.
        known_prices: Local hour -> what version 1 asks.
        scores: Name -> how well a version predicts a measure.
        evening_result: Level 1 on all requests of the evening, in fast mode, held against the truth.
        placebos: The fourth act.
        plain: The same riders without the product.
        wall_seconds: How long the run took until now.
    """

    change: str
    seed: int
    evening: str
    versions: Mapping[str, str]
    processes: Sequence[tuple[str, str, int]]
    urls: Mapping[str, str]
    clock: ReplayClock
    incident: Incident
    attempts: Sequence[Attempt]
    canary: Canary
    record: Record
    ledger: Mapping[str, Any]
    diff: Mapping[str, Any]
    log: Sequence[Request]
    evening_log: Sequence[Request]
    known_prices: Mapping[int, float]
    scores: Mapping[str, Score]
    evening_result: EveningResult
    placebos: Placebos
    plain: Plain
    wall_seconds: float


def moments_of(seen: Seen) -> Moments:
    """
    Return the moments of the incident.

    Raises:
        PermanentError: One of them never came: then the demo has failed, and says so.
    """
    bad, record = seen.versions["bad"], seen.record
    incident_log = [request for request in seen.log if request.sent_at < seen.canary.started_at]
    trips = record.trips(bad)
    fan_out, verified = (record.step(bad, 1, name) for name in ("fan-out", "verify"))
    breach_at = first_bad_answer(incident_log, bad, seen.known_prices)
    last_bad_at = last_bad_answer(incident_log, bad)
    decisions = record.decisions(bad)
    if not trips or not decisions or fan_out is None or verified is None or breach_at is None or last_bad_at is None:
        raise PermanentError("the incident left no trace on record or in the riders' log", hint="Look: kg demo --keep")
    if verified["outcome"] != "done" or fan_out["outcome"] != "done":
        raise PermanentError(f"the rollback was not verified: {verified['details'].get('reason', verified['outcome'])}")
    return Moments(
        deployed_at=seen.incident.deployed_at,
        breach_at=breach_at,
        detected_at=epoch_of(decisions[0]["measured_at"]),
        decided_at=epoch_of(trips[0]["at"]),
        killed_at=seen.incident.killed_at,
        last_bad_at=last_bad_at,
        acknowledged_at=epoch_of(fan_out["at"]),
        verified_at=epoch_of(verified["at"]),
    )


class Outcome:
    """
    Figures of a run.

    Attributes:
        seen: What was collected on stage.
        moments: When what happened.
        decision: The decision to leave version 2, as it is on record.
        served: What all riders got.
        harm: What version 2 did to riders before the canary.
        canary_harm: What it did to them as a canary.
    """

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.moments = moments_of(seen)
        bad = seen.versions["bad"]
        decisions = seen.record.decisions(bad)
        self.decision: Mapping[str, Any] = decisions[0]
        self._canary_decision: Mapping[str, Any] | None = decisions[1] if len(decisions) > 1 else None
        self.served: Served = served_of(seen.log)
        before = [request for request in seen.log if request.sent_at < seen.canary.started_at]
        after = [request for request in seen.log if request.sent_at >= seen.canary.started_at]
        self.harm: Harm = harm_of(before, bad, seen.known_prices)
        self.canary_harm: Harm = harm_of(after, bad, seen.known_prices)
        self._before, self._after = before, after

    @property
    def alternatives(self) -> list[dict[str, Any]]:
        """
        The plan's alternatives, each with its verdict.

        As they stood at the decision; a combination that had too little evidence by then, as it stood at the canary's
        decision, on the evidence that had come until then.
        """
        chosen = [_alternative(item, "at the decision") for item in self.decision["plan"]["alternatives"]]
        later = [
            _alternative(item, "later, at the canary's decision")
            for item in (self._canary_decision or self.decision)["plan"]["alternatives"]
        ]
        return [self._with_evidence(item, later) for item in chosen]

    def _with_evidence(self, item: dict[str, Any], later: Sequence[dict[str, Any]]) -> dict[str, Any]:
        same = [other for other in later if other["target"] == item["target"] and other["n"] > item["n"]]
        proven = item["tolerance"] is None
        if proven or item["n"] >= rules().unproven.requests or not same:
            return item
        return {**same[0], "at_the_decision": {"verdict": item["verdict"], "reason": item["reason"], "n": item["n"]}}

    @property
    def last_bad_after_seconds(self) -> float:
        """Seconds from the decision to the last bad response; 0 where that came before the decision."""
        return max(0.0, self.moments.last_bad_at - self.moments.decided_at)

    @property
    def bad_admissions_after_acknowledgement(self) -> int:
        """
        Requests that were sent to a replica after it had acknowledged, and that version 2 still answered.

        A replica that had left when the control process was seen dead is held to that moment, the others to the one at
        which all were seen to have left; after the canary, all to that.
        """
        bad = self.seen.versions["bad"]
        count = 0
        for name, url in self.seen.urls.items():
            first = name in self.seen.incident.left_before
            moment = self.moments.killed_at if first else self.moments.acknowledged_at
            count += admitted_after(self._before, bad, moment, target=url)
        again = self.seen.record.step(bad, 2, "fan-out")
        return count + (admitted_after(self._after, bad, epoch_of(again["at"])) if again else 0)

    @property
    def acknowledged(self) -> int:
        """Replicas that were seen to have left version 2."""
        fan_out = self.seen.record.step(self.seen.versions["bad"], 1, "fan-out")
        return len(fan_out["details"]["left"]) if fan_out else 0

    @property
    def redeploy_refused(self) -> bool:
        """Whether every attempt to deploy version 2 again was refused."""
        return bool(self.seen.attempts) and all(attempt.refused for attempt in self.seen.attempts)

    @property
    def recovered(self) -> bool:
        """Whether the control process died by SIGKILL in the flip and nothing was lost or done twice."""
        bad, record = self.seen.versions["bad"], self.seen.record
        saga = record.saga(bad, 1)
        once = len(record.trips(bad)) == 1 + (record.saga(bad, 2) is not None)
        return bool(self.seen.incident.killed and saga and saga["state"] == "done" and once and self.seen.ledger["ok"])

    @property
    def broken(self) -> list[str]:
        """What the product promises and this run did not show, in sentences; empty when all held."""
        kept = {
            f"riders who got no price: {self.served.failed}": self.served.failed == 0,
            f"answers that were a mixture of versions: {self.served.mixed}": self.served.mixed == 0,
            f"requests admitted to version 2 after it was left: {self.bad_admissions_after_acknowledgement}": (
                self.bad_admissions_after_acknowledgement == 0
            ),
            f"replicas that acknowledged: {self.acknowledged} of {len(self.seen.urls)}": (
                self.acknowledged == len(self.seen.urls)
            ),
            "version 2 could be deployed again": self.redeploy_refused,
            "the control process was not recovered, or something was done twice": self.recovered,
        }
        return [sentence for sentence, held in kept.items() if not held]

    @property
    def canary_reached(self) -> float:
        """Largest share of the traffic that the canary was given, in percent."""
        return float(self.seen.record.deployment(self.seen.versions["bad"])["split"]) / 100

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: seconds are of the wall unless the name says replay."""
        seen, at = self.seen, self.moments
        detected_after = at.detected_at - at.deployed_at
        return {
            "change": seen.change,
            "seed": seen.seed,
            "evening": seen.evening,
            "replay_seconds_per_second": seen.clock.speed,
            "detected_after_seconds": detected_after,
            "detected_after_replay_seconds": detected_after * seen.clock.speed,
            "first_trigger": self.decision["trigger"],
            "decision": self.decision["outcome"],
            "decision_reasons": self.decision["reasons"],
            "level": self.decision["level"],
            "alternatives": self.alternatives,
            "level_1_over_the_whole_evening": self._whole_evening(),
            "detection_to_decision_seconds": at.decided_at - at.detected_at,
            "decision_to_last_bad_response_seconds": self.last_bad_after_seconds,
            "decision_to_acknowledged_seconds": at.acknowledged_at - at.decided_at,
            "decision_to_verified_seconds": at.verified_at - at.decided_at,
            "requests": self.served.requests,
            "failed_requests": self.served.failed,
            "mixed_requests": self.served.mixed,
            "bad_admissions_after_acknowledgement": self.bad_admissions_after_acknowledgement,
            "affected_riders": self.harm.affected,
            "bad_price_shift": self.harm.price_shift,
            "replicas": len(seen.urls),
            "acknowledged": self.acknowledged,
            "redeploy_refused": self.redeploy_refused,
            "redeployments": [attempt.to_json() for attempt in seen.attempts],
            "control_killed_and_recovered": self.recovered,
            "canary": {"reached_percent": self.canary_reached, "affected_riders": self.canary_harm.affected},
            "placebos": seen.placebos.to_json(),
            "without_the_product": seen.plain.to_json(),
            "scores": {name: score.to_json() for name, score in seen.scores.items()},
            "processes": [{"name": name, "what": what, "pid": pid} for name, what, pid in seen.processes],
            "did_not_hold": self.broken,
            "wall_seconds": seen.wall_seconds,
        }

    def _whole_evening(self) -> dict[str, Any]:
        """Return the same rule on all requests of the evening, in fast mode, and the truth beside it."""
        result = self.seen.evening_result
        mixed = result.combination
        return {
            "mode": "fast: in process, no servers",
            "allowed": result.allowed,
            "reason": result.reason,
            "divergence": mixed.divergence if mixed else None,
            "n": result.n,
            "distinct_hours": result.distinct_hours,
            "true_error": mixed.true_error if mixed else None,
            "known_error": result.known_error,
            "verdict": result.verdict.value,
        }


def _alternative(item: Mapping[str, Any], judged: str) -> dict[str, Any]:
    """Return what a reader wants to know of an alternative of a plan on record."""
    names = ("level", "scope", "verdict", "reason", "divergence", "bad_divergence", "tolerance", "n", "target")
    return {**{name: item[name] for name in names}, "judged": judged}
