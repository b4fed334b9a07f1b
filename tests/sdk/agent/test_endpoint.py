"""The agent's socket answers each line, whatever else is sent to it."""

import contextlib
import json
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.endpoint import CONNECTION_SECONDS, MAX_CONNECTIONS, Endpoint
from knowngood_sdk.agent.protocol import MAX_LINE, REPORT, answer_of_report, socket_path
from knowngood_sdk.errors import RefusedError
from knowngood_sdk.model.route import ReplicaState
from knowngood_sdk.model.wire import ReplicaReport

EMPTY = ReplicaReport(replica="a", state=ReplicaState())


def answer(request: Any) -> Mapping[str, Any]:
    if request == {"request": "refuse"}:
        raise RefusedError("not today", hint="Come back")
    if request == {"request": "defect"}:
        raise ZeroDivisionError("a defect")
    if request == REPORT:
        return answer_of_report(EMPTY)
    return {"ok": True, "echo": request}


@contextlib.contextmanager
def serving(
    path: Path, reply: Callable[[Any], Mapping[str, Any]] = answer, connection_seconds: float = CONNECTION_SECONDS
) -> Iterator[Path]:
    served = Endpoint(path, reply, connection_seconds=connection_seconds)
    stop = threading.Event()

    def loop() -> None:
        while not stop.is_set():
            served.serve(0.01)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield path
    finally:
        stop.set()
        thread.join()
        served.close()


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[Path]:
    with serving(tmp_path / "agent.sock") as path:
        yield path


def connect(path: Path) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    peer.settimeout(20)
    with socket_path(path) as address:
        peer.connect(address)
    return peer


def read_lines(peer: socket.socket, count: int) -> list[Any]:
    received = b""
    while received.count(b"\n") < count:
        chunk = peer.recv(65536)
        if not chunk:
            break
        received += chunk
    return [json.loads(line) for line in received.splitlines()]


def say(path: Path, line: bytes) -> Any:
    with connect(path) as peer:
        peer.sendall(line)
        return read_lines(peer, 1)[0]


def test_a_request_gets_its_answer(listening: Path) -> None:
    assert say(listening, b'{"request": "hello"}\n') == {"ok": True, "echo": {"request": "hello"}}


def test_several_requests_on_one_connection_are_answered_in_order(listening: Path) -> None:
    with connect(listening) as peer:
        peer.sendall(b"1\n2\n")
        peer.sendall(b"3\n")
        assert [line["echo"] for line in read_lines(peer, 3)] == [1, 2, 3]


def test_a_request_that_comes_in_pieces_is_one_request(listening: Path) -> None:
    with connect(listening) as peer:
        for piece in (b'{"a"', b": 1", b"}\n"):
            peer.sendall(piece)
        assert read_lines(peer, 1)[0]["echo"] == {"a": 1}


def test_a_peer_that_closed_its_side_is_still_answered(listening: Path) -> None:
    with connect(listening) as peer:
        peer.sendall(b"1\n2\n")
        peer.shutdown(socket.SHUT_WR)
        assert [line["echo"] for line in read_lines(peer, 2)] == [1, 2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"\n", "not JSON", id="nothing"),
        pytest.param(b"not json\n", "not JSON", id="no JSON"),
        pytest.param(b"\xff\xfe\x00\n", "not JSON", id="no text"),
        pytest.param(b'{"a": NaN}\n', "NaN", id="no number"),
        pytest.param(b"9" * 5000 + b"\n", "not JSON", id="a number of 5,000 digits"),
        pytest.param(b"[" * 100_000 + b"\n", "nested too deep", id="100,000 brackets"),
        pytest.param(b'{"request": "refuse"}\n', "not today", id="what the agent refuses"),
        pytest.param(b'{"request": "defect"}\n', "ZeroDivisionError", id="what the agent trips over"),
    ],
)
def test_what_cannot_be_answered_is_an_error_that_says_why(
    listening: Path, line: bytes, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = say(listening, line)
    assert refused["ok"] is False
    assert message in refused["error"]["message"]
    assert say(listening, b"1\n")["echo"] == 1
    assert ("Traceback" in capfd.readouterr().err) == (b"defect" in line)


def test_a_line_that_never_ends_is_cut_off(listening: Path) -> None:
    with connect(listening) as peer:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for _ in range(MAX_LINE // 65536 + 64):
                peer.sendall(b"x" * 65536)
        with contextlib.suppress(ConnectionResetError):
            assert "longer than" in read_lines(peer, 1)[0]["error"]["message"]
            assert peer.recv(1) == b""
    assert say(listening, b"1\n")["echo"] == 1


def test_silent_connections_hold_nobody_up(listening: Path) -> None:
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connect(listening)) for _ in range(MAX_CONNECTIONS + 5)]
        silent[-1].sendall(b'{"half a line')
        began = time.monotonic()
        assert say(listening, b"1\n")["echo"] == 1
        assert time.monotonic() - began < 5
        assert silent[0].recv(1) == b""


