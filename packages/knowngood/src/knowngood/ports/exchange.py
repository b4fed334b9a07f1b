"""
Exchange: the port to the place where the control plane and replicas over a network leave documents for each other.

Several processes of a control plane share one exchange. What is on it is the truth; that somebody was told of a change
is a hint, which may be lost. Documents are those of ``knowngood_sdk.model.wire``, as replicas read and write them.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from knowngood_sdk.model.wire import CountsReport, ReleaseDocument, ReplicaReport, RouteDocument

__all__ = ["Exchange", "Reported"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """
    A report as it was left.

    Attributes:
        report: What the replica acknowledged.
        seen_at: When the control plane took it, by the clock of the store.
    """

    report: ReplicaReport
    seen_at: datetime


class Exchange(Protocol):
    """
    Documents by system. All methods are idempotent.

    Any method may raise TransientError (it cannot be reached, within two seconds, or is locked: the same call may
    succeed) and PermanentError (it is full, or what is there is damaged).
    """

    def route(self, system: str) -> RouteDocument | None:
        """Return the published route, or None before the first; raises InvalidError when it is malformed."""
        ...

    def change_route(
        self, system: str, change: Callable[[RouteDocument], RouteDocument], *, anew: bool = False
    ) -> RouteDocument:
        """
        Change the published route, one writer after the other, durably; tells every listener.

        A change that leaves the document as it is writes nothing and tells nobody.

        Args:
            system: Name of the system.
            change: Makes the new document out of the one that is published; out of an empty one before the first.
            anew: Whether to start from an empty document where the published one cannot be read.

        Returns:
            What is published now.

        Raises:
            InvalidError: What is published is malformed, and ``anew`` was not asked for.
        """
        ...

    def save_release(self, release: ReleaseDocument) -> None:
        """Keep what a replica needs to load a version; the same version again replaces it."""
        ...

    def release(self, system: str, version: str) -> ReleaseDocument:
        """Return it; raises NotFoundError when the version was never released."""
        ...

    def save_rules(self, system: str, rules: Mapping[str, Any]) -> None:
        """Keep the rules that replicas of a system go by (a system file as JSON)."""
        ...

    def rules(self, system: str) -> Mapping[str, Any] | None:
        """Return them, or None before the first."""
        ...

    def save_reports(self, system: str, reports: Sequence[ReplicaReport]) -> None:
        """Keep the newest report of each replica (by ``at``), all in one transaction."""
        ...

    def reports(self, system: str) -> Mapping[str, Reported]:
        """Return the newest report of every replica that ever joined, by name."""
        ...

    def stamps(self) -> Mapping[str, str]:
        """
        Return for each system that has a route or a report what is another text once one of them was changed.

        One question, however many systems there are.
        """
        ...

    def save_counts(self, system: str, counts: Mapping[str, Sequence[CountsReport]]) -> None:
        """
        Keep the newest counts of each worker, by replica, all in one transaction.

        Counts are cumulative, so that of one worker's the highest sequence number holds, whatever comes late or twice;
        those that a later report holds (``CountsReport.holds``) go.
        """
        ...

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """Return the newest counts of every worker that ever reported, by ``replica/worker``."""
        ...

    def listening(self, heard: Callable[[str], None]) -> AbstractContextManager[None]:
        """
        Call ``heard`` with the name of a system when another process has changed its route, while the block runs.

        Called in a thread of the exchange's own. What happened while nobody listened, or the connection was lost, is
        never told: look again after each silence.
        """
        ...
