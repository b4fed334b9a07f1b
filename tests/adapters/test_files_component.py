"""Files as components: kept by content, checked before use, never lost to a crash or to somebody's clean-up."""

import errno
import hashlib
import multiprocessing
import os
import re
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TextIO

import pytest

from knowngood.adapters.files import FilesComponent
from knowngood.adapters.files.durable import translated
from knowngood.domain.component import Availability, Depth, Lease
from knowngood.domain.system import ComponentSpec
from knowngood.ports.component import Component, ComponentFactory
from knowngood.testing.contracts.component import ComponentContract
from knowngood_sdk.errors import (
    ComponentError,
    ConflictError,
    InvalidError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from knowngood_sdk.model.manifest import Ref, Role

SOON = timedelta(seconds=30)
FACTORY: ComponentFactory = FilesComponent


def component(tmp_path: Path, target: str = "model.joblib", *, name: str = "model") -> FilesComponent:
    spec = ComponentSpec(name=name, role=Role.MODEL, kind="files", target=target)
    return FilesComponent(spec, system="pricing", root=tmp_path / "work", folder=tmp_path / "folder")


def objects(tmp_path: Path) -> list[Path]:
    return sorted(path for path in (tmp_path / "folder" / "objects").rglob("*") if path.is_file())


def everything(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


class FileHarness:
    def __init__(self, tmp_path: Path) -> None:
        self.tmp_path = tmp_path
        (tmp_path / "work").mkdir()

    def component(self) -> Component:
        return component(self.tmp_path)

    def write(self, number: int) -> None:
        (self.tmp_path / "work" / "model.joblib").write_bytes(b"weights %d" % number * 1000)

    def lose(self, ref: Ref) -> Ref:
        for path in self._objects(ref):
            path.unlink()
        self._remove_prepared(ref)
        return ref

    def damage(self, ref: Ref) -> Ref:
        path = self._objects(ref)[-1]
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        path.chmod(0o444)
        self._remove_prepared(ref)
        return ref

    def forget(self, ref: Ref) -> None:
        self.lose(ref)

    def _objects(self, ref: Ref) -> list[Path]:
        hexadecimal = ref.digest.removeprefix("sha256:")
        return [self.tmp_path / "folder" / "objects" / "sha256" / hexadecimal[:2] / hexadecimal[2:]]

    def _remove_prepared(self, ref: Ref) -> None:
        shutil.rmtree(self.tmp_path / "folder" / "trees" / ref.digest.removeprefix("sha256:"), ignore_errors=True)


class FolderHarness(FileHarness):
    def write(self, number: int) -> None:
        place = self.tmp_path / "work" / "model.joblib"
        (place / "layers").mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text("{}")  # the same in each version: shared in the store
        (place / "layers" / f"part-{number}").write_text(f"weights {number}")
        for other in (place / "layers").iterdir():
            if other.name != f"part-{number}":
                other.unlink()

    def _objects(self, ref: Ref) -> list[Path]:
        own = next(number for number in (1, 2, 3) if self._digest_of(number) in self._listing(ref))
        weights = self._digest_of(own)
        return [*super()._objects(ref), self.tmp_path / "folder" / "objects" / "sha256" / weights[:2] / weights[2:]]

    def _listing(self, ref: Ref) -> str:
        return super()._objects(ref)[0].read_text()

    def _digest_of(self, number: int) -> str:
        return hashlib.sha256(b"weights %d" % number).hexdigest()


@pytest.mark.requirement("A1", "N1", "N2", "N4")
class TestOneFile(ComponentContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> FileHarness:
        return FileHarness(tmp_path)


@pytest.mark.requirement("A1", "N1", "N2", "N4")
class TestFolder(ComponentContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> FolderHarness:
        return FolderHarness(tmp_path)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def test_the_digest_of_a_file_is_the_one_that_sha256sum_prints(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    assert component(tmp_path).capture(SOON).digest == "sha256:" + hashlib.sha256(b"weights").hexdigest()


def test_loaders_see_the_name_that_the_file_had(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    prepared = component(tmp_path).prepare(component(tmp_path).capture(SOON), SOON)
    assert prepared.path is not None
    assert Path(prepared.path).name == "model.joblib"


def test_a_second_version_of_a_folder_takes_the_room_of_what_changed_alone(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").mkdir()
    (work / "model.joblib" / "embeddings").write_bytes(b"e" * 100_000)
    (work / "model.joblib" / "head").write_text("one")
    component(tmp_path).capture(SOON)
    (work / "model.joblib" / "head").write_text("two")
    prepared = component(tmp_path).prepare(component(tmp_path).capture(SOON), SOON)
    assert [path.stat().st_size for path in objects(tmp_path)].count(100_000) == 1
    assert prepared.path is not None
    assert (Path(prepared.path) / "embeddings").stat().st_nlink == 2, "linked, not copied"


def test_an_executable_stays_one_and_is_another_version_than_the_same_bytes_without(tmp_path: Path, work: Path) -> None:
    script = work / "model.joblib" / "run.sh"
    script.parent.mkdir()
    script.write_text("exit 0")
    plain = component(tmp_path).capture(SOON)
    script.chmod(0o755)
    executable = component(tmp_path).capture(SOON)
    assert plain.digest != executable.digest
    prepared = component(tmp_path).prepare(executable, SOON)
    assert prepared.path is not None
    assert os.access(Path(prepared.path) / "run.sh", os.X_OK)


def test_what_the_interpreter_writes_beside_code_changes_no_version(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").mkdir()
    (work / "model.joblib" / "code.py").write_text("pass")
    ref = component(tmp_path).capture(SOON)
    prepared = component(tmp_path).prepare(ref, SOON)
    assert prepared.path is not None
    for place in (work / "model.joblib", Path(prepared.path)):
        (place / "__pycache__").mkdir()
        (place / "__pycache__" / "code.cpython-311.pyc").write_bytes(b"")
    assert component(tmp_path).capture(SOON) == ref
    assert component(tmp_path).prepare(ref, SOON) == prepared


def test_a_file_that_was_added_to_prepared_content_is_not_loaded(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").mkdir()
    (work / "model.joblib" / "code.py").write_text("import json")
    ref = component(tmp_path).capture(SOON)
    prepared = component(tmp_path).prepare(ref, SOON)
    assert prepared.path is not None
    intruder = Path(prepared.path) / "json.py"
    intruder.write_text("raise SystemExit")
    component(tmp_path).prepare(ref, SOON)
    assert not intruder.exists()


@pytest.mark.requirement("N1")
def test_a_component_that_does_not_exist_is_named_with_its_path(tmp_path: Path, work: Path) -> None:
    with pytest.raises(NotFoundError, match=r"component model names .*work/model\.joblib.*system file"):
        component(tmp_path).capture(SOON)
    assert list(work.iterdir()) == []


def make_empty_folder(place: Path) -> None:
    place.mkdir()


def make_pipe(place: Path) -> None:
    os.mkfifo(place)


def make_folder_with_a_pipe(place: Path) -> None:
    place.mkdir()
    os.mkfifo(place / "pipe")


def make_folder_with_a_link_to_a_folder(place: Path) -> None:
    place.mkdir()
    (place / "up").symlink_to("..")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(
            make_empty_folder, "component model: the folder .*/model.joblib holds no file", id="an empty folder"
        ),
        pytest.param(make_pipe, "neither a file nor a folder", id="a pipe"),
        pytest.param(make_folder_with_a_pipe, "is no file", id="a pipe in a folder"),
        pytest.param(make_folder_with_a_link_to_a_folder, "link to a folder", id="a link to a folder"),
    ],
)
def test_what_can_be_no_version_is_refused_without_waiting(
    tmp_path: Path, work: Path, make: Callable[[Path], None], message: str
) -> None:
    make(work / "model.joblib")
    with pytest.raises(InvalidError, match=message):
        component(tmp_path).capture(SOON)


def test_a_link_to_a_file_is_captured_as_the_file_and_a_dangling_one_is_named(tmp_path: Path, work: Path) -> None:
    (work / "blob").write_bytes(b"weights")
    (work / "model.joblib").symlink_to("blob")
    ref = component(tmp_path).capture(SOON)
    assert ref.digest == "sha256:" + hashlib.sha256(b"weights").hexdigest()
    (work / "blob").unlink()
    with pytest.raises(NotFoundError):
        component(tmp_path).capture(SOON)


def test_capturing_again_mends_a_damaged_object(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    ref = component(tmp_path).capture(SOON)
    stored = objects(tmp_path)[0]
    stored.chmod(0o600)
    stored.write_bytes(b"garbage")
    assert component(tmp_path).probe(ref, Depth.BYTES).availability is Availability.DAMAGED
    component(tmp_path).capture(SOON)
    assert component(tmp_path).probe(ref, Depth.LOAD).ok


def test_the_store_takes_back_from_the_loaders_content_what_it_lost(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").mkdir()
    (work / "model.joblib" / "a").write_text("a")
    ref = component(tmp_path).capture(SOON)
    component(tmp_path).prepare(ref, SOON)
    shutil.rmtree(tmp_path / "folder" / "objects")
    assert component(tmp_path).probe(ref, Depth.BYTES).ok
    assert len(objects(tmp_path)) == 2


def test_a_capture_that_fails_leaves_nothing_behind(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"w" * 10_000_000)
    component(tmp_path, "other").current()
    before = everything(tmp_path)
    with pytest.raises(TransientError, match="takes longer than 0 s"):
        component(tmp_path).capture(timedelta(0))
    assert {path for path in everything(tmp_path) - before if not (tmp_path / path).is_dir()} == set()


@pytest.mark.parametrize(
    "facets",
    [
        {},
        {"form": "device", "name": "model"},
        {"form": "file", "name": "../../etc/passwd"},
        {"form": "file", "name": ".."},
        {"form": "file", "name": "a\0b"},
        {"form": "file"},
    ],
)
def test_a_ref_that_no_capture_wrote_is_refused(tmp_path: Path, work: Path, facets: dict[str, str]) -> None:
    ref = Ref(digest="sha256:" + "0" * 64, facets=facets)
    with pytest.raises(InvalidError):
        component(tmp_path).probe(ref, Depth.METADATA)
    with pytest.raises(InvalidError):
        component(tmp_path).prepare(ref, SOON)
    assert list(work.iterdir()) == []


@pytest.mark.parametrize("path", ["../escape", "/etc/escape", "a/../../escape", "a//b", "./a", "", ".git/config"])
def test_a_list_of_files_that_leads_out_of_its_folder_is_damaged(tmp_path: Path, work: Path, path: str) -> None:
    (work / "model.joblib").write_text(
        f'{{"files":{{"{path}":["sha256:{"0" * 64}","644"]}},"format":"knowngood-tree-1"}}'
    )
    listing = component(tmp_path).capture(SOON)
    ref = Ref(digest=listing.digest, facets={"form": "folder"})
    probe = component(tmp_path).probe(ref, Depth.METADATA)
    assert probe.availability is Availability.DAMAGED
    assert not list(tmp_path.rglob("escape"))


@pytest.mark.parametrize("content", [b"", b"garbage", b"{}", b'{"format": 2}', b"[]", b"\xff\xfe"])
def test_a_pointer_that_was_changed_by_hand_is_an_error_and_not_a_fresh_start(
    tmp_path: Path, work: Path, content: bytes
) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    subject = component(tmp_path)
    prepared = subject.prepare(subject.capture(SOON), SOON)
    subject.switch(prepared, expect="0", key="deploy-1")
    pointer = tmp_path / "folder" / "systems" / "pricing" / "pointers" / "model.json"
    pointer.write_bytes(content)
    for act in (subject.current, lambda: subject.switch(prepared, expect="1", key="deploy-2")):
        with pytest.raises(PermanentError, match=r"model\.json is damaged.*Remove the file"):
            act()
    assert pointer.read_bytes() == content


def test_a_pointer_keeps_a_bounded_number_of_keys(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    subject = component(tmp_path)
    prepared = subject.prepare(subject.capture(SOON), SOON)
    for number in range(150):
        subject.switch(prepared, expect=str(number), key=f"key-{number}")
    pointer = tmp_path / "folder" / "systems" / "pricing" / "pointers" / "model.json"
    assert pointer.read_text().count('"key"') == 100
    assert subject.switch(prepared, expect="0", key="key-149").token == subject.current().token


def test_only_the_owner_can_look_into_the_working_folder(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    subject = component(tmp_path)
    subject.switch(subject.prepare(subject.capture(SOON), SOON), expect="0", key="deploy-1")
    folders = [tmp_path / "folder", *(path for path in (tmp_path / "folder").rglob("*") if path.is_dir())]
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}
    assert {oct(path.stat().st_mode & 0o777) for path in objects(tmp_path)} == {"0o444"}


def test_a_working_folder_that_is_no_folder_says_what_to_do(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"weights")
    (tmp_path / "folder").write_text("I am a file")
    with pytest.raises(PermanentError, match=r"folder.*move it away"):
        component(tmp_path).capture(SOON)


@pytest.mark.parametrize(
    ("number", "error", "remedy"),
    [
        pytest.param(errno.ENOSPC, PermanentError, "Free some space", id="a full disk"),
        pytest.param(errno.EROFS, PermanentError, "for writing", id="a read-only disk"),
        pytest.param(errno.EACCES, PermanentError, "access", id="no access"),
        pytest.param(errno.EIO, TransientError, "Try again", id="a disk that may come back"),
        pytest.param(errno.ENOENT, PermanentError, "Restore it", id="removed meanwhile"),
    ],
)
def test_an_error_of_the_operating_system_says_what_to_do(
    number: int, error: type[ComponentError], remedy: str
) -> None:
    with (
        pytest.raises(error, match=rf"capturing model failed.*/disk.*{remedy}") as caught,
        translated("capturing model"),
    ):
        raise OSError(number, os.strerror(number), "/disk")
    assert isinstance(caught.value.__cause__, OSError)


def test_a_folder_that_this_user_may_not_write_is_named(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to other users
        root = Path(place)
        (root / "work").mkdir()
        (root / "work" / "model.joblib").write_bytes(b"weights")
        (root / "folder").mkdir()
        for path in (root / "folder", root / "work", root):
            path.chmod(0o555)
        answer = tmp_path / "answer"
        with answer.open("w") as file:
            child = multiprocessing.get_context("fork").Process(target=_capture_as_nobody, args=(root, file))
            child.start()
            child.join(30)
        for path in (root, root / "folder", root / "work"):
            path.chmod(0o755)
        assert re.search(r"PermanentError.*Permission denied.*Give this user access", answer.read_text())
        assert list((root / "folder").iterdir()) == []


def _capture_as_nobody(root: Path, answer: TextIO) -> None:
    if os.getuid() == 0:  # who may write to anything
        os.setgroups([])
        os.setuid(65534)
    try:
        component(root).capture(SOON)
    except ComponentError as error:
        answer.write(f"{type(error).__name__}: {error}")
        answer.flush()


@pytest.mark.requirement("N4")
def test_a_lease_does_not_pass_to_another_version(tmp_path: Path, work: Path) -> None:
    lease = Lease(id="cooldown", owner="test", until=datetime(2100, 1, 1, tzinfo=UTC))
    (work / "model.joblib").write_bytes(b"one")
    component(tmp_path).pin(component(tmp_path).capture(SOON), lease)
    (work / "model.joblib").write_bytes(b"two")
    with pytest.raises(InvalidError, match="lease cooldown stands for"):
        component(tmp_path).pin(component(tmp_path).capture(SOON), lease)


def test_a_lease_whose_record_was_damaged_says_so_and_can_be_ended(tmp_path: Path, work: Path) -> None:
    lease = Lease(id="cooldown", owner="test", until=datetime(2100, 1, 1, tzinfo=UTC))
    (work / "model.joblib").write_bytes(b"one")
    ref = component(tmp_path).capture(SOON)
    component(tmp_path).pin(ref, lease)
    next((tmp_path / "folder").rglob("lease.json")).write_text("{")
    with pytest.raises(PermanentError, match=r"damaged.*Unpin and pin again"):
        component(tmp_path).pin(ref, lease)
    component(tmp_path).unpin("cooldown")
    assert component(tmp_path).pin(ref, lease).lease_id == "cooldown"


def test_a_damaged_list_of_files_is_damage(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").mkdir()
    (work / "model.joblib" / "a").write_text("a")
    ref = component(tmp_path).capture(SOON)
    listing = next(path for path in objects(tmp_path) if path.read_bytes().startswith(b"{"))
    original = listing.read_text()
    listing.chmod(0o600)
    for content in ("", "[]", '{"format":"knowngood-tree-1","files":{"a":3}}', original.replace('"644"', '"755"')):
        listing.write_text(content)
        for depth in Depth:
            assert component(tmp_path).probe(ref, depth).availability is Availability.DAMAGED


def test_of_many_switches_at_once_exactly_one_wins(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"one")
    prepared = component(tmp_path).prepare(component(tmp_path).capture(SOON), SOON)

    def switch(number: int) -> str:
        try:
            component(tmp_path).switch(prepared, expect="0", key=f"key-{number}")
        except ConflictError:
            return "conflict"
        return "won"

    with ThreadPoolExecutor(16) as pool:
        outcomes = Counter(pool.map(switch, range(64)))
    assert outcomes == {"won": 1, "conflict": 63}


def test_many_that_prepare_at_once_get_the_same_content_and_leave_no_rest(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").mkdir()
    for number in range(20):
        (work / "model.joblib" / f"part-{number}").write_bytes(b"x" * 100_000)
    ref = component(tmp_path).capture(SOON)
    with ThreadPoolExecutor(8) as pool:
        prepared = list(pool.map(lambda _: component(tmp_path).prepare(ref, SOON), range(24)))
    assert len(set(map(str, prepared))) == 1
    assert [path.name for path in (tmp_path / "folder" / "trees").iterdir()] == [ref.digest.removeprefix("sha256:")]


def test_a_file_that_is_still_being_written_is_no_version(tmp_path: Path, work: Path) -> None:
    (work / "model.joblib").write_bytes(b"x" * 50_000_000)
    done = threading.Event()

    def keep_writing() -> None:
        with (work / "model.joblib").open("ab", buffering=0) as file:
            while not done.wait(0.001):
                file.write(b"x")

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        with pytest.raises(TransientError, match="changed while it was read"):
            component(tmp_path).capture(SOON)
    finally:
        done.set()
        writer.join()
    assert objects(tmp_path) == []


@pytest.mark.parametrize("name", ["../x", "a/b", "", "UPPER"])
def test_a_hostile_name_never_becomes_part_of_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError):
        component(tmp_path, name=name)
    spec = ComponentSpec(name="model", role=Role.MODEL, kind="files", target="model.joblib")
    with pytest.raises(InvalidError):
        FilesComponent(spec, system=name, root=tmp_path, folder=tmp_path / "folder")