def test_a_connection_is_closed_at_its_deadline(tmp_path: Path) -> None:
    with serving(tmp_path / "agent.sock", connection_seconds=0.2) as path, connect(path) as peer:
        peer.sendall(b'{"half a line')
        assert peer.recv(1) == b""


def test_a_peer_that_does_not_read_holds_nobody_up(tmp_path: Path) -> None:
    long = {"ok": True, "text": "x" * (4 * 1024 * 1024)}
    with serving(tmp_path / "agent.sock", lambda request: long if request == "long" else answer(request)) as path:
        with connect(path) as deaf:
            deaf.sendall(b'"long"\n"long"\n"after"\n')
            assert say(path, b"1\n")["echo"] == 1
            first, second, after = read_lines(deaf, 3)
        assert first == second == long
        assert after["echo"] == "after"


def test_only_the_owner_may_connect(listening: Path) -> None:
    assert stat.S_IMODE(listening.stat().st_mode) == 0o600


def test_a_socket_that_a_dead_process_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with serving(path):
        assert say(path, b"1\n")["echo"] == 1


def test_a_closed_endpoint_leaves_no_socket(tmp_path: Path) -> None:
    with serving(tmp_path / "agent.sock") as path:
        assert path.exists()
    assert not path.exists()


def test_a_folder_of_any_length_holds_a_socket(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 25) / ("path" * 25)
    folder.mkdir(parents=True)
    with serving(folder / "agent.sock") as path:
        assert len(str(path)) > 200
        assert say(path, b"1\n")["echo"] == 1
        assert ask_each({"a": path}, REPORT, 20) == {"a": EMPTY}


def test_every_agent_is_asked_and_each_report_is_told_as_it_comes(tmp_path: Path) -> None:
    told: list[str] = []
    with serving(tmp_path / "1.sock") as one, serving(tmp_path / "2.sock") as two:
        answers = ask_each({"a": one, "b": two}, REPORT, 20, on_report=told.append)
    assert answers == {"a": EMPTY, "b": EMPTY}
    assert sorted(told) == ["a", "b"]


def test_an_agent_that_starts_to_listen_late_is_still_asked(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    answers: dict[str, ReplicaReport | str] = {}
    asking = threading.Thread(target=lambda: answers.update(ask_each({"a": path}, REPORT, 20)))
    asking.start()
    with serving(path):
        asking.join()
    assert answers == {"a": EMPTY}


def test_an_agent_that_does_not_answer_costs_the_deadline_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "mute.sock"
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute,
        serving(tmp_path / "agent.sock") as good,
    ):
        mute.bind(str(path))
        mute.listen()
        began = time.monotonic()
        answers = ask_each({"a": good, "mute": path, "nobody": tmp_path / "nobody.sock"}, REPORT, 0.2)
        assert 0.2 <= time.monotonic() - began < 5
    assert answers["a"] == EMPTY
    assert "no answer within 0.2 s (connected, no answer)" in str(answers["mute"])
    assert "No such file" in str(answers["nobody"])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(b"", "hung up without an answer", id="nothing"),
        pytest.param(b"no json\n", "not JSON", id="no JSON"),
        pytest.param(b"[]\n", "must be an object", id="no object"),
        pytest.param(b'{"ok": true}\n', "cannot be read", id="no report"),
        pytest.param(b'{"ok": false}\n', "neither a report nor an error", id="no error"),
        pytest.param(b'{"ok": false, "error": {"message": "m", "hint": "h"}}\n', "m. h", id="an error with a hint"),
    ],
)
def test_an_answer_that_is_no_report_is_a_reason(tmp_path: Path, reply: bytes, reason: str) -> None:
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(65536)
                peer.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        answers = ask_each({"a": path}, REPORT, 20)
        thread.join()
    assert reason in str(answers["a"])


def test_a_connection_that_gives_way_in_the_turn_in_which_it_speaks_stops_nobody(tmp_path: Path) -> None:
    served = Endpoint(tmp_path / "agent.sock", answer)
    peers: list[socket.socket] = []
    try:
        for _ in range(MAX_CONNECTIONS + 1):
            peers.append(connect(tmp_path / "agent.sock"))
            if len(peers) <= MAX_CONNECTIONS:
                served.serve(1.0)
        # The listener is looked at before the oldest connection, which then has given way.
        for peer in (peers[0], peers[-1]):
            peer.sendall(b'{"request":"report"}\n')
        served.serve(1.0)
        served.serve(0.0)
        assert read_lines(peers[-1], 1)[0]["ok"] is True
        with contextlib.suppress(ConnectionResetError):
            assert peers[0].recv(1) == b""
    finally:
        for peer in peers:
            peer.close()
        served.close()
