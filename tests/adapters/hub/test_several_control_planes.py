"""An agent that is connected to several control planes goes by the newest route and by every trip that it heard of."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI

from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.traffic import HubTraffic
from knowngood.api.replicas import replica_router
from knowngood.testing.contracts.traffic import NEW, OLD, SYSTEM, trip_of
from knowngood.testing.memory_exchange import MemoryExchange
from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from tests.adapters.hub.served import Control, anybody, free_port

SOON = timedelta(seconds=20)
OLDEST = "sha256:" + "3" * 64
FIRST = Generation(number=1, chain=(OLD, OLDEST))
SECOND = Generation(number=2, chain=(NEW, OLD))
ON_OLD = RouteDocument(system=SYSTEM, route=FleetRoute(1, 0, FULL), generations={1: FIRST})
ON_NEW = RouteDocument(system=SYSTEM, route=FleetRoute(2, 0, FULL), generations={1: FIRST, 2: SECOND})


@pytest.fixture
def controls() -> Iterator[tuple[Control, Control]]:
    one, two = Control(MemoryExchange()), Control(MemoryExchange())
    one.start()
    two.start()
    yield one, two
    one.stop()
    two.stop()


@pytest.fixture
def replica(controls: tuple[Control, Control], tmp_path: Path) -> Iterator[ReplicaUnderTest]:
    options = [option for control in controls for option in ("--url", control.url)]
    with ReplicaUnderTest.of(tmp_path, SYSTEM, "a", [OLD, NEW], options) as replica:
        for control in controls:
            until(lambda control=control: control.connected(SYSTEM, "a"), "it is connected")  # type: ignore[misc]
        yield replica


def test_the_newest_route_wins_whoever_speaks_last(
    controls: tuple[Control, Control], replica: ReplicaUnderTest
) -> None:
    one, two = controls
    two.traffic.publish(SYSTEM, lambda _: ON_NEW)
    until(lambda: replica.folder.word().read() == (2, 0, FULL), "it serves what the second one says")
    one.traffic.publish(SYSTEM, lambda _: ON_OLD)
    answer = one.traffic.push(ON_OLD, SOON)["a"]
    assert isinstance(answer, ReplicaReport)
    assert answer.state.fleet.generation == 2
    until(replica.folder.route_file.exists, "workers can read the route")
    document = replica.folder.route()
    assert document is not None
    assert document.route == ON_NEW.route


def test_trips_of_both_are_in_force(controls: tuple[Control, Control], replica: ReplicaUnderTest) -> None:
    one, two = controls
    one.traffic.publish(SYSTEM, lambda _: ON_NEW)
    two.traffic.publish(SYSTEM, lambda _: RouteDocument(system=SYSTEM, facts=Facts({"t-1": trip_of(NEW)})))
    until(lambda: replica.folder.word().read() == (2, 1, FULL), "it leaves what the second one says")
    for control in controls:
        seen = control.traffic.wait(SYSTEM, lambda all_: all_["a"].report.state.latched == 1, SOON)
        assert seen["a"].report.state.facts.quarantined == {NEW}


def test_what_one_pushed_is_told_to_the_other_and_to_its_own_host(
    controls: tuple[Control, Control], replica: ReplicaUnderTest
) -> None:
    one, two = controls
    one.traffic.publish(SYSTEM, lambda _: ON_NEW)
    two.traffic.wait(SYSTEM, lambda all_: all_["a"].report.state.fleet == ON_NEW.route, SOON)
    answer = one.traffic.push(replace(ON_NEW, facts=Facts({"t-1": trip_of(NEW)})), SOON)["a"]
    assert isinstance(answer, ReplicaReport)
    seen = two.traffic.wait(SYSTEM, lambda all_: all_["a"].report.state.latched == 1, SOON)
    assert seen["a"].report.state.facts.quarantined == {NEW}

    def filed() -> bool:
        report = replica.folder.report()
        return report is not None and report.state == answer.state

    until(filed, "its report can be read on its host")


def test_one_that_is_gone_holds_up_nothing(controls: tuple[Control, Control], replica: ReplicaUnderTest) -> None:
    one, two = controls
    one.stop()
    two.traffic.publish(SYSTEM, lambda _: ON_NEW)
    tripped = replace(ON_NEW, facts=Facts({"t-1": trip_of(NEW)}))
    answer = two.traffic.push(tripped, SOON)["a"]
    assert isinstance(answer, ReplicaReport)
    assert replica.folder.word().read() == (2, 1, FULL)
    until(
        lambda: any("does not answer" in text for text in two.traffic.replicas(SYSTEM)["a"].report.warnings),
        "its report tells of the other",
    )


# ---------------------------------------------------------------------------------------------------------------- TLS


def certificate(folder: Path) -> None:
    """Write a key, and a certificate for 127.0.0.1 that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[tuple[Hub, str]]:
    certificate(tmp_path)
    app, port = FastAPI(), free_port()
    with Hub(MemoryExchange()) as hub:
        app.include_router(replica_router(hub, anybody))
        config = uvicorn.Config(
            app,
            host="127.0.0.1",
            port=port,
            log_level="critical",
            lifespan="off",
            ssl_certfile=tmp_path / "cert.pem",
            ssl_keyfile=str(tmp_path / "key.pem"),
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        until(lambda: server.started, "the server listens")
        yield hub, f"https://127.0.0.1:{port}"
        server.should_exit = True
        hub.end_streams()
        thread.join(20)


def test_a_link_over_tls_knows_whom_to_believe(secured: tuple[Hub, str], tmp_path: Path) -> None:
    hub, url = secured
    believing = ["--url", url, "--ca-file", str(tmp_path / "cert.pem")]
    with (
        ReplicaUnderTest.of(tmp_path / "a", SYSTEM, "a", [OLD, NEW], believing) as replica,
        ReplicaUnderTest.of(tmp_path / "b", SYSTEM, "b", [OLD, NEW], ["--url", url]) as doubting,
    ):
        until(lambda: "a" in hub.replicas(SYSTEM), "it is connected")
        answers = HubTraffic(hub).push(ON_NEW, SOON)
        assert list(answers) == ["a"]
        assert replica.folder.word().read() == (2, 0, FULL)

        def told() -> bool:
            report = doubting.folder.report()
            return report is not None and any("certificate" in text for text in report.warnings)

        until(told, "the other one does not believe it, and says so")
