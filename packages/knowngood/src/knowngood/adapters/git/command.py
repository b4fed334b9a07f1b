"""Running git: its command line, in an environment of our own, without hooks, prompts or a user's settings."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from knowngood.adapters.files.durable import Deadline
from knowngood_sdk.errors import PermanentError, TransientError

__all__ = ["Git", "GitFailedError"]

# Settings that could run a program, and those that would make one host's answer differ from another's.
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.quotePath=false",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_PAGER": "",
}


class GitFailedError(Exception):
    """
    Git said no; the caller knows what that means.

    Attributes:
        message: Its last line.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Git:
    """
    Git on one repository.

    Args:
        place: A folder inside it.
    """

    def __init__(self, place: Path) -> None:
        self._place = place

    def run(self, *arguments: str, deadline: Deadline, stdin: bytes = b"") -> bytes:
        """
        Run git and return its output.

        Args:
            arguments: As on the command line; never a name from outside where an option could stand.
            deadline: It is stopped when that ends.
            stdin: What it reads.

        Raises:
            GitFailedError: It ended with an error.
            TransientError: It took too long.
            PermanentError: There is no git, or no such folder.
        """
        deadline.check(f"git {arguments[0]} in {self._place}")
        command = ["git", *(part for setting in _SETTINGS for part in ("-c", setting)), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - the arguments are checked by the callers
                command,
                cwd=self._place,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": "/nonexistent", **_ENVIRONMENT},
                input=stdin,
                capture_output=True,
                timeout=deadline.remaining_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TransientError(f"git {arguments[0]} took too long", hint="Try again with more time") from error
        except FileNotFoundError as error:
            if not self._place.is_dir():
                raise GitFailedError(f"{self._place} does not exist") from error
            raise PermanentError("there is no git on this host", hint="Install git") from error
        if done.returncode:
            raise GitFailedError(_last_line(done.stderr) or f"git {arguments[0]} ended with {done.returncode}")
        return done.stdout

    def text(self, *arguments: str, deadline: Deadline) -> str:
        """Run git and return its output as text, without the line end."""
        return self.run(*arguments, deadline=deadline).decode("utf-8", "surrogateescape").removesuffix("\n")

    def blobs(self, names: Sequence[str], deadline: Deadline) -> list[bytes]:
        """
        Return the bytes of several blobs, by their object names.

        Raises:
            GitFailedError: One of them is missing or damaged.
        """
        output = self.run("cat-file", "--batch", deadline=deadline, stdin="".join(f"{n}\n" for n in names).encode())
        contents: list[bytes] = []
        position = 0
        for name in names:
            end = output.find(b"\n", position)
            header = output[position:end].split(b" ")
            if end < 0 or len(header) != 3 or header[1] != b"blob":  # noqa: PLR2004 - name, type and size
                raise GitFailedError(f"blob {name} is missing")
            size = int(header[2])
            contents.append(output[end + 1 : end + 1 + size])
            position = end + 1 + size + 1
        return contents


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else ""
