"""
Reissue: mint again what is served, so that replicas that stayed outside come in (rule 19).

A replica stays outside where its deployer had not seen what it knows, or deeper in the chain than the fleet where what
it passed over is ready by now. Inside a generation it never climbs, so only a new one brings it back: of the same
version, by a deployer that has seen everything.
"""

from collections.abc import Collection, Mapping
from dataclasses import replace

from knowngood.domain.fleet import MAX_CHAIN, FleetState, lone, undecided, widened
from knowngood_sdk.errors import ConflictError, RefusedError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import FULL, FleetRoute, Generation, LocalTrip, ReplicaState, served_position
from knowngood_sdk.model.wire import ReplicaReport

__all__ = ["check_settled", "outside", "reissue"]


def outside(state: FleetState, reports: Mapping[str, ReplicaReport]) -> dict[str, str]:
    """
    Return the replicas that a reissue would bring in, each with why it is outside.

    One whose own evidence is not on record yet is left out: a new generation would not have seen it either.

    Args:
        state: The state.
        reports: The last reports of the live replicas.
    """
    found = {name: _outside(state, report) for name, report in sorted(reports.items())}
    return {name: why for name, why in found.items() if why}


def reissue(state: FleetState, who: Mapping[str, str], *, above: int = 0) -> FleetState:
    """
    Mint a generation of what is served, which takes all traffic at once, for it has it already.

    Args:
        state: The state; the store commits only if it is still exactly that.
        who: Live replicas that this brings in; see ``outside``.
        above: A generation that replicas know; see ``knowngood.domain.fleet.mint``.

    Raises:
        RefusedError: What is served is in quarantine.
        ConflictError: A deployment is under way, no version is served, or there is nobody to bring in and nothing that
            the present generation has not seen.
    """
    served = state.served
    if state.candidate is not None:
        raise ConflictError(
            f"version {short(state.candidate)} is still being deployed (generation {state.row.generation})",
            hint="Give it all traffic: kg deploy SYSTEM --promote; or give it up: kg deploy SYSTEM --abandon",
        )
    if not state.row.generation or served is None:
        raise ConflictError("no version is served", hint="Deploy one, or release one by name and deploy it")
    quarantined = state.facts.quarantined
    if served in quarantined:
        raise RefusedError(f"version {short(served)} is in quarantine", hint="Leave it: kg rollback SYSTEM")
    generation = state.generations[state.row.generation]
    if not who and not quarantined - generation.saw_quarantine and not state.local - generation.saw_local:
        raise ConflictError(
            f"every replica can be where the fleet is, on generation {generation.number}", hint="There is nothing to do"
        )
    tail = state.chain[served_position(state.row.step, state.row.split) :]
    chain = tuple(version for version in tail if version not in quarantined)[:MAX_CHAIN]
    number = max(above, *state.generations) + 1
    minted = Generation(number=number, chain=chain, saw_quarantine=quarantined, saw_local=state.local)
    return replace(state, row=FleetRoute(number, 0, FULL), generations={**state.generations, number: minted})


def check_settled(state: FleetState, live: frozenset[str], verified: Collection[LocalTrip]) -> None:
    """
    Check that nothing speaks against a reissue that nobody asked for.

    A new generation is minted with all local trips seen, so each of them must have been made something of before:
    enough of them move the fleet, and a lone sick replica is verified first.

    Args:
        state: The state.
        live: Names of the replicas that serve now.
        verified: Local trips of replicas that were verified since.

    Raises:
        ConflictError: Something is not settled; says what.
    """
    agreed = widened(state, live)
    if agreed:
        names = ", ".join(short(version) for version in agreed)
        raise ConflictError(f"so many replicas left {names} that the fleet has to leave it first")
    sick = (lone(state, live) if live else undecided(state)) - frozenset(verified)
    if sick:
        names = ", ".join(sorted({trip.replica for trip in sick}))
        raise ConflictError(f"not verified since it left a version on its own evidence: {names}")


def _outside(state: FleetState, report: ReplicaReport) -> str:
    """Return why a replica is outside and could come in; empty when it is inside, or could not."""
    here, row = report.state, state.row
    if here.facts.trips.keys() - state.facts.trips.keys() or here.local - state.local:
        return ""
    if here.fleet.generation == row.generation:
        back = state.served in report.ready
        return f"stands at step {here.latched}, the fleet at {row.step}" if here.latched > row.step and back else ""
    return _unseen(state, here) if 0 < here.fleet.generation < row.generation else ""


def _unseen(state: FleetState, here: ReplicaState) -> str:
    generation = state.generations[state.row.generation]
    in_force = frozenset(
        trip.version for uid, trip in here.facts.trips.items() if uid not in here.facts.released | state.facts.released
    )
    unseen = in_force - generation.saw_quarantine
    if unseen:
        return f"knows that {', '.join(sorted(short(version) for version in unseen))} was left"
    mine = here.local - generation.saw_local
    return f"left {', '.join(sorted(short(trip.version) for trip in mine))} on its own evidence" if mine else ""
