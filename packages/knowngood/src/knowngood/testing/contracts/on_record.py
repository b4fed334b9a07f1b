"""On record: what the contract of the store writes, and a walk through all that a route may be."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from itertools import count
from typing import Any

from knowngood.domain import fleet
from knowngood.domain.deployment import Deployment, Strategy
from knowngood.domain.evidence import Grade
from knowngood.domain.fleet import FleetState
from knowngood.domain.ledger import Entry
from knowngood.domain.saga import Saga
from knowngood.ports.store import Change
from knowngood_sdk.errors import KnownGoodError
from knowngood_sdk.model.counts import Sums, VersionCounts
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, Facts, LocalTrip, Trip

__all__ = [
    "AT",
    "SYSTEM",
    "a_deployment",
    "a_saga",
    "digest",
    "manifest",
    "minted_in",
    "noted",
    "one_more",
    "states",
    "version_count",
    "write_everything",
]

SYSTEM = "pricing"
AT = "2026-01-01T18:00:00.000Z"
_COUNTED = "counted"


def digest(text: str) -> str:
    """Return a digest that is told by a text."""
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def manifest(content: str, *, intent: str = "", system: str = SYSTEM) -> Manifest:
    """Return a manifest whose content is told by a text."""
    model = Component(role=Role.MODEL, kind="files", ref=Ref(digest=digest(content)))
    return Manifest(system=system, components={"model": model}, intent=Intent(text=intent))


def one_more(change: Change, actor: str = "somebody") -> int:
    """Count one up in the route and say so in the ledger; what a torn change would leave behind shows in either."""
    counted = version_count(change.state) + 1
    change.save(replace(change.state, episodes={**change.state.episodes, _COUNTED: counted}))
    return change.append("counted", actor, AT, {"counted": counted}).sequence


def noted(change: Change) -> Entry:
    """Append an entry, as whatever is saved needs one."""
    return change.append("noted", "ann", AT, {})


def version_count(state: FleetState) -> int:
    """Return how often ``one_more`` was called."""
    return state.episodes.get(_COUNTED, 0)


def states(seed: int, length: int = 25) -> Iterator[FleetState]:
    """Walk at random through what the rules of the route allow."""
    rng = random.Random(seed)
    state, uids = FleetState(), count()
    for _ in range(length):
        version = digest(str(rng.randrange(6)))
        fact = Trip(
            uid=f"trip-{next(uids)}",
            version=version,
            generation=state.row.generation,
            source="person",
            at=AT,
            why="bad",
        )
        local = LocalTrip(f"replica-{rng.randrange(3)}", state.row.generation, version)
        moves: list[Callable[[FleetState], FleetState]] = [
            lambda s, v=version: fleet.mint(s, v, ready=frozenset({v}), static_fallback=True),  # type: ignore[misc]
            lambda s: fleet.advance(s, rng.choice([100, 1_000, FULL]), refusing={}, unready={}),
            fleet.abandon,
            lambda s, t=fact: fleet.trip(s, t)[0],  # type: ignore[misc]
            lambda s, t=local: fleet.merge(s, Facts(), frozenset({t}))[0],  # type: ignore[misc]
            lambda s: fleet.release(s, frozenset(s.facts.trips)),
            # A replica may know of a release whose trip the store has not heard of.
            lambda s, u=fact.uid: fleet.merge(s, Facts(released=frozenset({f"{u}-elsewhere"})))[0],  # type: ignore[misc]
        ]
        with suppress(KnownGoodError):
            state = rng.choice(moves)(state)
            yield state


def minted_in(change: Change, *versions: str) -> None:
    """Deploy versions one after the other, each to all traffic."""
    state = change.state
    for version in versions:
        state = fleet.mint(state, version, ready=frozenset(), static_fallback=True)
        state = fleet.advance(state, FULL, refusing={}, unready={})
    change.save(state)


def a_deployment(generation: int, **changes: Any) -> Deployment:
    """Return a canary with a baseline, or one that differs from it."""
    counts = VersionCounts(requests=7, latency={-3: 4}, predictions=Sums(3, 0.1 + 0.2, 1e17), subjects=(1, 2**64 - 1))
    deployment = Deployment(
        system=SYSTEM,
        generation=generation,
        version=digest("new"),
        manifest=manifest("new").digest,
        strategy=Strategy.CANARY,
        split=1_000,
        actor="Ada Okonkwo-Ünal",
        started_at=AT,
        baseline={digest("old"): counts},
    )
    return replace(deployment, **changes)


def a_saga(episode: int = 1, **changes: Any) -> Saga:
    """Return a rollback that has just begun, or one that differs from it."""
    saga = Saga(
        id=f"rb:{SYSTEM}:{digest('new')}:{episode}",
        system=SYSTEM,
        version=digest("new"),
        episode=episode,
        target=digest("old"),
        generation=2,
        started_at=AT,
    )
    return replace(saga, **changes)


def write_everything(change: Change) -> None:
    """Write something of all that there is to write; each call adds to it."""
    number = len(change.state.generations) + 1
    minted_in(change, digest(f"new {number}"))
    bad = Trip(uid=f"t-{number}", version=digest("bad"), generation=number, source="person", at=AT, why="bad")
    local = LocalTrip("replica-1", number, digest("bad"))
    state, _ = fleet.merge(change.state, Facts({bad.uid: bad}, frozenset({bad.uid})), frozenset({local}))
    change.save(fleet.release(state, frozenset({bad.uid})) if number > 1 else state)
    one_more(change)
    change.save_system({"system": "changed"})
    change.record_manifest(manifest(f"new {number}"), AT)
    change.add_evidence(digest("new"), Grade.ARMED, AT, {"load_seconds": [1.5]})
    change.save_deployment(a_deployment(number))
    change.save_saga(a_saga(number))
