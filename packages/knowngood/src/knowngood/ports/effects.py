"""
Effects: the port to the record of what a system did in the world, found by the version that caused it (A4).

Whoever acts records the act with its version first, in the transaction that decides on it, and carries it out from
that record: then what is listed is what happened.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Protocol

from knowngood.domain.effect import Damage, Effect, EffectsSpec, EffectState

__all__ = ["Effects", "EffectsFactory"]


class Effects(Protocol):
    """
    One record of effects of one system. All methods are idempotent.

    Every method may raise TransientError (the same call may succeed) and PermanentError (it cannot: call a person).

    Attributes:
        name: Its name in the system.
    """

    @property
    def name(self) -> str:
        """Its name in the system."""
        ...

    def caused_by(
        self, version: str, *, state: EffectState | None = None, after: str = "", limit: int = 1000
    ) -> Sequence[Effect]:
        """
        Return acts that a version caused, in the order of their ids.

        Reads only.

        Args:
            version: Content digest.
            state: Only those in this state; None for all.
            after: Only those with a greater id; the last one of a page, to go on.
            limit: Most acts to return, at least 1.
        """
        ...

    def damage(self, version: str) -> Damage:
        """Return what a version did, counted. Reads only."""
        ...

    def cancel(self, effect_id: str, *, generation: int) -> Effect:
        """
        See to it that an act which is held is never carried out.

        Returns:
            The act as it stands then: cancelled, or carried out where this came too late.

        Args:
            effect_id: Which.
            generation: Of the flip that left its version: a fence, kept in the record itself for each version.

        Raises:
            NotFoundError: There is no such act.
            ConflictError: A higher generation was here before for its version: whoever asks was overtaken, and the
                act is a later rollback's. Nothing is changed.
        """
        ...

    def compensate(self, effect_id: str, *, key: str) -> Effect:
        """
        Make an act good, once, whoever asks and however often.

        Args:
            effect_id: Which.
            key: Names this decision; kept before the first try, and given to whoever compensates.

        Returns:
            The act, compensated.

        Raises:
            NotFoundError: There is no such act.
            InvalidError: It was not carried out, or nothing makes it good.
            ConflictError: It is being compensated under another key.
            OutcomeUnknownError: Asked for, no answer: look with ``caused_by`` before acting again.
        """
        ...


class EffectsFactory(Protocol):
    """
    What an adapter registers as entry point of the group ``knowngood.effects``: usually its class.

    Attributes:
        options: Names of the options that its entry in the system file may have.
    """

    @property
    def options(self) -> Collection[str]:
        """Names of the options that its entry in the system file may have."""
        ...

    def __call__(self, spec: EffectsSpec, *, system: str, root: Path, folder: Path) -> Effects:
        """
        Open the record.

        Args:
            spec: Its declaration.
            system: Name of the system.
            root: Folder of the system file; relative paths in the declaration start here.
            folder: The working folder (KNOWNGOOD_DIR).
        """
        ...
