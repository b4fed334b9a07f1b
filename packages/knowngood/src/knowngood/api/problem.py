"""Problem: what went wrong, as a program reads it (RFC 9457), with what to do next."""

import http
import json
from typing import Any

from fastapi.responses import JSONResponse

from knowngood_sdk.errors import (
    ComponentError,
    ConflictError,
    InvalidError,
    KnownGoodError,
    NotAuthenticatedError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TransientError,
)
from knowngood_sdk.model.wording import readable_in

__all__ = ["MEDIA_TYPE", "ProblemResponse", "problem_of", "response_of", "status_of"]

MEDIA_TYPE = "application/problem+json"

_STATUS: tuple[tuple[type[KnownGoodError], http.HTTPStatus], ...] = (
    (NotAuthenticatedError, http.HTTPStatus.UNAUTHORIZED),
    (RefusedError, http.HTTPStatus.FORBIDDEN),
    (InvalidError, http.HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFoundError, http.HTTPStatus.NOT_FOUND),
    (ConflictError, http.HTTPStatus.CONFLICT),
    (TransientError, http.HTTPStatus.SERVICE_UNAVAILABLE),
    (ComponentError, http.HTTPStatus.BAD_GATEWAY),
    (OutcomeUnknownError, http.HTTPStatus.GATEWAY_TIMEOUT),
)


class ProblemResponse(JSONResponse):
    """A response that says what went wrong."""

    media_type = MEDIA_TYPE

    def render(self, content: Any) -> bytes:
        """Write it, also where it repeats what somebody sent that has no bytes."""
        return super().render(readable_in(content))


def status_of(error: KnownGoodError) -> http.HTTPStatus:
    """Return the HTTP status of an error."""
    found = (status for kind, status in _STATUS if isinstance(error, kind))
    return next(found, http.HTTPStatus.INTERNAL_SERVER_ERROR)


def problem_of(error: KnownGoodError, request_id: str, status: http.HTTPStatus | None = None) -> dict[str, Any]:
    """
    Return an error as a problem document.

    Args:
        error: It.
        request_id: Which request it ended; the log has more of it under this id.
        status: HTTP status, where it is not that of the error's kind.
    """
    status = status or status_of(error)
    return {
        "type": f"urn:knowngood:error:{error.code}",
        "title": " ".join((type(error).__doc__ or "").split("\n\n")[0].split()),
        "status": int(status),
        "detail": error.message,
        "instance": f"urn:knowngood:request:{request_id}",
        "code": error.code,
        "hint": error.hint,
        "details": json.loads(json.dumps(error.details, default=str)),
    }


def response_of(error: KnownGoodError, request_id: str, status: http.HTTPStatus | None = None) -> ProblemResponse:
    """Return an error as a response."""
    document = problem_of(error, request_id, status)
    headers = {}
    if document["status"] == http.HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if document["status"] == http.HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "1"
    return ProblemResponse(document, status_code=document["status"], headers=headers)
