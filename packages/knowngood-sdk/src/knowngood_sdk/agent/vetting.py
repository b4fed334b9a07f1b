"""
Vetting: what of a document a replica may take, where signatures are asked for.

It stands before the one place where documents are taken in, wherever they come from: a file of the control plane on
this host, a push over the socket, a stream over the network.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from knowngood_sdk.agent.trust import Guard
from knowngood_sdk.errors import KnownGoodError, NotFoundError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import Refusal
from knowngood_sdk.model.wire import ReleaseDocument, RouteDocument
from knowngood_sdk.serving.folder import ReplicaFolder

__all__ = ["Vetted", "Vetting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vetted:
    """
    What was found of a document.

    Attributes:
        doubt: Why nothing of it but its trips is to be taken; empty when all of it may be.
        anew: Whether it brought other keys: what was vouched for by those that went counts no more.
    """

    doubt: str = ""
    anew: bool = False


class Vetting:
    """
    Vets documents for the keeper of one replica folder. One thread owns it; ``check_release`` is safe for others.

    Args:
        folder: The replica folder.
        root: File with the root that came out of band; None where none was given, or the folder knows it from before.

    Attributes:
        warning: Why nothing of the last document but its trips was taken; empty when all of it was.
    """

    def __init__(self, folder: ReplicaFolder, root: Path | None) -> None:
        self._folder = folder
        self._guard = Guard.of(folder.system_folder.name, folder.trust_file, root)
        self._refusal: Refusal | None = None
        self.warning = ""

    @property
    def newest(self) -> tuple[int, str]:
        """Version and time of the newest route that was vouched for; zero and empty where there is none."""
        return self._guard.newest if self._guard is not None else (0, "")

    @property
    def keys_warning(self) -> str:
        """What is wrong with the keys, for people, or an empty text."""
        return self._guard.trouble if self._guard is not None else ""

    @property
    def age_warning(self) -> str:
        """What is to be told about the age of the newest route, or an empty text."""
        return self._guard.age_warning(datetime.now(UTC)) if self._guard is not None else ""

    def vet(self, document: RouteDocument, accepted: int) -> Vetted:
        """
        Say what of a route may be taken; waits for no disk but to read releases.

        Args:
            document: What came.
            accepted: The generation that holds here.
        """
        if self._guard is None:
            return Vetted()
        root = self._guard.root
        doubt = self._guard.doubt(document) or self._doubt_of_releases(document, accepted)
        number = document.route.generation
        self._refusal = Refusal(generation=number, untrusted=doubt) if doubt and number > accepted else None
        self.warning = f"a route was not taken, but for its trips: {doubt}" if doubt else ""
        return Vetted(doubt=doubt, anew=self._guard.root != root)

    def refusal(self, accepted: int) -> Refusal | None:
        """Return the generation above the accepted one that nobody vouched for, if that is what came last."""
        return self._refusal if self._refusal is not None and self._refusal.generation > accepted else None

    def check_release(self, release: ReleaseDocument) -> None:
        """Check that somebody vouches for what a version is; raises UntrustedError or InvalidError."""
        if self._guard is not None:
            self._guard.check_release(release)

    def save(self) -> None:
        """Make durable what was noted of keys; raises TransientError."""
        if self._guard is not None:
            self._guard.save()

    def _doubt_of_releases(self, document: RouteDocument, accepted: int) -> str:
        """
        Return why a release that a newer generation needs is not to be served; one that is not here is not ready.

        What stands behind the candidate may be from before signing began: its content is named by the signed route.
        """
        generation = document.generations.get(document.route.generation)
        if generation is None or generation.number <= accepted:
            return ""
        for position, version in enumerate(generation.chain):
            try:
                release = self._folder.release(version)
                if position == 0 or release.signed is not None:
                    self.check_release(release)
            except NotFoundError:
                continue
            except KnownGoodError as error:
                return f"release {short(version)}: {error.message}"
        return ""
