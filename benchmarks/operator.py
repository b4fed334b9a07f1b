"""
Operator: changes what a team serves through the verbs of its control plane, whoever is killed meanwhile.

A verb that was cut, or that is refused while somebody is away, is asked again after a look at what serves: what a
person or a pipeline would do.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from benchmarks.host import SYSTEM, BenchmarkError, until
from benchmarks.team import Team
from knowngood.adapters.folder.traffic import FolderTraffic
from knowngood.ports.verbs import DeployWish, Document, RollbackWish
from knowngood.verbs.break_glass import break_glass
from knowngood_sdk.errors import ConflictError, KnownGoodError, NotReadyError, OutcomeUnknownError, TransientError

__all__ = ["Move", "Operator"]

_PATIENCE_SECONDS = 120.0
_AGAIN_SECONDS = 0.05
_MAY_PASS = (TransientError, OutcomeUnknownError, ConflictError, NotReadyError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """
    One change of what serves.

    Attributes:
        how: ``deployment``, ``rollback`` or ``break-glass``.
        left: The version that should serve no request any more.
        began_ns: Before it was first asked for, of ``monotonic_ns``.
        answered_ns: When the verb had answered, or a look had shown that it was done.
        acknowledged_ns: Replica -> when it was known to have left; it is as good as its word from then on.
    """

    how: str
    left: str
    began_ns: int
    answered_ns: int
    acknowledged_ns: Mapping[str, int]

    @property
    def seconds(self) -> float:
        """From asking to the answer."""
        return (self.answered_ns - self.began_ns) / 1e9


@dataclass(slots=True)
class Operator:
    """
    Moves a team between two versions.

    Attributes:
        team: The team.
        good: The version to go back to, which was verified.
        bad: The one that is deployed over it, and left again.
        moves: What was done, oldest first.
        again: Why a verb was asked again: the code of the error -> how often.
    """

    team: Team
    good: str = ""
    bad: str = ""
    moves: list[Move] = field(default_factory=list)
    again: dict[str, int] = field(default_factory=dict)
    _pause: Event = field(default_factory=Event)

    def begin(self) -> dict[str, dict[str, str]]:
        """
        Deploy the version to be left, and over it the one to go back to.

        Returns:
            Version -> part -> the stamp that belongs to it.
        """
        parts = {}
        self.bad = self.team.remote.deploy(SYSTEM, DeployWish(intent="to be left"))["version"]
        parts[self.bad] = dict(self.team.stamps)
        self.team.write("second")
        self.good = self.team.remote.deploy(SYSTEM, DeployWish(intent="to go back to"))["version"]
        parts[self.good] = dict(self.team.stamps)
        return parts

    def wait_verified(self) -> None:
        """Return once what serves was verified on real requests: from then on a rollback may lead to it."""
        until(lambda: self.history()["deployments"][-1]["state"] == "verified", "what serves is verified")

    def deploy(self) -> None:
        """Deploy the version to be left."""
        wish = DeployWish(intent="again", version=self.bad)
        self._move("deployment", self.good, self.bad, lambda: self.team.remote.deploy(SYSTEM, wish))

    def roll_back(self) -> None:
        """Leave it by a rollback, whose verification goes on behind."""
        wish = RollbackWish(why="a soak", wait=False)
        self._move("rollback", self.bad, self.good, lambda: self.team.remote.rollback(SYSTEM, wish))

    def break_glass(self) -> None:
        """Leave it on each host by itself, while the control plane is down, which is started again afterwards."""
        began = time.monotonic_ns()
        self.team.kill_control()
        left: dict[str, int] = {}
        for name in self.team.names:
            traffic = FolderTraffic(self.team.home(name))
            done = break_glass(traffic, SYSTEM, actor="on-call", why="the control plane is down")
            left |= dict.fromkeys(done["left"], time.monotonic_ns())
        answered = time.monotonic_ns()
        self.team.start_control()
        self.team.wait_up()
        until(lambda: self._acts() >= len(left), "what hosts did by themselves is on record", _PATIENCE_SECONDS)
        self._settle("break-glass", self.bad, self.good, (began, answered), left)

    def release(self) -> None:
        """Release the version that was left from quarantine by name, with the acts that were looked at."""

        def released() -> Document:
            shown = self.team.remote.quarantined(SYSTEM)["shown"].get(self.bad)
            if shown is None:
                raise ConflictError(f"{self.bad} is not in quarantine yet")
            return self.team.remote.release(SYSTEM, self.bad, "a soak goes on", shown)

        self._insist(released, lambda seen: self.bad not in seen["quarantined"])

    def history(self) -> Document:
        """Return every deployment and every rollback on record."""
        return self.team.remote.history(SYSTEM, 1)

    def _move(self, how: str, left: str, to: str, verb: Callable[[], Document]) -> None:
        began = time.monotonic_ns()
        document = self._insist(verb, lambda seen: _serves(seen) == [to])
        answered = time.monotonic_ns()
        known = document.get("acknowledged", []) if document and how == "rollback" else []
        self._settle(how, left, to, (began, answered), dict.fromkeys(known, answered))

    def _settle(self, how: str, left: str, to: str, times: tuple[int, int], known: dict[str, int]) -> None:
        """Wait until every replica is known to have left, and note the move."""

        def all_left() -> bool:
            for one in self.team.status()["replicas"]:
                if one["agent"] and one["serves"] == [to]:
                    known.setdefault(one["replica"], time.monotonic_ns())
            return set(known) >= set(self.team.names)

        if not set(known) >= set(self.team.names):
            until(all_left, f"every replica has left after a {how}", _PATIENCE_SECONDS)
        self.moves.append(
            Move(how=how, left=left, began_ns=times[0], answered_ns=times[1], acknowledged_ns=dict(known))
        )

    def _insist(self, verb: Callable[[], Document], done: Callable[[Document], bool]) -> Document | None:
        """Ask until it is done; return its answer, or None where a look showed that it was done."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return verb()
            except _MAY_PASS as error:
                self._note(error, deadline)
            if done(self.team.status()):
                return None
            self._pause.wait(_AGAIN_SECONDS)

    def _note(self, error: KnownGoodError, deadline: float) -> None:
        self.again[error.code] = self.again.get(error.code, 0) + 1
        if time.monotonic() > deadline:
            raise BenchmarkError(f"a verb was not done within {_PATIENCE_SECONDS:g} s: {error.message}") from error

    def _acts(self) -> int:
        try:
            trips: list[dict[str, Any]] = self.team.remote.quarantined(SYSTEM)["trips"]
        except TransientError:
            return -1
        return sum(trip["version"] == self.bad for trip in trips)


def _serves(seen: Document) -> list[str]:
    serving: list[str] = seen["serving"]
    return serving
