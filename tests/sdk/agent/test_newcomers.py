"""An agent that knows nothing asks its peers for route, trips and releases, never for what is their own (rule 22)."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from knowngood.testing.replica import ReplicaUnderTest, until
from knowngood_sdk.agent.client import ask_each
from knowngood_sdk.agent.facts_port import FactsPort
from knowngood_sdk.agent.protocol import leave_request, push_request
from knowngood_sdk.errors import InvalidError, TransientError
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, ReplicaState, Trip
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument
from tests.adapters.hub.served import free_port
from tests.sdk.agent.notary import STRANGER, Notary, root, roots_file

A, B, C = ("sha256:" + digit * 64 for digit in "abc")
FIRST = Generation(number=1, chain=(A, C))
SECOND = Generation(number=2, chain=(B, A, C))
ON_A = RouteDocument(system="pricing", route=FleetRoute(1, 0, FULL), generations={1: FIRST})
ON_B = RouteDocument(system="pricing", route=FleetRoute(2, 0, FULL), generations={1: FIRST, 2: SECOND})
READY = [A, B, C]


def trip(version: str, uid: str) -> Trip:
    return Trip(uid=uid, version=version, generation=1, source="person", at="2026-01-01T00:00:00Z", why="prices")


class Peer:
    """A replica that answers newcomers."""

    def __init__(self, folder: Path, name: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.options = ["--peer", self.url]
        self.replica = ReplicaUnderTest.of(folder / name, "pricing", name, READY, ["--listen", f"127.0.0.1:{port}"])
        self.replica.start()

    def ask(self, request: object) -> ReplicaReport:
        answer = ask_each({"x": self.replica.folder.agent_socket}, request, 20)["x"]  # type: ignore[arg-type]
        assert isinstance(answer, ReplicaReport), answer
        return answer


@pytest.fixture
def peers(tmp_path: Path) -> Iterator[dict[str, Peer]]:
    peers = {name: Peer(tmp_path, name) for name in ("a", "b")}
    yield peers
    for peer in peers.values():
        peer.replica.close()


@pytest.fixture
def newcomer(tmp_path: Path, peers: dict[str, Peer]) -> Iterator[ReplicaUnderTest]:
    options = [option for peer in peers.values() for option in peer.options]
    # A control plane is named, and nobody is there.
    options += ["--url", "http://127.0.0.1:1"]
    replica = ReplicaUnderTest.of(tmp_path / "new", "pricing", "new", READY, options)
    yield replica
    replica.close()


def test_a_newcomer_joins_what_all_peers_know(peers: dict[str, Peer], newcomer: ReplicaUnderTest) -> None:
    peers["a"].ask(push_request(ON_A))
    peers["a"].ask(leave_request(trip(C, "only-a-knows"), fleet=True))
    peers["b"].ask(push_request(ON_B))
    newcomer.start()
    until(lambda: newcomer.folder.word().read() == (2, 0, FULL), "it takes the newer route")
    state = newcomer.folder.recover().state
    assert state.facts.quarantined == {C}

    def wanted() -> tuple[str, ...]:
        document = newcomer.folder.route()
        return document.wanted if document else ()

    until(lambda: wanted() == (B, A, C), "workers can read what to load")


def test_a_trip_that_one_peer_knows_takes_the_newcomer_off_the_bad_version(
    peers: dict[str, Peer], newcomer: ReplicaUnderTest
) -> None:
    for peer in peers.values():
        peer.ask(push_request(ON_B))
    peers["a"].ask(leave_request(trip(B, "t-1"), fleet=True))
    newcomer.start()
    until(lambda: newcomer.folder.word().read() == (2, 1, FULL), "it serves the version behind")


def test_what_a_peer_left_by_itself_is_its_own(peers: dict[str, Peer], newcomer: ReplicaUnderTest) -> None:
    for peer in peers.values():
        peer.ask(push_request(ON_B))
    report = peers["a"].ask(leave_request(trip(B, "t-1"), fleet=False))
    assert (report.state.latched, len(report.state.local)) == (1, 1)
    newcomer.start()
    until(lambda: newcomer.folder.word().read() is not None, "it joins")
    assert newcomer.folder.word().read() == (2, 0, FULL)
    assert newcomer.folder.recover().state.local == frozenset()


def test_whoever_was_somewhere_before_asks_nobody(peers: dict[str, Peer], newcomer: ReplicaUnderTest) -> None:
    newcomer.folder.write_state(ReplicaState(fleet=ON_A.route, generations=ON_A.generations))
    peers["a"].ask(push_request(ON_B))
    newcomer.start()
    waited = [0]

    def long_enough() -> bool:
        waited[0] += 1
        return waited[0] > 1000

    until(long_enough, "two seconds have passed")
    assert newcomer.folder.word().read() == (1, 0, FULL)


def test_where_nobody_answers_nothing_is_served_until_somebody_does(
    peers: dict[str, Peer], newcomer: ReplicaUnderTest
) -> None:
    peers["a"].replica.kill()
    newcomer.start()

    def told() -> bool:
        report = newcomer.folder.report()
        return report is not None and any("no peer tells one" in text for text in report.warnings)

    until(told, "its report says so")
    assert newcomer.folder.word().read() is None
    peers["b"].ask(push_request(ON_B))
    until(lambda: newcomer.folder.word().read() == (2, 0, FULL), "it joins as soon as one knows")
    until(lambda: not told(), "the warning is over")


# --------------------------------------------------------------------------------------------------------------- port


@pytest.fixture
def port() -> Iterator[FactsPort]:
    port = FactsPort("127.0.0.1:0", "pricing")
    port.start()
    yield port
    port.close()


def get(port: FactsPort, path: str = "/v1/facts", method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(port.address, timeout=20)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_the_port_tells_facts_and_route_and_nothing_of_its_own(port: FactsPort) -> None:
    assert get(port)[0] == 503
    facts = Facts({"t-1": trip(B, "t-1")})
    port.show(ReplicaState(fleet=ON_B.route, latched=1, generations=ON_B.generations, facts=facts))
    status, body = get(port)
    document = json.loads(body)
    assert (status, RouteDocument.from_json(document).facts) == (200, facts)
    assert "latched" not in document
    assert document["route"] == {"generation": 2, "step": 0, "split": FULL}


@pytest.mark.parametrize(("path", "method"), [("/", "GET"), ("/v1/facts", "POST"), ("/v1/facts/x", "GET")])
def test_the_port_has_one_document(port: FactsPort, path: str, method: str) -> None:
    assert get(port, path, method)[0] == 404


def test_nobody_holds_the_port_up(port: FactsPort) -> None:
    port.show(ReplicaState(fleet=ON_B.route, generations=ON_B.generations))
    host, _, number = port.address.rpartition(":")
    slow = [socket.create_connection((host, int(number))) for _ in range(100)]
    for peer in slow[:50]:
        peer.sendall(b"GET /v1")
    with socket.create_connection((host, int(number))) as greedy:
        greedy.settimeout(20)
        try:
            greedy.sendall(b"x" * 100_000)
            assert greedy.recv(10) == b""
        except OSError:
            pass
    assert get(port)[0] == 200
    for peer in slow:
        peer.close()


@pytest.mark.parametrize("listen", ["", "8401", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused(listen: str) -> None:
    with pytest.raises(InvalidError, match="is no address"):
        FactsPort(listen, "pricing")


def test_an_address_that_is_taken_is_an_error(port: FactsPort) -> None:
    with pytest.raises(TransientError, match="cannot listen at"):
        FactsPort(port.address, "pricing")


def test_a_newcomer_that_asks_for_signatures_takes_the_signed_route_of_a_peer_and_the_trips_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KNOWNGOOD_TRUST", str(roots_file(tmp_path / "root.json", root())))
    honest = Peer(tmp_path, "a")
    honest.ask(push_request(Notary().sign(ON_A, 1)))
    honest.ask(push_request(Notary().sign(ON_B, 2)))
    monkeypatch.delenv("KNOWNGOOD_TRUST")
    deceived = Peer(tmp_path, "b")
    forged = Generation(number=9, chain=(C, A))
    deceived.ask(
        push_request(
            Notary(STRANGER).sign(
                RouteDocument(system="pricing", route=FleetRoute(9, 0, FULL), generations={9: forged}), 99
            )
        )
    )
    deceived.ask(leave_request(trip(B, "t-1"), fleet=True))
    monkeypatch.setenv("KNOWNGOOD_TRUST", str(tmp_path / "root.json"))
    options = [*honest.options, *deceived.options, "--url", "http://127.0.0.1:1"]
    newcomer = ReplicaUnderTest.of(tmp_path / "new", "pricing", "new", READY, options)
    newcomer.start()
    until(
        lambda: newcomer.folder.word().read() == (2, 1, FULL), "it takes what was signed, and leaves what was tripped"
    )
    assert newcomer.folder.recover().state.facts.quarantined == {B}
    for replica in (newcomer, honest.replica, deceived.replica):
        replica.close()
