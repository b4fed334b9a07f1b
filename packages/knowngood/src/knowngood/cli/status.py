"""``kg status``: what serves where. Reads files alone: no database layer, so that it answers at once."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.cli.completion import systems
from knowngood.cli.console import GIVEN, answer, columns, directory_option, mark, named_system, output_option
from knowngood.ports.traffic import Replica
from knowngood_sdk.errors import KnownGoodError, NotFoundError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, live_positions, served_position, step_of
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.disk import read_json
from knowngood_sdk.serving.folder import check_format

_SHOWN = 3
"""Versions in quarantine that are named, of those that were left last."""


@click.command(epilog="Example:  kg status pricing --watch")
@click.argument("system", required=False, type=GIVEN, shell_complete=systems, callback=named_system)
@click.option("--watch", is_flag=True, help="Show it again each second, until Ctrl-C; as JSON, one document a line.")
@directory_option
@output_option
def command(system: str | None, *, watch: bool, directory: str, output: str) -> None:
    """Show what SYSTEM serves on each replica, and where a trip leads to. Without SYSTEM: all of them."""
    folder = Path(directory).absolute()
    check_format(folder)
    while True:
        if watch and output == "text":
            click.clear()
        _show([_status(folder, name) for name in _systems(folder, system)], output, one_of_many=watch)
        if not watch:
            return
        _wait()


def _show(documents: list[dict[str, Any]], output: str, *, one_of_many: bool) -> None:
    lines = (line for one in documents for line in _lines(one))
    answer({"systems": documents}, output, lambda: lines, one_of_many=one_of_many)


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


def _status(folder: Path, system: str) -> dict[str, Any]:
    traffic = FolderTraffic(folder)
    document = traffic.published(system) or RouteDocument(system=system)
    generation = document.generations.get(document.route.generation)
    chain = generation.chain if generation else ()
    route = _in_force(document, chain)
    serving = [chain[i] if i < len(chain) else None for i in live_positions(route.step, route.split)]
    replicas = traffic.replicas(system)
    return {
        "system": system,
        "generation": route.generation,
        "serving": serving if generation else [None],
        "split": route.split / FULL,
        "chain": list(chain),
        "trip_leads_to": _behind(document.facts, route, chain),
        "static_fallback": _declares_fallback(folder / "systems" / system / "system.json"),
        "left": _left(document, chain),
        "not_on_record": _not_on_record(document, route, chain, replicas.values()),
        "quarantined": _newest_first(document.facts),
        "ledger": {"count": document.anchor[0], "head": document.anchor[1]},
        "replicas": [_replica(replica) for _, replica in sorted(replicas.items())],
    }


def _in_force(document: RouteDocument, chain: tuple[str, ...]) -> FleetRoute:
    """Return the published route at the step that it means with the published facts, as the replicas read it."""
    return replace(document.route, step=step_of(chain, document.route, document.facts.quarantined))


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


def _newest_first(facts: Facts) -> list[str]:
    """Return the versions in quarantine, those that were left last first."""
    held = [trip for uid, trip in facts.trips.items() if uid not in facts.released]
    held.sort(key=lambda trip: (trip.at, trip.uid), reverse=True)
    return list(dict.fromkeys(trip.version for trip in held))


def _replica(replica: Replica) -> dict[str, Any]:
    state = replica.report.state
    chain = state.chain
    return {
        "replica": replica.name,
        "agent": replica.agent_alive,
        "workers": replica.workers_alive,
        "generation": state.fleet.generation,
        "step": state.latched,
        "serves": [chain[i] if i < len(chain) else None for i in state.positions] if chain else [None],
        "ready": sorted(replica.report.ready),
        "left": sorted(trip.version for trip in state.local),
        "failed": dict(replica.report.failed),
        "refusal": replica.report.refusal.reason if replica.report.refusal else None,
        "trouble": replica.trouble,
    }


def _declares_fallback(rules: Path) -> bool | None:
    """Tell whether a system's rules declare a static fallback; None where they cannot be read."""
    try:
        document = read_json(rules)
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


def _lines(status: dict[str, Any]) -> Iterator[str]:
    system, behind = status["system"], status["trip_leads_to"]
    names = " and ".join(_named(version) for version in status["serving"])
    share = f" ({status['split'] * 100:g}% to the candidate)" if len(status["serving"]) > 1 else ""
    yield f"{click.style(system, bold=True)} serves {names}{share}, generation {status['generation']}"
    if not status["generation"]:
        yield f"  nothing is deployed yet: kg deploy {system}"
    elif status["serving"] == [None]:
        yield f"  no version is left to serve; deploy one that is not in quarantine: kg deploy {system}"
    elif behind is None and status["static_fallback"] is False:
        yield "  a trip leads to: nothing, for no static fallback is declared"
    else:
        yield f"  a trip leads to: {_named(behind)}; whether that is safe: kg plan {system}"
    if status["left"]:
        yield f"  a rollback that left {_shorts(status['left'])} led here; its verification: kg history {system}"
    if status["not_on_record"]:
        yield f"  {mark('warning')} left, and not on record yet: {_shorts(status['not_on_record'])}"
        yield f"    to record it, and to verify what serves: kg rollback {system}, or kg watch {system}"
    if status["quarantined"]:
        newest, older = status["quarantined"][:_SHOWN], status["quarantined"][_SHOWN:]
        more = f" and {len(older)} more: kg quarantine list {system}" if older else ""
        yield f"  {mark('warning')} in quarantine: {_shorts(newest)}{more}"
    warnings = {replica["replica"]: list(_warnings(system, replica, behind)) for replica in status["replicas"]}
    rows = [_row(replica, well=not warnings[replica["replica"]]) for replica in status["replicas"]]
    if rows:
        yield from (f"  {line}" for line in columns(rows, ("", "replica", "serves", "workers", "agent")))
    else:
        yield f"  {mark('warning')} no replica has joined: start its server, and beside it: kg agent {system}"
    yield from (f"  {mark('warning')} {name}: {warning}" for name, found in warnings.items() for warning in found)


def _row(replica: dict[str, Any], *, well: bool) -> tuple[str, ...]:
    serves = " and ".join(_named(version) for version in replica["serves"])
    return (
        mark("good" if well else "bad"),
        replica["replica"],
        serves if replica["workers"] else "nothing",
        str(replica["workers"]),
        "runs" if replica["agent"] else "gone",
    )


def _warnings(system: str, replica: dict[str, Any], behind: str | None) -> Iterator[str]:
    """Say what is wrong on a replica, and what to do."""
    if not replica["workers"]:
        yield "no live worker, so it answers nobody: start its server"
    if not replica["agent"]:
        start = f"kg agent {system} --replica {replica['replica']}"
        yield f"no live agent, so nothing can be deployed on it: {start}"
    yield from (problem for problem in (replica["refusal"], replica["trouble"]) if problem)
    yield from (f"left {short(version)} on its own evidence" for version in replica["left"])
    yield from (f"{short(version)} failed: {reason}" for version, reason in replica["failed"].items())
    if replica["workers"] and behind is not None and behind not in replica["ready"]:
        yield f"{short(behind)}, which a trip leads to, is not ready here"


def _shorts(versions: Iterable[str]) -> str:
    return ", ".join(map(short, versions))


def _named(version: str | None) -> str:
    return short(version) if version else "the static fallback"


def _wait() -> None:
    from threading import Event

    Event().wait(1)
