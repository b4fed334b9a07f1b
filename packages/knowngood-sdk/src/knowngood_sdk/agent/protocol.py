"""
Protocol between the agent and whoever calls it: one JSON object a line, over a unix socket in the replica folder.

A request names what is wanted; the answer is either ``{"ok": true, "report": …}`` with what the replica has made
durable, or ``{"ok": false, "error": {"code", "message", "hint"}}``. The requests:

- ``{"request": "push", "document": RouteDocument}``: know this, then report.
- ``{"request": "leave", "trip": Trip, "scope": "fleet" | "replica"}``: break glass (rules 8 and 9), then report.
- ``{"request": "report"}``: report.

Who may open the socket may trip: it and its folder are the owner's alone.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.route import Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument, trip_to_json

__all__ = [
    "MAX_LINE",
    "REPORT",
    "answer_of_error",
    "answer_of_report",
    "decode",
    "encode",
    "leave_request",
    "push_request",
    "read_answer",
    "socket_path",
]

MAX_LINE = 8 * 1024 * 1024
"""Bytes of a request or answer, at most; a route document takes a few kilobytes."""

REPORT: Mapping[str, Any] = {"request": "report"}

_LONGEST_ADDRESS = 100
"""Bytes of a path that every kernel takes as the address of a socket; Linux takes 107."""


def push_request(document: RouteDocument) -> Mapping[str, Any]:
    """Return the request that takes a route document to a replica."""
    return {"request": "push", "document": document.to_json()}


def leave_request(trip: Trip, *, fleet: bool) -> Mapping[str, Any]:
    """Return the request to leave a version: as a fact for the fleet, or on that replica alone."""
    return {"request": "leave", "trip": trip_to_json(trip), "scope": "fleet" if fleet else "replica"}


def answer_of_report(report: ReplicaReport) -> Mapping[str, Any]:
    """Return the answer that acknowledges."""
    return {"ok": True, "report": report.to_json()}


def answer_of_error(error: KnownGoodError) -> Mapping[str, Any]:
    """Return the answer that says why not."""
    return {"ok": False, "error": {"code": error.code, "message": error.message, "hint": error.hint}}


def read_answer(answer: Any) -> ReplicaReport | str:
    """Return the report of an answer, or the reason that it gives instead; raises InvalidError when it is neither."""
    if not isinstance(answer, Mapping):
        raise InvalidError(f"an answer must be an object, not {type(answer).__name__}")
    if answer.get("ok") is True:
        return ReplicaReport.from_json(answer.get("report"))
    error = answer.get("error")
    if not isinstance(error, Mapping) or not isinstance(error.get("message"), str):
        raise InvalidError(f"an answer carries neither a report nor an error: {answer!r:.120}")
    return f"{error['message']}. {error['hint']}" if error.get("hint") else str(error["message"])


def encode(value: Mapping[str, Any]) -> bytes:
    """Return the line of a request or answer, with its line feed."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def decode(line: bytes) -> Any:
    """Return the value of a line; raises InvalidError when it is not JSON, or is nested too deep."""
    try:
        return json.loads(line, parse_constant=_refuse)
    except RecursionError as error:
        raise InvalidError("a line is nested too deep") from error
    except ValueError as error:
        raise InvalidError(f"a line is not JSON: {error}", hint="Send one JSON object on each line") from error


@contextmanager
def socket_path(path: Path) -> Iterator[str]:
    """
    Give an address for a unix socket, whatever the length of its path.

    A path longer than what fits into a socket's address is reached through the descriptor of its folder, which Linux
    shows under /proc; the address holds while the context is open.

    Raises:
        InvalidError: The path is too long, and this platform has no such way round.
        OSError: The folder cannot be opened.
    """
    direct = str(path)
    if len(os.fsencode(direct)) <= _LONGEST_ADDRESS:
        yield direct
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = f"/proc/self/fd/{folder}"
        if not Path(short).exists():
            raise InvalidError(
                f"{direct} is too long for a socket's address ({_LONGEST_ADDRESS} bytes)", hint="Use a shorter folder"
            )
        yield f"{short}/{path.name}"
    finally:
        os.close(folder)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} has no place in JSON")
