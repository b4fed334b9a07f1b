"""A working folder that is newer, locked, full or somebody else's: said with what to do, and nothing is changed."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance.stage import Stage
from tests.cli.conftest import with_a_system

NOBODY = 65534
WRITING = [["apply", "pricing.yaml"], ["deploy", "pricing", "--timeout", "1"]]
READING = [["status"], ["history", "pricing"]]

AS_NOBODY = """
import contextlib, io, os, sys, tempfile
from knowngood.cli import main

# Done once as ourselves, in a folder of its own: the next user may not be allowed to read this interpreter's files.
with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
    with contextlib.redirect_stderr(io.StringIO()):
        for arguments in (["apply", "pricing.yaml"], sys.argv[1:], ["history", "nope"]):
            with contextlib.suppress(SystemExit):
                main([*arguments, *(["--file", folder] if arguments[0] == "init" else ["--dir", folder])])
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
main(sys.argv[1:])
"""


@pytest.fixture
def place() -> Iterator[Stage]:
    """A system in a folder that every user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="knowngood-cli-"))
    folder.chmod(0o755)
    yield with_a_system(Stage(folder))
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "arguments", [*READING, *WRITING, ["agent", "pricing"], ["rollback", "pricing", "--break-glass"]]
)
def test_a_folder_of_a_newer_version_is_left_alone(shared: Stage, arguments: list[str]) -> None:
    (shared.home / "format").write_text("2\n")
    try:
        before = shared.files()
        done = shared.kg(*arguments)
        assert (done.code, done.out) == (1, "")
        assert f"{shared.home} has format '2'; this program knows up to 1" in done.err
        assert "Upgrade knowngood" in done.err
        assert shared.files() == before
    finally:
        (shared.home / "format").write_text("1\n")


def test_a_locked_store_says_who_to_look_for_and_reading_goes_on(applied: Stage) -> None:
    store = applied.home / "store.db"
    (applied.folder / "pricing.yaml").write_text((applied.folder / "pricing.yaml").read_text() + "golden: g.jsonl\n")
    before = applied.files()
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        done = applied.kg("apply", "pricing.yaml", "--output", "json")
        assert done.code == 1
        assert done.error["code"] == "component-transient"
        assert f"the store {store} is locked" in done.error["message"]
        assert f"fuser -v {store}" in done.error["hint"]
        assert applied.kg("status").code == 0
        assert applied.kg("history", "pricing").code == 0
        other.execute("ROLLBACK")
    assert applied.files() == before
    assert applied.kg("apply", "pricing.yaml").code == 0


def test_a_full_disk_stops_a_change_as_a_whole(applied: Stage) -> None:
    store = applied.home / "store.db"
    rules = (applied.folder / "pricing.yaml").read_text()
    (applied.folder / "pricing.yaml").write_text(rules + f"golden: {'long' * 4000}\n")
    before = applied.files()
    # No file may grow beyond this: what a quota on the store does. In blocks of 1,024 bytes.
    command = f"ulimit -f 12 && exec {sys.executable} -m knowngood.cli apply pricing.yaml"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=applied.folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"the store {store} cannot grow; nothing was changed" in done.stderr.decode()
    assert "df " in done.stderr.decode()
    assert applied.files() == before
    assert applied.kg("ledger", "verify", "pricing").code == 0
    assert applied.kg("apply", "pricing.yaml").code == 0


def test_a_copy_that_finds_no_room_names_its_own_folder_and_leaves_nothing_there(applied: Stage) -> None:
    target = applied.folder / "copies"
    target.mkdir()
    # Enough for what opening the store takes, and less than the copy.
    command = f"ulimit -f 64 && exec {sys.executable} -m knowngood.cli backup copies/monday.db"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=applied.folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    said = done.stderr.decode()
    assert done.returncode == 1, said
    assert f"there is no room for the copy monday.db in {target}; no copy was made" in said
    assert f"df {target}" in said
    assert "cannot grow" not in said
    assert not list(target.iterdir())
    assert applied.kg("backup", "copies/monday.db").code == 0


def to_a_full_disk(stage: Stage, words: str) -> tuple[int, str]:
    """Run a command whose answer does not fit where it is written; return its code and what it says beside that."""
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m knowngood.cli {words} > /dev/full"],
        cwd=stage.folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    "words", ["status", "history pricing", "apply pricing.yaml", "status --output json", "status nope --output json"]
)
def test_an_answer_that_cannot_be_written_is_an_error_of_one_sentence(shared: Stage, words: str) -> None:
    code, said = to_a_full_disk(shared, words)
    assert code == 1
    assert said.startswith("✖ the answer cannot be written to standard output: No space left on device\n")
    assert "Traceback" not in said


def test_a_log_on_a_full_disk_does_not_end_the_control_loop(applied: Stage) -> None:
    route = applied.home / "systems" / "pricing" / "route.json"
    route.unlink()
    to_a_full_disk(applied, "watch pricing --every 0.01 --ticks 2 2> /dev/full")
    assert route.exists(), "the first look wrote it anew, although nobody could be told that the watch began"


@pytest.mark.parametrize("target", ["absent/pricing.yaml", "pricing.yaml/pricing.yaml", "''"])
def test_a_file_that_cannot_be_made_is_named_with_the_option_for_another(shared: Stage, target: str) -> None:
    done = shared.kg("init", "pricing", "--file", target.strip("'"))
    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 2
    assert "--file" in done.err


class TestAsAnotherUser:
    @pytest.fixture(autouse=True)
    def only_root_can_become_another_user(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root can become another user")

    @pytest.mark.parametrize("arguments", [READING[0], WRITING[0]])
    def test_a_private_folder_is_named_with_whose_it_is_not(self, place: Stage, arguments: list[str]) -> None:
        place.home.chmod(0o700)
        before = place.files()
        code, said = self.run(place, *arguments)
        assert code == 1
        assert "Traceback" not in said
        assert f".knowngood cannot be read by user {NOBODY}: Permission denied" in said
        assert "--dir" in said
        assert place.files() == before

    @pytest.mark.parametrize("arguments", WRITING)
    def test_a_store_that_can_only_be_read_is_not_written(self, place: Stage, arguments: list[str]) -> None:
        for path in [place.home, *place.home.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)
        if arguments[0] == "apply":
            (place.folder / "pricing.yaml").write_text(
                (place.folder / "pricing.yaml").read_text() + "golden: g.jsonl\n"
            )
        before = place.files()
        code, said = self.run(place, *arguments)
        assert code == 1, said
        assert "Traceback" not in said
        assert f"by user {NOBODY}" in said
        assert "ls -la" in said or "permissions" in said
        assert place.files() == before

    def test_no_system_file_is_written_into_a_folder_of_somebody_else(self, place: Stage) -> None:
        code, said = self.run(place, "init", "surge")
        assert code == 1
        assert "surge.yaml cannot be written: Permission denied" in said
        assert "Traceback" not in said

    def test_a_folder_cannot_be_made_where_it_is_not_ours(self, place: Stage) -> None:
        shutil.rmtree(place.home)
        code, said = self.run(place, "apply", "pricing.yaml")
        assert code == 1
        assert f"the working folder {place.home} cannot be made by user {NOBODY}: Permission denied" in said
        assert not place.home.exists()

    @staticmethod
    def run(stage: Stage, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *arguments],
            cwd=stage.folder,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8"},
            capture_output=True,
            check=False,
        )
        return done.returncode, done.stdout.decode() + done.stderr.decode()
