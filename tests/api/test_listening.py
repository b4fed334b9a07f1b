"""The socket of a server hands on what it is given at once."""

import socket
from contextlib import closing

import pytest

from knowngood.api.serving import bind
from knowngood.config import Settings

pytestmark = pytest.mark.requirement("G1")


def test_no_answer_and_no_event_waits_until_the_one_before_was_acknowledged() -> None:
    with closing(bind(Settings(port=0))) as listener, closing(socket.create_connection(listener.getsockname())):
        taken, _ = listener.accept()
        with closing(taken):
            assert taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
