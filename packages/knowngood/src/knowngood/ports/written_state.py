"""
Written state: the port to what a system writes while it serves, found by the version that wrote it (A3).

An adapter knows how a version marks what it writes: a namespace in the key, a column. What is not marked it cannot
find, and does not claim to.
"""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from knowngood.domain.state import Repaired, StateClass, StateSpec, Written

__all__ = ["WrittenState", "WrittenStateFactory"]


class WrittenState(Protocol):
    """
    The state of one system at one place. All methods are idempotent.

    Every method may raise TransientError (the same call may succeed) and PermanentError (it cannot: call a person).

    Attributes:
        name: Its name in the system.
        state_class: Whether it can be computed again.
    """

    @property
    def name(self) -> str:
        """Its name in the system."""
        ...

    @property
    def state_class(self) -> StateClass:
        """Whether it can be computed again."""
        ...

    def written(self, version: str) -> Written:
        """
        Return how much stands there that was written under a version.

        Reads only.

        Args:
            version: Content digest.
        """
        ...

    def repair(self, version: str, *, generation: int, deadline: timedelta) -> Repaired:
        """
        See to it that nothing is read any longer that was written under a version.

        Derived state is discarded. Accumulated state is put back to what stood there before the version wrote, or
        computed again; what others have written since stays. What was written under any other version is not touched.
        Repeated, it finds nothing left to do.

        Args:
            version: Content digest.
            generation: Of the flip that left the version: a fence, kept at the place itself for each version.
            deadline: Longest time that it may take, from the call; TransientError when it does not suffice, and what
                was done stays done.

        Raises:
            ConflictError: A higher generation was here before for this version: whoever asks was overtaken, and what
                the version wrote is a later rollback's. Nothing is changed.
        """
        ...


class WrittenStateFactory(Protocol):
    """
    What an adapter registers as entry point of the group ``knowngood.state``: usually its class.

    Attributes:
        options: Names of the options that its entry in the system file may have.
    """

    @property
    def options(self) -> Collection[str]:
        """Names of the options that its entry in the system file may have."""
        ...

    def __call__(self, spec: StateSpec, *, system: str, root: Path, folder: Path) -> WrittenState:
        """
        Reach the state.

        Args:
            spec: Its declaration.
            system: Name of the system.
            root: Folder of the system file; relative paths in the declaration start here.
            folder: The working folder (KNOWNGOOD_DIR).
        """
        ...
