"""Exclusive: one deployment of a system at a time, among all processes of a control plane, by a lease."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from threading import Event, Thread
from uuid import uuid4

from knowngood.ports.lease import Held, Leases
from knowngood_sdk.errors import ConflictError, KnownGoodError

__all__ = ["ExclusiveDeployments", "let_go"]

_log = logging.getLogger(__name__)
_DEPLOY = "deploy:"


class ExclusiveDeployments:
    """
    Keeps every other deployment of a system out, also those of other hosts.

    A process that dies lets go when its lease is over, or as soon as another one of its host buries it. One whose lease
    was taken meanwhile goes on, and is refused where it matters: a generation is minted only on the state that its
    deployer read (rule 15).

    Args:
        leases: Who is in charge of what.
        incarnation: This start of this process.
        now: The present instant, for people who are told since when a deployment is under way.
        ttl: How long a lease holds that is not renewed.
    """

    def __init__(
        self, leases: Leases, incarnation: str, now: Callable[[], datetime], ttl: timedelta = timedelta(seconds=15)
    ) -> None:
        self._leases = leases
        self._incarnation = incarnation
        self._now = now
        self._ttl = ttl

    @contextmanager
    def __call__(self, system: str) -> Iterator[None]:
        """
        Hold the lease while the block runs.

        Raises:
            ConflictError: Another deployment is under way; says which process holds it, since when and until when.
            TransientError: Who holds it cannot be told.
        """
        since = self._now().isoformat(timespec="seconds")
        name, holder = f"{_DEPLOY}{system}", f"{self._incarnation}/{since}/{uuid4().hex[:8]}"
        if self._leases.claim(name, holder, self._ttl) is None:
            raise _under_way(system, self._leases.held(name).get(name))
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


def let_go(leases: Leases, incarnation: str) -> None:
    """Give back the leases of deployments that a process carried out which is known to have ended."""
    for name, held in leases.held(_DEPLOY).items():
        if held.holder.startswith(f"{incarnation}/"):
            leases.release(name, held.holder)


def _under_way(system: str, held: Held | None) -> ConflictError:
    """Return the refusal of a deployment while another one is under way, with what is known of that one."""
    who = ""
    if held is not None:
        process, *rest = held.holder.split("/")
        since = f" since {rest[0]}" if len(rest) > 1 else ""  # not where an older program holds it
        left = max(1, math.ceil(held.expires_in.total_seconds()))
        who = f": process {process} carries it out{since}; if that process has ended, it is free in {left} s"
    return ConflictError(
        f"another deployment of {system} is under way{who}",
        hint=f"Wait until it has ended, then look what it did: kg status {system}. What serves can be left "
        f"meanwhile, for what stands behind it: kg rollback {system}",
    )
