"""
Rotation: which replicas a balancer sends requests to, and how few of them there may be.

A sick replica is better off without requests, and they without it; but a fleet that holds out one replica after the
other ends with one that gets everything. So at least half of the live replicas stay in, whatever is known against them.
"""

__all__ = ["may_leave", "must_return"]


def may_leave(replica: str, live: frozenset[str], held_out: frozenset[str]) -> bool:
    """
    Tell whether a replica may leave the balancer.

    Args:
        replica: Its name; one that does not run has nothing to leave.
        live: Names of the replicas that run.
        held_out: Names of those that left it already, whether they run or not.

    Returns:
        Whether at least half of the live ones are left in it then.
    """
    return replica in live and _enough(live, held_out | {replica})


def must_return(live: frozenset[str], held_out: frozenset[str]) -> frozenset[str]:
    """Return those that have to be let in again, because others died since and fewer than half are left."""
    out = sorted(held_out & live)
    return frozenset(out[len(live) // 2 :])


def _enough(live: frozenset[str], held_out: frozenset[str]) -> bool:
    return 2 * len(live - held_out) >= len(live)
