"""Client: ask the agents of several replica folders side by side, from one thread."""

import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knowngood_sdk.agent.protocol import MAX_LINE, decode, encode, read_answer, socket_path
from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.wire import ReplicaReport

__all__ = ["ask_each"]

_CHUNK = 256 * 1024
_RETRY_SECONDS = 0.005


@dataclass(slots=True, eq=False)
class _Call:
    name: str
    path: Path
    to_send: bytes
    peer: socket.socket | None = None
    received: bytearray = field(default_factory=bytearray)
    trouble: str = "no agent listens"


def ask_each(
    sockets: Mapping[str, Path],
    request: Mapping[str, Any],
    seconds: float,
    *,
    on_report: Callable[[str], None] | None = None,
) -> dict[str, ReplicaReport | str]:
    """
    Send one request to every agent and gather the answers.

    Args:
        sockets: Name of the replica -> path of its agent's socket. One that does not listen yet is tried again.
        request: What to send, of the ``protocol`` module.
        seconds: Longest time for all of it.
        on_report: Called with a name as soon as that replica has answered with a report.

    Returns:
        Name -> the report, or the reason why there is none.
    """
    deadline = time.monotonic() + seconds
    line = encode(request)
    answers: dict[str, ReplicaReport | str] = {}
    waiting = {name: _Call(name, path, line) for name, path in sockets.items()}

    def settle(call: _Call, answer: ReplicaReport | str | None) -> None:
        if answer is None:
            return
        answers[call.name] = answer
        del waiting[call.name]
        _hang_up(selector, call)
        if on_report and isinstance(answer, ReplicaReport):
            on_report(call.name)

    with selectors.DefaultSelector() as selector:
        try:
            while waiting:
                for call in [c for c in waiting.values() if c.peer is None]:
                    _dial(selector, call)
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    break
                retry = any(call.peer is None for call in waiting.values())
                for key, _ in selector.select(min(remaining, _RETRY_SECONDS) if retry else remaining):
                    settle(key.data, _advance(selector, key.data))
        finally:
            for call in waiting.values():
                _hang_up(selector, call)
    late = {call.name: f"no answer within {seconds:g} s ({call.trouble})" for call in waiting.values()}
    return {**answers, **late}


def _dial(selector: selectors.BaseSelector, call: _Call) -> None:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(0)
    try:
        with socket_path(call.path) as address:
            peer.connect(address)
    except (OSError, InvalidError) as error:
        # Nobody listens yet, or too many wait: try again until the deadline.
        peer.close()
        call.trouble = f"{call.path}: {error}"
        return
    call.peer = peer
    call.trouble = "connected, no answer"
    selector.register(peer, selectors.EVENT_WRITE, call)


def _advance(selector: selectors.BaseSelector, call: _Call) -> ReplicaReport | str | None:
    """Send or read what is possible now; return the answer once it is complete."""
    if call.peer is None:
        return None
    try:
        if not call.to_send:
            return _receive(call, call.peer.recv(_CHUNK))
        call.to_send = call.to_send[call.peer.send(call.to_send) :]
        if not call.to_send:
            selector.modify(call.peer, selectors.EVENT_READ, call)
    except BlockingIOError:
        return None
    except OSError as error:
        return f"the agent hung up: {error}"
    return None


def _receive(call: _Call, chunk: bytes) -> ReplicaReport | str | None:
    call.received += chunk
    if b"\n" in chunk:
        return _read(bytes(call.received))
    if not chunk:
        return "the agent hung up without an answer"
    return None if len(call.received) <= MAX_LINE else f"the agent answered more than {MAX_LINE} bytes"


def _read(line: bytes) -> ReplicaReport | str:
    try:
        return read_answer(decode(line))
    except InvalidError as error:
        return f"the agent gave an answer that cannot be read: {error}"


def _hang_up(selector: selectors.BaseSelector, call: _Call) -> None:
    if call.peer is not None:
        selector.unregister(call.peer)
        call.peer.close()
        call.peer = None
