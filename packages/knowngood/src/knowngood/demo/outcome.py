"""Outcome: everything that a run of the demo found. Pure: made from the riders' log and the product's record."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from knowngood.demo.as_canary import AsCanary
from knowngood.demo.figures import Harm, Served, admitted_after, harm_of, served_of
from knowngood.demo.moments import Moment, Moments, moments_of
from knowngood.demo.record import epoch_of
from knowngood.demo.recovery import Recovery
from knowngood.demo.seen import Seen

__all__ = ["Outcome"]

_TOO_MANY_LATE = 0.05
"""Share of riders that may be missing. A machine that keeps up sends every one; this only words how the story ends."""


class Outcome:
    """
    Figures of a run.

    Attributes:
        seen: What was collected on stage.
        wall_seconds: How long the command took, from the start of its process until all others were ended; None where
            it is not over.
        moments: When what happened.
        first: The first decision about version 2, whatever it was; None where no trigger was breached.
        decision: The decision to leave version 2, as it is on record; where there was none, the last one about it.
        served: What all riders got.
        harm: What version 2 did to riders before it came again as a canary.
        recovery: What riders got after the decision to leave it; None without one.
        canary: What came of it as a canary; None where it was none.
    """

    def __init__(self, seen: Seen, *, wall_seconds: float | None = None) -> None:
        self.seen = seen
        self.wall_seconds = wall_seconds
        self.moments: Moments = moments_of(seen)
        decisions: list[Mapping[str, Any] | None] = [*seen.record.decisions(seen.versions["bad"], 1)] or [None]
        self.first = decisions[0]
        self.decision = next((decision for decision in decisions if decision and decision["acts"]), decisions[-1])
        self.served: Served = served_of(seen.log)
        self.harm: Harm = harm_of(seen.incident_log, seen.versions["bad"], seen.known_prices)
        self.recovery = _recovery(seen, self.moments)
        self.canary = AsCanary.of(seen) if seen.canary is not None else None

    @property
    def left(self) -> bool:
        """Whether it was decided to leave version 2, and acted on."""
        return self.moments.decided_at is not None

    @property
    def first_triggers(self) -> list[str]:
        """Every trigger that was breached at the first look at which one was."""
        return _breached(self.first) if self.first else []

    @property
    def timeline(self) -> list[Moment]:
        """The moments of the incident that came, in their order."""
        at = self.moments
        acting = self.decision["trigger"] if self.decision else ""
        told: list[tuple[float | None, str, bool]] = [
            (at.deployed_at, "version 2 has all traffic", False),
            (at.met_at if at.breach_at is None else None, "the first rider is answered by version 2", True),
            (at.breach_at, "breach: the first rider gets a bad price", True),
            (at.detected_at, f"detection: breached: {', '.join(self.first_triggers)}", True),
            (at.acted_at if at.acted_at != at.detected_at else None, f"ground to act: {acting}", True),
            (at.decided_at, "decision: leave version 2, by its plan", False),
            (at.killed_at, "the control process is seen dead, killed in the flip", True),
            (at.last_bad_at if self.left else None, "last bad response", False),
            (at.acknowledged_at, f"{self.acknowledged}/{len(self.seen.urls)} replicas seen to have left", False),
            (at.verified_at, "verified: metrics back at their baseline", False),
        ]
        came = [Moment(when, what, minor) for when, what, minor in told if when is not None]
        return sorted(came, key=lambda moment: moment.at)

    @property
    def alternatives(self) -> list[dict[str, Any]]:
        """
        The alternatives of the plan at the decision, each with its verdict then.

        Beside it, as ``later``, that of the canary's decision on the same combination, where it had more evidence.
        """
        later = [
            _alternative(item, "at the canary's decision")
            for item in _planned(self.canary.decision if self.canary else None)
        ]
        found = []
        for item in (_alternative(item, "at the decision") for item in _planned(self.decision)):
            more = [o for o in later if o["target"] == item["target"] and o["n"] > item["n"]]
            found.append({**item, "later": more[0] if more and item["tolerance"] is not None else None})
        return found

    @property
    def bad_admissions_after_acknowledgement(self) -> int:
        """
        Requests that were sent to a replica after it had acknowledged, and that version 2 still answered.

        A replica that was seen to have left before the control process was started again is held to the moment at
        which that was seen, the others to the one at which all were; after the canary, all to that.
        """
        seen, bad, at = self.seen, self.seen.versions["bad"], self.moments
        count = 0
        for name, url in seen.urls.items():
            moment = seen.incident.seen_at if name in seen.incident.left_before else at.acknowledged_at
            if moment is not None:
                count += admitted_after(seen.incident_log, bad, moment, target=url)
        again = seen.record.step(bad, 2, "fan-out")
        return count + (admitted_after(seen.canary_log, bad, epoch_of(again["at"])) if again else 0)

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
    def too_busy(self) -> bool:
        """Whether so many riders could not be sent in time that this was another evening than the real one."""
        late = self.seen.notes.passed_over
        return late > _TOO_MANY_LATE * (self.served.requests + late)

    @property
    def broken(self) -> list[str]:
        """What the product promises and this run did not show, in sentences; empty when all held."""
        kept = {
            f"riders who got no price: {self.served.failed}": self.served.failed == 0,
            f"riders whom no version answered, but the static fallback: {self.served.fallback}": (
                self.served.fallback == 0
            ),
            f"answers that were a mixture of versions: {self.served.mixed}": self.served.mixed == 0,
            f"the ledger is not whole: {self.seen.ledger['problem']}": self.seen.ledger["ok"],
        }
        return [sentence for sentence, held in [*kept.items(), *self._kept_after_leaving()] if not held]

    def _kept_after_leaving(self) -> Iterator[tuple[str, bool]]:
        """Return what is promised of a version that was left; where none was, nothing of it was put to the test."""
        if not self.left:
            return
        admitted = self.bad_admissions_after_acknowledgement
        verify = self.seen.record.step(self.seen.versions["bad"], 1, "verify") or {"details": {}}
        yield f"requests admitted to version 2 after it was left: {admitted}", admitted == 0
        yield (
            f"replicas that acknowledged: {self.acknowledged} of {len(self.seen.urls)}",
            self.acknowledged == len(self.seen.urls),
        )
        yield (
            f"the rollback was not verified: {verify['details'].get('reason', 'it did not come to that')}",
            self.moments.verified_at is not None,
        )
        yield "version 2 could be deployed again", self.redeploy_refused
        yield "the control process was not recovered, or something was done twice", self.recovered

    @property
    def forecasts(self) -> list[dict[str, Any]]:
        """What each version had expected of the hours whose rides became known, by hour and version."""
        names = {digest: name for name, digest in self.seen.versions.items()}
        order = {digest: number for number, digest in enumerate(names)}
        known = {(said.hour, said.version): said for said in self.seen.notes.forecasts}
        return [
            {
                "hour": hour,
                "version": names.get(version, version),
                "demand": said.demand,
                "rides": said.rides,
                "over_rides": said.demand / said.rides - 1 if said.rides else None,
            }
            for (hour, version), said in sorted(known.items(), key=lambda item: (item[0][0], order.get(item[0][1], 0)))
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form: seconds are of the wall unless the name says replay; None for what did not happen."""
        seen, at = self.seen, self.moments
        detected_after = _between(at.deployed_at, at.detected_at)
        return {
            "change": seen.change,
            "seed": seen.seed,
            "evening": seen.evening,
            "replay_seconds_per_second": seen.clock.speed,
            "noticed": self.first is not None,
            "waited_seconds": seen.incident.waited_seconds,
            "detected_after_seconds": detected_after,
            "detected_after_replay_seconds": None if detected_after is None else detected_after * seen.clock.speed,
            "first_trigger": self.first["trigger"] if self.first else None,
            "first_triggers": self.first_triggers,
            "first_decision": self.first["outcome"] if self.first else None,
            **self._decided(),
            "requests": self.served.requests,
            "failed_requests": self.served.failed,
            "fallback_answers": self.served.fallback,
            "mixed_requests": self.served.mixed,
            "riders_passed_over": seen.notes.passed_over,
            "bad_admissions_after_acknowledgement": self.bad_admissions_after_acknowledgement,
            "affected_riders": self.harm.affected,
            "riders_served_by_version_2": self.harm.quoted,
            "bad_price_shift": self.harm.price_shift,
            "replicas": len(seen.urls),
            "acknowledged": self.acknowledged,
            "redeploy_refused": self.redeploy_refused if self.left else None,
            "redeployments": [attempt.to_json() for attempt in seen.attempts],
            "control_killed_and_recovered": self.recovered if self.left else None,
            "rides_known_later": self.forecasts,
            "canary": self.canary.to_json() if self.canary else None,
            "placebos": seen.placebos.to_json(),
            "with_the_product": self.recovery.to_json() if self.recovery else None,
            "without_the_product": seen.plain.to_json() if seen.plain else None,
            "scores": {name: score.to_json() for name, score in seen.scores.items()},
            "processes": [{"name": name, "what": what, "pid": pid} for name, what, pid in seen.processes],
            "did_not_hold": self.broken,
            "wall_seconds": self.wall_seconds,
        }

    def _decided(self) -> dict[str, Any]:
        """Return the decision, what it was taken on, and how long what followed took."""
        at, decision = self.moments, self.decision
        return {
            "decision": decision["outcome"] if decision else None,
            "decision_trigger": decision["trigger"] if decision else None,
            "decision_after_seconds": _between(at.deployed_at, at.decided_at),
            "decision_reasons": decision["reasons"] if decision else [],
            "level": decision["level"] if decision else None,
            "alternatives": self.alternatives,
            "level_1_over_the_whole_evening": self._whole_evening(),
            "detection_to_decision_seconds": _between(at.detected_at, at.decided_at),
            "decision_to_last_bad_response_seconds": _between(at.decided_at, at.last_bad_at),
            "decision_to_acknowledged_seconds": _between(at.decided_at, at.acknowledged_at),
            "decision_to_verified_seconds": _between(at.decided_at, at.verified_at),
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
            "price_divergence": mixed.price_divergence if mixed else None,
            "allowed_on_prices": result.allowed_on_prices,
            "n": result.n,
            "distinct_hours": result.distinct_hours,
            "true_error": mixed.true_error if mixed else None,
            "known_error": result.known_error,
            "verdict": result.verdict.value,
        }


def _recovery(seen: Seen, at: Moments) -> Recovery | None:
    if at.decided_at is None:
        return None
    log, prices = seen.incident_log, seen.known_prices
    return Recovery.of(log, decided_at=at.decided_at, models=seen.models, known_prices=prices)


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else end - start


def _breached(decision: Mapping[str, Any]) -> list[str]:
    return sorted(name for name, figures in decision["figures"].items() if figures["verdict"] == "breached")


def _planned(decision: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    return decision["plan"]["alternatives"] if decision else ()


def _alternative(item: Mapping[str, Any], judged: str) -> dict[str, Any]:
    """Return what a reader wants to know of an alternative of a plan on record."""
    names = ("level", "scope", "verdict", "reason", "divergence", "bad_divergence", "tolerance", "n", "target")
    return {**{name: item[name] for name in names}, "judged": judged}
