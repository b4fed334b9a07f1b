"""Promises: what must hold, each with a name that a failing run prints."""

from enum import StrEnum

__all__ = ["BrokenPromiseError", "Promise", "broken"]


class Promise(StrEnum):
    """What must hold after every action, or once everything is quiet."""

    LEFT = "no request admitted after an acknowledgement goes to the version left"
    STEP = "a replica's step never falls inside a generation, nor its generation; acknowledged, also across a power cut"
    SPLIT = "a split never falls inside a generation"
    UNSEEN = "a deployment that has not seen a trip never undoes it"
    QUARANTINE = "a quarantined version is not served until it is released by name"
    FORWARD = "a trip is never a move forward: no arm of a split takes over from the other"
    LONE = "a lone local trip stays local: nobody moves without a cause of their own"
    WIDEN = "what enough replicas left on their own evidence the fleet leaves; what one of several left it keeps"
    SKIP = "a version is passed over only where it is bad or not ready, and never while starting"
    ARRIVE = "a generation is taken only where its live versions are ready, and served through all the way"
    PANIC = "a local trip never leaves a replica without a version"
    SHARE = "a candidate takes no traffic before its deployment was advanced, and no more than its share"
    FACTS = "facts that arrive are kept, whatever becomes of the route beside them"
    DURABLE = "an acknowledgement names only what a power cut leaves"
    KNOWN = "the word never names a generation that a restart would not know"
    ROW = "the fleet's row never falls, and moves only for a cause"
    STANDS = "the fleet never stands on a quarantined version"
    RECORD = "what is on record stays on record"
    CHAIN = "a generation starts from what is served, without anything in quarantine, with a way back"
    ADVANCE = "traffic is given only to a deployment that has seen every trip, where every replica can take it"
    ACCUSED = "only an act of leaving puts a version into quarantine"
    SHOWN = "a release lifts what a person was shown, by name, and moves nothing"
    EPISODE = "exactly one rollback for each time that a version comes into quarantine"
    FAILED = "a rollback whose verification fails leaves the version that it led to"
    FORGOTTEN = "no trip is forgotten: what a replica acknowledged comes to be on record"
    CONVERGE = "all live replicas come together once it is quiet"
    SICK = "a lone sick replica is on record once, leaves the balancer, and comes back when it was verified again"
    FLOOR = "at least half of the live replicas stay in the balancer"
    REISSUE = (
        "what is served is minted again only to bring somebody in, and by itself only once all evidence is settled"
    )
    JOIN = "a newcomer starts only from what a peer or the store knows"
    ARMED = "a generation is minted only after its candidate was ready on every live replica"
    SAGA = "a rollback takes its steps one by one, each done before it is on record, and comes to its end"
    LEASE = "who lost a lease changes nothing on record any more"
    WIRE = "what is sent is what arrives"


class BrokenPromiseError(Exception):
    """
    A promise did not hold.

    Attributes:
        promise: Which.
        found: What was seen instead.
    """

    def __init__(self, promise: Promise, found: str) -> None:
        super().__init__(f"{promise.name}: {promise.value}\n    found: {found}")
        self.promise = promise
        self.found = found


def broken(promise: Promise, found: str) -> BrokenPromiseError:
    """Return the error for a promise that did not hold."""
    return BrokenPromiseError(promise, found)
