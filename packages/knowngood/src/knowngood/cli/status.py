"""``kg status``: what serves where. Reads files alone: no database layer, so that it answers at once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.cli.completion import systems
from knowngood.cli.console import answer, columns, directory_option, mark, output_option
from knowngood.ports.traffic import Replica
from knowngood_sdk.errors import NotFoundError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import FULL, live_positions
from knowngood_sdk.model.wire import RouteDocument
from knowngood_sdk.serving.folder import check_format


@click.command(epilog="Example:  kg status pricing --watch")
@click.argument("system", required=False, shell_complete=systems)
@click.option("--watch", is_flag=True, help="Show it again each second, until Ctrl-C.")
@directory_option
@output_option
def command(system: str | None, *, watch: bool, directory: str, output: str) -> None:
    """Show what SYSTEM serves on each replica, and what the way back is. Without SYSTEM: all of them."""
    folder = Path(directory)
    check_format(folder)
    while True:
        if watch and output == "text":
            click.clear()
        _show([_status(folder, name) for name in _systems(folder, system)], output)
        if not watch:
            return
        _wait()


def _show(documents: list[dict[str, Any]], output: str) -> None:
    answer({"systems": documents}, output, lambda: [line for one in documents for line in _lines(one)])


def _systems(folder: Path, system: str | None) -> list[str]:
    known = sorted(path.parent.name for path in folder.glob("systems/*/route.json"))
    if system is None:
        if not known:
            raise NotFoundError(f"there is no system in {folder}", hint="Start with: kg init, then kg apply")
        return known
    if system not in known:
        raise NotFoundError(f"there is no system {system} in {folder}", hint=f"Known: {', '.join(known) or 'none'}")
    return [system]


def _status(folder: Path, system: str) -> dict[str, Any]:
    traffic = FolderTraffic(folder)
    document = traffic.published(system) or RouteDocument(system=system)
    generation = document.generations.get(document.route.generation)
    chain = generation.chain if generation else ()
    serving = [chain[i] if i < len(chain) else None for i in live_positions(document.route.step, document.route.split)]
    replicas = traffic.replicas(system)
    return {
        "system": system,
        "generation": document.route.generation,
        "serving": serving if generation else [None],
        "split": document.route.split / FULL,
        "chain": list(chain),
        "quarantined": sorted(document.facts.quarantined),
        "ledger": {"count": document.anchor[0], "head": document.anchor[1]},
        "replicas": [_replica(replica) for _, replica in sorted(replicas.items())],
    }


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


def _lines(status: dict[str, Any]) -> Iterator[str]:
    names = " and ".join(_named(version) for version in status["serving"])
    share = f" ({status['split']:.0%} to the candidate)" if len(status["serving"]) > 1 else ""
    back = [version for version in status["chain"] if version not in status["serving"]]
    ways = [version for version in back if version not in status["quarantined"]]
    yield f"{click.style(status['system'], bold=True)} serves {names}{share}, generation {status['generation']}"
    yield f"  way back: {', '.join(_named(version) for version in ways) or 'the static fallback'}"
    if status["quarantined"]:
        yield f"  {mark('warning')} in quarantine: {', '.join(map(short, status['quarantined']))}"
    rows = [_row(replica, ways) for replica in status["replicas"]]
    if rows:
        yield from (f"  {line}" for line in columns(rows, ("", "replica", "serves", "workers", "agent", "note")))
    else:
        yield f"  {mark('warning')} no replica has joined: start its servers, and kg agent {status['system']}"


def _row(replica: dict[str, Any], ways: list[str]) -> tuple[str, ...]:
    problems = [problem for problem in (replica["refusal"], replica["trouble"]) if problem]
    problems += [f"left {short(version)} on its own evidence" for version in replica["left"]]
    problems += [f"{short(version)} failed: {reason}" for version, reason in replica["failed"].items()]
    if replica["workers"] and ways and not set(ways) & set(replica["ready"]):
        problems.append("no way back is ready here")
    well = replica["agent"] and replica["workers"] and not problems
    return (
        mark("good" if well else "bad"),
        replica["replica"],
        " and ".join(_named(version) for version in replica["serves"]),
        str(replica["workers"]),
        "runs" if replica["agent"] else "gone",
        "; ".join(problems),
    )


def _named(version: str | None) -> str:
    return short(version) if version else "the static fallback"


def _wait() -> None:
    from threading import Event

    Event().wait(1)
