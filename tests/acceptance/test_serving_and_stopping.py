"""A server starts where it is safe, says where it listens, and stops without breaking anything off."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood.api.serving import check_exposure
from knowngood.config import Settings
from tests.acceptance.control import free_port, start_control, token_for
from tests.acceptance.stage import Stage, until
from tests.cli.conftest import with_a_system

EVERYWHERE = ["0.0.0.0", "::", "control.example"]  # noqa: S104 - nobody listens there
CERTIFICATE = """
import datetime, ipaddress, sys
from pathlib import Path
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "control")])
now = datetime.datetime.now(datetime.timezone.utc)
made = (
    x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    .serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
    .sign(key, hashes.SHA256())
)
Path("cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
Path("key.pem").write_bytes(key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
"""


@pytest.fixture
def applied(tmp_path: Path) -> Iterator[Stage]:
    """A folder with a system that was applied and whose components are there."""
    stage = with_a_system(Stage(tmp_path))
    yield stage
    stage.close()


@pytest.fixture
def certificate(applied: Stage) -> tuple[str, str]:
    """A certificate for the loopback, and its key."""
    subprocess.run([sys.executable, "-c", CERTIFICATE], cwd=applied.folder, check=True)
    return "cert.pem", "key.pem"


@pytest.mark.parametrize("host", EVERYWHERE)
def test_it_refuses_to_show_tokens_to_the_network(applied: Stage, host: str) -> None:
    refused = applied.kg("serve", "--host", host, "--port", "0")
    assert refused.code == 1
    assert f"listening on {host} without TLS would show every token" in refused.err
    assert "--tls-cert FILE --tls-key FILE" in refused.err
    assert "--insecure" in refused.err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_on_this_host_alone_nobody_has_to_say_so(host: str) -> None:
    check_exposure(Settings(host=host))


@pytest.mark.parametrize("host", EVERYWHERE)
def test_beyond_this_host_it_listens_with_tls_or_when_somebody_says_so(host: str) -> None:
    check_exposure(Settings(host=host, insecure=True))
    check_exposure(Settings(host=host, tls_cert="cert.pem", tls_key="key.pem"))


def test_with_tls_it_is_asked_by_who_trusts_its_certificate_alone(
    applied: Stage,
    certificate: tuple[str, str],
) -> None:
    with start_control(applied, "--tls-cert", certificate[0], "--tls-key", certificate[1]) as control:
        assert control.url.startswith("https://")
        distrusted = applied.kg("status", env=control.client)
        assert distrusted.code == 1
        assert "CERTIFICATE_VERIFY_FAILED" in distrusted.err
        trusting = {**control.client, "KNOWNGOOD_CA": certificate[0]}
        assert applied.kg("status", "pricing", env=trusting).code == 0


def test_a_certificate_that_is_none_is_an_error_of_one_sentence(applied: Stage) -> None:
    for path in ("cert.pem", "key.pem"):
        (applied.folder / path).write_text("no PEM")
    refused = applied.kg("serve", "--port", "0", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    assert refused.code == 1
    assert "certificate and key cannot be used" in refused.err
    assert "Traceback" not in refused.err


def test_a_port_that_is_in_use_is_named_with_what_to_do(applied: Stage) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        refused = applied.kg("serve", "--port", str(port))
    assert refused.code == 1
    assert f"127.0.0.1:{port} is in use by another process" in refused.err
    assert "--port" in refused.err


def test_a_mistyped_variable_fails_at_the_start(applied: Stage) -> None:
    refused = applied.kg("serve", env={"KNOWNGOOD_PROT": "1"})
    assert refused.code == 1
    assert "Did you mean 'KNOWNGOOD_PORT'?" in refused.err


def test_it_says_where_it_listens_and_how_to_get_a_token(applied: Stage) -> None:
    with start_control(applied) as control:
        assert f"listening at {control.url}; Ctrl-C stops it" in control.process.text
        assert "kg token create" in control.process.text
        assert f"KNOWNGOOD_URL={control.url}" in control.process.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_gives_up_what_does_not_end_in_time_and_says_so(
    applied: Stage,
    number: signal.Signals,
) -> None:
    with start_control(applied, env={"KNOWNGOOD_GRACE_SECONDS": "1"}) as control:
        applied.client.update(control.client)
        deploying = applied.start_kg("deploy", "pricing")
        until(lambda: "waiting for a replica to load" in deploying.text, "the deployment to wait")
        control.process.signal(number)
        assert deploying.wait() == 7, deploying.text
        assert "was stopped before its end" in deploying.text
        assert control.process.wait() == 0
        assert "Traceback" not in control.process.text
    applied.client.clear()
    entries = applied.kg("history", "pricing", "--output", "json").json["entries"]
    assert (entries[-1]["kind"], entries[-1]["body"]["why"]) == ("deployment-blocked", "it was stopped")


def test_who_goes_away_gives_the_deployment_up_also_without_events(applied: Stage) -> None:
    with start_control(applied) as control:
        where = control.url.removeprefix("http://").split(":")
        body = b"{}"
        head = (
            f"POST /v1/systems/pricing/deployments HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {control.token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        with socket.create_connection((where[0], int(where[1]))) as connection:
            connection.sendall(head.encode() + body)
            until(
                lambda: control.ask("/v1/systems/pricing/history").json["entries"][-1]["kind"] == "manifest-recorded",
                "the deployment to begin",
            )

        def last() -> dict[str, object]:
            entry: dict[str, object] = control.ask("/v1/systems/pricing/history").json["entries"][-1]
            return entry

        until(lambda: last()["kind"] == "deployment-blocked", "it to be given up")


def test_a_server_that_is_killed_is_an_unknown_outcome_for_who_waits(applied: Stage) -> None:
    with start_control(applied) as control:
        applied.client.update(control.client)
        deploying = applied.start_kg("deploy", "pricing", "--output", "json")
        until(lambda: "waiting for a replica to load" in deploying.text, "the deployment to wait")
        control.process.end()
        assert deploying.wait() == 7
        assert json.loads(deploying.text[deploying.text.index("{") :])["error"]["code"] == "outcome-unknown"
        assert "kg status pricing" in deploying.text


class TestWhereTheServerCannotBeReached:
    @pytest.fixture
    def gone(self, applied: Stage) -> Stage:
        """Commands ask a server that does not run."""
        token = token_for(applied.home)
        applied.client.update(KNOWNGOOD_URL=f"http://127.0.0.1:{free_port()}", KNOWNGOOD_TOKEN=token)
        return applied

    def test_a_rollback_says_exactly_what_to_do_next(self, gone: Stage) -> None:
        done = gone.kg("rollback", "pricing")
        assert done.code == 1
        assert "cannot be reached" in done.err
        assert "kg rollback pricing --break-glass" in done.err

    def test_the_glass_breaks_on_this_host_and_its_agents_are_found(self, gone: Stage) -> None:
        # A name of its own: agents of other runs on this host must not be found.
        name = f"shop{free_port()}"
        home = gone.folder / "elsewhere"
        (gone.folder / "shop.yaml").write_text((gone.folder / "pricing.yaml").read_text().replace("pricing", name))
        here = {"KNOWNGOOD_URL": "", "KNOWNGOOD_DIR": str(home)}
        assert gone.kg("apply", "shop.yaml", env=here).code == 0
        agent = gone.start_kg("agent", name, "--replica", "r7", env=here)
        until(lambda: "keeps" in agent.text, "the agent to run")
        nowhere = {"KNOWNGOOD_DIR": ""}
        done = gone.kg("rollback", name, "--break-glass", env=nowhere)
        assert "asking the agents of this host alone" in done.err
        assert f"no replica of {name} says what it serves, for none has joined yet" in done.err
        assert gone.kg("rollback", name, "--break-glass", "--this-host", "r8", env=nowhere).err.count("It has: r7") == 1

    def test_what_only_reads_says_that_it_can_be_asked_again(self, gone: Stage) -> None:
        done = gone.kg("status", "--output", "json")
        assert (done.code, done.error["code"]) == (1, "component-transient")

    def test_the_folder_is_asked_where_it_is_named(self, gone: Stage) -> None:
        assert gone.kg("status", "--dir", str(gone.home)).code == 0
        assert gone.kg("status", "--dir", str(gone.home), "--url", "http://x").code == 2

    @pytest.mark.parametrize("url", ["control:8400", "ftp://control"])
    def test_an_address_that_is_none(self, gone: Stage, url: str) -> None:
        done = gone.kg("status", "--url", url)
        assert done.code == 1
        assert f"{url} is no address of a server" in done.err
