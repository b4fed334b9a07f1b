"""
Verbs: the port to what people ask of the control plane, wherever it runs.

Every verb takes plain values and returns one JSON document, the same one from the working folder of this host and from
a server. What people read is made from these documents alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from knowngood_sdk.model.route import FULL

__all__ = ["DeployWish", "Document", "RollbackWish", "SystemText", "Tell", "Verbs", "silent"]

Document = dict[str, Any]
Tell = Callable[[str, str], None]
"""Takes a line of progress for people: its sign (``good``, ``bad``, ``waiting``, ``warning``, or none), and text."""


def silent(_sign: str, _line: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemText:
    """
    A system file that is to be applied.

    Attributes:
        text: What stands in it.
        file: Its name, for messages.
        root: Absolute path of the folder that relative paths in it start from, where the control plane runs.
    """

    text: str
    file: str
    root: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployWish:
    """
    What is to be put into service.

    Attributes:
        intent: What it is meant to do, in a person's words.
        expects: Effects that are meant: metric -> lowest and highest relative change.
        version: A version on record; None for what the working places hold.
        split: First share of the traffic in basis points.
        timeout_seconds: How long replicas may take to get ready.
        override: Why an unproven combination may be used all the same; None when it may not.
    """

    intent: str = ""
    expects: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    version: str | None = None
    split: int = FULL
    timeout_seconds: float = 120
    override: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackWish:
    """
    What is to be left, and how.

    Attributes:
        why: The reason, in a person's words.
        to: Version to go back to, or ``fallback`` for the static one; None leaves it to the plan.
        level: Level that is asked for, 1 to 4; what it really is follows from the plan.
        suspect: Component that is believed to be at fault.
        override: Why an unproven combination may be used all the same; None when it may not.
        wait: Whether to wait until what serves then is verified.
        timeout_seconds: How long to wait.
    """

    why: str = "a person asked for it"
    to: str | None = None
    level: int | None = None
    suspect: str | None = None
    override: str | None = None
    wait: bool = True
    timeout_seconds: float = 180


class Verbs(Protocol):
    """
    One method for each verb. Those that only read may be repeated; the others say what they do the second time.

    Any method may raise every error of ``knowngood_sdk.errors``, with the words that the verb has for it, and
    TransientError when the control plane cannot be reached.
    """

    def apply(self, system: SystemText) -> Document:
        """Make a system file the system's rules; the same file again changes nothing."""
        ...

    def deploy(self, system: str, wish: DeployWish, tell: Tell = silent) -> Document:
        """Put a version into service; ConflictError when it serves already, or another deployment is under way."""
        ...

    def abandon(self, system: str, tell: Tell = silent) -> Document:
        """Give up the deployment under way; ConflictError when there is none."""
        ...

    def promote(self, system: str, tell: Tell = silent) -> Document:
        """Give the candidate under way all traffic; ConflictError when there is none."""
        ...

    def status(self, system: str | None = None) -> Document:
        """Tell what a system serves on each replica, or what all of them do."""
        ...

    def history(self, system: str, limit: int) -> Document:
        """List the newest of what was deployed, decided and done, newest last."""
        ...

    def diff(self, system: str, before: str | None, after: str | None) -> Document:
        """Tell what differs between two versions; without names, those that a person most likely means."""
        ...

    def plan(self, system: str, suspect: str | None, level: int | None) -> Document:
        """Tell how the system would be rolled back now, with every alternative and the reason."""
        ...

    def rollback(self, system: str, wish: RollbackWish, tell: Tell = silent) -> Document:
        """
        Leave what is served now, at once and everywhere.

        Where a rollback is under way and no target is named, goes on with that one instead. Of its progress the sign
        ``good`` says that the version is left, and comes no sooner: from then on it must not be left again.
        """
        ...

    def resume(
        self, system: str, version: str | None = None, wait_seconds: float | None = None, tell: Tell = silent
    ) -> Document:
        """Let rollbacks go on that wait for a person; NotFoundError when none does."""
        ...

    def break_glass(self, system: str, why: str, replica: str | None) -> Document:
        """Make replicas leave what they serve, without store; again, they leave what that led to."""
        ...

    def quarantined(self, system: str) -> Document:
        """List the versions in quarantine, with every act that put them there."""
        ...

    def bar(self, system: str, version: str, reason: str) -> Document:
        """Put a version that serves nobody into quarantine; ConflictError when it serves, or is in there already."""
        ...

    def release(self, system: str, version: str, reason: str, shown: str | None = None) -> Document:
        """Release a version by name; ConflictError when it is not in there, or held by acts that were not shown."""
        ...

    def readmit(self, system: str, replica: str, why: str) -> Document:
        """Say that a sick replica is well; NotFoundError when nobody knows it, ConflictError when it is not sick."""
        ...

    def reissue(self, system: str, why: str) -> Document:
        """Mint what is served again, so that replicas outside come in; ConflictError when that would bring in none."""
        ...

    def ledger(self, system: str) -> Document:
        """Return every entry of the ledger."""
        ...

    def verify(self, system: str) -> Document:
        """Check the ledger against itself and against the anchors that replicas keep."""
        ...
