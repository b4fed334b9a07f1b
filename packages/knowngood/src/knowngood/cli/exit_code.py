"""Exit codes: what a script learns from a command, the same for every command."""

from enum import IntEnum
from typing import Self

from knowngood_sdk.errors import (
    KnownGoodError,
    NotAuthenticatedError,
    NotAuthorizedError,
    NotReadyError,
    OutcomeUnknownError,
    RefusedError,
)

__all__ = ["ExitCode", "exit_code_of"]


class ExitCode(IntEnum):
    """
    How a command ended, documented in ``docs/reference/exit-codes.md``.

    Attributes:
        meaning: What a script may take it for.
    """

    meaning: str

    def __new__(cls, code: int, meaning: str) -> Self:
        """Make a member out of its number and its meaning."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member

    DONE = 0, "done, and verified where the command verifies"
    ERROR = 1, "an error; nothing was changed unless the message says so"
    USAGE = 2, "the command was not written as it must be; nothing was done"
    WAITING = 3, "done so far, and waiting: for an approval, or with `--no-wait` for the verification"
    NOT_AUTHENTICATED = 4, "it is not known who asks: no token, a mistyped or unknown one, or one that is over"
    REFUSED = 5, "refused: by a quarantine, by missing evidence, or for want of authority"
    NOT_VERIFIED = (
        6,
        "done, but not verified: the metrics are not back at their baseline, or too few requests came to tell",
    )
    PARTIAL = 7, "partly done, or unknown: not every replica could be reached, or a step waits for a person"
    TIMED_OUT = 8, "still going on when the time was over; it goes on with `kg watch`, or with the same command"
    NOT_READY = 9, "not ready: there is no tested way back, so nothing was switched"
    STOPPED = 130, "stopped by Ctrl-C; what was half done was given up, and what is on record goes on"


def exit_code_of(error: KnownGoodError) -> ExitCode:
    """Return the exit code that tells a script what kind of failure this is."""
    by_class: tuple[tuple[type[KnownGoodError], ExitCode], ...] = (
        (NotReadyError, ExitCode.NOT_READY),
        (NotAuthenticatedError, ExitCode.NOT_AUTHENTICATED),
        (NotAuthorizedError, ExitCode.REFUSED),
        (RefusedError, ExitCode.REFUSED),
        (OutcomeUnknownError, ExitCode.PARTIAL),
    )
    return next((code for kind, code in by_class if isinstance(error, kind)), ExitCode.ERROR)
