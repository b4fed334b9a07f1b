"""
Status: what serves where, read from what replicas read and say.

No database layer is imported here, and none is asked: it answers at once, also while the store is gone.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from knowngood.adapters.folder.presence import server_of
from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.ports.traffic import Replica, Traffic
from knowngood.ports.verbs import Document
from knowngood_sdk.errors import KnownGoodError, NotFoundError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, live_positions, served_position, step_of
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.disk import read_json
from knowngood_sdk.serving.folder import check_format

__all__ = ["folder_status", "status"]


def folder_status(directory: str | Path, system: str | None = None) -> Document:
    """
    Tell what a system of a working folder serves on each replica of this host, or what all of them do.

    Reads files alone. ``server`` says where the server answers that knows the replicas of other hosts: see
    ``server_of``.

    Raises:
        NotFoundError: There is no such system, or none at all.
        NewerFormatError: The folder is of a newer format.
    """
    folder = Path(directory).absolute()
    check_format(folder)
    traffic = FolderTraffic(folder)
    names = _systems(folder, system)
    systems = [status(traffic, name, _declares_fallback(folder, name)) for name in names]
    return {"systems": systems, "server": server_of(folder)}


def status(traffic: Traffic, system: str, static_fallback: bool | None) -> Document:  # noqa: FBT001 - a plain value
    """
    Tell what a system serves on each replica, and where a trip leads to.

    Args:
        traffic: The replicas.
        system: Name of the system.
        static_fallback: Whether its rules declare a static fallback; None where they cannot be read.
    """
    replicas = traffic.replicas(system)  # before what they read, so that none is ahead of it but where that was lost
    document = traffic.published(system) or RouteDocument(system=system)
    generation = document.generations.get(document.route.generation)
    chain = generation.chain if generation else ()
    route = _in_force(document, chain)
    serving = [chain[i] if i < len(chain) else None for i in live_positions(route.step, route.split)]
    return {
        "system": system,
        "generation": route.generation,
        "serving": serving if generation else [None],
        "split": route.split / FULL,
        "chain": list(chain),
        "deploying": _deploying(document, chain),
        "trip_leads_to": _behind(document.facts, route, chain),
        "static_fallback": static_fallback,
        "left": _left(document, chain),
        "record_behind": _record_behind(document, replicas.values()),
        "not_on_record": _not_on_record(document, route, chain, replicas.values()),
        "quarantined": _newest_first(document.facts),
        "ledger": {"count": document.anchor[0], "head": document.anchor[1]},
        "replicas": [_replica(replica) for _, replica in sorted(replicas.items())],
    }


def _systems(folder: Path, system: str | None) -> list[str]:
    known = sorted(path.parent.name for path in folder.glob("systems/*/route.json"))
    if not known:
        raise NotFoundError(
            f"there is no system in {folder}",
            hint="Name another folder with --dir or KNOWNGOOD_DIR; to begin one here: "
            "kg init SYSTEM, then kg apply SYSTEM.yaml",
        )
    if system is None:
        return known
    if system not in known:
        from knowngood.domain.spelling import did_you_mean

        raise NotFoundError(
            f"there is no system {system!r} in {folder}",
            hint=f"{did_you_mean(system, known)}. Another folder is named with --dir or KNOWNGOOD_DIR",
        )
    return [system]


def _in_force(document: RouteDocument, chain: tuple[str, ...]) -> FleetRoute:
    """Return the published route at the step that it means with the published facts, as the replicas read it."""
    return replace(document.route, step=step_of(chain, document.route, document.facts.quarantined))


def _deploying(document: RouteDocument, chain: tuple[str, ...]) -> str | None:
    """Return the version that is being deployed and serves nobody yet: being loaded, or minted without traffic."""
    loading = next((version for version in document.prepare if version not in chain), None)
    waiting = bool(chain) and (document.route.step, document.route.split) == (0, 0)
    return loading or (chain[0] if waiting else None)


def _left(document: RouteDocument, chain: tuple[str, ...]) -> list[str]:
    """Return what the fleet has left in this generation, on record; a candidate that was given up is not among it."""
    route, trips = document.route, document.facts.trips.values()
    tripped = {trip.version for trip in trips if trip.generation == route.generation}
    return [version for version in chain[: route.step] if version in tripped]


def _not_on_record(
    document: RouteDocument, route: FleetRoute, chain: tuple[str, ...], replicas: Iterable[Replica]
) -> list[str]:
    """
    Return versions that were left although the record does not say so: the glass was broken, or a command was killed.

    What is recorded moves the published route, so facts that mean a further step than it has are not on record; nor
    are those that a replica knows and the document does not.
    """
    facts = document.facts
    left = {version for version in chain[document.route.step : route.step] if version in facts.quarantined}
    for replica in replicas:
        known = replica.report.state.facts
        left |= {known.trips[uid].version for uid in known.trips.keys() - facts.trips.keys() - known.released}
    return sorted(left)


def _record_behind(document: RouteDocument, replicas: Iterable[Replica]) -> Document | None:
    """
    Return the generation that replicas stand on and the one at which the record ends; None where it keeps up.

    Whoever publishes says that the record is behind what is published. Where that was lost with it, a replica shows it.
    """
    published = document.route.generation
    known = max((published, *(one.report.state.fleet.generation for one in replicas if one.alive)))
    ends = published if document.recorded is None else document.recorded
    return {"known": known, "recorded": ends} if ends < known else None


def _newest_first(facts: Facts) -> list[str]:
    """Return the versions in quarantine, those that were left last first."""
    held = [trip for uid, trip in facts.trips.items() if uid not in facts.released]
    held.sort(key=lambda trip: (trip.at, trip.uid), reverse=True)
    return list(dict.fromkeys(trip.version for trip in held))


def _replica(replica: Replica) -> Document:
    state = replica.report.state
    chain = state.chain
    return {
        "replica": replica.name,
        "agent": replica.agent_alive,
        "workers": replica.workers_alive,
        "workers_unheard": replica.workers_unheard,
        "seen_at": replica.seen_at.isoformat(timespec="seconds") if replica.seen_at else None,
        "generation": state.fleet.generation,
        "step": state.latched,
        "serves": [chain[i] if i < len(chain) else None for i in state.positions] if chain else [None],
        "ready": sorted(replica.report.ready),
        "left": sorted(trip.version for trip in state.local),
        "failed": dict(replica.report.failed),
        "refusal": replica.report.refusal.reason if replica.report.refusal else None,
        "trouble": replica.trouble,
    }


def _declares_fallback(folder: Path, system: str) -> bool | None:
    """Tell whether a system's rules declare a static fallback; None where they cannot be read."""
    try:
        document = read_json(folder / "systems" / system / "system.json")
    except KnownGoodError:
        # What serves is not in there, and it is what the reader of a status needs first.
        return None
    return document.get("fallback") is not None if isinstance(document, dict) else None


def _behind(facts: Facts, route: FleetRoute, chain: tuple[str, ...]) -> str | None:
    """
    Return the version that leaving the one under watch would lead to; None means the static fallback.

    As the replicas decide it (rule 5): what stands next, whether it was ever verified or not.
    """
    leaving = live_positions(route.step, route.split)[0]
    bad = facts.quarantined | set(chain[leaving : leaving + 1])
    after = served_position(step_of(chain, route, bad), route.split)
    return chain[after] if after < len(chain) else None
