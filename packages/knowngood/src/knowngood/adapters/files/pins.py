"""
Pins: leases on objects, kept by a second name for the same bytes.

Layout: ``systems/<system>/pins/<component>/<lease>/`` holds a hard link to each object and ``lease.json``. Whoever
deletes the objects deletes a name, not the bytes.
"""

import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from knowngood.adapters.files.durable import private_folder, write_atomically
from knowngood.adapters.files.objects import Objects
from knowngood.adapters.files.trees import link_or_copy
from knowngood.domain.component import Lease, check_lease_id
from knowngood_sdk.errors import InvalidError, PermanentError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, canonical_bytes, short
from knowngood_sdk.model.manifest import check_name

__all__ = ["Pins"]


class Pins:
    """
    The leases of one component.

    Args:
        folder: The working folder.
        system: Name of the system.
        component: Name of the component.
        objects: What is pinned.
    """

    def __init__(self, folder: Path, system: str, component: str, objects: Objects) -> None:
        self.root = folder / "systems" / check_name(system, "system") / "pins" / check_name(component, "component")
        self._objects = objects

    def pin(self, digest: str, needed: Collection[str], lease: Lease) -> None:
        """
        Keep objects until the lease ends.

        Args:
            digest: The version's.
            needed: Digests of all its objects, which must be there.
            lease: The claim; one that stands for the same version is renewed.

        Raises:
            InvalidError: The lease stands for another version.
        """
        place = self.root / lease.id
        standing = self._standing(place)
        if standing is not None and standing["digest"] != digest:
            raise InvalidError(
                f"lease {lease.id} stands for {short(standing['digest'])}, not {short(digest)}",
                hint="Unpin it first, or use another lease",
            )
        private_folder(place)
        for each in needed:
            link = place / each.removeprefix(DIGEST_PREFIX)
            if not link.exists():
                link_or_copy(self._objects.path(each), link)
        record = {"digest": digest, "owner": lease.owner, "until": lease.until.isoformat()}
        write_atomically(place / "lease.json", canonical_bytes(record) + b"\n")

    def unpin(self, lease_id: str) -> None:
        """End a lease."""
        place = self.root / check_lease_id(lease_id)
        if place.exists():
            shutil.rmtree(place)

    def restore(self, digest: str) -> bool:
        """Give a pinned object that was deleted its name back; return whether it is there now."""
        target = self._objects.path(digest)
        if target.is_file():
            return True
        hexadecimal = digest.removeprefix(DIGEST_PREFIX)
        link = next(self.root.glob(f"*/{hexadecimal}"), None)
        if link is None:
            return False
        private_folder(target.parent)
        link_or_copy(link, target)
        return True

    def _standing(self, place: Path) -> dict[str, Any] | None:
        try:
            record = json.loads((place / "lease.json").read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise PermanentError(f"{place / 'lease.json'} is damaged: {error}", hint="Unpin and pin again") from error
        return dict(record)
