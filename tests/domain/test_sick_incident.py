"""An incident stands in the ledger once; what proves that its replica is well again, and how often that counts."""

import pytest

from knowngood.domain.incident import SICK, VERIFIED, incidents, opened
from knowngood.domain.ledger import EMPTY, Entry, append
from knowngood_sdk.model.route import LocalTrip, ReplicaState
from knowngood_sdk.model.wire import ReplicaReport

V2 = "sha256:" + "2" * 64
TRIP = LocalTrip("r1", 2, V2)
LATER = LocalTrip("r1", 3, V2)


def ledger(*written: tuple[str, LocalTrip]) -> list[Entry]:
    entries: list[Entry] = []
    for kind, trip in written:
        body = {**opened(trip, frozenset({"w1"}), ()).to_json("pricing"), "why": "it is well"}
        head = entries[-1].anchor if entries else EMPTY
        entries.append(append("pricing", head, at="", actor="test", kind=kind, body=body))
    return entries


def report(*crew: str, ready: frozenset[str] = frozenset({V2})) -> ReplicaReport:
    return ReplicaReport(replica="r1", state=ReplicaState(), ready=ready, crew=frozenset(crew))


def test_what_is_not_about_the_sick_is_passed_over() -> None:
    assert incidents([append("pricing", EMPTY, at="", actor="test", kind="tripped", body={})]) == {}


def test_an_incident_is_open_until_its_replica_is_verified() -> None:
    assert [one.verified for one in incidents(ledger((SICK, TRIP))).values()] == [False]
    assert [one.verified for one in incidents(ledger((SICK, TRIP), (VERIFIED, TRIP))).values()] == [True]
    assert incidents(ledger((VERIFIED, TRIP))) == {}


def test_it_has_one_name() -> None:
    assert incidents(ledger((SICK, TRIP)))[TRIP].name("pricing") == f"sick:pricing:r1:2:{V2}"


@pytest.mark.parametrize(
    ("now", "well"),
    [
        pytest.param(report("w2"), True, id="all workers are new, and it is ready"),
        pytest.param(report("w1"), False, id="the worker that fell ill"),
        pytest.param(report("w1", "w2"), False, id="one of them still runs"),
        pytest.param(report("w2", ready=frozenset()), False, id="it is not loaded yet"),
        pytest.param(report(), False, id="nobody runs, or nobody says its name"),
    ],
)
def test_what_proves_that_it_is_well(now: ReplicaReport, *, well: bool) -> None:
    assert bool(incidents(ledger((SICK, TRIP)))[TRIP].well(now)) == well


def test_where_nobody_knows_who_fell_ill_new_workers_prove_nothing() -> None:
    assert opened(TRIP, frozenset(), ()).well(report("w2")) == ""


def test_a_start_heals_a_replica_of_a_version_once() -> None:
    known = incidents(ledger((SICK, TRIP), (VERIFIED, TRIP), (SICK, LATER)))
    assert (known[TRIP].again, known[LATER].again) == (False, True)
    assert known[LATER].well(report("w9")) == ""


def test_another_replica_or_another_version_is_another_matter() -> None:
    for other in (LocalTrip("r2", 3, V2), LocalTrip("r1", 3, "sha256:" + "3" * 64)):
        assert not incidents(ledger((SICK, TRIP), (SICK, other)))[other].again
