"""
Run the benchmarks and print their figures: ``make bench``, or ``python -m benchmarks.run``.

Everything is real: agents and workers are processes, words, journals and route documents are files, servers listen on
the loopback interface. Progress goes to standard error, the figures to standard output.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import (
    acknowledged,
    admitted,
    failures,
    fan_out,
    local_trip,
    model_servers,
    next_call,
    reconnect,
    routing,
    saga,
    soak,
    store,
    telemetry,
)
from benchmarks.contenders import check_peers
from benchmarks.context import Context
from benchmarks.figure import Figure, Row, table
from benchmarks.host import BenchmarkError
from benchmarks.machine import describe
from benchmarks.page import page

__all__ = ["BENCHMARKS", "SHARES", "main", "measure"]

BENCHMARKS: dict[str, Callable[[Context], Figure]] = {
    "routing": routing.run,
    "next_call": next_call.run,
    "acknowledged": acknowledged.run,
    "admitted": admitted.run,
    "failures": failures.run,
    "local_trip": local_trip.run,
    "fan_out": fan_out.run,
    "saga": saga.run,
    "model_servers": model_servers.run,
    "soak": soak.run,
    "store": store.run,
    "telemetry": telemetry.run,
    "reconnect": reconnect.run,
}
NEEDS: dict[str, Callable[[], None]] = {"model_servers": check_peers}
"""Benchmark -> what raises BenchmarkError where something is missing that it needs besides our own environment."""
SHARES = {"soak": 0.1, "store": 0.1}
"""What is done in part where everything is measured, and whole where it is asked for by name."""


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; return 1 when something is missing, or a target was missed with ``--strict``."""
    options = _parser().parse_args(arguments)
    names, shares = (options.only, {}) if options.only else (list(BENCHMARKS), SHARES)
    try:
        for name in names:
            NEEDS.get(name, _nothing)()
    except BenchmarkError as missing:  # told before the first minute is spent
        print(f"Error: {missing}", file=sys.stderr)
        return 1
    result, figures = measure(names, seed=options.seed, scale=options.scale, shares=shares)
    if options.save:
        options.save.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    if options.page:
        options.page.write_text(page(result), encoding="utf-8")
    if options.output == "json":
        print(json.dumps(result, indent=2))
    else:
        print(_text(result, figures))
    return 1 if options.strict and result["missed"] else 0


def measure(
    names: list[str], *, seed: int, scale: float, quiet: bool = False, shares: Mapping[str, float] | None = None
) -> tuple[dict[str, Any], list[Figure]]:
    """
    Carry out benchmarks.

    Args:
        names: Keys of ``BENCHMARKS``.
        seed: Of everything that is drawn.
        scale: Share of the full number of repetitions, in ``(0, 1]``.
        quiet: Whether to keep progress to itself.
        shares: Name -> the share of that scale which it is carried out at; all of it unless given.

    Returns:
        The result as JSON, and its figures.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="knowngood-bench-") as folder:
        context = Context(folder=Path(folder), seed=seed, scale=scale, began=began, quiet=quiet)
        machine = describe(context.folder)
        figures = []
        for name in names:
            start = time.monotonic()
            figure = BENCHMARKS[name](replace(context, scale=scale * (shares or {}).get(name, 1.0)))
            figures.append(replace(figure, seconds=time.monotonic() - start))
        machine["load_average_after"] = [round(load, 2) for load in os.getloadavg()]
    missed = [f"{figure.key}: {row.name}" for figure in figures for row in figure.rows if row.met is False]
    result = {
        "machine": machine,
        "seed": seed,
        "scale": scale,
        "seconds": round(time.monotonic() - began, 1),
        "missed": missed,
        "figures": {figure.key: figure.to_json() for figure in figures},
    }
    return result, figures


def _text(result: dict[str, Any], figures: list[Figure]) -> str:
    rows: list[Row] = [row for figure in figures for row in figure.rows if row.target is not None]
    lines = [describe_machine(result["machine"]), "", *(table(figure) for figure in figures)]
    lines.append(f"{sum(bool(row.met) for row in rows)} of {len(rows)} targets met in {result['seconds']:.0f} s")
    lines += [f"  missed: {name}" for name in result["missed"]]
    return "\n".join(lines)


def describe_machine(machine: dict[str, Any]) -> str:
    """Return the machine in two lines."""
    load, after = (
        ", ".join(f"{value:.2f}" for value in machine[key]) for key in ("load_average", "load_average_after")
    )
    durable = machine["durable_write_ms"]
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['python']}, {machine['system']}, "
        f"interpreter's switch interval {machine['switch_interval_ms']:g} ms\n"
        f"load average before {load}; after {after}; one durable write {durable['p50']} ms (worst {durable['max']} ms)"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Measure the data plane.")
    parser.add_argument("--output", choices=["text", "json"], default="text", help="what to print")
    parser.add_argument("--seed", type=int, default=1, help="of everything that is drawn (default: 1)")
    parser.add_argument("--scale", type=_share, default=1.0, help="share of the repetitions, in (0, 1] (default: 1)")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), help="carry out these alone")
    parser.add_argument("--strict", action="store_true", help="end with exit code 1 when a target was missed")
    parser.add_argument("--save", type=Path, help="write the result as JSON to a file, whatever is printed")
    parser.add_argument("--page", type=Path, help="write the page of the documentation from this run")
    return parser


def _nothing() -> None:
    """Stand for what the other benchmarks need besides."""


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not in (0, 1]")
    return share


if __name__ == "__main__":
    sys.exit(main())
