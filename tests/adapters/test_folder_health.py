"""A look at a health endpoint ends at its deadline and is an answer, whatever the endpoint does."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from knowngood.adapters.folder.health import ask
from knowngood_sdk.errors import InvalidError

SOON = timedelta(seconds=20)


@contextlib.contextmanager
def speaking(speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """Let an endpoint take one request and then do as told."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                peer, _ = listener.accept()
                with peer:
                    peer.recv(65536)
                    speak(peer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/healthz"
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_the_request_names_host_and_path() -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                asked.append(peer.recv(65536))
                peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        assert ask(f"http://127.0.0.1:{port}/live?deep=1", SOON).ok
        thread.join()
    assert asked[0].startswith(b"GET /live?deep=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n" % port)


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", 200, id="with a reason"),
        pytest.param(b"HTTP/1.0 503\r\n\r\n", 503, id="without a reason"),
        pytest.param(b"HTTP/1.1 399 Odd\r\n\r\n", 399, id="the last healthy status"),
        pytest.param(b"HTTP/1.1 400 Bad\r\n\r\n", 400, id="the first unhealthy status"),
    ],
)
def test_the_status_is_read(answer: bytes, status: int) -> None:
    with speaking(lambda peer: peer.sendall(answer)) as url:
        sample = ask(url, SOON)
    assert (sample.ok, sample.status, sample.error) == (status < 400, status, "")


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 2000 X\r\n\r\n", b""]
)
def test_what_is_no_http_answer_is_unhealthy(answer: bytes) -> None:
    with speaking(lambda peer: peer.sendall(answer)) as url:
        sample = ask(url, SOON)
    assert (sample.ok, sample.status) == (False, None)
    assert "answer" in sample.error


def test_an_endpoint_that_drips_does_not_stretch_the_deadline() -> None:
    done = threading.Event()

    def drip(peer: socket.socket) -> None:
        while not done.wait(0.02):
            peer.sendall(b"H")

    with speaking(drip) as url:
        sample = ask(url, timedelta(milliseconds=200))
        done.set()
    assert (sample.ok, sample.status, sample.error) == (False, None, "no answer within 0.2 s")
    assert 0.2 <= sample.latency_seconds < 5


def test_an_endpoint_that_floods_is_cut_off() -> None:
    def flood(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer.sendall(b"x" * 65536)

    with speaking(flood) as url:
        assert not ask(url, SOON).ok


def test_a_plain_endpoint_under_an_https_url_is_unhealthy() -> None:
    with speaking(lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")) as url:
        sample = ask(url.replace("http:", "https:"), SOON)
    assert (sample.ok, sample.status) == (False, None)
    assert sample.error


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:8000/healthz",
        "ftp://host/",
        "file:///etc/passwd",
        "http://",
        "http://host:99999/",
        "http://host:0/",
        "http://[::1/",
        "http://host/a b",
        "http://host/\r\nX-Injected: 1",
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidError, match="is no http or https URL"):
        ask(url, SOON)
