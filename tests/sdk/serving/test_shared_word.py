"""The shared word is seen by every process at once, never falls, and starts from zero where it is not sound."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.model.word import pack
from knowngood_sdk.serving.shared_word import Position, SharedWord, peek

POSITIONS = st.tuples(st.integers(1, 3), st.integers(0, 4), st.integers(0, 10_000))


def test_a_new_word_says_read_the_file(tmp_path: Path) -> None:
    word = SharedWord(tmp_path / "word")
    assert word.read() is None
    assert word.warnings == ()
    assert (tmp_path / "word").read_bytes() == bytes(8)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"abc", id="short"),
        pytest.param(b"x" * 8, id="garbage"),
        pytest.param(b"x" * 4096, id="long"),
    ],
)
def test_an_unsound_file_becomes_zero_with_a_warning(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "word"
    path.write_bytes(content)
    assert peek(path)[0] is None
    assert peek(path)[1]
    word = SharedWord(path)
    assert word.read() is None
    assert word.warnings
    assert path.read_bytes() == bytes(8)
    assert word.join(1, 0, 0) == (1, 0, 0)
    assert peek(path) == ((1, 0, 0), "")


def test_a_link_in_the_place_of_the_word_is_replaced_and_its_target_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / "word").symlink_to(target)
    SharedWord(tmp_path / "word").join(1, 0, 0)
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("mode", [0o666, 0o620, 0o602, 0o644])
def test_a_word_that_others_may_use_is_replaced_by_one_that_they_may_not(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "word"
    old = SharedWord(path)
    old.join(1, 0, 0)
    path.chmod(mode)
    said = f"others than its owner may use it: its mode is {mode:04o}"
    assert peek(path) == (None, f"{path} is passed over: {said}")
    word = SharedWord(path)
    assert word.warnings == (f"{path} was replaced: {said}",)
    assert path.stat().st_mode & 0o777 == 0o600
    assert word.read() is None
    assert not old.attached


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_another_user_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "word"
    path.write_bytes(pack(7, 0, 0).to_bytes(8, sys.byteorder))
    os.chown(path, 65534, 65534)
    word = SharedWord(path)
    assert word.read() is None
    assert "65534" in word.warnings[0]


def test_where_no_file_can_be_had_the_word_is_the_processs_own(tmp_path: Path) -> None:
    word = SharedWord(tmp_path / "missing" / "word")
    assert word.warnings
    assert word.join(2, 1, 0) == (2, 1, 0)
    assert word.read() == (2, 1, 0)


@given(st.lists(POSITIONS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_joins_give_the_same_word_in_any_order(positions: list[Position], random: Random) -> None:
    shuffled = list(positions)
    random.shuffle(shuffled)
    words = [SharedWord(Path("/nowhere/word")) for _ in range(2)]
    for word, order in zip(words, (positions, shuffled), strict=True):
        for position in order:
            before = word.read()
            after = word.join(*position)
            assert after == word.read()
            assert before is None or before[0] < after[0] or (before[1] <= after[1] and before[2] <= after[2])
    assert words[0].read() == words[1].read()


def test_a_higher_generation_replaces_a_deeper_step(tmp_path: Path) -> None:
    word = SharedWord(tmp_path / "word")
    word.join(1, 3, 10_000)
    assert word.join(2, 0, 0) == (2, 0, 0)
    assert word.join(1, 4, 10_000) == (2, 0, 0)


def test_a_process_that_was_stopped_with_the_lock_does_not_stop_a_trip(tmp_path: Path) -> None:
    path = tmp_path / "word"
    word = SharedWord(path)
    word.join(1, 0, 0)
    program = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], os.O_RDWR); fcntl.flock(fd, fcntl.LOCK_EX); "
        "print(1, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        began = time.monotonic()
        assert word.join(1, 1, 0) == (1, 1, 0)
        assert time.monotonic() - began < 1
        process.kill()


def test_a_word_file_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "word"
    word = SharedWord(path)
    assert word.attached
    path.unlink()
    replaced = word.attached
    SharedWord(path)
    assert (replaced, word.attached) == (False, False)


def see(path: Path, ready: Connection) -> None:
    word = SharedWord(path)
    ready.send(None)
    deadline = time.monotonic() + 30
    while word.cell[0] != pack(1, 1, 0) and time.monotonic() < deadline:
        os.sched_yield()
    ready.send(word.read())


@pytest.mark.requirement("G3")
def test_every_process_sees_a_flip(tmp_path: Path) -> None:
    path = tmp_path / "word"
    word = SharedWord(path)
    word.join(1, 0, 0)
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe(duplex=False) for _ in range(3)]
    processes = [context.Process(target=see, args=(path, sender)) for _, sender in pipes]
    for process in processes:
        process.start()
    for receiver, _ in pipes:
        receiver.recv()
    word.join(1, 1, 0)
    assert [receiver.recv() for receiver, _ in pipes] == [(1, 1, 0)] * 3
    for process in processes:
        process.join()


def raise_to(path: Path, first: int) -> None:
    word = SharedWord(path)
    for split in range(first, 2_000, 4):
        word.join(1, split // 500, split)


def test_processes_and_threads_that_raise_the_word_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "word"
    word = SharedWord(path)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=raise_to, args=(path, first)) for first in (0, 1)]
    threads = [threading.Thread(target=raise_to, args=(path, first)) for first in (2, 3)]
    for process in processes:
        process.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.join()
    assert word.read() == (1, 3, 1_999)
