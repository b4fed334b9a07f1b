"""Where a worker may read and not write, it serves on, follows flips, and says what it cannot do."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.model.route import FULL
from knowngood_sdk.serving.shared_word import SharedWord
from tests.sdk.serving.steward import Steward, system, until

NOBODY = 65534
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


def as_nobody(act: Callable[[], Any]) -> Any:
    """Return what an act gives in a child process of another user: root may write to anything."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        found: Any = "the child failed"
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            found = act()
        except BaseException as error:
            found = repr(error)
            raise
        finally:
            os.write(write, json.dumps(found).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    os.waitpid(child, 0)
    return json.loads(data)


def give_away(directory: Path) -> None:
    """Let another user own everything below, and write nothing of it."""
    for parent in directory.parents:
        if parent.stat().st_uid == 0 and any(part.startswith("pytest-of-") for part in parent.parts):
            parent.chmod(0o755)
    for path in (directory, *directory.rglob("*")):
        os.chown(path, NOBODY, NOBODY)
        path.chmod(0o500 if path.is_dir() else 0o400)


def test_a_word_that_may_only_be_read_is_followed_and_never_raised(tmp_path: Path) -> None:
    path = tmp_path / "word"
    SharedWord(path).join(1, 0, FULL)
    give_away(tmp_path)

    def act() -> Any:
        word = SharedWord(path)
        return [word.read(), word.join(1, 1, FULL), word.read(), list(word.warnings)]

    before, joined, after, warnings = as_nobody(act)
    assert (before, joined, after) == ([1, 0, FULL], [1, 1, FULL], [1, 0, FULL])
    assert "read-only" in warnings[0]


def test_a_word_that_can_neither_be_read_nor_made_is_the_processs_own(tmp_path: Path) -> None:
    path = tmp_path / "word"
    path.write_bytes(b"short")
    give_away(tmp_path)

    def act() -> Any:
        word = SharedWord(path)
        return [word.join(1, 1, FULL), word.read(), list(word.warnings)]

    joined, after, warnings = as_nobody(act)
    assert joined == after == [1, 1, FULL]
    assert "cannot be used" in " ".join(warnings)


@pytest.mark.requirement("G3")
def test_a_worker_in_a_read_only_folder_serves_and_follows_flips(tmp_path: Path) -> None:
    steward = Steward(tmp_path)
    v2, v1 = steward.release(2.0), steward.release(1.0)
    steward.accept(v2, v1)
    give_away(tmp_path)
    ready, flipped = os.pipe(), os.pipe()

    def act() -> Any:
        kg = system(tmp_path)
        kg.start()
        until(lambda: kg.ready and len(kg.loaded) == 2, "both slots")
        with kg.request("rider") as priced:
            before = kg.observe(priced.price(1.0))
        os.write(ready[1], b".")
        os.read(flipped[0], 1)
        with kg.request("rider") as priced:
            after = kg.observe(priced.price(1.0))
        return [before, after, until(lambda: kg.troubles, "the troubles")]

    parent = os.fork()
    if parent == 0:
        # This child flips; as_nobody waits for the one that serves.
        os.read(ready[0], 1)
        steward.word.join(1, 1, FULL)
        os.write(flipped[1], b".")
        os._exit(0)
    before, after, troubles = as_nobody(act)
    os.waitpid(parent, 0)
    assert (before, after) == (2.0, 1.0)
    assert any("lock" in trouble for trouble in troubles)
    for descriptor in (*ready, *flipped):
        os.close(descriptor)
