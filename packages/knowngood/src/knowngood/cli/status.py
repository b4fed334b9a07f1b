"""``kg status``: what serves where. No database layer is imported for it, so that it answers at once."""

from collections.abc import Iterable, Iterator
from typing import Any

import click

from knowngood.cli.completion import systems
from knowngood.cli.console import GIVEN, answer, columns, mark, named_system, output_option
from knowngood.cli.place import Place, place_options
from knowngood_sdk.model.canonical import short

_SHOWN = 3
"""Versions in quarantine that are named, of those that were left last."""


@click.command(epilog="Example:  kg status pricing --watch")
@click.argument("system", required=False, type=GIVEN, shell_complete=systems, callback=named_system)
@click.option("--watch", is_flag=True, help="Show it again each second, until Ctrl-C; as JSON, one document a line.")
@place_options
@output_option
def command(system: str | None, *, watch: bool, place: Place, output: str) -> None:
    """Show what SYSTEM serves on each replica, and where a trip leads to. Without SYSTEM: all of them."""
    verbs = place.verbs()
    while True:
        found = verbs.status(system)
        if watch and output == "text":
            click.clear()
        answer(found, output, lambda found=found: _all_lines(found), one_of_many=watch)  # type: ignore[misc]
        if not watch:
            return
        _wait()


def _all_lines(found: dict[str, Any]) -> Iterator[str]:
    yield from (line for one in found["systems"] for line in _lines(one))
    server = found.get("server")
    if server:
        yield f"{mark('warning')} replicas on other hosts are not seen from here; the server that runs here sees them:"
        yield f"    export KNOWNGOOD_URL={server}"
    elif server is not None:
        yield f"{mark('warning')} replicas on other hosts, if there are any, are not seen from here; a server sees them"


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
    if status.get("deploying"):
        yield f"  {mark('waiting')} {short(status['deploying'])} is being deployed, and serves nobody yet"
        yield "    where whoever deploys it has ended, kg serve or kg watch gives it up"
    if status["left"]:
        yield f"  a rollback that left {_shorts(status['left'])} led here; its verification: kg history {system}"
    if status.get("record_behind"):
        known, ends = status["record_behind"]["known"], status["record_behind"]["recorded"]
        yield (
            f"  {mark('warning')} the record is behind: the replicas stand on generation {known}, it ends at {ends}"
            " (an older copy was put back?)"
        )
        yield f"    nothing is planned by it until a deployment stands above that: kg deploy {system}"
        yield f"    to leave at once what is served: kg rollback {system} --break-glass"
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
        serves if replica["workers"] else f"{serves}?" if replica["workers_unheard"] else "nothing",
        "?" if replica["workers_unheard"] else str(replica["workers"]),
        "runs" if replica["agent"] else "gone",
    )


def _warnings(system: str, replica: dict[str, Any], behind: str | None) -> Iterator[str]:
    """Say what is wrong on a replica, and what to do."""
    if replica["workers_unheard"]:
        yield f"nothing is heard of it since {replica['seen_at']}; it may still serve what is shown"
    elif not replica["workers"]:
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
