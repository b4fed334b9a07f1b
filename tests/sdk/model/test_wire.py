"""What one side writes the other reads as it was meant, and a newer format is left alone."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knowngood_sdk.errors import InvalidError, NewerFormatError
from knowngood_sdk.model.canonical import canonical_bytes, parse_canonical
from knowngood_sdk.model.counts import Paired, Sums, VersionCounts
from knowngood_sdk.model.manifest import Intent
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import (
    FORMAT,
    CountsReport,
    ReleaseDocument,
    ReplicaReport,
    RouteDocument,
    ShadowOrder,
    WorkerReport,
    state_from_json,
    state_to_json,
    trip_from_json,
    trip_to_json,
)
from tests.sdk.model.wire_documents import (
    AT,
    FOURTH,
    MANIFEST,
    STATE,
    STATE_JSON,
    TRIP,
    TRIP_JSON,
    V1,
    V2,
    V3,
    Document,
    dropped,
    each_document,
)


def texts() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


def numbers() -> st.SearchStrategy[int]:
    return st.integers(0, 2**32)


def seconds() -> st.SearchStrategy[dict[str, float]]:
    return st.dictionaries(versions(), st.floats(0, 1e9), max_size=2)


def versions() -> st.SearchStrategy[str]:
    return st.sampled_from([V1, V2, V3])


def several() -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(versions(), max_size=3).map(tuple)


def sets_of(what: st.SearchStrategy[Any]) -> st.SearchStrategy[frozenset[Any]]:
    return st.frozensets(what, max_size=2)


def anchors() -> st.SearchStrategy[tuple[int, str]]:
    return st.tuples(numbers(), texts())


def local_trips() -> st.SearchStrategy[LocalTrip]:
    return st.builds(LocalTrip, texts(), numbers(), versions())


def trips() -> st.SearchStrategy[Trip]:
    return st.builds(
        Trip, uid=texts(), version=versions(), generation=numbers(), source=texts(), at=texts(), why=texts()
    )


def facts() -> st.SearchStrategy[Facts]:
    return st.builds(
        Facts, st.lists(trips(), max_size=2).map(lambda all_: {trip.uid: trip for trip in all_}), sets_of(texts())
    )


def routes() -> st.SearchStrategy[FleetRoute]:
    return st.builds(FleetRoute, numbers(), st.integers(0, 255), st.integers(0, FULL))


def generations() -> st.SearchStrategy[dict[int, Generation]]:
    one = st.builds(
        Generation,
        number=st.integers(1, 2**32),
        chain=st.lists(versions(), min_size=1, max_size=3).map(tuple),
        saw_quarantine=sets_of(versions()),
        saw_local=sets_of(local_trips()),
    )
    return st.lists(one, max_size=2).map(lambda all_: {generation.number: generation for generation in all_})


def states() -> st.SearchStrategy[ReplicaState]:
    return st.builds(
        ReplicaState,
        fleet=routes(),
        latched=st.integers(0, 255),
        facts=facts(),
        local=sets_of(local_trips()),
        generations=generations(),
    )


def shadow_orders() -> st.SearchStrategy[ShadowOrder]:
    return st.builds(ShadowOrder, reference=versions(), others=several(), per_second=st.floats(0, 1e6))


def route_documents() -> st.SearchStrategy[RouteDocument]:
    return st.builds(
        RouteDocument,
        system=texts(),
        route=routes(),
        generations=generations(),
        facts=facts(),
        prepare=several(),
        shadow=st.none() | shadow_orders(),
        anchor=anchors(),
        held_out=st.frozensets(texts(), max_size=2),
        recorded=st.none() | st.integers(0, 3),
    )


def release_documents() -> st.SearchStrategy[ReleaseDocument]:
    return st.builds(
        ReleaseDocument,
        manifest=st.builds(replace, st.just(MANIFEST), intent=st.builds(Intent, text=texts())),
        paths=st.dictionaries(texts(), texts(), max_size=2),
        golden=st.none() | texts(),
    )


def worker_reports() -> st.SearchStrategy[WorkerReport]:
    return st.builds(
        WorkerReport,
        worker=texts(),
        pid=numbers(),
        ready=sets_of(versions()),
        failed=st.dictionaries(versions(), texts(), max_size=2),
        load_seconds=seconds(),
        memory_bytes=numbers(),
        fallback=st.booleans(),
        warnings=st.lists(texts(), max_size=2).map(tuple),
    )


def refusals() -> st.SearchStrategy[Refusal]:
    return st.builds(
        Refusal,
        generation=numbers(),
        unseen_quarantine=sets_of(versions()),
        unseen_local=sets_of(local_trips()),
        unready=sets_of(versions()),
    )


def replica_reports() -> st.SearchStrategy[ReplicaReport]:
    return st.builds(
        ReplicaReport,
        replica=texts(),
        state=states(),
        ready=sets_of(versions()),
        failed=st.dictionaries(versions(), texts(), max_size=2),
        load_seconds=seconds(),
        workers=numbers(),
        memory_bytes=numbers(),
        fallback=st.booleans(),
        refusal=st.none() | refusals(),
        at=texts(),
        anchor=anchors(),
        stopped=st.booleans(),
        warnings=st.lists(texts(), max_size=2).map(tuple),
        crew=st.frozensets(texts(), max_size=2),
        held_out=st.booleans(),
    )


def counts_reports() -> st.SearchStrategy[CountsReport]:
    counts = st.builds(
        VersionCounts,
        requests=numbers(),
        latency=st.dictionaries(st.integers(-9000, 9000), st.integers(1, 9), max_size=2),
        outcomes=st.dictionaries(texts(), st.builds(Sums, numbers(), st.floats(-1e9, 1e9)), max_size=1),
        shadow=st.dictionaries(versions(), st.builds(Paired, failed=numbers()), max_size=1),
    )
    return st.builds(
        CountsReport,
        worker=texts(),
        sequence=numbers(),
        at=texts(),
        versions=st.dictionaries(versions(), counts, max_size=2),
        holds=st.lists(texts(), max_size=2).map(tuple),
    )


@each_document
def test_a_document_is_written_with_all_that_it_holds_in_one_order(
    what: str, value: Document, document: dict[str, Any]
) -> None:
    assert value.to_json() == document, what
    assert type(value).from_json(document) == value


def test_a_state_and_a_trip_are_written_with_all_that_they_hold() -> None:
    assert state_to_json(STATE) == STATE_JSON
    assert state_from_json(STATE_JSON) == STATE
    assert trip_to_json(TRIP) == TRIP_JSON
    assert trip_from_json(TRIP_JSON) == TRIP


@given(
    st.one_of(route_documents(), release_documents(), worker_reports(), replica_reports(), counts_reports()),
)
def test_any_document_is_read_as_it_was_written(value: Document) -> None:
    assert type(value).from_json(parse_canonical(canonical_bytes(value.to_json()))) == value


@given(states())
def test_any_state_is_read_as_it_was_written(state: ReplicaState) -> None:
    assert state_from_json(parse_canonical(canonical_bytes(state_to_json(state)))) == state


@given(trips())
def test_any_trip_is_read_as_it_was_written(trip: Trip) -> None:
    assert trip_from_json(parse_canonical(canonical_bytes(trip_to_json(trip)))) == trip


def test_what_is_not_there_is_written_as_nothing() -> None:
    assert RouteDocument(system="pricing").to_json() == {
        "format": 1,
        "system": "pricing",
        "route": {"generation": 0, "step": 0, "split": 0},
        "generations": [],
        "facts": {"trips": [], "released": []},
        "prepare": [],
        "shadow": None,
        "anchor": {"count": 0, "head": ""},
    }
    assert ReplicaReport(replica="r1", state=ReplicaState()).to_json() == {
        "format": 1,
        "replica": "r1",
        "state": state_to_json(ReplicaState()),
        "ready": [],
        "failed": {},
        "load_seconds": {},
        "workers": 0,
        "memory_bytes": 0,
        "fallback": False,
        "refusal": None,
        "at": "",
        "anchor": {"count": 0, "head": ""},
        "stopped": False,
        "warnings": [],
        "crew": [],
        "held_out": False,
    }
    assert WorkerReport(worker="w", pid=1).to_json() == {
        "format": 1,
        "worker": "w",
        "pid": 1,
        "ready": [],
        "failed": {},
        "load_seconds": {},
        "memory_bytes": 0,
        "fallback": False,
        "warnings": [],
    }
    assert ReleaseDocument(manifest=MANIFEST, paths={}).to_json()["golden"] is None
    assert CountsReport(worker="w", sequence=0, at=AT).to_json() == {
        "format": 1,
        "worker": "w",
        "sequence": 0,
        "at": AT,
        "versions": {},
    }
    for value in (
        RouteDocument(system="pricing"),
        ReplicaReport(replica="r1", state=ReplicaState()),
        ReleaseDocument(manifest=MANIFEST, paths={}),
        WorkerReport(worker="w", pid=0),
        CountsReport(worker="w", sequence=0, at=AT),
    ):
        assert type(value).from_json(value.to_json()) == value


@each_document
def test_what_a_newer_program_added_is_passed_over(what: str, value: Document, document: dict[str, Any]) -> None:
    assert type(value).from_json({**document, "later": {"more": 1}}) == value, what


@each_document
def test_a_newer_format_is_left_alone(what: str, value: Document, document: dict[str, Any]) -> None:
    with pytest.raises(NewerFormatError) as refused:
        type(value).from_json({"format": FORMAT + 1})
    assert refused.value.code == "newer-format"
    assert str(refused.value) == f"this {what} has format 2; this program reads up to 1. Upgrade knowngood here"
    with pytest.raises(NewerFormatError):
        type(value).from_json({**document, "format": 2**70})


@each_document
@pytest.mark.parametrize(
    ("format_", "shown"),
    [(None, "None"), ("1", "'1'"), (1.0, "1.0"), (True, "True"), (0, "0"), (-1, "-1"), ([1], "a list")],
)
def test_what_carries_no_format_number_is_refused(
    what: str, value: Document, document: dict[str, Any], format_: object, shown: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        type(value).from_json({**document, "format": format_})
    assert str(refused.value) == f"a {what} must carry its format number, not {shown}"
    with pytest.raises(InvalidError, match="must carry its format number, not None"):
        type(value).from_json(dropped(document, "format"))


@each_document
@pytest.mark.parametrize(("item", "kind"), [(None, "NoneType"), ([], "list"), ("{}", "str"), (1, "int")])
def test_what_is_no_object_is_no_document(
    what: str, value: Document, document: dict[str, Any], item: object, kind: str
) -> None:
    assert document
    with pytest.raises(InvalidError, match=f"^a {what} must be an object, not {kind}$"):
        type(value).from_json(item)


def test_the_chain_is_wanted_first_then_what_is_armed_then_what_is_shadowed() -> None:
    document = RouteDocument(
        system="pricing",
        route=FleetRoute(5),
        generations={4: Generation(number=4, chain=("x",)), 5: Generation(number=5, chain=("c", "b", "a"))},
        prepare=("e", "b", "d"),
        shadow=ShadowOrder(reference="g", others=("d", "f"), per_second=1.0),
    )
    assert document.wanted == ("c", "b", "a", "e", "d", "g", "f")
    assert replace(document, shadow=None).wanted == ("c", "b", "a", "e", "d")
    assert replace(document, prepare=()).wanted == ("c", "b", "a", "g", "d", "f")


def test_what_is_armed_is_wanted_before_there_is_a_route() -> None:
    assert RouteDocument(system="pricing").wanted == ()
    assert RouteDocument(system="pricing", prepare=("a",), generations={1: FOURTH}).wanted == ("a",)
    assert RouteDocument(system="pricing", prepare=("a",), route=FleetRoute(9), generations={4: FOURTH}).wanted == (
        "a",
    )


@given(route_documents())
def test_each_version_is_wanted_once(document: RouteDocument) -> None:
    wanted = document.wanted
    assert len(set(wanted)) == len(wanted)
    assert set(document.prepare) <= set(wanted)
    if document.shadow:
        assert {document.shadow.reference, *document.shadow.others} <= set(wanted)
