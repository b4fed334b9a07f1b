"""Store oracle: the promises about what is on record, judged transaction by transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knowngood.domain.fleet import FleetState
from knowngood.testing.simulation.oracle import Oracle, in_force
from knowngood.testing.simulation.promise import Promise, broken
from knowngood_sdk.model.route import FULL, FleetRoute
from knowngood_sdk.model.wire import ReplicaReport

__all__ = ["Transaction", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """
    One change of what is on record.

    Attributes:
        kind: ``trip``, ``merge``, ``mint``, ``reissue``, ``advance``, ``abandon`` or ``release``.
        asked: Whether a person asked for it.
        before: The state that it found.
        after: The state that it leaves.
        started: The versions whose rollbacks it started.
        read: What the deployer had read, of a mint.
        shown: What the person was shown, of a release.
        live: The replicas that serve.
        reports: The last reports of the live replicas.
        static_fallback: Whether one is declared.
    """

    kind: str
    asked: bool
    before: FleetState
    after: FleetState
    started: Sequence[str]
    read: FleetState | None
    shown: frozenset[str]
    live: frozenset[str]
    reports: Mapping[str, ReplicaReport]
    static_fallback: bool

    @property
    def quarantine_before(self) -> frozenset[str]:
        """What was in quarantine, counted anew."""
        return in_force(self.before.facts.trips.values(), self.before.facts.released)

    @property
    def quarantine(self) -> frozenset[str]:
        """What is in quarantine now, counted anew."""
        return in_force(self.after.facts.trips.values(), self.after.facts.released)


def judge(oracle: Oracle, change: Transaction) -> None:
    """Judge a transaction, and keep account of what it allows."""
    _judge_record(oracle, change)
    _judge_row(change)
    _judge_rollbacks(change)
    if change.kind == "mint":
        _judge_mint(oracle, change)
    if change.kind == "reissue":
        _judge_reissue(oracle, change)
    if change.kind == "advance":
        _judge_advance(oracle, change)


def _judge_record(oracle: Oracle, change: Transaction) -> None:
    before, after = change.before, change.after
    lost = (
        before.facts.trips.keys() - after.facts.trips.keys()
        or before.facts.released - after.facts.released
        or before.local - after.local
        or before.generations.keys() - after.generations.keys()
    )
    if lost:
        raise broken(Promise.RECORD, f"a {change.kind} loses {lost}")
    acts = {uid for uid, _ in oracle.acts.values()}
    if after.facts.trips.keys() - acts:
        raise broken(Promise.ACCUSED, f"a {change.kind} records {sorted(after.facts.trips.keys() - acts)}")
    shown = {uid for number, (uid, _) in oracle.acts.items() if number in oracle.shown}
    if after.facts.released - shown:
        raise broken(Promise.SHOWN, f"nobody was shown {sorted(after.facts.released - shown)}, and it is released")
    for number, (uid, version) in oracle.acts.items():
        if uid in after.facts.trips and number not in oracle.shown and version not in change.quarantine:
            raise broken(Promise.QUARANTINE, f"act {number} on {version} is on record and not in force")


def _judge_row(change: Transaction) -> None:
    before, after = change.before.row, change.after.row
    if after.generation < before.generation:
        raise broken(Promise.ROW, f"a {change.kind} takes the row from {before} to {after}")
    if after.generation == before.generation:
        if after.step < before.step or after.split < before.split:
            raise broken(Promise.ROW, f"a {change.kind} takes the row from {before} to {after}")
        _judge_cause(change)
    elif change.kind not in {"mint", "reissue"}:
        raise broken(Promise.ROW, f"a {change.kind} takes the row from {before} to {after}")
    standing = (
        {change.after.chain[i] for i in _live(after) if i < len(change.after.chain)} if after.generation else set()
    )
    if standing & change.quarantine:
        raise broken(Promise.STANDS, f"the row {after} stands on {sorted(standing & change.quarantine)}")


def _judge_cause(change: Transaction) -> None:
    before, after, chain = change.before.row, change.after.row, change.before.chain
    if change.kind == "release" and before != after:
        raise broken(Promise.SHOWN, f"a release moves the row from {before} to {after}")
    if after.split > before.split and change.kind != "advance":
        raise broken(Promise.ADVANCE, f"a {change.kind} takes the split from {before} to {after}")
    if after.step == before.step:
        return
    standing = {chain[i] for i in _live(before) if i < len(chain)}
    if change.kind != "abandon" and not standing & change.quarantine:
        raise broken(
            Promise.ROW, f"a {change.kind} takes the row from {before} to {after} of {list(chain)} for no cause"
        )
    behind = range(max(1, before.step), len(chain))
    meant = next((i for i in behind if chain[i] not in change.quarantine), len(chain))
    if after.step != meant:
        raise broken(Promise.ROW, f"a {change.kind} takes the row to {after} of {list(chain)} instead of step {meant}")


def _judge_rollbacks(change: Transaction) -> None:
    entered = sorted(change.quarantine - change.quarantine_before)
    if sorted(change.started) != entered:
        raise broken(
            Promise.EPISODE, f"a {change.kind} brings {entered} into quarantine and starts {sorted(change.started)}"
        )


def _judge_mint(oracle: Oracle, change: Transaction) -> None:
    before, row = change.before, change.after.row
    generation = change.after.generations[row.generation]
    if row != FleetRoute(max(before.generations, default=0) + 1, 0, 0):
        raise broken(Promise.CHAIN, f"a generation starts at {row}")
    if generation.chain[0] not in oracle.armed:
        raise broken(Promise.ARMED, f"{generation.chain[0]} is minted, and was not ready on every live replica")
    assert change.read is not None
    read = in_force(change.read.facts.trips.values(), change.read.facts.released)
    oracle.seen[row.generation] = (read, before.local)
    if generation.saw_quarantine != read or generation.saw_local - before.local:
        raise broken(
            Promise.UNSEEN,
            f"generation {row.generation} says that its deployer saw {sorted(generation.saw_quarantine)}"
            f" and {sorted(generation.saw_local)}; that was {sorted(read)} and {sorted(before.local)}",
        )
    if set(generation.chain) & change.quarantine_before or len(set(generation.chain)) != len(generation.chain):
        raise broken(Promise.CHAIN, f"{list(generation.chain)} with {sorted(change.quarantine_before)} in quarantine")
    behind = generation.chain[1:]
    if before.served is not None and behind[:1] != (before.served,):
        raise broken(Promise.CHAIN, f"{list(generation.chain)} does not go back to {before.served}, which is served")
    ready = [report.ready for report in change.reports.values()]
    armed = any(ready and all(version in versions for versions in ready) for version in behind)
    if not (change.static_fallback or armed):
        raise broken(Promise.CHAIN, f"{list(generation.chain)} has no way back that is ready")


def _judge_reissue(oracle: Oracle, change: Transaction) -> None:
    before, row = change.before, change.after.row
    generation = change.after.generations[row.generation]
    unseen, local = oracle.seen.get(before.row.generation, (frozenset(), frozenset()))
    trying = before.row.step == 0 and before.row.split < FULL
    if trying or row != FleetRoute(max(before.generations) + 1, 0, FULL) or generation.chain[0] != before.served:
        raise broken(
            Promise.REISSUE,
            f"{before.row} is minted again as {row} of {list(generation.chain)}; served is {before.served}",
        )
    if set(generation.chain) & change.quarantine or generation.saw_quarantine != change.quarantine:
        raise broken(Promise.CHAIN, f"{list(generation.chain)} with {sorted(change.quarantine)} in quarantine")
    if not (change.quarantine - unseen or before.local - local or _outside(change)):
        raise broken(Promise.REISSUE, f"generation {row.generation} brings nobody in, and nothing was unseen")
    if not change.asked:
        _judge_settled(oracle, change)
    oracle.seen[row.generation] = (change.quarantine, before.local)
    oracle.advanced[row.generation] = FULL


def _judge_settled(oracle: Oracle, change: Transaction) -> None:
    before = change.before
    left = in_force(before.facts.trips.values(), before.facts.released)
    left |= {trip.version for trip in before.facts.trips.values() if trip.generation == before.row.generation}
    agreed = oracle.agreed(before, change.live) - left
    sick = oracle.alone(before, change.live) - oracle.well
    if agreed or sick:
        raise broken(
            Promise.REISSUE,
            f"{before.served} is minted again by itself: {sorted(agreed)} is to be left, {set(sick)} is not settled",
        )
    if not _outside(change):
        raise broken(Promise.REISSUE, f"{before.served} is minted again by itself, and that brings nobody in")


def _outside(change: Transaction) -> bool:
    """Tell whether a live replica stands behind the fleet or deeper than it."""
    row = change.before.row
    states = [report.state for report in change.reports.values()]
    return any((0 < s.fleet.generation < row.generation) or s.latched > row.step for s in states)


def _judge_advance(oracle: Oracle, change: Transaction) -> None:
    before, after = change.before, change.after.row
    seen, local = oracle.seen[after.generation]
    if before.row.step or change.quarantine_before - seen or before.local - local:
        raise broken(
            Promise.ADVANCE,
            f"generation {after.generation} at step {before.row.step} gets {after.split} and has not seen"
            f" {sorted(change.quarantine_before - seen)} and {sorted(before.local - local)}",
        )
    candidate = before.chain[0]
    for name, report in change.reports.items():
        if report.refusal is not None or candidate not in report.ready:
            why = report.refusal.reason if report.refusal else f"{candidate} is not ready there"
            raise broken(Promise.ADVANCE, f"{name} cannot take generation {after.generation}: {why}")
    oracle.advanced[after.generation] = after.split


def _live(row: FleetRoute) -> tuple[int, ...]:
    if row.step:
        return (row.step,)
    return ((0,) if row.split else ()) + ((1,) if row.split < FULL else ())
