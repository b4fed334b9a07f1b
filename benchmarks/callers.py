"""Callers: start processes that call, and read what they did."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.caller import Calls, Order
from benchmarks.cell import Cell
from benchmarks.host import FIRST_REPLICA, Child, Host

__all__ = ["new_order", "read_calls", "start_callers", "stop_callers"]


def new_order(host: Host, mode: str, threads: int, versions: Sequence[str]) -> Order:
    """Return an order for callers of a host, whose cells are in its folder."""
    left, mark = host.folder / "left", host.folder / "mark"
    return Order(
        name="",
        mode=mode,
        threads=threads,
        versions=list(versions),
        parts=host.parts,
        left=str(left),
        mark=str(mark),
        log="",
    )


def start_callers(host: Host, order: Order, count: int, *, replica: str = FIRST_REPLICA) -> list[Child]:
    """
    Start callers.

    Args:
        host: Where.
        order: What each is told; each gets a name and a log of its own.
        count: How many.
        replica: The replica that they are workers of.
    """
    Cell(Path(order.left))
    Cell(Path(order.mark))
    children = []
    for number in range(count):
        name = f"worker-{replica}-{number}"
        mine = asdict(order) | {"name": name, "log": str(_log(host, name))}
        children.append(host.start(name, "benchmarks.caller", mine, env={"KNOWNGOOD_REPLICA": replica}))
    return children


def stop_callers(children: Sequence[Child]) -> None:
    """Ask callers to write down what they did, and return when they have ended."""
    for child in children:
        child.check()
        child.stop()


def read_calls(host: Host, count: int, *, replica: str = FIRST_REPLICA) -> list[list[Calls]]:
    """Return for each caller what its threads did."""
    return [
        [
            Calls(**document)
            for document in json.loads(_log(host, f"worker-{replica}-{number}").read_text(encoding="utf-8"))
        ]
        for number in range(count)
    ]


def _log(host: Host, name: str) -> Path:
    return host.folder / f"{name}.json"
