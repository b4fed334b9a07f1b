"""Replicas: say that a sick one is well again, or mint again what is served so that those outside come in."""

from knowngood.control.plane import Plane
from knowngood.control.reissue import reissue as mint_again
from knowngood.control.sick import verify_replica
from knowngood.ports.verbs import Document

__all__ = ["readmit", "reissue"]


def readmit(plane: Plane, system: str, replica: str, *, why: str, actor: str) -> Document:
    """Close the incidents of a sick replica; whoever looks next lets it into its balancer."""
    closed = verify_replica(plane, system, replica, actor=actor, why=why)
    return {"system": system, "replica": replica, "incidents": [incident.name(system) for incident in closed]}


def reissue(plane: Plane, system: str, *, why: str, actor: str) -> Document:
    """Mint what is served again; what serves stays as it is."""
    return {"system": system, **mint_again(plane, system, actor=actor, why=why).to_json()}
