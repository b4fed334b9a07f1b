"""
Soak: a million requests over a thousand flips, while agents and the control plane are killed.

What it shows: with a real control plane over HTTP on its real store, agents that hear of flips from it alone, and real
workers behind real sockets, no request fails, none is served by parts of two versions, and none that begins after a
replica has acknowledged is served by what it left; and whoever is killed in between, each rollback is on record once
and over, and the fleet ends where the record says. What processes hold at the start, in the middle and at the end
shows a leak. ``BENCH_STORE=postgresql://…`` keeps the record in a Postgres, in a database that exists and is empty.

What it does not show: anything of networks that lose or delay (all is on the loopback interface of one machine), of
workers that die (they live throughout, so that whatever leaks in them adds up), of disks that fail, of a store that is
away, or of more than one control plane. The control plane's and the agents' memory is that of their last incarnation.
"""

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cell import Cell
from benchmarks.context import Context
from benchmarks.figure import Figure, Row, Target, quantiles
from benchmarks.growth import Held, held
from benchmarks.host import SYSTEM, Child, Host, until
from benchmarks.killer import Killer
from benchmarks.load import admitted_to_left, start_riders, stop_riders
from benchmarks.operator import Move, Operator
from benchmarks.riders import Log
from benchmarks.team import Team
from knowngood.domain.saga import StepName

__all__ = ["Plan", "not_once", "requests_seen", "run"]

