"""Exit codes: what a script learns from a command, the same for every command."""

from enum import IntEnum

from knowngood_sdk.errors import KnownGoodError, NotAuthorizedError, NotReadyError, OutcomeUnknownError, RefusedError

__all__ = ["ExitCode", "exit_code_of"]


class ExitCode(IntEnum):
    """Documented in ``docs/reference/exit-codes.md``."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    WAITING = 3
    NOT_AUTHENTICATED = 4
    REFUSED = 5
    NOT_VERIFIED = 6
    PARTIAL = 7
    TIMED_OUT = 8
    NOT_READY = 9


def exit_code_of(error: KnownGoodError) -> ExitCode:
    """Return the exit code that tells a script what kind of failure this is."""
    by_class: tuple[tuple[type[KnownGoodError], ExitCode], ...] = (
        (NotReadyError, ExitCode.NOT_READY),
        (NotAuthorizedError, ExitCode.REFUSED),
        (RefusedError, ExitCode.REFUSED),
        (OutcomeUnknownError, ExitCode.PARTIAL),
    )
    return next((code for kind, code in by_class if isinstance(error, kind)), ExitCode.ERROR)
