"""Page: what is promised, and what the simulation says to each rule that is left out, for the documentation."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from knowngood.testing.simulation.absences import ABSENCES, Absence, notice
from knowngood.testing.simulation.bounds import EXHAUSTED, LARGER
from knowngood.testing.simulation.promise import Promise
from knowngood.testing.simulation.run import Worlds, run

__all__ = ["Row", "page", "promises_table", "row_of", "rows_in"]

_SEEDS = 500
_MORE = 20

_INTRODUCTION = """# What the simulation holds

Stores, replicas, disks, messages and the processes of a control plane, in one process, driven by a seed, on the rules
that run in production ([route.md](route.md)). After each action every promise below is checked by an account of its
own, and at the end of each run the world is let come to rest, and judged there: what must become so has to be so then.

What can happen: messages and reports that are lost, doubled, late and overtaken, also in batches after a cut; agents,
processes and hosts that die between any two writes, with a word that outlives them; disks that come back older, and
hosts that come back empty and ask their peers; slots that are unloaded; several processes of the control plane, with
and without leases, that crash, lose the lease and go on; a database that is away; deployments, canaries, trips,
releases, reissues and people who give up or change their mind; one to ten replicas.

`make simulate` tries 100,000 interleavings and searches small worlds exhaustively; a number of both is part of the
tests. What fails is printed as the shortest list of actions that still fails, with the seed that plays it again.
`make simulate-rules` writes this page.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """
    What became of one absence.

    Attributes:
        absence: What was left out.
        runs: How many runs it took to notice; None when it was not noticed.
        also: Other promises that broke in the first runs.
    """

    absence: Absence
    runs: int | None
    also: tuple[Promise, ...]

    @property
    def named(self) -> str:
        """The cells that do not depend on the run."""
        return f"| {self.absence.rule} | {self.absence.what} | {self.absence.promise.name} |"

    def __str__(self) -> str:
        runs = "not noticed" if self.runs is None else str(self.runs)
        return f"{self.named} {runs} | {', '.join(sorted(promise.name for promise in self.also))} |"


def row_of(absence: Absence) -> Row:
    """Leave a rule out, and see what breaks."""
    noticed = notice(absence, _SEEDS)
    worlds = Worlds(absence.rules())
    failures = (run(worlds, seed, absence.scenario) for seed in range(1, _MORE + 1))
    also = {failure.promise for failure in failures if failure is not None} - {absence.promise}
    return Row(absence, noticed.seed, tuple(sorted(also)))


def promises_table() -> str:
    """Return the promises as a table."""
    rows = [f"| {promise.name} | {promise.value} |" for promise in Promise]
    return "\n".join(["| promise | what holds |", "| --- | --- |", *rows])


def page(rows: Iterable[Row], tell: Callable[[str], None] = lambda _: None) -> str:
    """
    Return the page.

    Args:
        rows: What became of each absence.
        tell: Called with each row as it is there.
    """
    lines = []
    for row in rows:
        lines.append(str(row))
        tell(lines[-1])
    return "\n".join(
        [
            _INTRODUCTION,
            "## What is promised",
            "",
            promises_table(),
            "",
            "## What each rule is for",
            "",
            f"Rules are left out in {len(ABSENCES)} ways; the promise that each is for breaks after so many runs.",
            f"The last column has what else broke in the first {_MORE}.",
            "",
            "| rule | what is done instead | breaks | runs | breaks too |",
            "| --- | --- | --- | --- | --- |",
            *lines,
            "",
            "## What is searched",
            "",
            "Every world that these can come to:",
            "",
            *(f"- {name}" for name in EXHAUSTED),
            "",
            "Of these the nearest 100,000, which may be all (`make simulate` says so):",
            "",
            *(f"- {name}" for name in LARGER),
            "",
        ]
    )


def rows_in(text: str) -> list[str]:
    """Return the cells of a page's rows that do not depend on the run."""
    rows = text.split("## What each rule is for")[1].split("## What is searched", maxsplit=1)[0].splitlines()
    return ["|".join(line.split("|")[:4]) + "|" for line in rows if line.startswith("|")][2:]
