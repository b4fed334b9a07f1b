"""
Embedded: the verbs on the working folder of this host.

What a verb needs is imported when it is called, so that ``kg status`` pays for no database layer.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from knowngood.ports.verbs import DeployWish, Document, RollbackWish, SystemText, Tell, silent
from knowngood_sdk.errors import ComponentError, ConflictError, KnownGoodError, NotFoundError

if TYPE_CHECKING:
    from knowngood.control.plane import Plane

__all__ = ["Embedded"]


class Embedded:
    """
    The verbs of one working folder; whoever runs this process acts.

    Attributes:
        directory: The folder.
        named: Whether a person named it; where nobody did, one who breaks the glass may mean another one of this host.
        store: Store that was named beside the folder; where it is another than the folder's, nothing here touches a
            record.
    """

    def __init__(self, directory: str, *, named: bool = True, store: str = "") -> None:
        self.directory = directory
        self.named = named
        self.store = store

    def apply(self, system: SystemText) -> Document:
        """See ``Verbs``; makes the folder where there is none, once the file is known to be right."""
        from knowngood.adapters.yaml import system_file_of
        from knowngood.app import actor, installed_kinds
        from knowngood.verbs.apply import apply

        system_file_of(system.text.encode(), system.file, kinds=installed_kinds())
        return apply(self._plane(make=True), system, actor=actor())

    def deploy(self, system: str, wish: DeployWish, tell: Tell = silent) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.deploy import deploy

        return deploy(self._plane_of_all(system), system, wish, actor=actor(), tell=tell)

    def abandon(self, system: str, tell: Tell = silent) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.deploy import abandon

        return abandon(self._plane(), system, actor=actor(), tell=tell)

    def promote(self, system: str, tell: Tell = silent) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.deploy import promote

        return promote(self._plane_of_all(system), system, actor=actor(), tell=tell)

    def status(self, system: str | None = None) -> Document:
        """See ``Verbs``; reads files alone."""
        from knowngood.verbs.status import folder_status

        return folder_status(self.directory, system)

    def history(self, system: str, limit: int) -> Document:
        """See ``Verbs``."""
        from knowngood.verbs.reading import history

        return history(self._plane(), system, limit=limit)

    def diff(self, system: str, before: str | None, after: str | None) -> Document:
        """See ``Verbs``."""
        from knowngood.verbs.reading import diff

        return diff(self._plane(), system, before=before, after=after)

    def plan(self, system: str, suspect: str | None, level: int | None) -> Document:
        """See ``Verbs``."""
        from knowngood.verbs.reading import plan

        return plan(self._plane(), system, suspect=suspect, level=level)

    def rollback(self, system: str, wish: RollbackWish, tell: Tell = silent) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.record_elsewhere import ask_the_server_instead, server_to_ask
        from knowngood.verbs.rollback import break_glass_instead, rollback

        try:
            plane = self._plane(leaving=system)
        except ComponentError as error:
            raise break_glass_instead(error, system) from error
        elsewhere = self._elsewhere(system)
        if elsewhere:
            tell("warning", f"not asked from here, for they are on other hosts: {', '.join(elsewhere)}")
            tell("", f"  {server_to_ask(self.directory)}, and this command again")
            tell("", f"  or, on each of those hosts: kg rollback {system} --break-glass")
        try:
            return {**rollback(plane, system, wish, actor=actor(), tell=tell), "elsewhere": elsewhere}
        except NotFoundError as error:
            raise ask_the_server_instead(error, plane, system, self.directory) from error

    def resume(
        self, system: str, version: str | None = None, wait_seconds: float | None = None, tell: Tell = silent
    ) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.resume import resume

        return resume(self._plane(), system, version, wait_seconds, actor=actor(), tell=tell)

    def break_glass(self, system: str, why: str, replica: str | None) -> Document:
        """
        See ``Verbs``; reads the replicas' folders and asks their agents' sockets.

        Where the folder has no replica of the system, and nobody named it, the agents that run on this host say where
        theirs are.
        """
        from knowngood.adapters.folder.nearby import working_folders
        from knowngood.adapters.folder.traffic import FolderTraffic
        from knowngood.adapters.os_user import actor_at_once
        from knowngood.verbs.break_glass import break_glass

        folder = Path(self.directory).resolve()
        traffic = FolderTraffic(folder)
        if not self.named and not traffic.replicas(system):
            folders = working_folders(system)
            if len(folders) > 1:
                raise ConflictError(
                    f"agents of {system} run on this host in several working folders: {', '.join(map(str, folders))}",
                    hint=f"Say which: kg rollback {system} --break-glass --dir {folders[0]}",
                )
            traffic = FolderTraffic(*folders) if folders else traffic
        actor = actor_at_once(os.environ, os.geteuid())
        return break_glass(traffic, system, actor=actor, why=why, replica=replica)

    def quarantined(self, system: str) -> Document:
        """See ``Verbs``."""
        from knowngood.verbs.reading import quarantined

        return quarantined(self._plane(), system)

    def bar(self, system: str, version: str, reason: str) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.quarantine import bar

        return bar(self._plane(), system, version, reason=reason, actor=actor())

    def release(self, system: str, version: str, reason: str, shown: str | None = None) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.quarantine import release

        return release(self._plane(), system, version, shown=shown, reason=reason, actor=actor())

    def readmit(self, system: str, replica: str, why: str) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.replicas import readmit

        return readmit(self._plane(), system, replica, why=why, actor=actor())

    def reissue(self, system: str, why: str) -> Document:
        """See ``Verbs``."""
        from knowngood.app import actor
        from knowngood.verbs.replicas import reissue

        return reissue(self._plane(), system, why=why, actor=actor())

    def ledger(self, system: str) -> Document:
        """See ``Verbs``."""
        from knowngood.verbs.reading import ledger

        return ledger(self._plane(), system)

    def verify(self, system: str) -> Document:
        """See ``Verbs``."""
        from knowngood.verbs.reading import verify

        return verify(self._plane(), system)

    def _plane_of_all(self, system: str) -> "Plane":
        """Open the folder; raises ConflictError where replicas that it does not reach would be given a version."""
        from knowngood.app import replicas_elsewhere
        from knowngood.verbs.record_elsewhere import server_to_ask

        plane = self._plane()
        elsewhere = replicas_elsewhere(self.directory, system)
        if elsewhere:
            raise ConflictError(
                f"{system} has replicas on other hosts, which are not reached from here: {', '.join(elsewhere)}",
                hint=f"{server_to_ask(self.directory)}, and this command again",
            )
        return plane

    def _elsewhere(self, system: str) -> list[str]:
        """Return what ``replicas_elsewhere`` does; none where that cannot be told, for it holds up no rollback."""
        from knowngood.app import replicas_elsewhere

        try:
            return list(replicas_elsewhere(self.directory, system))
        except KnownGoodError:
            return []

    def _plane(self, *, make: bool = False, leaving: str = "") -> "Plane":
        """Open the folder; raises InvalidError where the record is in another store than its own."""
        from knowngood.app import open_plane
        from knowngood.verbs.record_elsewhere import refuse_another_store

        refuse_another_store(self.directory, self.store, leaving=leaving)
        return open_plane(self.directory, make=make)
