"""
Component: the port to one versioned part of a system, whatever tool keeps it.

Order in a plan: probe all, prepare all side by side, switch in dependency order, then ``effective`` on all. Undo is
``switch(prepare(receipt.before))``; there is no verb for it.
"""

from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from knowngood.domain.component import Caps, Depth, Lease, Pin, Prepared, Probe, Receipt, Seen
from knowngood.domain.system import ComponentSpec
from knowngood_sdk.model.manifest import Ref

__all__ = ["Component", "ComponentFactory"]


class Component(Protocol):
    """
    One component of one system.

    Seven verbs, each idempotent: what was done once is not done again, and the second answer equals the first. Beside
    them ``capture`` records what stands in the working place, so that there is a version to deploy.

    Every verb may raise TransientError (the same call may succeed) and PermanentError (it cannot: choose another
    target or call a person); further errors stand with the verb.

    Attributes:
        kind: Name of the adapter, as in the system file.
        name: Name of the component in its system.
        caps: What it can promise.
    """

    @property
    def kind(self) -> str:
        """Name of the adapter, as in the system file."""
        ...

    @property
    def name(self) -> str:
        """Name of the component in its system."""
        ...

    @property
    def caps(self) -> Caps:
        """What it can promise."""
        ...

    def capture(self, deadline: timedelta) -> Ref:
        """
        Record what stands in the working place as a version that can be restored.

        Idempotent: the same content gives the same digest, and is kept once. Moves no pointer.

        Args:
            deadline: Longest time that it may take, from the call.

        Returns:
            The version; its bytes are kept from now on as its pins and the tool's retention say.

        Raises:
            NotFoundError: There is nothing at the place that the system file names.
            InvalidError: What is there can be no version (it cannot be parsed, it is too large, it holds a device).
            RefusedError: It is in a state that nobody could restore (changes that were not committed).
        """
        ...

    def current(self) -> Seen:
        """
        Return the version that the pointer names, as the tool tells it.

        Reads only. Whether readers follow the pointer is another question: ask ``effective``.
        """
        ...

    def probe(self, ref: Ref, depth: Depth) -> Probe:
        """
        Find out whether a version can be restored, and how long that would take.

        Changes nothing that readers see. Never raises for the state of the version: one that is gone, damaged or
        cannot be looked at is an answer.

        Raises:
            InvalidError: The ref cannot be one of this component's.
        """
        ...

    def pin(self, ref: Ref, lease: Lease) -> Pin:
        """
        Keep a version from being collected until the lease ends.

        Idempotent by the lease's id; to renew, pin again with a later end.

        Raises:
            InvalidError: The lease already stands for another version.
            PermanentError: The version is gone or damaged.
        """
        ...

    def unpin(self, lease_id: str) -> None:
        """End a lease. One that does not stand is ended already."""
        ...

    def prepare(self, ref: Ref, deadline: timedelta) -> Prepared:
        """
        Do everything that is slow, and nothing that readers see.

        Idempotent: what stands ready is checked and given again.

        Args:
            ref: The version.
            deadline: Longest time that it may take, from the call; TransientError when it does not suffice.

        Returns:
            The version with the local path of its immutable content, whose digest was checked.

        Raises:
            PermanentError: The version is gone, or its bytes do not match the digest (``details["availability"]``).
        """
        ...

    def switch(self, prepared: Prepared, *, expect: str | None, key: str) -> Receipt:
        """
        Move the pointer: the one commit point.

        Idempotent by key: the same key again gives the first receipt and moves nothing, whatever ``expect`` says.

        Args:
            prepared: From ``prepare``. A target that is missing by now is never created.
            expect: Token that ``current`` gave; None only for a tool that cannot compare.
            key: Names this act; a later act needs another.

        Raises:
            ConflictError: The pointer moved since: read, and plan again.
            InvalidError: The key was used for another version.
            PermanentError: The target is missing.
            OutcomeUnknownError: Sent, no answer: look with ``current`` before acting again.
        """
        ...

    def effective(self, deadline: timedelta) -> Seen:
        """
        Return the version that readers really get, by asking the data path and not the pointer.

        Raises:
            PermanentError: What readers get is not what the pointer names.
        """
        ...


class ComponentFactory(Protocol):
    """
    What an adapter registers as entry point of the group ``knowngood.components``: usually its class.

    Attributes:
        options: Names of the options that its entry in the system file may have.
    """

    @property
    def options(self) -> Collection[str]:
        """Names of the options that its entry in the system file may have."""
        ...

    def __call__(self, spec: ComponentSpec, *, system: str, root: Path, folder: Path) -> Component:
        """
        Make the component.

        Args:
            spec: Its declaration.
            system: Name of the system.
            root: Folder of the system file; relative paths in the declaration start here.
            folder: The working folder (KNOWNGOOD_DIR).
        """
        ...