_REQUESTS = 1_000_000
_FLIPS = 1_000
_AGENT_KILLS = 200
_CONTROL_KILLS = 60
_OUTAGES = 30
_REPLICAS = ("r1", "r2")
_WORKERS = 2
_PER_SECOND = 700.0
_KILL_WITHIN_SECONDS = 1.0
_OVER_SECONDS = 180.0
_LOOK_SECONDS = 0.02
_CONTROL = "control plane"
_DEPLOYING, _ROLLING_BACK, _RELEASING, _BETWEEN = "a deployment", "a rollback", "a release", "no verb"
_STORE = "BENCH_STORE"
_NONE = Target(column="count", limit=0)
_HOW = (
    "{requests:,} requests and {flips:,} flips are wanted. kg serve on {store}, one process; {replicas} replicas, each "
    "an agent that reads routes over HTTP with a token of its own, in a folder of its own, and uvicorn with {workers} "
    "workers under {rate:g} requests a second. Flips through the verbs over HTTP: a recorded version is deployed, left "
    "by a rollback, released by name, and so on; {outages} times the control plane is killed and each host leaves by "
    "break-glass meanwhile. Flips keep pace with the requests, so that they are spread over all of them. {agents} "
    "kills of an agent and {controls} of the control plane by SIGKILL, at instants drawn from the seed, within a "
    "second of the beginning of a verb; each is started again at once, and what was cut or refused is asked again. "
    "Counted from the riders' log. Memory and open files: all processes of a kind together, at the start, half way and "
    "at the end; riders keep their whole log in memory, and hold the other ends of what servers hold of connections."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What is done to whom, drawn before it begins.

    Attributes:
        requests: How many are wanted.
        flips: How many are wanted; even, for each deployment is left.
        kills: Flip -> who is killed around it.
        outages: Flips that happen by break-glass while the control plane is down.
    """

    requests: int
    flips: int
    kills: Mapping[int, Sequence[str]]
    outages: frozenset[int]

    @classmethod
    def draw(cls, context: Context) -> "Plan":
        """Draw the plan of a run from its seed."""
        drawn = random.Random(f"{context.seed} soak plan")
        flips = 2 * context.times(_FLIPS // 2, least=3)
        ways_back = range(1, flips, 2)
        outages = frozenset(drawn.sample(ways_back, min(len(ways_back), context.times(_OUTAGES, least=1))))
        calm = [number for number in range(flips) if number not in outages]
        kills: dict[int, list[str]] = {}
        for number in drawn.sample(calm, min(len(calm), context.times(_CONTROL_KILLS, least=1))):
            kills.setdefault(number, []).append(_CONTROL)
        for number in drawn.sample(calm, min(len(calm), context.times(_AGENT_KILLS, least=2))):
            kills.setdefault(number, []).append(drawn.choice(_REPLICAS))
        return cls(requests=context.times(_REQUESTS), flips=flips, kills=kills, outages=outages)


@dataclass(slots=True)
class _Soak:
    """A run of the plan, with what was seen."""

    context: Context
    host: Host
    team: Team
    operator: Operator
    plan: Plan
    riders: dict[str, Child] = field(default_factory=dict)
    counts: list[Cell] = field(default_factory=list)
    held: list[dict[str, Held]] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How many requests have ended."""
        return sum(cell.view[0] for cell in self.counts)

    def begin(self) -> None:
        """Start everything, and return when a verified version answers requests."""
        self.team.start()
        parts = self.operator.begin()
        for name, server in self.team.servers.items():
            riders = f"riders-{name}"
            # Made before the riders write to it: they say in it how many requests have ended.
            self.counts.append(Cell(self.host.folder / f"{riders}.count"))
            self.riders[name] = start_riders(self.host, server, parts, riders, per_second=_PER_SECOND)
        self.operator.wait_verified()

    def flip(self, killer: Killer) -> None:
        """Carry out the plan."""
        for number in range(self.plan.flips):
            self._wait_for(number / self.plan.flips)
            if number in {2, self.plan.flips // 2}:
                self.measure()
            # Whoever is still to be killed for the flip before is; the kills of this one fall in it.
            killer.doing = _BETWEEN
            killer.settle()
            for victim in self.plan.kills.get(number, ()):
                killer.soon(victim, self._killing(victim))
            if number % 2 == 0:
                killer.doing = _DEPLOYING
                self.operator.deploy()
            else:
                self._leave(number, killer)
            if number % (self.plan.flips // 10 or 1) == 0:
                self.context.tell(f"  {number} of {self.plan.flips} flips, {self.asked:,} requests, {killer.kills}")
        self._wait_for(1.0)

    def end(self) -> dict[str, Log]:
        """Wait until every rollback is over, then end the riders; return what they saw, by replica."""
        until(self._over, "every rollback is over", _OVER_SECONDS)
        self.measure()
        return {name: stop_riders(self.host, child) for name, child in self.riders.items()}

    def measure(self) -> None:
        """Note what processes hold now."""
        kinds = {
            _CONTROL: [self.team.control],
            "agents": list(self.host.agents.values()),
            "servers and workers": [server.child for server in self.team.servers.values()],
            # What a server holds of connections, its riders hold at the other end.
            "riders": list(self.riders.values()),
        }
        self.held.append({kind: held(child.process.pid for child in children) for kind, children in kinds.items()})

    def _leave(self, number: int, killer: Killer) -> None:
        killer.doing = _ROLLING_BACK
        if number in self.plan.outages:
            self.operator.break_glass()
        else:
            self.operator.roll_back()
        killer.doing = _RELEASING
        self.operator.release()

    def _killing(self, victim: str) -> Callable[[], None]:
        if victim == _CONTROL:
            return self.team.restart_control
        return lambda: self.team.restart_agent(victim)

    def _wait_for(self, share: float) -> None:
        wanted = share * self.plan.requests
        before = -1
        while self.asked < wanted:
            for child in self.riders.values():
                child.check()
            # However slow the machine is, something has to come.
            until(lambda before=before: self.asked > before, "riders are answered")  # type: ignore[misc]
            before = self.asked

    def _over(self) -> bool:
        return all(saga["state"] != "running" for saga in self.operator.history()["sagas"])


def run(context: Context) -> Figure:
    """Carry out the soak."""
    plan, store = Plan.draw(context), os.environ.get(_STORE, "")
    controls = sum(_CONTROL in victims for victims in plan.kills.values())
    agents = sum(len(victims) for victims in plan.kills.values()) - controls
    context.tell(f"soak: {plan.requests:,} requests, {plan.flips} flips, {agents} + {controls} kills")
    began = time.monotonic()
    with context.host("soak") as host, closing(Team(host, _REPLICAS, _WORKERS, store)) as team:
        soak = _Soak(context, host, team, Operator(team), plan)
        soak.begin()
        with Killer(host.random, _KILL_WITHIN_SECONDS) as killer:
            soak.flip(killer)
        logs = soak.end()
        rows = [
            *requests_seen(logs, soak.operator.moves),
            *_flips(soak, killer),
            *_record(soak),
            *_growth(soak.held),
            Row(name="all of it", unit="s", values={"max": time.monotonic() - began}),
        ]
    return Figure(
        key="soak",
        title="Soak: flips under load, agents and control plane killed",
        how=_HOW.format(
            requests=plan.requests,
            flips=plan.flips,
            store="Postgres" if store else "SQLite",
            replicas=len(_REPLICAS),
            workers=_WORKERS,
            rate=_PER_SECOND,
            outages=len(plan.outages),
            agents=agents,
            controls=controls,
        ),
        rows=rows,
    )


def requests_seen(logs: Mapping[str, Log], moves: Sequence[Move]) -> list[Row]:
    """Return what riders saw of the replicas, by replica: failed, mixed, on what was left, and how long it took."""
    total = sum(len(log) for log in logs.values())
    failed = sum(len(log.failed) for log in logs.values())
    mixed = sum(sum(log.mixed) for log in logs.values())
    after = wrong = 0
    for name, log in logs.items():
        ends = [move.began_ns for move in moves[1:]] + [log.answered_ns[-1] + 1]
        spans = [(move.acknowledged_ns[name], end, move.left) for move, end in zip(moves, ends, strict=True)]
        seen = admitted_to_left(log, spans)
        after, wrong = after + seen[0], wrong + seen[1]
    took = [(end - at) / 1e6 for log in logs.values() for at, end in zip(log.sent_ns, log.answered_ns, strict=True)]
    return [
        Row(name="failed requests", unit="count", values={"count": failed, "n": total}, target=_NONE),
        Row(name="mixed answers", unit="count", values={"count": mixed, "n": total}, target=_NONE),
        Row(
            name="after a replica's acknowledgement, answered by the version it left",
            unit="count",
            values={"count": wrong, "n": after},
            target=_NONE,
        ),
        Row(name="latency that riders saw", unit="ms", values=quantiles(took)),
    ]


def _flips(soak: _Soak, killer: Killer) -> list[Row]:
    moves = soak.operator.moves
    control = killer.kills.get(_CONTROL, 0) + len(soak.plan.outages)
    rows = [
        Row(name="flips", unit="count", values={"count": len(moves)}),
        Row(name="kills of an agent", unit="count", values={"count": killer.all_kills - killer.kills.get(_CONTROL, 0)}),
        Row(name="kills of the control plane", unit="count", values={"count": control}),
    ]
    rows += [
        Row(name=f"kills that fell in {what}", unit="count", values={"count": killer.met.get(what, 0)})
        for what in (_DEPLOYING, _ROLLING_BACK, _RELEASING, _BETWEEN)
    ]
    rows += [
        Row(name=f"verbs asked again: {code}", unit="count", values={"count": times})
        for code, times in sorted(soak.operator.again.items())
    ]
    for how in ("deployment", "rollback", "break-glass"):
        seconds = [move.seconds for move in moves if move.how == how]
        rows.append(Row(name=f"{how}, asked to done, kills and all", unit="s", values=quantiles(seconds)))
    return rows


def _record(soak: _Soak) -> list[Row]:
    """Return what is on record in the end, held against what was done."""
    sagas = soak.operator.history()["sagas"]
    left = sum(move.how != "deployment" for move in soak.operator.moves)
    open_ones = sum(saga["state"] != "done" for saga in sagas)
    entries = soak.team.remote.ledger(SYSTEM)["entries"]
    status, whole = soak.team.status(), soak.team.remote.verify(SYSTEM)["ok"]
    astray = [one for one in status["replicas"] if one["serves"] != [soak.operator.good]]
    named = [f"{step['name']} {step['outcome']}" for saga in sagas for step in saga["steps"]]
    failed = {what: times for what, times in Counter(named).items() if what.endswith("failed")}
    note = ", ".join(f"{what}: {times}" for what, times in sorted(failed.items()))
    return [
        Row(name="rollbacks not over", unit="count", values={"count": open_ones, "n": len(sagas)}, target=_NONE),
        Row(
            name="rollbacks more or fewer than versions left",
            unit="count",
            values={"count": abs(len(sagas) - left), "n": left},
            target=_NONE,
        ),
        Row(
            name="steps of rollbacks not in the ledger exactly once",
            unit="count",
            values={"count": not_once(sagas, entries), "n": len(entries)},
            target=_NONE,
        ),
        Row(
            name="steps of rollbacks that ended as failed",
            unit="count",
            values={"count": sum(failed.values()), "n": len(named)},
            note=note,
        ),
        Row(name="ledgers that do not verify", unit="count", values={"count": int(not whole), "n": 1}, target=_NONE),
        Row(
            name="replicas not where the record says in the end",
            unit="count",
            values={"count": len(astray), "n": len(status["replicas"])},
            target=_NONE,
        ),
    ]


def not_once(sagas: Sequence[Mapping[str, Any]], entries: Sequence[Mapping[str, Any]]) -> int:
    """Return how many steps and beginnings of rollbacks the ledger does not have exactly once."""
    noted = Counter(
        (entry["body"]["saga"], entry["body"]["step"]) for entry in entries if entry["kind"] == "rollback-step"
    )
    begun = Counter(entry["body"]["saga"] for entry in entries if entry["kind"] == "rollback-started")
    steps = sum(noted[saga["id"], name.value] != 1 for saga in sagas for name in StepName)
    return steps + sum(begun[saga["id"]] != 1 for saga in sagas)


def _growth(seen: Sequence[Mapping[str, Held]]) -> list[Row]:
    columns = ("start", "half way", "end")
    rows = []
    for kind in seen[0]:
        memory = {column: one[kind].megabytes for column, one in zip(columns, seen, strict=True)}
        files = {column: float(one[kind].files) for column, one in zip(columns, seen, strict=True)}
        rows.append(Row(name=f"memory of {kind}", unit="MB", values=memory))
        rows.append(Row(name=f"open files of {kind}", unit="count", values=files))
    return rows
