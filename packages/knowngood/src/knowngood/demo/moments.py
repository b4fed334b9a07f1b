"""Moments: when what happened in the incident. Pure: made from the riders' log and the product's record."""

from dataclasses import dataclass

from knowngood.demo.figures import first_answer, first_bad_answer, last_answer
from knowngood.demo.record import epoch_of
from knowngood.demo.seen import Seen
from knowngood_sdk.errors import PermanentError

__all__ = ["Moment", "Moments", "moments_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """
    When what happened, in epoch seconds; None for what did not happen.

    Attributes:
        deployed_at: Version 2 had all traffic.
        met_at: The first rider was answered by it.
        breach_at: The first rider was answered with a bad price.
        detected_at: The counts were read that first showed a trigger breached, whatever was decided on them.
        acted_at: The counts were read on which it was decided to leave version 2.
        decided_at: That decision was taken.
        killed_at: The control process was seen dead.
        last_bad_at: The last rider was answered by version 2, before it came again as a canary.
        acknowledged_at: Every replica was seen to have left, durably.
        verified_at: The metrics were back at their baseline, on the stated sample.
    """

    deployed_at: float
    met_at: float
    breach_at: float | None
    detected_at: float | None
    acted_at: float | None
    decided_at: float | None
    killed_at: float | None
    last_bad_at: float
    acknowledged_at: float | None
    verified_at: float | None


@dataclass(frozen=True, slots=True)
class Moment:
    """
    One of them as it is told.

    Attributes:
        at: In epoch seconds.
        what: In words.
        minor: Whether a chart of the whole evening leaves it out, for it lies too close to others there.
    """

    at: float
    what: str
    minor: bool = False


def moments_of(seen: Seen) -> Moments:
    """
    Return the moments of the incident.

    Raises:
        PermanentError: Version 2 answered nobody: then nothing was shown, and the demo has failed.
    """
    bad, record, log = seen.versions["bad"], seen.record, seen.incident_log
    met_at, last_bad_at = first_answer(log, bad), last_answer(log, bad)
    if met_at is None or last_bad_at is None:
        raise PermanentError("version 2 had all traffic and answered no rider", hint="Look: kg demo --keep")
    decisions = record.decisions(bad, 1)
    acting = [decision for decision in decisions if decision["acts"]]
    trips = record.trips(bad)

    def done(name: str) -> float | None:
        step = record.step(bad, 1, name)
        return epoch_of(step["at"]) if step is not None and step["outcome"] == "done" else None

    return Moments(
        deployed_at=seen.incident.deployed_at,
        met_at=met_at,
        breach_at=first_bad_answer(log, bad, seen.known_prices),
        detected_at=epoch_of(decisions[0]["measured_at"]) if decisions else None,
        acted_at=epoch_of(acting[0]["measured_at"]) if acting else None,
        decided_at=epoch_of(trips[0]["at"]) if trips else None,
        killed_at=seen.incident.killed_at,
        last_bad_at=last_bad_at,
        acknowledged_at=done("fan-out"),
        verified_at=done("verify"),
    )
