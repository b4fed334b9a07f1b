"""
Lag: nothing is left, planned or judged by a record that is behind the replicas.

What such a record takes for live, no replica serves: to leave it would bar a version that did nothing, and what really
serves would serve on. Breaking the glass goes by what replicas say, and a deployment stands above all that they know.
"""

from knowngood.control.plane import Plane
from knowngood.control.publish import published
from knowngood.domain.fleet import FleetState
from knowngood.domain.lag import lag_between
from knowngood_sdk.errors import ConflictError, NotFoundError
from knowngood_sdk.model.route import FleetRoute

__all__ = ["check_keeps_up", "known_route", "lag_of"]


def known_route(plane: Plane, system: str) -> FleetRoute:
    """Return the furthest route that is published or that a replica stands on; of those that run, if any does."""
    replicas = plane.traffic.replicas(system).values()
    running = [replica for replica in replicas if replica.alive] or replicas
    return max((published(plane, system).route, *(replica.report.state.fleet for replica in running)))


def lag_of(system: str, state: FleetState, known: FleetRoute) -> str:
    """
    Say in a sentence that the record of a system is behind its replicas; empty where it is not.

    Args:
        system: Name of the system.
        state: The record, read after ``known``: what is minted in between is on record first.
        known: See ``known_route``.
    """
    lag = lag_between(state, known)
    return f"the record of {system} is behind its replicas: {lag} (an older copy was put back?)" if lag else ""


def check_keeps_up(system: str, state: FleetState, known: FleetRoute) -> None:
    """
    Check that a record is not behind the replicas.

    Args:
        system: Name of the system.
        state: The record, read after ``known``.
        known: See ``known_route``.

    Raises:
        ConflictError: It is behind.
        NotFoundError: It has no generation at all, and replicas have.
    """
    lag = lag_of(system, state, known)
    if not lag:
        return
    glass = f"To leave at once what replicas say they serve: kg rollback {system} --break-glass"
    if not state.row.generation:
        raise NotFoundError(
            f"system {system} serves no version on this record, and its replicas stand on generation"
            f" {known.generation}",
            hint=f"Their record is another one: ask its server, or move it here with kg backup and kg restore. {glass}",
        )
    raise ConflictError(
        lag,
        hint=f"{glass}. Then put what is to serve above all that they know: kg deploy {system}, or kg reissue {system}"
        " where they serve what the record has for live. If another record is theirs, ask its server (KNOWNGOOD_URL),"
        " or put a newer copy back",
        generation=known.generation,
    )
