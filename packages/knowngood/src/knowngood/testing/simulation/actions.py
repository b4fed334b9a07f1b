"""
Actions: what happens in a world, each by its words.

An action is a tuple of words, its kind first, so that a trace can be read, kept and played again.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from knowngood.testing.simulation.care import vouch
from knowngood.testing.simulation.choices import Action
from knowngood.testing.simulation.oracle import Move
from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.replica import Replica, recovered, workers_now
from knowngood.testing.simulation.tasks import begin, do, giving_up, may_go_on
from knowngood.testing.simulation.world import CONTROL, SYSTEM, World
from knowngood_sdk.model.route import Facts, FleetRoute, LocalTrip, ReplicaState
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["act"]

_NO_FACTS = Facts()
_MOST_WRITES = 100
_MOST_KEPT = 3
_TASKS = (
    *("flip", "arm", "try", "advance", "deploy", "release", "abandon", "reissue", "reconcile"),
    *("carry", "verified", "failed"),
)


def act(world: World, action: Action) -> None:
    """
    Do an action, and check every promise.

    Raises:
        BrokenPromiseError: One does not hold.
    """
    world.notes.clear()
    if world.budget.get(action[0], 0):
        world.budget[action[0]] -= 1
    _DO[action[0]](world, *action[1:])
    world.check_every_replica()


# What actions do.


def _judged(world: World, name: str, after: Replica, *, told: Facts = _NO_FACTS, starting: bool = False) -> None:
    """Judge what an agent is about to write, and keep it."""
    before = world.replicas[name]
    known = before.agent if before.agent is not None else (before.disk.file or ReplicaState())
    seen = world.oracle.seen.get(known.fleet.generation, (frozenset(), frozenset()))[1]
    known = replace(
        known,
        fleet=_raised(known.fleet, before.disk.position),
        latched=_raised_step(known, before.disk.position),
        facts=known.facts.merge(before.disk.trips),
        local=known.local | (before.disk.local - seen if known.fleet.generation else frozenset()),
    )
    assert after.agent is not None
    state = after.to_write[-1].state if after.to_write else after.agent
    for stands in [step.state for step in after.to_write if step.name == "leave"] + [state]:
        world.oracle.judge(
            Move(
                replica=name,
                before=known,
                after=stands,
                ready=before.ready,
                told=told,
                starting=starting,
                released=world.store.facts.released,
            )
        )
    world.replicas[name] = after
    world.note(f"{name}: {state.fleet}, step {state.latched} of {list(state.chain)}")


def _raised(fleet: FleetRoute, position: tuple[int, int, int] | None) -> FleetRoute:
    if position is None or position[0] != fleet.generation:
        return fleet
    return replace(fleet, split=max(fleet.split, position[2]))


def _raised_step(state: ReplicaState, position: tuple[int, int, int] | None) -> int:
    if position is None or position[0] != state.fleet.generation:
        return state.latched
    return max(state.latched, position[1])


def _deliver(world: World, number: str) -> None:
    message = next(m for m in world.messages if m.number == int(number))
    world.messages.remove(message)
    if isinstance(message.payload, ReplicaReport):
        world.reports[message.payload.replica] = message.payload
        return
    replica = world.replicas[message.to]
    if replica.agent is None or not replica.connected:
        world.note("nobody is there to take it")
        return
    _judged(world, message.to, replica.took(world.rules, message.payload), told=message.payload.facts)


def _lose(world: World, number: str) -> None:
    world.messages = [message for message in world.messages if message.number != int(number)]


def _double(world: World, number: str) -> None:
    message = next(m for m in world.messages if m.number == int(number))
    world.sent += 1
    world.messages.append(replace(message, number=world.sent))


def _poll(world: World, name: str) -> None:
    assert world.published is not None
    document = world.wire.through(world.published)
    assert isinstance(document, RouteDocument)
    _judged(world, name, world.replicas[name].took(world.rules, document), told=document.facts)


def _look(world: World, name: str) -> None:
    replica = world.replicas[name]
    _judged(world, name, replica.will_write(world.rules, replica.looked(world.rules)))


def _retry(world: World, name: str) -> None:
    replica = world.replicas[name]
    told = replica.offered.facts if replica.offered else _NO_FACTS
    _judged(world, name, replica.tried_again(world.rules), told=told)


def _step(world: World, name: str) -> None:
    replica = world.replicas[name]
    step = replica.to_write[0].name
    world.replicas[name] = replica.wrote()
    world.note(f"{name}: {step}")
    if step == "acknowledge":
        _report(world, name)


def _write_all(world: World, name: str) -> None:
    for _ in range(_MOST_WRITES):
        if not world.replicas[name].to_write:
            return
        _step(world, name)
    raise broken(Promise.CONVERGE, f"{name} never has done with its writes")


def _report(world: World, name: str) -> None:
    replica = world.replicas[name]
    if world.rules.looks_before_it_acknowledges() and not world.view(name).caught_up:
        # A worker has moved meanwhile: what is acknowledged must be true of the workers too.
        _look(world, name)
        return
    world.oracle.acknowledges(world.rules, replica)
    if replica.connected:
        world.send(CONTROL, replica.report)
    elif replica.report not in replica.backlog:
        world.replicas[name] = replace(replica, backlog=(*replica.backlog, replica.report)[-_MOST_KEPT:])


def _mend(world: World, name: str) -> None:
    """Let messages through again: what was kept to be sent is sent, all of it, in no order."""
    replica = world.replicas[name]
    for report in replica.backlog:
        world.send(CONTROL, report)
    world.replicas[name] = replace(replica, connected=True, backlog=())


def _ask(world: World, name: str, peers: str) -> None:
    """Let a newcomer ask others what they know; what they answer is what they acknowledged."""
    asked = [world.replicas[other] for other in peers.split(",") if other]
    answers = [peer.report for peer in asked if peer.agent is not None]
    told = Facts()
    for answer in answers:
        world.wire.through(answer)
        told = told.merge(answer.state.facts)
    document = world.rules.joined(SYSTEM, [answer.state for answer in answers])
    furthest = max((answer.state.fleet for answer in answers), default=FleetRoute())
    if document is None:
        world.note("nobody knows a route")
        return
    if document.route != furthest:
        raise broken(
            Promise.JOIN, f"{name} starts from {document.route}; of {len(answers)} peers none is past {furthest}"
        )
    _judged(world, name, world.replicas[name].took(world.rules, document), told=told)


def _glass(world: World, name: str, version: str) -> None:
    replica = world.replicas[name]
    trip = world.new_trip(version, "break-glass")
    left = world.rules.leave(replica.looked(world.rules), trip, replica.ready)
    _judged(world, name, replica.will_write(world.rules, left), told=Facts({trip.uid: trip}))


def _local(world: World, name: str, version: str) -> None:
    replica = world.replicas[name]
    before = workers_now(world.rules, replica.learned(world.rules))
    assert before is not None
    after = replica.left_here(world.rules, version)
    now = workers_now(world.rules, after)
    assert now is not None
    arrived = now.chain[now.latched] if now.latched < len(now.chain) else None
    if arrived is None or arrived not in replica.ready:
        raise broken(Promise.PANIC, f"{name} left {version} on its own evidence and stands on {arrived}")
    released = world.store.facts.released
    world.oracle.judge(Move(replica=name, before=before, after=now, ready=replica.ready, released=released))
    world.replicas[name] = after
    if not after.worker_writes:
        world.oracle.local.add(LocalTrip(name, before.fleet.generation, version))
    world.note(f"{name}: step {now.latched} of {list(now.chain)}")


def _load(world: World, name: str, version: str) -> None:
    replica = world.replicas[name]
    world.replicas[name] = replace(replica, ready=replica.ready | {version}, retry=True)


def _unload(world: World, name: str, version: str) -> None:
    replica = world.replicas[name]
    world.replicas[name] = replace(replica, ready=replica.ready - {version})


def _start(world: World, name: str) -> None:
    replica = world.replicas[name]
    started = replica.workers_started(world.rules, f"{name}-{world.started(name)}")
    if replica.agent is None:
        _judged(world, name, started.agent_started(world.rules), starting=True)
    else:
        world.replicas[name] = started


def _restart(world: World, name: str) -> None:
    world.replicas[name] = world.replicas[name].killed()
    _start(world, name)


def _start_agent(world: World, name: str) -> None:
    _judged(world, name, world.replicas[name].agent_started(world.rules), starting=True)


def _power_cut(world: World, name: str, luck: str) -> None:
    replica = world.replicas[name].power_cut(lucky=luck == "lucky")
    world.oracle.power_cut(name)
    world.replicas[name] = replica


def _older_disk(world: World, name: str) -> None:
    replica = world.replicas[name]
    assert replica.snapshot is not None
    world.oracle.older_disk(name)
    world.replicas[name] = replace(replica, disk=replica.snapshot.after_power_cut(lucky=True))


def _serve(world: World, name: str) -> None:
    replica = world.replicas[name]
    assert replica.workers is not None
    after = replica.served(world.rules)
    told = replica.disk.position
    furthest = max(replica.workers.latched, told[1] if told else 0, recovered(world.rules, replica.disk).latched)
    assert after.workers is not None
    if after.workers.latched > furthest and after.workers.fleet.generation == replica.workers.fleet.generation:
        raise broken(
            Promise.LONE, f"a request takes {name} to step {after.workers.latched}; nothing said more than {furthest}"
        )
    world.replicas[name] = after


def _new_host(world: World, name: str) -> None:
    world.oracle.older_disk(name)
    world.replicas[name] = Replica(name=name)


def _worker_step(world: World, name: str) -> None:
    replica = world.replicas[name]
    entry = replica.worker_writes[0].entry
    world.replicas[name] = after = replica.worker_wrote()
    if not after.worker_writes and isinstance(entry, LocalTrip):
        world.oracle.local.add(entry)


def _snapshot(world: World, name: str) -> None:
    replica = world.replicas[name]
    world.replicas[name] = replace(replica, snapshot=replica.disk)


def _change(change: Callable[[World, Replica], Replica]) -> Callable[..., None]:
    def do_it(world: World, name: str) -> None:
        world.replicas[name] = change(world, world.replicas[name])

    return do_it


def _begin(kind: str) -> Callable[..., None]:
    def do_it(world: World, process: str, subject: str = "") -> None:
        world.processes[process] = begin(world, process, kind, subject)

    return do_it


def _go(world: World, process: str) -> None:
    task = world.processes[process]
    assert task is not None
    world.note(task.steps[0])
    world.processes[process] = do(world, task)


def _go_on(world: World, process: str) -> None:
    task = world.processes[process]
    while task is not None and may_go_on(world, task):
        world.note(task.steps[0])
        task = do(world, task)
    world.processes[process] = task


def _give_up(world: World, process: str) -> None:
    task = world.processes[process]
    assert task is not None
    world.processes[process] = giving_up(task)


def _crash(world: World, process: str) -> None:
    world.processes[process] = None
    world.started(process)


def _set(**values: object) -> Callable[..., None]:
    def do_it(world: World) -> None:
        for name, value in values.items():
            setattr(world, name, value)

    return do_it


_DO: Mapping[str, Callable[..., None]] = {
    "deliver": _deliver,
    "lose": _lose,
    "double": _double,
    "poll": _poll,
    "look": _look,
    "retry": _retry,
    "step": _step,
    "write-all": _write_all,
    "report": _report,
    "glass": _glass,
    "local": _local,
    "load": _load,
    "unload": _unload,
    "start": _start,
    "start-agent": _start_agent,
    "power-cut": _power_cut,
    "older-disk": _older_disk,
    "new-host": _new_host,
    "snapshot": _snapshot,
    "kill": _change(lambda _, replica: replica.killed()),
    "kill-agent": _change(lambda _, replica: replica.agent_killed()),
    "worker-step": _worker_step,
    "learn": _change(lambda world, replica: replica.learned(world.rules)),
    "serve": _serve,
    "write-back": _change(lambda _, replica: replace(replica, disk=replica.disk.written_back())),
    "cut": _change(lambda _, replica: replace(replica, connected=False)),
    "mend": _mend,
    "ask": _ask,
    "restart": _restart,
    "vouch": vouch,
    "outage": _set(outage=True),
    "recover": _set(outage=False),
    "expire": _set(lease=None),
    "go": _go,
    "go-on": _go_on,
    "give-up": _give_up,
    "crash": _crash,
    **{kind: _begin(kind) for kind in _TASKS},
}
