"""Outbox: decisions as files beside the system's route, one for each trip."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.canonical import canonical_bytes
from knowngood_sdk.serving.disk import make_folder, read_json, write_whole, writing

__all__ = ["FolderOutbox"]


class FolderOutbox:
    """Decisions in ``systems/<system>/outbox/<uid>.json``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, system: str, uid: str, document: Mapping[str, Any]) -> None:
        """Write the file, unless it is there."""
        path = self._path(system, uid)
        if not path.exists():
            make_folder(path.parent)
            write_whole(path, canonical_bytes(document))

    def get(self, system: str, uid: str) -> Mapping[str, Any] | None:
        """Read the file."""
        document = read_json(self._path(system, uid))
        if document is not None and not isinstance(document, Mapping):
            raise InvalidError(f"the decision of trip {uid} is no object", hint="Somebody edited it; restore it")
        return document

    def drop(self, system: str, uid: str) -> None:
        """Remove the file."""
        path = self._path(system, uid)
        with writing(path):
            path.unlink(missing_ok=True)

    def _path(self, system: str, uid: str) -> Path:
        if not uid.isalnum():
            raise InvalidError(f"{uid!r} is no uid of a trip", hint="A uid has letters and digits alone")
        return self._folder / "systems" / system / "outbox" / f"{uid}.json"
