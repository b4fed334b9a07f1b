"""Records in which order a replica's files and its word are written, and what of it is synced to the disk."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.serving.shared_word import Position, SharedWord

__all__ = ["DiskRecorder"]

_BESIDE = re.compile(r"\.(.+)\.[0-9]+\.[0-9a-f]{8}")


class DiskRecorder:
    """
    Passes every call on to the operating system, and notes it.

    Attributes:
        log: ``append F``, ``sync F``, ``sync new F`` (what is to be renamed), ``rename F``, ``sync folder`` and
            ``word G.L.S``, oldest first; of the files that are named alone.
    """

    def __init__(self, patch: pytest.MonkeyPatch, *files: str) -> None:
        self.log: list[str] = []
        self._files = files
        self._names: dict[int, str] = {}
        self._os: dict[str, Callable[..., Any]] = {}
        for call in ("open", "write", "fsync", "replace", "rename"):
            self._os[call] = getattr(os, call)
            patch.setattr(os, call, getattr(self, f"_{call}"))
        self._join = SharedWord.join
        recorder = self

        def join(word: SharedWord, generation: int, latched: int, split: int) -> Position:
            return recorder._joined(word, generation, latched, split)

        patch.setattr(SharedWord, "join", join)

    def note(self, what: str) -> None:
        """Add a line."""
        self.log.append(what)

    def take(self) -> list[str]:
        """Return what was noted, and begin anew."""
        log, self.log = self.log, []
        return log

    def _open(self, path: Any, flags: int, *more: Any, **named: Any) -> Any:
        descriptor = self._os["open"](path, flags, *more, **named)
        self._names[descriptor] = "folder" if Path(path).is_dir() else _name(path)
        return descriptor

    def _write(self, descriptor: int, data: Any) -> Any:
        written = self._os["write"](descriptor, data)
        self._note("append", self._names.get(descriptor, ""))
        return written

    def _fsync(self, descriptor: int) -> None:
        self._os["fsync"](descriptor)
        self._note("sync", self._names.get(descriptor, ""))

    def _replace(self, source: Any, target: Any) -> None:
        self._os["replace"](source, target)
        self._note("rename", _name(target))

    def _rename(self, source: Any, target: Any) -> None:
        self._os["rename"](source, target)
        self._note("rename", _name(target))

    def _joined(self, word: SharedWord, generation: int, latched: int, split: int) -> Position:
        before = word.read()
        after = self._join(word, generation, latched, split)
        if word.read() != before:
            self.note(f"word {'.'.join(map(str, after))}")
        return after

    def _note(self, what: str, name: str) -> None:
        if name == "folder" or name.removeprefix("new ") in self._files:
            self.note(f"{what} {name}")


def _name(path: Any) -> str:
    name = Path(path).name
    found = _BESIDE.fullmatch(name)
    return f"new {found[1]}" if found else name
