"""Rest: what must be so once everything that was under way has arrived and nothing is left to do."""

from knowngood.domain.saga import SagaState, StepName, StepOutcome
from knowngood.testing.simulation.oracle import in_force
from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.replica import Replica
from knowngood.testing.simulation.world import World, live

__all__ = ["judge_rest"]


def judge_rest(world: World, *, deployed: str | None = None) -> None:
    """
    Judge a world that has come to rest.

    Args:
        world: The world.
        deployed: The version that a deployment has just brought everybody to, if there was one.

    Raises:
        BrokenPromiseError: A promise does not hold.
    """
    _judge_rollbacks(world)
    _judge_agreement(world)
    _judge_the_sick(world)
    for name, replica in world.replicas.items():
        _judge_memory(world, name, replica)
        _judge_place(world, name, replica)
    if deployed is not None:
        _judge_deployed(world, deployed)


def _judge_rollbacks(world: World) -> None:
    counted: dict[str, int] = {}
    for saga in world.sagas.values():
        counted[saga.version] = counted.get(saga.version, 0) + 1
        if saga.state is not SagaState.DONE:
            raise broken(Promise.SAGA, f"{saga.id} waits at {saga.next_step()}, and nobody takes it forward")
    if counted != dict(world.store.episodes):
        raise broken(Promise.EPISODE, f"rollbacks by version: {counted}, episodes: {dict(world.store.episodes)}")
    tripped = {trip.version for trip in world.store.facts.trips.values() if trip.source == "verification"}
    for name, saga in world.sagas.items():
        verdict = saga.steps[list(StepName).index(StepName.VERIFY)]
        if verdict.outcome is StepOutcome.FAILED and saga.target not in tripped:
            raise broken(Promise.FAILED, f"{name} failed on {saga.target}, which nobody left for it")


def _judge_agreement(world: World) -> None:
    trips, number = world.store.facts.trips.values(), world.store.row.generation
    left = in_force(trips, world.store.facts.released) | {trip.version for trip in trips if trip.generation == number}
    staying = world.oracle.agreed(world.store, frozenset(live(world))) - left
    if staying:
        raise broken(Promise.WIDEN, f"{sorted(staying)} was left by enough replicas, and the fleet keeps it")


def _judge_the_sick(world: World) -> None:
    ill = world.oracle.alone(world.store, frozenset(live(world)))
    missing = ill - world.incidents.keys()
    if missing:
        raise broken(Promise.SICK, f"{missing} is not on record as an incident")
    if world.held_out:
        raise broken(Promise.SICK, f"{sorted(world.held_out)} never came back into the balancer")


def _judge_memory(world: World, name: str, replica: Replica) -> None:
    state, known = replica.agent, world.store.facts
    assert state is not None
    lost = {trip for trip in world.oracle.local if trip.replica == name} - world.store.local
    if lost:
        raise broken(Promise.FORGOTTEN, f"{name} left {lost} on its own evidence, and it is not on record")
    acknowledged = world.oracle.acknowledged.get(name, replica.durable)
    forgotten = acknowledged.facts.trips.keys() - known.trips.keys() or acknowledged.local - world.store.local
    if forgotten:
        raise broken(Promise.FORGOTTEN, f"{name} acknowledged {forgotten}, and it is not on record")
    if (state.facts.trips.keys(), state.facts.released) != (known.trips.keys(), known.released):
        raise broken(
            Promise.CONVERGE,
            f"{name} knows {sorted(state.facts.trips)}, released {sorted(state.facts.released)};"
            f" on record are {sorted(known.trips)}, released {sorted(known.released)}",
        )


def _judge_place(world: World, name: str, replica: Replica) -> None:
    state, row = replica.agent, world.store.row
    assert state is not None
    if state.fleet.generation == row.generation:
        if state.fleet != row:
            raise broken(Promise.CONVERGE, f"{name} is at {state.fleet}, the fleet at {row}")
        # It may stand deeper than the fleet only where nothing can be minted again: nobody climbs inside a generation.
        if state.latched < row.step or (_settled(world) and state.latched > row.step):
            raise broken(Promise.CONVERGE, f"{name} is at step {state.latched}, the fleet at {row}")
        return
    if not state.fleet.generation:
        raise broken(Promise.CONVERGE, f"{name} has no route at all, the fleet is at {row}: {replica.refusal}")
    refusal = replica.refusal
    if refusal is None or refusal.generation != row.generation:
        raise broken(Promise.CONVERGE, f"{name} is at {state.fleet}, the fleet at {row}, and it refuses nothing")
    seen = world.oracle.seen[row.generation]
    honest = refusal.unseen_quarantine - seen[0] or refusal.unseen_local - seen[1]
    if not honest or _settled(world):
        raise broken(Promise.CONVERGE, f"{name} is at {state.fleet}, the fleet at {row}: {refusal.reason}")


def _settled(world: World) -> bool:
    """Tell whether the fleet stands on a version, with nothing being tried: then everybody can be brought there."""
    return world.store.candidate is None and world.store.served is not None


def _judge_deployed(world: World, version: str) -> None:
    if world.store.served != version:
        raise broken(Promise.CONVERGE, f"{version} was deployed last, and the fleet is at {world.store.row}")
    for name, replica in world.replicas.items():
        state = replica.agent
        assert state is not None
        answers = world.rules.answering(state, replica.ready)
        if answers != (version,) or state.local:
            raise broken(
                Promise.CONVERGE,
                f"{name} answers with {answers} at {state.fleet}, step {state.latched}, local trips {set(state.local)};"
                f" {version} was deployed last",
            )
