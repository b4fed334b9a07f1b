"""The glass breaks on this host whatever is wrong with the server, or with what is set to find it."""

from pathlib import Path

import pytest

from tests.acceptance.control import token_for
from tests.acceptance.stage import Ended, Stage, until

NOBODY = "http://127.0.0.1:1"


def went_on(done: Ended, warned: str) -> bool:
    """Whether a command said why it asks no server, and asked the agents of this host: there are none here."""
    assert "Traceback" not in done.err
    assert done.code == 1, done.err
    assert "system pricing has no replica here" in done.err.splitlines()[-2], done.err
    return f"⚠ {warned}" in done.err and "asking the agents of this host alone" in done.err


@pytest.mark.parametrize(
    ("env", "warned"),
    [
        pytest.param(
            {"KNOWNGOOD_URL": NOBODY, "KNOWNGOOD_TOKEN_FILE": "gone.token"},
            "there is no token file gone.token",
            id="a token file that is not there",
        ),
        pytest.param(
            {"KNOWNGOOD_URL": NOBODY, "KNOWNGOOD_TOKEN_FILE": "."},
            "the token file . cannot be read",
            id="a token file that is a folder",
        ),
        pytest.param(
            {"KNOWNGOOD_URL": NOBODY, "KNOWNGOOD_TOKEN_FILE": "a.token", "KNOWNGOOD_TOKEN": "kg_a"},
            "both KNOWNGOOD_TOKEN and KNOWNGOOD_TOKEN_FILE are set",
            id="two tokens",
        ),
        pytest.param(
            {"KNOWNGOOD_URL": NOBODY, "KNOWNGOOD_TOKEN": "ключ"}, "KNOWNGOOD_TOKEN holds no token", id="no token"
        ),
        pytest.param({"KNOWNGOOD_URL": "127.0.0.1:8400"}, "127.0.0.1:8400 is no address of a server", id="no scheme"),
        pytest.param({"KNOWNGOOD_URL": " "}, "  is no address of a server", id="a blank"),
        pytest.param(
            {"KNOWNGOOD_URL": "http://zur\udcfcck:8400"},
            "http://zur\ufffdck:8400 is no address of a server",
            id="an address in another encoding",
        ),
        pytest.param(
            {"KNOWNGOOD_URL": "https://127.0.0.1:1", "KNOWNGOOD_CA": "gone.pem"},
            "the certificates in gone.pem cannot be read",
            id="certificates that are not there",
        ),
        pytest.param({"KNOWNGOOD_URL": NOBODY}, f"the server {NOBODY} cannot be reached", id="no server"),
    ],
)
def test_what_is_set_for_a_server_that_cannot_be_asked_is_told_and_stops_nothing(
    shared: Stage, env: dict[str, str], warned: str
) -> None:
    done = shared.kg("rollback", "pricing", "--break-glass", "--why", "zur\udcfcck", env=env)
    assert went_on(done, warned), done.err


def test_a_server_that_knows_nothing_of_the_system_is_told_and_stops_nothing(shared: Stage, tmp_path: Path) -> None:
    server = shared.start_kg("serve", "--port", "0", "--dir", str(tmp_path))
    until(lambda: "listening at" in server.text or not server.running, "the server to listen")
    url = server.text.partition("listening at ")[2].partition(";")[0]
    env = {"KNOWNGOOD_URL": url, "KNOWNGOOD_TOKEN": token_for(tmp_path)}
    done = shared.kg("rollback", "pricing", "--break-glass", env=env)
    server.end()
    assert went_on(done, "system pricing has no replica here"), done.err


def test_a_name_that_nobody_may_have_stops_nothing(shared: Stage) -> None:
    done = shared.kg("rollback", "pricing", "--break-glass", env={"KNOWNGOOD_ACTOR": "automation"})
    assert "system pricing has no replica here" in done.err


@pytest.mark.parametrize("command", ["status", "history"])
def test_what_can_wait_is_refused_where_the_server_cannot_be_asked(shared: Stage, command: str) -> None:
    done = shared.kg(command, "pricing", env={"KNOWNGOOD_URL": "127.0.0.1:8400"})
    assert (done.code, "127.0.0.1:8400 is no address of a server" in done.err) == (1, True), done.err
