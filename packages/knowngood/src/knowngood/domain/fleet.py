"""
Fleet: the store's side of the route, as one value per system and pure functions over it.

A store keeps a ``FleetState`` and replaces it in one transaction for each function here; the rule numbers in the
docstrings are those of ``docs/explanation/route.md``. A replica's step is never merged into the fleet's: it is that
replica's affair, only facts travel.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from knowngood_sdk.errors import ConflictError, InvalidError, NotReadyError, RefusedError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import (
    FULL,
    Facts,
    FleetRoute,
    Generation,
    LocalTrip,
    Trip,
    served_position,
    step_of,
)

__all__ = [
    "MAX_CHAIN",
    "Episode",
    "FleetState",
    "abandon",
    "advance",
    "lone",
    "merge",
    "mint",
    "release",
    "trip",
    "undecided",
    "widened",
]

MAX_CHAIN = 3
"""Versions kept for one generation: the candidate, what it replaces, and the one before."""
_FEWEST_VOTERS = 2
_SHARE_OF_VOTERS = 0.2
_NOBODY: frozenset[LocalTrip] = frozenset()


@dataclass(frozen=True, slots=True)
class Episode:
    """One time that a version came into quarantine; each starts exactly one rollback."""

    version: str
    number: int

    def saga(self, system: str) -> str:
        """Return the identity of the rollback that this episode starts (rule 12)."""
        return f"rb:{system}:{self.version}:{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetState:
    """
    What the store knows of one system's route (rule 2).

    Attributes:
        row: The fleet route.
        generations: Every deployment, by number.
        facts: Fleet trips and releases.
        local: Local trips that replicas reported.
        episodes: Version -> how often it came into quarantine.
    """

    row: FleetRoute = FleetRoute()
    generations: Mapping[int, Generation] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)
    local: frozenset[LocalTrip] = frozenset()
    episodes: Mapping[str, int] = field(default_factory=dict)

    @property
    def chain(self) -> tuple[str, ...]:
        """The chain of the current generation; empty before the first deployment."""
        generation = self.generations.get(self.row.generation)
        return generation.chain if generation else ()

    @property
    def served(self) -> str | None:
        """The version that the fleet is meant to stand on; None means the static fallback."""
        position = served_position(self.row.step, self.row.split)
        return self.chain[position] if position < len(self.chain) else None

    @property
    def candidate(self) -> str | None:
        """The version under deployment that does not yet take all traffic, or None."""
        trying = self.row.generation and self.row.step == 0 and self.row.split < FULL
        return self.chain[0] if trying else None

    @property
    def watched(self) -> str | None:
        """What is under watch and what a rollback leaves: the candidate once it takes traffic, else what is served."""
        return self.candidate if self.candidate and self.row.split else self.served

    @property
    def way_back(self) -> str | None:
        """The version that a trip of the served one would lead to; None means the static fallback."""
        return self.behind(self.served) if self.served is not None else None

    def behind(self, version: str) -> str | None:
        """Return the version that a trip of another would lead to; None means the static fallback."""
        step = step_of(self.chain, self.row, self.facts.quarantined | {version})
        position = served_position(step, self.row.split)
        return self.chain[position] if position < len(self.chain) else None


def merge(
    state: FleetState, facts: Facts, local: frozenset[LocalTrip] = frozenset()
) -> tuple[FleetState, tuple[Episode, ...]]:
    """
    Take in what a replica reports (rule 12).

    Its releases are passed over: they come from the store alone, and a forged one would lift a quarantine (rule 1).

    Returns:
        The new state, and the episodes that it starts: one for each version that newly came into quarantine. This is
        the only place where a rollback starts.
    """
    before = state.facts.quarantined
    merged = state.facts.merge(Facts(facts.trips))
    new = sorted(merged.quarantined - before)
    episodes = {**state.episodes, **{version: state.episodes.get(version, 0) + 1 for version in new}}
    row = _fall(state.chain, state.row, merged.quarantined) if state.row.generation else state.row
    after = replace(state, row=row, facts=merged, local=state.local | local, episodes=episodes)
    return after, tuple(Episode(version, episodes[version]) for version in new)


def trip(state: FleetState, fact: Trip) -> tuple[FleetState, tuple[Episode, ...]]:
    """Take a trip by a person or a trigger (rule 14)."""
    return merge(state, Facts({fact.uid: fact}))


def widened(state: FleetState, live: frozenset[str]) -> dict[str, frozenset[str]]:
    """
    Return what the fleet has to leave because so many replicas left it on their own evidence (rule 13).

    A lone sick replica of several moves nobody. A version that the fleet left in this generation before, and that a
    person has released since, is not left again for the same reports.

    Args:
        state: The state, with every local trip that replicas reported.
        live: Names of the replicas that serve now, whether their agents run or not.

    Returns:
        Version -> the replicas that left it, at least ``min(n, max(2, n / 5))`` of n live ones; nothing while none
        lives, for then nobody can say how many a voter stands for.
    """
    if not live:
        return {}
    voters: dict[str, set[str]] = {}
    for reported in undecided(state):
        voters.setdefault(reported.version, set()).add(reported.replica)
    needed = min(len(live), max(_FEWEST_VOTERS, math.ceil(len(live) * _SHARE_OF_VOTERS)))
    return {version: frozenset(names) for version, names in sorted(voters.items()) if len(names) >= needed}


def lone(state: FleetState, live: frozenset[str]) -> frozenset[LocalTrip]:
    """
    Return what replicas left and the fleet keeps, because they are too few: they are the sick ones (rule 13).

    Nobody is sick with what the fleet does not serve and would not fall back to.

    Args:
        state: The state, with every local trip that replicas reported.
        live: Names of the replicas that serve now; while there is none, nobody is known to be alone with it.
    """
    if not live:
        return _NOBODY
    agreed = widened(state, live)
    ahead = set(state.chain[state.row.step :]) - agreed.keys()
    return frozenset(reported for reported in undecided(state) if reported.version in ahead)


def undecided(state: FleetState) -> frozenset[LocalTrip]:
    """
    Return the local trips of which neither a deployment nor the fleet has made anything yet.

    Over are those that the present generation was minted with, and those of versions that the fleet has left: now, or
    in this generation before a person released them.
    """
    generation = state.generations.get(state.row.generation)
    seen = generation.saw_local if generation else _NOBODY
    decided = {t.version for t in state.facts.trips.values() if t.generation == state.row.generation}
    decided |= state.facts.quarantined
    return frozenset(reported for reported in state.local - seen if reported.version not in decided)


def mint(
    state: FleetState, version: str, *, ready: frozenset[str], static_fallback: bool, above: int = 0
) -> FleetState:
    """
    Mint the generation of a deployment (rule 15): the candidate in front, what is served and its way back behind.

    Args:
        state: The state that the deployer read; the store commits only if it is still exactly that.
        version: Content digest of the candidate.
        ready: Versions that are ready on every live replica.
        static_fallback: Whether a static fallback stands past the end of every chain.
        above: A generation that replicas know. After an older copy of the store was put back it is one that the store
            does not; a number that was given before would name two chains.

    Raises:
        RefusedError: The candidate is in quarantine.
        ConflictError: It is served already, or another deployment is under way.
        NotReadyError: Nothing behind it is ready and no static fallback is declared.
    """
    quarantined = state.facts.quarantined
    if version in quarantined:
        raise RefusedError(
            f"version {short(version)} is in quarantine",
            hint="Deploy the fix, which has another digest, or release it: "
            f"kg quarantine release SYSTEM {short(version)} --reason REASON",
            version=version,
        )
    if state.candidate is not None:
        raise ConflictError(
            f"version {short(state.candidate)} is still being deployed (generation {state.row.generation})",
            hint="Give it all traffic: kg deploy SYSTEM --promote; or give it up: kg deploy SYSTEM --abandon",
        )
    if version == state.served:
        raise ConflictError(f"version {short(version)} is served already", hint="There is nothing to deploy")
    tail = state.chain[served_position(state.row.step, state.row.split) :] if state.row.generation else ()
    behind = tuple(v for v in tail if v not in quarantined and v != version)[: MAX_CHAIN - 1]
    if not (static_fallback or any(v in ready for v in behind)):
        raise NotReadyError(
            f"there is no way back from version {short(version)}: no version behind it is ready",
            hint="Declare a static fallback in the system file, or wait until the version that is served is ready",
        )
    number = max(above, *state.generations, 0) + 1
    generation = Generation(number=number, chain=(version, *behind), saw_quarantine=quarantined, saw_local=state.local)
    return replace(state, row=FleetRoute(number, 0, 0), generations={**state.generations, number: generation})


def advance(state: FleetState, split: int, *, refusing: Mapping[str, str], unready: Mapping[str, str]) -> FleetState:
    """
    Give the candidate more traffic (rule 16).

    Args:
        state: The state as read.
        split: New share of the candidate in basis points, above the present one.
        refusing: Live replica -> why it refuses the generation.
        unready: Live replica -> which live slot is not ready there.

    Raises:
        InvalidError: The split is not above the present one, or above ``FULL``.
        ConflictError: The generation stepped back, or a trip came that the deployer has not seen.
        NotReadyError: A live replica refuses or is not ready.
    """
    if not state.row.split < split <= FULL:
        raise InvalidError(f"a split can only rise, from {state.row.split} to {FULL} basis points, not to {split}")
    generation = state.generations.get(state.row.generation)
    if generation is None:
        raise ConflictError("no deployment is under way", hint="Start one: kg deploy SYSTEM")
    if state.row.step > 0:
        raise ConflictError("the deployment stepped back", hint="Look at the decision: kg history SYSTEM")
    unseen = state.facts.quarantined - generation.saw_quarantine
    if unseen or state.local - generation.saw_local:
        names = ", ".join(sorted(short(version) for version in unseen)) or "a local trip"
        raise ConflictError(f"this deployment has not seen a trip ({names})", hint="Deploy again")
    for held_back in (refusing, unready):
        if held_back:
            who = "; ".join(f"{replica}: {reason}" for replica, reason in sorted(held_back.items()))
            raise NotReadyError(f"not every replica can take the candidate: {who}")
    return replace(state, row=FleetRoute(state.row.generation, 0, split))


def abandon(state: FleetState) -> FleetState:
    """
    Give up the deployment under way (rule 17): back to what was live, without trip, quarantine or rollback.

    Raises:
        ConflictError: No deployment is under way.
    """
    if state.candidate is None:
        raise ConflictError(
            "no deployment is under way", hint="To leave the version that is served: kg rollback SYSTEM"
        )
    back = FleetRoute(state.row.generation, 1, state.row.split)
    return replace(state, row=_fall(state.chain, back, state.facts.quarantined))


def release(state: FleetState, shown: frozenset[str]) -> FleetState:
    """
    Release trips by their uids, as a person was shown them (rule 18). Moves nothing.

    Raises:
        InvalidError: A uid is not that of a known trip.
    """
    unknown = sorted(shown - state.facts.trips.keys())
    if unknown:
        raise InvalidError(f"no such trip: {', '.join(unknown)}", hint="List them: kg quarantine list SYSTEM")
    return replace(state, facts=state.facts.merge(Facts(released=shown)))


def _fall(chain: tuple[str, ...], row: FleetRoute, bad: frozenset[str]) -> FleetRoute:
    return FleetRoute(row.generation, max(row.step, step_of(chain, row, bad)), row.split)
