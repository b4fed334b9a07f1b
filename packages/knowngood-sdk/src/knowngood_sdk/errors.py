"""
Every error of knowngood, in one tree.

::

    KnownGoodError                a stable kebab-case code, and what to do next
    ├── InvalidError              can never be valid
    ├── NotFoundError             a name resolves to nothing
    ├── ConflictError             state moved; read again
    ├── RefusedError              nobody allows it, or not yet
    │   ├── NotAuthenticatedError it is not known who asks
    │   ├── NotAuthorizedError    authority for this level is missing; says whose
    │   ├── NotReadyError         no tested way back: the deployment is blocked
    │   └── UntrustedError        no key that is known here vouches for it
    ├── ComponentError            a system outside failed
    │   ├── TransientError        the same call may succeed
    │   └── PermanentError        a person must look
    └── OutcomeUnknownError       sent, no reply: verify before acting again

A message says what is wrong, with which value, and what to do next. Exit codes belong to the command line and HTTP
statuses to the API; neither is known here.
"""

from typing import Any, ClassVar

__all__ = [
    "ComponentError",
    "ConflictError",
    "InvalidError",
    "KnownGoodError",
    "NewerFormatError",
    "NotAuthenticatedError",
    "NotAuthorizedError",
    "NotFoundError",
    "NotReadyError",
    "OutcomeUnknownError",
    "PermanentError",
    "RefusedError",
    "TransientError",
    "UntrustedError",
]


class KnownGoodError(Exception):
    """
    Base of all errors that knowngood raises on purpose.

    Attributes:
        code: Stable kebab-case identifier of the class, for programs.
        message: What is wrong and with which value, for people.
        hint: What to do next, or an empty string when the message says it.
        details: Values behind the message, JSON-able, for programs.
    """

    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str = "", **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = details

    def __str__(self) -> str:
        return f"{self.message}. {self.hint}" if self.hint else self.message


class InvalidError(KnownGoodError):
    """What was given can never be valid, whatever the state of the system."""

    code = "invalid"


class NewerFormatError(InvalidError):
    """A newer version of this program wrote it: this one leaves it alone."""

    code = "newer-format"


class NotFoundError(KnownGoodError):
    """A name resolves to nothing."""

    code = "not-found"


class ConflictError(KnownGoodError):
    """The state moved since it was read: read again and decide again."""

    code = "conflict"


class RefusedError(KnownGoodError):
    """The request is well formed, and nobody allows it, or not yet."""

    code = "refused"


class NotAuthenticatedError(RefusedError):
    """It is not known who asks: no token, a mistyped or unknown one, or one that is over."""

    code = "not-authenticated"


class NotAuthorizedError(RefusedError):
    """The authority for this level is missing; the message says whose it is."""

    code = "not-authorized"


class NotReadyError(RefusedError):
    """There is no tested way back, so the deployment is blocked."""

    code = "not-ready"


class UntrustedError(RefusedError):
    """No key that is known here vouches for it, or it is older than what is known here."""

    code = "untrusted"


class ComponentError(KnownGoodError):
    """A system outside of knowngood failed."""

    code = "component-failed"


class TransientError(ComponentError):
    """The same call may succeed later."""

    code = "component-transient"


class PermanentError(ComponentError):
    """The call cannot succeed: choose another target or call a person."""

    code = "component-permanent"


class OutcomeUnknownError(KnownGoodError):
    """The request was sent and no reply came: verify before acting again."""

    code = "outcome-unknown"
