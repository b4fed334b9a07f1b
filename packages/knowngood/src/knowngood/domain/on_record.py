"""On record: a system version as a plan looks at it, read only as far as the plan needs it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from knowngood.domain.evidence import Standing
from knowngood_sdk.model.manifest import Manifest

__all__ = ["OnRecord", "Recorded", "Unread", "unread"]


class OnRecord(Protocol):
    """
    A system version on record, of which a plan reads as little as it needs.

    A long history has many versions, and most of them have no part in a plan: the manifest is asked for only of those
    that do.
    """

    @property
    def version(self) -> str:
        """Its content digest."""
        ...

    @property
    def manifest(self) -> Manifest:
        """What it consists of."""
        ...

    @property
    def standing(self) -> Standing:
        """What is known of it now."""
        ...

    @property
    def known_issues(self) -> tuple[str, ...]:
        """What is known to be wrong with it, in sentences."""
        ...

    def may_mention(self, text: str) -> bool:
        """Whether a digest or a fingerprint may be in its manifest: true wherever it is, and perhaps elsewhere."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """
    A system version on record.

    Attributes:
        manifest: What it consists of.
        standing: What is known of it now.
        known_issues: What is known to be wrong with it, in sentences.
    """

    manifest: Manifest
    standing: Standing
    known_issues: tuple[str, ...] = ()

    @property
    def version(self) -> str:
        """Its content digest."""
        return self.manifest.content_digest

    def may_mention(self, text: str) -> bool:  # noqa: ARG002 - it is read already
        """Whether a digest or a fingerprint may be in its manifest."""
        return True


@dataclass(frozen=True, slots=True)
class Unread:
    """
    A manifest on record that is read when it is asked for.

    Attributes:
        version: Its content digest.
        read: Reads it; raises InvalidError when it is not what was recorded.
        may_mention: Whether a text may be in it: true wherever it is, and perhaps elsewhere.
    """

    version: str
    read: Callable[[], Manifest]
    may_mention: Callable[[str], bool]


def unread(manifest: Manifest) -> Unread:
    """Return a manifest that is at hand as one that is yet to be read."""
    return Unread(manifest.content_digest, lambda: manifest, lambda _: True)
