"""
Care: what the control plane does for replicas that fell ill alone, or that stayed outside (rules 13 and 19).

The same as ``knowngood.control.sick`` and ``knowngood.control.reissue`` do, as steps of a task.
"""

from collections.abc import Iterator
from dataclasses import replace

from knowngood.domain.incident import Incident
from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.world import Task, World, live, open_sagas
from knowngood_sdk.errors import ConflictError, RefusedError
from knowngood_sdk.model.route import LocalTrip
from knowngood_sdk.model.wire import ReplicaReport

__all__ = ["care", "mint_again", "reports_of", "sick", "unverified", "vouch", "wants_care", "wants_reissue"]


def reports_of(world: World) -> dict[str, ReplicaReport]:
    """Return the last reports of the live replicas."""
    return {name: world.reports[name] for name in live(world) if name in world.reports}


def sick(world: World) -> frozenset[LocalTrip]:
    """Return what lone sick replicas left of which something is heard."""
    if not world.store.local:
        return frozenset()
    living = frozenset(live(world))
    heard = living & world.reports.keys()
    return frozenset(trip for trip in world.rules.lone(world.store, living) if trip.replica in heard)


def unverified(world: World) -> Iterator[Incident]:
    """Return the incidents whose replica is not verified, and of whose trip nobody has made anything."""
    left = sick(world)
    return (incident for trip, incident in world.incidents.items() if trip in left and not incident.verified)


def wants_care(world: World) -> bool:
    """Tell whether anything is to be done for the sick."""
    left = sick(world)
    if left - world.incidents.keys():
        return True
    reports = reports_of(world)
    ill = [one for one in world.incidents.values() if one.trip in left and not one.verified]
    if any(one.trip.replica in reports and world.rules.well(one, reports[one.trip.replica]) for one in ill):
        return True
    back, out = _moves(world, frozenset(one.trip.replica for one in ill))
    return bool(back or out)


def wants_reissue(world: World) -> bool:
    """Tell whether what is served would be minted again now."""
    try:
        _check(world)
    except (ConflictError, RefusedError):
        return False
    return True


def care(world: World, task: Task, _: str = "") -> Task:
    """Put the sick on record, verify them, and bring the balancer to where it should be."""
    left = sick(world)
    for trip in sorted(left):
        incident = world.rules.opened(trip, world.reports[trip.replica].crew, world.incidents)
        if incident is not None:
            world.enter(task)
            if trip in world.oracle.sick:
                raise broken(Promise.SICK, f"that {trip.replica} is sick comes on record a second time")
            world.incidents[trip] = incident
            world.oracle.sick[trip] = next(iter(incident.crew), "")
            world.note(f"{trip.replica} is sick")
    reports = reports_of(world)
    for trip in sorted(left & world.incidents.keys()):
        incident = world.incidents[trip]
        if not incident.verified and trip.replica in reports and world.rules.well(incident, reports[trip.replica]):
            world.enter(task)
            _judge_well(world, trip, reports[trip.replica])
            _verify(world, trip)
    _balance(world)
    return task


def vouch(world: World, replica: str) -> None:
    """Let a person say that a sick replica is well."""
    for incident in list(unverified(world)):
        if incident.trip.replica == replica:
            _verify(world, incident.trip)


def mint_again(world: World, task: Task, _: str = "") -> Task | None:
    """Mint again what is served: a person's wish, or where nothing speaks against it."""
    asked = task.kind != "reconcile"
    try:
        who = world.rules.outside(world.store, reports_of(world)) if asked else _check(world)
        after = world.rules.reissue(world.store, who)
    except (ConflictError, RefusedError) as error:
        world.note(f"nothing is minted again: {error.message}")
        return None if asked else task
    world.commit("reissue", after, (), task)
    return task


def _check(world: World) -> dict[str, str]:
    who = world.rules.outside(world.store, reports_of(world))
    if not who or next(open_sagas(world), None) is not None or not world.rules.reissues():
        raise ConflictError("nobody is outside, or a rollback is under way")
    verified = [trip for trip, incident in world.incidents.items() if incident.verified]
    world.rules.check_settled(world.store, frozenset(live(world)), verified)
    world.rules.reissue(world.store, who)
    return dict(who)


def _verify(world: World, trip: LocalTrip) -> None:
    world.incidents[trip] = replace(world.incidents[trip], verified=True)
    world.oracle.well.add(trip)
    world.note(f"{trip.replica} is verified again")


def _judge_well(world: World, trip: LocalTrip, report: ReplicaReport) -> None:
    crew, earlier = world.oracle.sick[trip], [other for other in world.oracle.well if other != trip]
    again = any((other.replica, other.version) == (trip.replica, trip.version) for other in earlier)
    if again or crew in report.crew or trip.version not in report.ready:
        raise broken(
            Promise.SICK,
            f"{trip.replica} counts as well: its workers were {crew!r} and are {set(report.crew)}, ready is"
            f" {sorted(report.ready)}{', and it is not the first time' if again else ''}",
        )


def _moves(world: World, ill: frozenset[str]) -> tuple[frozenset[str], list[str]]:
    """Return who is to be let into the balancer again, and who may leave it."""
    living, out = frozenset(live(world)), world.held_out
    back = (out - ill) | world.rules.must_return(living, out & ill)
    left = out - back
    leaving = []
    for replica in sorted(ill - out):
        if world.rules.may_leave(replica, living, left):
            left |= {replica}
            leaving.append(replica)
    return back, leaving


def _balance(world: World) -> None:
    ill = frozenset(incident.trip.replica for incident in unverified(world))
    back, leaving = _moves(world, ill)
    world.held_out = (world.held_out - back) | frozenset(leaving)
    living = frozenset(live(world))
    if 2 * len(living & world.held_out) > len(living):
        raise broken(Promise.FLOOR, f"of {sorted(living)} are held out {sorted(world.held_out)}")
    alone = world.oracle.alone(world.store, living) & world.incidents.keys()
    staying = sorted({t.replica for t in alone - world.oracle.well if t.replica in living} - world.held_out)
    if staying and 2 * (len(living & world.held_out) + 1) <= len(living) and not back & set(staying):
        raise broken(Promise.SICK, f"{staying} is sick alone and stays in the balancer")
    if world.held_out - ill:
        raise broken(Promise.SICK, f"{sorted(world.held_out - ill)} is well and stays out of the balancer")
