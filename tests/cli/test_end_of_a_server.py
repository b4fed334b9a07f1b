"""A server ends its process itself, whatever threads still wait, with the exit code of what came of it."""

import subprocess
import sys

import pytest

from tests.acceptance.stage import Stage

PROGRAM = """
import threading
from knowngood.cli.serve import _end_with
from knowngood_sdk.errors import PermanentError

def serving():
    threading.Thread(target=threading.Event().wait).start()
    {}

_end_with(serving)
"""


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        pytest.param("pass", 0, "", id="it stopped well"),
        pytest.param("raise PermanentError('it ended early', hint='Look')", 1, "it ended early\n  Look", id="foreseen"),
        pytest.param("raise RuntimeError('no idea')", 1, "RuntimeError: no idea", id="unforeseen"),
    ],
)
def test_the_exit_code_says_how_it_ended(last: str, code: int, said: str) -> None:
    program = PROGRAM.format(last)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert said in done.stderr


def test_a_server_whose_component_root_is_no_folder_does_not_start(applied: Stage) -> None:
    absent = applied.folder / "absent"
    refused = applied.kg("serve", "--port", "0", env={"KNOWNGOOD_COMPONENT_ROOTS": str(absent)})
    assert (refused.code, f"component_roots names {absent}" in refused.err) == (1, True), refused.err
