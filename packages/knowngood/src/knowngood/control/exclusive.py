"""Exclusive: one deployment of a system at a time, among all processes of a control plane, by a lease."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from threading import Event, Thread
from uuid import uuid4

from knowngood.ports.lease import Leases
from knowngood_sdk.errors import ConflictError, KnownGoodError

__all__ = ["DEPLOY", "ExclusiveDeployments"]

DEPLOY = "deploy:"
"""What the name of a deployment's lease begins with; its holder begins with the incarnation and ``/``."""
_log = logging.getLogger(__name__)


class ExclusiveDeployments:
    """
    Keeps every other deployment of a system out, also those of other hosts.

    A process that dies lets go when its lease is over, or as soon as another one of its host buries it. One whose lease
    was taken meanwhile goes on, and is refused where it matters: a generation is minted only on the state that its
    deployer read (rule 15).

    Args:
        leases: Who is in charge of what.
        incarnation: This start of this process.
        ttl: How long a lease holds that is not renewed.
    """

    def __init__(self, leases: Leases, incarnation: str, ttl: timedelta = timedelta(seconds=15)) -> None:
        self._leases = leases
        self._incarnation = incarnation
        self._ttl = ttl

    @contextmanager
    def __call__(self, system: str) -> Iterator[None]:
        """
        Hold the lease while the block runs.

        Raises:
            ConflictError: Another deployment is under way.
            TransientError: Who holds it cannot be told.
        """
        name, holder = f"{DEPLOY}{system}", f"{self._incarnation}/{uuid4().hex[:8]}"
        if self._leases.claim(name, holder, self._ttl) is None:
            raise ConflictError(
                f"another deployment of {system} is under way",
                hint=f"Wait until it has ended, then look what it did: kg status {system}. What serves can be left "
                f"meanwhile, for what stands behind it: kg rollback {system}",
            )
        over = Event()
        renewing = Thread(target=self._renew, args=(name, holder, over), name=f"deploy-{system}", daemon=True)
        renewing.start()
        try:
            yield
        finally:
            over.set()
            renewing.join()
            with suppress(KnownGoodError):  # then it runs out by itself
                self._leases.release(name, holder)

    def _renew(self, name: str, holder: str, over: Event) -> None:
        while not over.wait(self._ttl.total_seconds() / 3):
            try:
                if self._leases.claim(name, holder, self._ttl) is None:
                    _log.warning("%s was taken by somebody else: this deployment may be refused", name)
                    return
            except KnownGoodError as error:
                _log.warning("%s could not be renewed: %s", name, error)
