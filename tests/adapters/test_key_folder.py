"""Keys are files of their owner alone, never written over; roots are kept in their line."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from knowngood.adapters.signing import KeyFile, KeyFolder, make_key, read_key
from knowngood.control import keys
from knowngood_sdk.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    PermanentError,
    TransientError,
    UntrustedError,
)
from knowngood_sdk.model.signed import key_id
from knowngood_sdk.serving.folder import hold

NOW = datetime(2026, 1, 1, 18, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def root_key(tmp_path: Path) -> KeyFile:
    return make_key(tmp_path / "root.key")


def test_a_key_is_read_as_it_was_made_and_signs(tmp_path: Path, folder: KeyFolder) -> None:
    made = make_key(tmp_path / "a.key")
    read = read_key(tmp_path / "a.key")
    assert (read.id, read.public, read.made_at) == (made.id, made.public, made.made_at)
    assert read.id == key_id(made.public)
    signature = read.sign(b"message")
    assert folder.verify(made.public, signature, b"message")
    assert not folder.verify(made.public, signature, b"massage")
    assert not folder.verify(made.public, bytes(64), b"message")
    assert not folder.verify(bytes(3), signature, b"message")


def test_a_key_shows_no_more_of_itself_than_its_id(tmp_path: Path) -> None:
    made = make_key(tmp_path / "a.key")
    private = json.loads((tmp_path / "a.key").read_text())["private"]
    assert repr(made) == f"KeyFile({made.id[:12]})"
    assert private not in repr(made)


def test_a_key_is_never_written_over(tmp_path: Path) -> None:
    before = make_key(tmp_path / "a.key")
    with pytest.raises(ConflictError, match="there is a file"):
        make_key(tmp_path / "a.key")
    assert read_key(tmp_path / "a.key").id == before.id


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_that_others_could_have_read_is_not_used(tmp_path: Path, mode: int) -> None:
    make_key(tmp_path / "a.key")
    assert stat.S_IMODE((tmp_path / "a.key").stat().st_mode) == 0o600
    (tmp_path / "a.key").chmod(mode)
    with pytest.raises(PermanentError, match=f"mode {mode:04o}"):
        read_key(tmp_path / "a.key")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"private": "00"}, "holds no key", id="too short"),
        pytest.param({"private": "z" * 64}, "holds no key", id="no digits"),
        pytest.param({"private": 1}, "holds no key", id="no text"),
        pytest.param({"public": "00" * 32}, "not of one key", id="another half"),
        pytest.param({"kind": "rsa"}, "that this program knows", id="another kind"),
        pytest.param({"format": 9}, "that this program knows", id="a newer format"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_without_repeating_it(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    make_key(tmp_path / "a.key")
    document = json.loads((tmp_path / "a.key").read_text())
    (tmp_path / "a.key").write_text(json.dumps({**document, **change}))
    with pytest.raises(InvalidError, match=message) as caught:
        read_key(tmp_path / "a.key")
    assert document["private"] not in str(caught.value)


def test_there_is_no_key_before_one_is_made(tmp_path: Path, folder: KeyFolder) -> None:
    assert folder.roots() == ()
    assert folder.held() == frozenset()
    with pytest.raises(NotFoundError, match="the root names none"):
        folder.current()
    with pytest.raises(NotFoundError, match="kg key create"):
        keys.present_root(folder)
    with pytest.raises(NotFoundError):
        read_key(tmp_path / "nowhere.key")


def test_the_newest_key_that_the_root_names_signs(folder: KeyFolder, root_key: KeyFile) -> None:
    keys.begin(folder, [root_key], threshold=1, now=NOW)
    first = folder.current().id
    unnamed = folder.make()
    assert folder.current().id == first
    assert folder.held() == {first, unnamed.id}
    _, second = keys.add_key(folder, [root_key], now=NOW)
    assert folder.current().id == second
    keys.remove_key(folder, second, [root_key], now=NOW)
    assert folder.current().id == first


def test_the_last_key_is_not_removed(folder: KeyFolder, root_key: KeyFile) -> None:
    keys.begin(folder, [root_key], threshold=1, now=NOW)
    with pytest.raises(InvalidError, match="is the last key"):
        keys.remove_key(folder, folder.current().id, [root_key], now=NOW)
    with pytest.raises(NotFoundError, match="names 0 keys"):
        keys.remove_key(folder, "no such", [root_key], now=NOW)
    with pytest.raises(NotFoundError):
        keys.remove_key(folder, "", [root_key], now=NOW)


def test_roots_are_kept_in_their_line(folder: KeyFolder, root_key: KeyFile) -> None:
    keys.begin(folder, [root_key], threshold=1, now=NOW)
    keys.add_key(folder, [root_key], now=NOW + timedelta(seconds=1))
    first, second = folder.roots()
    folder.keep_root(second)
    assert folder.roots() == (first, second)
    with pytest.raises(ConflictError, match="does not follow"):
        KeyFolder(folder.roots_file.parent.parent / "other").keep_root(second)


def test_two_that_change_keys_at_once_are_told(folder: KeyFolder, root_key: KeyFile) -> None:
    keys.begin(folder, [root_key], threshold=1, now=NOW)
    other = KeyFolder(folder.roots_file.parent)
    other.roots()
    keys.add_key(folder, [root_key], now=NOW)
    assert len(other.roots()) == 2
    held = hold(folder.roots_file.with_name("roots.lock"))
    assert held is not None
    with pytest.raises(TransientError, match="another process is changing the keys"):
        keys.add_key(other, [root_key], now=NOW)
    os.close(held)
    assert len(other.roots()) == 2
    with pytest.raises(ConflictError, match="there are keys here already"):
        keys.begin(other, [root_key], threshold=1, now=NOW)


def test_what_replicas_would_refuse_is_not_kept(tmp_path: Path, folder: KeyFolder, root_key: KeyFile) -> None:
    keys.begin(folder, [root_key], threshold=1, now=NOW)
    with pytest.raises(UntrustedError):
        keys.add_key(folder, [make_key(tmp_path / "stranger.key")], now=NOW)
    assert len(folder.roots()) == 1
