"""
Pointer: one small file that names the version in force, with compare-and-swap.

Readers open the file and take ``path``: the immutable local content of that version. They read several files of a
folder through it without ever mixing two versions, which a link that moves under them could not promise.

The file is replaced as a whole under a lock that the kernel takes back when its holder dies, so a kill at any point
leaves the old pointer or the new one. It also remembers the last switches, which makes them idempotent by key.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

from knowngood.adapters.files.durable import Deadline, failed, private_folder, translated, write_atomically
from knowngood.adapters.files.trees import Trees
from knowngood.domain.component import Availability, Prepared, Receipt, Seen
from knowngood_sdk.errors import ConflictError, InvalidError, PermanentError
from knowngood_sdk.model.canonical import canonical_bytes, short
from knowngood_sdk.model.manifest import Ref, check_name

__all__ = ["Pointer"]

_FORMAT = 1
_REMEMBERED = 100
_NEVER_SWITCHED = "0"
_LOCK_WAIT = timedelta(seconds=5)
_LOCK_POLL_SECONDS = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What the file says: the receipts of the last switches, oldest first; the last one is in force."""

    receipts: Sequence[Receipt] = ()

    @property
    def token(self) -> str:
        return self.receipts[-1].token or _NEVER_SWITCHED if self.receipts else _NEVER_SWITCHED

    @property
    def ref(self) -> Ref | None:
        return self.receipts[-1].after if self.receipts else None


class Pointer:
    """
    The pointer of one component.

    Args:
        folder: The working folder.
        system: Name of the system.
        component: Name of the component.
        trees: Where the local content stands.
    """

    def __init__(self, folder: Path, system: str, component: str, trees: Trees) -> None:
        place = folder / "systems" / check_name(system, "system") / "pointers"
        self.path = place / f"{check_name(component, 'component')}.json"
        self._trees = trees

    def current(self) -> Seen:
        """
        Return what the file names.

        Raises:
            PermanentError: Somebody changed the file by hand, and it cannot be read.
        """
        with translated(f"reading the pointer {self.path}"):
            state = self._read()
        return Seen(ref=state.ref, token=state.token)

    def switch(self, prepared: Prepared, *, expect: str | None, key: str) -> Receipt:
        """Move the pointer; the port's ``switch``. Keys are remembered for the last 100 switches."""
        with translated(f"switching the pointer {self.path}"), self._locked():
            state = self._read()
            done = next((receipt for receipt in state.receipts if receipt.key == key), None)
            if done is not None:
                return _same_target(done, prepared)
            if expect != state.token:
                raise ConflictError(
                    f"the pointer {self.path} has moved: expected {expect}, found {state.token}",
                    hint="Read it again, and plan again",
                    expected=expect,
                    found=state.token,
                )
            target = self._trees.path(prepared.ref)
            if not target.exists():
                raise failed(
                    f"{short(prepared.ref.digest)} is not there any more ({target})",
                    Availability.GONE,
                    "Prepare it again",
                )
            receipt = Receipt(key=key, before=state.ref, after=prepared.ref, token=str(int(state.token) + 1))
            self._write(_State(receipts=(*state.receipts, receipt)[-_REMEMBERED:]), target)
            return receipt

    def effective(self, deadline: timedelta) -> Seen:
        """Read the pointer and the content behind it, as a reader would; the port's ``effective``."""
        seen = self.current()
        if seen.ref is None:
            return seen
        with translated(f"reading what {self.path} names"):
            found = self._trees.check(seen.ref, Deadline(deadline))
        if found is not Availability.OK:
            raise failed(
                f"{self.path} names {short(seen.ref.digest)}, whose content is {found}",
                found,
                "Prepare and switch again",
            )
        return seen

    @contextmanager
    def _locked(self) -> Iterator[None]:
        private_folder(self.path.parent)
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            deadline = Deadline(_LOCK_WAIT)
            while not _try_lock(descriptor):
                deadline.check(f"waiting for the process that holds the lock of {self.path}")
                Event().wait(_LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> _State:
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return _State()
        try:
            return _state_from_json(json.loads(content))
        except (ValueError, KeyError, TypeError, InvalidError) as error:
            raise PermanentError(
                f"the pointer {self.path} is damaged: {error}", hint="Remove the file, then switch again from nothing"
            ) from error

    def _write(self, state: _State, target: Path) -> None:
        write_atomically(self.path, canonical_bytes(_state_to_json(state, target)) + b"\n")


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _same_target(done: Receipt, prepared: Prepared) -> Receipt:
    if done.after.digest != prepared.ref.digest:
        raise InvalidError(
            f"the key {done.key!r} was used for {short(done.after.digest)}, not {short(prepared.ref.digest)}",
            hint="Use a new key for a new act",
        )
    return done


def _state_to_json(state: _State, target: Path) -> dict[str, Any]:
    refs: dict[str, Any] = {}
    for receipt in state.receipts:
        refs[receipt.after.digest] = receipt.after.to_json()
        if receipt.before is not None:
            refs[receipt.before.digest] = receipt.before.to_json()
    return {
        "format": _FORMAT,
        "digest": state.receipts[-1].after.digest,
        "path": str(target.resolve()),
        "refs": refs,
        "switches": [
            {
                "key": receipt.key,
                "before": None if receipt.before is None else receipt.before.digest,
                "after": receipt.after.digest,
                "token": receipt.token,
            }
            for receipt in state.receipts
        ],
    }


def _state_from_json(document: Mapping[str, Any]) -> _State:
    if document["format"] != _FORMAT:
        raise InvalidError(f"its format is {document['format']!r}, and this version of knowngood reads {_FORMAT}")
    refs = {digest: Ref.from_json(ref) for digest, ref in document["refs"].items()}
    receipts = [
        Receipt(
            key=entry["key"],
            before=None if entry["before"] is None else refs[entry["before"]],
            after=refs[entry["after"]],
            token=str(int(entry["token"])),
        )
        for entry in document["switches"]
    ]
    if not receipts or document["digest"] != receipts[-1].after.digest:
        raise InvalidError("its digest is not that of its last switch")
    return _State(receipts=receipts)
