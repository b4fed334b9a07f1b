"""
Many runs, from the command line: ``python -m knowngood.testing.simulation``.

Without an option seeded runs, then every run within small bounds; ``--table FILE`` leaves each rule out instead, and
writes what the simulation says to that.

Environment:
    KNOWNGOOD_SIMULATION_RUNS: How many seeded runs; 100,000 unless given, or 1 where only a seed is.
    KNOWNGOOD_SIMULATION_SEED: The first seed; 1 unless given.
    KNOWNGOOD_SIMULATION_WORLDS: How many worlds a search looks at, at most; 100,000 unless given, 0 for no search.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

from knowngood.testing.simulation.absences import ABSENCES
from knowngood.testing.simulation.bounds import BY_ITSELF, EXHAUSTED, LARGER
from knowngood.testing.simulation.exhaustive import Search, explore
from knowngood.testing.simulation.page import page, row_of
from knowngood.testing.simulation.rules import Rules
from knowngood.testing.simulation.run import Failure, Worlds, run, shrunk

_PROCESSES = 2
_CHUNK = 100


def main() -> int:
    """Do what the command line and the environment say."""
    parser = argparse.ArgumentParser(prog="python -m knowngood.testing.simulation", description=__doc__)
    parser.add_argument("--table", metavar="FILE", type=Path, help="leave each rule out, and write the page of it")
    table = parser.parse_args().table
    if table is not None:
        return _write_table(table)
    first = os.environ.get("KNOWNGOOD_SIMULATION_SEED")
    runs = int(os.environ.get("KNOWNGOOD_SIMULATION_RUNS", "1" if first else "100000"))
    worlds = int(os.environ.get("KNOWNGOOD_SIMULATION_WORLDS", "0" if first else "100000"))
    return _run_seeds(range(int(first or 1), int(first or 1) + runs)) or _search(worlds)


def _run_seeds(seeds: range) -> int:
    """Run seed after seed; print the first failure, made small, with its trace."""
    started = time.monotonic()
    chunks = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    done = 0
    for failure, count in _all(chunks):
        if failure is not None:
            sys.stdout.write(f"{shrunk(Worlds(Rules()), failure)}\n")
            return 1
        done += count
        if len(chunks) > 1:
            _progress(f"{done} of {len(seeds)} runs, {done / (time.monotonic() - started):.0f} a second")
    rate = len(seeds) / max(time.monotonic() - started, 0.001)
    last = f"seeds {seeds[0]} to {seeds[-1]}"
    sys.stdout.write(f"{len(seeds)} runs, {last}: every promise held ({rate:.0f} runs a second)\n")
    return 0


def _all(chunks: list[range]) -> Iterable[tuple[Failure | None, int]]:
    if len(chunks) == 1:
        yield _run_chunk(chunks[0])
        return
    with ProcessPoolExecutor(_PROCESSES) as pool:
        running: list[Future[tuple[Failure | None, int]]] = [pool.submit(_run_chunk, chunk) for chunk in chunks]
        try:
            yield from (future.result() for future in as_completed(running))
        finally:
            pool.shutdown(cancel_futures=True)


def _run_chunk(seeds: range) -> tuple[Failure | None, int]:
    worlds = Worlds(Rules())
    failures = (run(worlds, seed) for seed in seeds)
    return next((failure for failure in failures if failure is not None), None), len(seeds)


def _search(most: int) -> int:
    """Search every small world; print the first failure, which is also a shortest one."""
    if not most:
        return 0
    for name, scenario in {**EXHAUSTED, **LARGER}.items():
        found: Search = explore(Worlds(Rules()), scenario, most=most, without=BY_ITSELF)
        if found.failure is not None:
            sys.stdout.write(f"{shrunk(Worlds(Rules()), found.failure)}\n")
            return 1
        how = "all of them" if found.exhausted else "the nearest"
        sys.stdout.write(f"{name}: {found.worlds} worlds, {how}, {found.rests} at rest: every promise held\n")
    return 0


def _write_table(path: Path) -> int:
    with ProcessPoolExecutor(_PROCESSES) as pool:
        text = page(pool.map(row_of, ABSENCES), _say)
    path.write_text(text, encoding="utf-8")
    return 1 if "not noticed" in text else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _progress(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    sys.stderr.write(f"{text}{end}")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
