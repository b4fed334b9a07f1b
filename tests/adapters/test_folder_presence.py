"""The kernel knows which processes of this host have ended, and never takes one that stands still for one of them."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from knowngood.adapters.folder.presence import FolderPresence
from knowngood.testing.replica import until
from knowngood_sdk.errors import ConflictError, TransientError

PROCESS = """
import sys, threading
from pathlib import Path
from knowngood.adapters.folder.presence import FolderPresence
FolderPresence(Path(sys.argv[1])).enter("theirs")
print("entered", flush=True)
threading.Event().wait()
"""


@pytest.mark.requirement("B2")
def test_a_process_is_found_dead_at_once_and_not_before(tmp_path: Path) -> None:
    presence = FolderPresence(tmp_path)
    presence.enter("mine")
    with subprocess.Popen([sys.executable, "-c", PROCESS, tmp_path], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"entered\n"
        assert presence.ended() == []
        process.send_signal(signal.SIGSTOP)
        assert presence.ended() == []
        with pytest.raises(ConflictError, match="theirs runs already"):
            presence.enter("theirs")
        presence.forget("theirs")
        assert presence.ended() == []
        process.kill()
        until(lambda: presence.ended() == ["theirs"], "its end to show")
    presence.forget("theirs")
    assert presence.ended() == []


def test_entering_and_leaving_are_safe_to_repeat(tmp_path: Path) -> None:
    presence = FolderPresence(tmp_path / "workers")
    for _ in range(2):
        presence.enter("mine")
    other = FolderPresence(tmp_path / "workers")
    assert other.ended() == []
    for _ in range(2):
        presence.forget("mine")
    assert other.ended() == presence.ended() == []


def test_a_folder_that_cannot_be_made_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransientError, match="cannot be made"):
        FolderPresence(tmp_path / "file" / "workers").enter("mine")
