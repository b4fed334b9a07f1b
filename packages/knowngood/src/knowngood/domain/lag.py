"""
Lag: whether the record of a system is behind what its replicas stand on, as after an older copy of it was put back.

A record that keeps up is never behind: what is minted or advanced is on record before anybody can read it.
"""

from dataclasses import replace

from knowngood.domain.fleet import FleetState
from knowngood_sdk.model.route import FleetRoute

__all__ = ["lag_between"]


def lag_between(state: FleetState, known: FleetRoute) -> str:
    """
    Say how far the record is behind; empty where what it has under watch is what the replicas have.

    Args:
        state: The record, read after what the replicas know.
        known: The furthest route that was published, or that a replica stands on.
    """
    row = state.row
    if known.generation > row.generation:
        return f"they stand on generation {known.generation}, the record ends at {row.generation}"
    if known.generation == row.generation and known > row and replace(state, row=known).watched != state.watched:
        return f"they are further on in generation {row.generation} than the record"
    return ""
