"""The stage: processes are started, watched and ended, and nothing is left of them or of the folder."""

import os
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from knowngood.demo.interrupts import Interrupts
from knowngood.demo.narrator import Narrator
from knowngood.demo.replay_clock import ReplayClock, clock_text
from knowngood.demo.stage import Stage, lasting_port, poll, set_up
from knowngood_sdk.errors import PermanentError, TransientError

WAIT = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
FORK = "import os, time; print(os.fork(), flush=True); time.sleep(600)"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path, interrupts=Interrupts())
    child = stage.start("deaf", ["-c", WAIT])
    poll(lambda: "up" in child.output(), 20, "its start")
    stage.close()
    assert child.process.returncode == -signal.SIGKILL


def test_what_a_child_left_behind_ends_with_it(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path, interrupts=Interrupts())
    child = stage.start("parent", ["-c", FORK])
    poll(lambda: len(child.output().split()) == 2, 20, "its start")
    pids = {int(word) for word in child.output().split()} - {0}
    stage.close()
    poll(lambda: not any(alive(pid) for pid in pids), 10, "the end of both")


def test_a_child_that_ended_says_why(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path, interrupts=Interrupts())
    child = stage.start("broken", ["-c", "import sys; sys.exit('no model at hand')"])
    poll(lambda: not child.running, 20, "its end")
    with pytest.raises(PermanentError, match="broken ended with 1: no model at hand"):
        child.check_running()


def test_a_second_process_of_a_name_tells_its_own_output_apart(tmp_path: Path) -> None:
    stage = Stage(folder=tmp_path, interrupts=Interrupts())
    for words in ("first", "second"):
        child = stage.start("watch", ["-c", f"print('{words}')"])
        poll(lambda child=child: not child.running, 20, "its end")  # type: ignore[misc]
    assert [child.output() for child in stage.children][1] == "second\n"


def test_children_write_bytecode_and_know_nothing_of_who_started_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KNOWNGOOD_FAULT", "flip.decided")
    monkeypatch.setenv("GIT_DIR", "elsewhere")
    stage = Stage(folder=tmp_path, interrupts=Interrupts())
    child = stage.start("env", ["-c", "import os; print(*sorted(os.environ), sep='\\n')"])
    poll(lambda: not child.running, 20, "its end")
    names = child.output().split()
    assert not {"PYTHONDONTWRITEBYTECODE", "KNOWNGOOD_FAULT", "GIT_DIR"} & set(names)
    assert {"KNOWNGOOD_DIR", "KNOWNGOOD_ACTOR"} <= set(names)


def test_the_folder_is_removed_whatever_happened_in_it() -> None:
    stages: list[Stage] = []

    def play() -> None:
        with set_up(Interrupts(), keep=False) as stage:
            stages.append(stage)
            fixed = stage.folder / "tree" / "below"
            fixed.mkdir(parents=True)
            (fixed / "file").write_text("kept by content", encoding="utf-8")
            (fixed / "file").chmod(0o444)
            fixed.chmod(0o555)
            fixed.parent.chmod(0o555)
            stage.start("child", ["-c", "import time; time.sleep(600)"])
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        play()
    assert not stages[0].folder.exists()
    assert not stages[0].children[0].running


def test_the_folder_is_kept_where_that_is_wanted_and_is_its_owners_alone() -> None:
    with set_up(Interrupts(), keep=True) as stage:
        pass
    assert stage.folder.is_dir()
    assert stat.S_IMODE(stage.folder.stat().st_mode) == 0o700
    stage.folder.rmdir()


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(TransientError, match="the moon took longer than 0 s"):
        poll(lambda: False, 0.05, "the moon")


def test_a_signal_that_comes_while_it_is_held_comes_when_the_hold_is_over() -> None:
    interrupts = Interrupts()
    reached = []

    def hold() -> None:
        with interrupts.held():
            os.kill(os.getpid(), signal.SIGTERM)
            reached.append("end of the hold")
        reached.append("never")

    with interrupts.caught(), pytest.raises(KeyboardInterrupt):
        hold()
    assert reached == ["end of the hold"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_what_is_not_held_and_handlers_come_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    interrupts = Interrupts()

    def wait() -> None:
        with interrupts.caught():
            os.kill(os.getpid(), number)
            poll(lambda: False, 10, "the signal")

    with pytest.raises(KeyboardInterrupt):
        wait()
    assert signal.getsignal(number) is before


def test_a_port_that_is_taken_is_passed_over() -> None:
    free = lasting_port()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", free))
        taken.listen()
        assert lasting_port() != free
    assert 18_000 <= free < 32_768


MINI = """\
import json


async def app(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps({"pid": 1}).encode()})
"""


def test_a_server_whose_port_was_taken_is_started_on_another(tmp_path: Path) -> None:
    (tmp_path / "mini.py").write_text(MINI, encoding="utf-8")
    stage = Stage(folder=tmp_path, interrupts=Interrupts())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = stage.start_server("mini", "mini:app", workers=1, env={}, port=port)
        again = stage.wait_served(
            child, again=lambda: stage.start_server("mini", "mini:app", workers=1, env={}, port=lasting_port())
        )
        with pytest.raises(PermanentError, match="address already in use"):
            stage.wait_served(child)
    assert again.child is not child
    assert not again.url.endswith(f":{port}")
    stage.close()


def test_two_clocks_stand_side_by_side() -> None:
    clock = ReplayClock(starts_at=1000.0, start_offset_seconds=4800.0, speed=240.0)
    assert (clock.text(1000.0), clock.text(1010.0)) == ("17:20", "18:00")
    assert clock.epoch(clock.offset(1234.5)) == pytest.approx(1234.5)
    assert clock_text(6 * 3600.0 + 59) == "22:00"


def test_narrator_keeps_the_story_and_the_progress_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with Narrator(story=True) as narrator:
        narrator.say("once", "upon a time")
        narrator.doing("waiting", 0.5, detail="18:01")
        narrator.doing("waiting", 0.6, detail="18:02")
    with Narrator(story=False) as narrator:
        narrator.say("unheard")
    captured = capsys.readouterr()
    assert captured.out == "once\nupon a time\n"
    assert captured.err.count("waiting") == 1
    assert sys.stderr.isatty() or "18:02" not in captured.err
