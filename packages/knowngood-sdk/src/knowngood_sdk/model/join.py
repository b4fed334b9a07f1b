"""
Join: what a newcomer takes from its peers (rule 22).

A replica without file, when the store cannot be reached either, asks the others. From all that answer it takes route
and facts, and from nobody what is that replica's own: its local trips and its latched step. Where nobody answers there
is nothing to start from: it is not ready, or its declared static fallback answers. A table that came with the image is
never used, for an image cannot know of a trip.
"""

from collections.abc import Iterable

from knowngood_sdk.errors import ConflictError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Facts, FleetRoute, Generation, ReplicaState
from knowngood_sdk.model.wire import RouteDocument

__all__ = ["joined"]


def joined(system: str, peers: Iterable[ReplicaState]) -> RouteDocument | None:
    """
    Return what peers know together, as a document that the newcomer takes like any other message (rule 7).

    It is taken as one: a newcomer that took first one answer and then the next could serve for a moment what the
    second one knows to be bad.

    Args:
        system: Name of the system.
        peers: The states of all peers that answered, as they acknowledged them, in any order.

    Returns:
        The furthest route of all and every fact of any; None when no peer has a route to go by.

    Raises:
        ConflictError: Peers name two chains for the newest generation; nobody here can tell which of them is good.
    """
    known = tuple(peers)
    route = max((peer.fleet for peer in known), default=FleetRoute())
    facts = Facts()
    for peer in known:
        facts = facts.merge(peer.facts)
    minted = {peer.generations[route.generation] for peer in known if route.generation in peer.generations}
    if len(minted) > 1:
        chains = " and as ".join(sorted(_chain(generation) for generation in minted))
        raise ConflictError(
            f"peers know generation {route.generation} as {chains}",
            hint="An older copy of the store was put back; deploy again, so that there is a newer one",
        )
    if not minted:
        return None
    return RouteDocument(system=system, route=route, generations={route.generation: minted.pop()}, facts=facts)


def _chain(generation: Generation) -> str:
    return f"[{', '.join(short(version) for version in generation.chain)}]"
