"""
Saga: the durable work that follows a flip, one for each time that a version came into quarantine.

The flip has already happened; a saga only moves forward. Each step is recorded when it is over, so that whoever comes
after a crash goes on with the next one, and no step that is on record is done again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from knowngood.domain.level import Level
from knowngood_sdk.errors import ConflictError, InvalidError
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical

__all__ = ["Saga", "SagaState", "Step", "StepName", "StepOutcome", "in_order"]


class StepName(StrEnum):
    """The steps, in their order."""

    RECORD = "record"  # the trip is in the store and in the published route
    FAN_OUT = "fan-out"  # every replica that lives has left the version
    DEPENDENTS = "dependents"  # components that switch by a pointer or in place
    QUARANTINE = "quarantine"  # the version can be neither routed to nor deployed
    VERIFY = "verify"  # metrics are back at their baseline
    STATE = "state"  # what the version wrote is discarded or counted
    EFFECTS = "effects"  # what the version had still to do is cancelled, what it did is counted
    PEOPLE = "people"  # those whom it concerns were told
    CLOSE = "close"


_EARLIER = tuple(name for name in StepName if name not in {StepName.STATE, StepName.EFFECTS})
"""What a rollback consists of that has not on record which steps it began with: an older program began it."""
_PLANNED = "planned"


class StepOutcome(StrEnum):
    """How a step ended. A step that may still succeed has not ended: its saga is stuck."""

    DONE = "done"
    SKIPPED = "skipped"  # there was nothing to do
    FAILED = "failed"  # cannot succeed any more (the metrics did not come back in time); the saga goes on


class SagaState(StrEnum):
    """Whether anybody has to act."""

    RUNNING = "running"
    DONE = "done"
    STUCK = "stuck"  # waits for a person; the next step is tried again once it is resumed


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """
    A step that is over.

    Attributes:
        name: Which.
        at: When it was over, as ISO 8601 in UTC.
        outcome: How it ended.
        details: What was seen, JSON, kept as a copy.
    """

    name: StepName
    at: str
    outcome: StepOutcome = StepOutcome.DONE
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "details", MappingProxyType(_plain(self.details)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"name": self.name.value, "at": self.at, "outcome": self.outcome.value, "details": dict(self.details)}

    @classmethod
    def from_json(cls, document: Any) -> "Step":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        try:
            return cls(
                name=StepName(document["name"]),
                at=str(document["at"]),
                outcome=StepOutcome(document["outcome"]),
                details=dict(document["details"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidError(f"the step of a rollback is malformed: {type(error).__name__} {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Saga:
    """
    One rollback.

    Attributes:
        id: ``rb:{system}:{version}:{episode}``.
        system: Name of the system.
        version: Content digest of the version that was left.
        episode: How often it came into quarantine, this time included.
        target: Version that the route led to; None is the static fallback.
        generation: Generation of the flip.
        started_at: When the version was tripped, as ISO 8601 in UTC.
        state: Whether anybody has to act.
        steps: What is over, in order.
        timeline: Moments (``…_at``, ISO 8601) and durations (``…_seconds``) that were measured, by name.
        needs: What a person must do, while it is stuck; else empty.
    """

    id: str
    system: str
    version: str
    episode: int
    target: str | None
    generation: int
    started_at: str
    state: SagaState = SagaState.RUNNING
    steps: tuple[Step, ...] = ()
    timeline: Mapping[str, Any] = field(default_factory=dict)
    needs: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeline", MappingProxyType(_plain(self.timeline)))
        if tuple(step.name for step in self.steps) != self.planned[: len(self.steps)]:
            raise InvalidError(f"the steps of {self.id} are not in order: {', '.join(s.name for s in self.steps)}")
        if (self.state is SagaState.STUCK) != bool(self.needs):
            raise InvalidError(f"{self.id} is {self.state} and needs {self.needs!r}", hint="Say what a stuck one needs")
        if (self.state is SagaState.DONE) != (len(self.steps) == len(self.planned)):
            raise InvalidError(f"{self.id} is {self.state} after {len(self.steps)} of {len(self.planned)} steps")

    @property
    def planned(self) -> tuple[StepName, ...]:
        """
        The steps that it consists of, in order: those that there were when it began.

        The first one has them on record, so that one which goes on under a newer program does what it began with.
        """
        if not self.steps:
            return tuple(StepName)
        began_with = self.steps[0].details.get(_PLANNED, _EARLIER)
        return tuple(name for name in StepName if name in began_with)

    @property
    def level(self) -> Level:
        """How deep it goes, as was decided; a whole system where nobody decided on a level, as in a bar."""
        return Level(int(self.timeline.get("level", Level.SYSTEM)))

    def next_step(self) -> StepName | None:
        """Return the step to do now; None when all are over."""
        return None if len(self.steps) == len(self.planned) else self.planned[len(self.steps)]

    def with_step(self, step: Step) -> "Saga":
        """
        Return the saga with its next step over; the last one closes it, and one that was stuck runs again.

        Raises:
            ConflictError: It is not the next one: somebody else did it, or one before it is missing.
        """
        if step.name is not self.next_step():
            raise ConflictError(
                f"{step.name} is not the next step of {self.id}; that is {self.next_step() or 'none: it is over'}",
                hint="Read it again and go on from there",
            )
        if not self.steps:
            step = replace(step, details={**step.details, _PLANNED: list(self.planned)})
        steps = (*self.steps, step)
        state = SagaState.DONE if len(steps) == len(self.planned) else SagaState.RUNNING
        return replace(self, steps=steps, state=state, needs="")

    def with_figures(self, **figures: Any) -> "Saga":
        """Return the saga with more moments and durations; one that stands already is replaced."""
        return replace(self, timeline={**self.timeline, **figures})

    def stuck(self, needs: str) -> "Saga":
        """Return the saga waiting for a person, who must do what is said here."""
        return replace(self, state=SagaState.STUCK, needs=needs)

    def resumed(self) -> "Saga":
        """Return the saga trying its next step again."""
        return self if self.state is SagaState.DONE else replace(self, state=SagaState.RUNNING, needs="")

    def check_follows(self, earlier: "Saga") -> None:
        """
        Check that what is on record may be replaced by this.

        Raises:
            ConflictError: A step on record is not in this one: two processes went on from the same state.
        """
        if self.steps[: len(earlier.steps)] != earlier.steps:
            raise ConflictError(
                f"{self.id} went on meanwhile: {len(earlier.steps)} steps are on record",
                hint="Read it again and go on from there",
            )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "id": self.id,
            "system": self.system,
            "version": self.version,
            "episode": self.episode,
            "target": self.target,
            "generation": self.generation,
            "started_at": self.started_at,
            "state": self.state.value,
            "steps": [step.to_json() for step in self.steps],
            "timeline": dict(self.timeline),
            "needs": self.needs,
        }

    @classmethod
    def from_json(cls, document: Any) -> "Saga":
        """Read what ``to_json`` wrote; raises InvalidError for anything else."""
        try:
            target = document["target"]
            return cls(
                id=str(document["id"]),
                system=str(document["system"]),
                version=str(document["version"]),
                episode=int(document["episode"]),
                target=None if target is None else str(target),
                generation=int(document["generation"]),
                started_at=str(document["started_at"]),
                state=SagaState(document["state"]),
                steps=tuple(Step.from_json(step) for step in document["steps"]),
                timeline=dict(document["timeline"]),
                needs=str(document["needs"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidError(f"the rollback is malformed: {type(error).__name__} {error}") from error


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy in the form in which it will be read again; raises InvalidError when it has no JSON form."""
    plain: dict[str, Any] = parse_canonical(canonical_bytes(value))
    return plain


def in_order(sagas: Iterable[Saga]) -> tuple[Saga, ...]:
    """Return rollbacks in the order in which they started, the same for all stores: databases go by their language."""
    return tuple(sorted(sagas, key=lambda saga: (saga.started_at, saga.id)))
