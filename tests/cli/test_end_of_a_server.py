"""A server ends its process itself, whatever threads still wait, with the exit code of what came of it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from knowngood.cli.serve import places_of, url_of
from knowngood.config import Settings
from tests.acceptance.control import start_control
from tests.acceptance.stage import Stage

PROGRAM = """
import threading
from knowngood.cli.serve import _end_with
from knowngood_sdk.errors import PermanentError

def serving():
    threading.Thread(target=threading.Event().wait).start()
    {}

_end_with(serving)
"""


@pytest.mark.parametrize(
    ("last", "code", "said"),
    [
        pytest.param("pass", 0, "", id="it stopped well"),
        pytest.param("raise PermanentError('it ended early', hint='Look')", 1, "it ended early\n  Look", id="foreseen"),
        pytest.param("raise RuntimeError('no idea')", 1, "RuntimeError: no idea", id="unforeseen"),
    ],
)
def test_the_exit_code_says_how_it_ended(last: str, code: int, said: str) -> None:
    program = PROGRAM.format(last)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == code
    assert said in done.stderr


def test_a_component_root_that_is_not_there_is_said_and_keeps_nobody_from_rolling_back(applied: Stage) -> None:
    absent = applied.folder / "absent"
    with start_control(applied, env={"KNOWNGOOD_COMPONENT_ROOTS": str(absent)}) as control:
        assert f"component_roots names {absent}, and there is no such folder" in control.process.text
        assert control.ask("/v1/systems/pricing").status == 200


@pytest.mark.parametrize(
    ("host", "tls", "url"),
    [
        pytest.param("127.0.0.1", "", "http://127.0.0.1:8400", id="this host"),
        pytest.param("::1", "", "http://[::1]:8400", id="this host, IPv6"),
        pytest.param("0.0.0.0", "", "http://127.0.0.1:8400", id="everywhere"),  # noqa: S104 - nobody listens
        pytest.param("::", "", "http://127.0.0.1:8400", id="everywhere, IPv6"),
        pytest.param("::", "cert.pem", f"https://{socket.gethostname()}:8400", id="everywhere, with a certificate"),
        pytest.param("control.example", "cert.pem", "https://control.example:8400", id="by name"),
    ],
)
def test_a_server_says_where_it_can_be_asked(host: str, tls: str, url: str) -> None:
    assert url_of(Settings(host=host, tls_cert=tls, tls_key=tls and "key.pem"), 8400) == url


HOW = "to get a token: kg token create --for NAME --scope on-call --system SYSTEM --dir /srv/kg"


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("", ["systems and their record: /srv/kg", HOW]),
        ("/srv/x.db", ["systems: /srv/kg", "their record: /srv/x.db", f"{HOW} --store /srv/x.db"]),
        (
            "postgresql://kg@db/kg?sslmode=require",
            [
                "systems: /srv/kg",
                "their record: postgresql://kg@db/kg?sslmode=require",
                f"{HOW} --store 'postgresql://kg@db/kg?sslmode=require'",
            ],
        ),
        (
            "postgresql://kg:hush@db/kg",
            [
                "systems: /srv/kg",
                "their record: postgresql://kg@db/kg",
                f"{HOW} --store postgresql://kg@db/kg",
                "  with the password of the store in PGPASSWORD, or in ~/.pgpass",
            ],
        ),
    ],
)
def test_a_server_says_where_its_record_is_and_how_a_token_gets_into_it(store: str, said: list[str]) -> None:
    assert places_of(Settings(dir=Path("/srv/kg"), store=store)) == said
