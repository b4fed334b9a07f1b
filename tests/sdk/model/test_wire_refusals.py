"""A document that is malformed, lacks a field or was edited is refused by what is wrong with it."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from knowngood_sdk.errors import InvalidError
from knowngood_sdk.model.manifest import Ref
from knowngood_sdk.model.route import FULL
from knowngood_sdk.model.wire import (
    CountsReport,
    ReleaseDocument,
    ReplicaReport,
    RouteDocument,
    WorkerReport,
    state_from_json,
    trip_from_json,
)
from tests.sdk.model.wire_documents import (
    COUNTS,
    COUNTS_JSON,
    DOCUMENTS,
    MANIFEST,
    PARTS,
    RELEASE,
    RELEASE_JSON,
    REPLICA,
    REPLICA_JSON,
    ROUTE,
    ROUTE_JSON,
    V1,
    V2,
    WORKER,
    WORKER_JSON,
    Document,
    dropped,
)

# Programs of this format that were older did not write these; "reason" is for people alone.
OPTIONAL = {
    ("worker report", "warnings"),
    ("worker report", "fallback"),
    ("replica report", "fallback"),
    ("replica report", "warnings"),
    ("replica report", "stopped"),
    ("replica report", "memory_bytes"),
    ("replica report", "crew"),
    ("replica report", "held_out"),
    ("route document", "held_out"),
    ("route document", "recorded"),
    ("replica report", "refusal.reason"),
    ("counts report", "holds"),
}


def changed(document: Any, path: str, value: Any) -> Any:
    """Return the document with another value at a dotted path."""
    head, _, rest = path.partition(".")
    if isinstance(document, list):
        return [changed(item, rest, value) if rest else value for item in document[:1]] + document[1:]
    return {**document, head: changed(document[head], rest, value) if rest else value}


def paths(document: Any, prefix: str = "") -> list[str]:
    """Return where something stands in a document whose names are its own and not data."""
    if isinstance(document, list):
        return paths(document[0], f"{prefix}0.") if document and isinstance(document[0], dict) else []
    found = []
    for name, value in document.items():
        if name.startswith("sha256:"):
            continue
        found.append(prefix + name)
        if isinstance(value, dict | list) and name not in ("manifest", "paths", "versions"):
            found += paths(value, f"{prefix}{name}.")
    return found


REQUIRED = [
    (what, read, document, path)
    for what, read, document in PARTS
    for path in paths(document)
    if path != "format" and (what, path) not in OPTIONAL
]


@pytest.mark.parametrize(
    ("what", "read", "document", "path"), REQUIRED, ids=[f"{row[0]}-{row[3]}".replace(" ", "-") for row in REQUIRED]
)
def test_a_document_that_lacks_a_field_is_malformed(
    what: str, read: Callable[[Any], Any], document: dict[str, Any], path: str
) -> None:
    with pytest.raises(InvalidError) as refused:
        read(dropped(document, path))
    assert str(refused.value) == f"the {what} is malformed: {path.rpartition('.')[2]} is missing"


def test_those_are_the_fields_of_a_route_document() -> None:
    assert [path for what, _, _, path in REQUIRED if what == "route document"] == [
        "system",
        "route",
        "route.generation",
        "route.step",
        "route.split",
        "generations",
        "generations.0.number",
        "generations.0.chain",
        "generations.0.saw_quarantine",
        "generations.0.saw_local",
        "facts",
        "facts.trips",
        "facts.trips.0.uid",
        "facts.trips.0.version",
        "facts.trips.0.generation",
        "facts.trips.0.source",
        "facts.trips.0.at",
        "facts.trips.0.why",
        "facts.released",
        "prepare",
        "shadow",
        "shadow.reference",
        "shadow.others",
        "shadow.per_second",
        "anchor",
        "anchor.count",
        "anchor.head",
    ]


@pytest.mark.parametrize(
    ("read", "document", "value", "field", "nothing"),
    [
        (WorkerReport.from_json, WORKER_JSON, WORKER, "warnings", ()),
        (WorkerReport.from_json, WORKER_JSON, WORKER, "fallback", False),
        (ReplicaReport.from_json, REPLICA_JSON, REPLICA, "fallback", False),
        (ReplicaReport.from_json, REPLICA_JSON, REPLICA, "warnings", ()),
        (ReplicaReport.from_json, REPLICA_JSON, REPLICA, "stopped", False),
        (ReplicaReport.from_json, REPLICA_JSON, REPLICA, "memory_bytes", 0),
        (ReplicaReport.from_json, REPLICA_JSON, REPLICA, "crew", frozenset()),
        (ReplicaReport.from_json, REPLICA_JSON, REPLICA, "held_out", False),
        (CountsReport.from_json, COUNTS_JSON, COUNTS, "holds", ()),
        (RouteDocument.from_json, ROUTE_JSON, ROUTE, "recorded", None),
    ],
)
def test_what_an_older_program_did_not_write_is_nothing(
    read: Callable[[Any], Any], document: dict[str, Any], value: Any, field: str, nothing: object
) -> None:
    assert read(dropped(document, field)) == replace(value, **{field: nothing})


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("system", 3, "system must be text, not 3"),
        ("route", None, "an object with generation is expected, not None"),
        ("route.generation", "5", "generation must be a whole number, not '5'"),
        ("route.step", -1, "step must be 0 or more, not -1"),
        ("route.split", 0.5, "split must be a whole number, not 0.5"),
        ("generations", {}, "generations must be a list, not an object"),
        ("generations", [5], "an object with number is expected, not 5"),
        ("generations.0.number", None, "number must be a whole number, not None"),
        ("generations.0.chain", V1, f"chain must be a list, not {V1!r}"),
        ("generations.0.chain", [1], "chain must be a list of texts"),
        ("generations.0.saw_quarantine", [None], "saw_quarantine must be a list of texts"),
        ("generations.0.saw_local", "r1", "saw_local must be a list, not 'r1'"),
        ("generations.0.saw_local", ["r1"], "saw_local must hold [replica, generation, version], not 'r1'"),
        ("generations.0.saw_local", [["r1", 1]], "saw_local must hold [replica, generation, version], not a list"),
        (
            "generations.0.saw_local",
            [["r1", 1, V1, 1]],
            "saw_local must hold [replica, generation, version], not a list",
        ),
        ("generations.0.saw_local", [[1, 1, V1]], "saw_local must name replica and version by text"),
        ("generations.0.saw_local", [["r1", 1, None]], "saw_local must name replica and version by text"),
        ("generations.0.saw_local", [["r1", "1", V1]], "the generation in saw_local must be a whole number, not '1'"),
        ("generations.0.saw_local", [["r1", -1, V1]], "the generation in saw_local must be 0 or more, not -1"),
        ("facts", [], "an object with trips is expected, not a list"),
        ("facts.trips", {}, "trips must be a list, not an object"),
        ("facts.trips", ["t1"], "an object with uid is expected, not 't1'"),
        ("facts.trips.0.uid", 1, "uid must be text, not 1"),
        ("facts.trips.0.generation", True, "generation must be a whole number, not True"),
        ("facts.released", [1], "released must be a list of texts"),
        ("prepare", [1], "prepare must be a list of texts"),
        ("prepare", None, "prepare must be a list, not None"),
        ("shadow", [], "an object with reference is expected, not a list"),
        ("shadow", False, "an object with reference is expected, not False"),
        ("shadow.reference", None, "reference must be text, not None"),
        ("shadow.others", V1, f"others must be a list, not {V1!r}"),
        ("shadow.per_second", "2", "per_second must be a number, not '2'"),
        ("shadow.per_second", math.inf, "per_second must be finite, not inf"),
        ("anchor", None, "an object with count is expected, not None"),
        ("anchor.count", 1.5, "count must be a whole number, not 1.5"),
        ("anchor.head", 3, "head must be text, not 3"),
        ("recorded", "4", "recorded must be a whole number, not '4'"),
    ],
)
def test_a_route_document_that_is_malformed_is_refused_by_its_field(path: str, value: object, message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        RouteDocument.from_json(changed(ROUTE_JSON, path, value))
    assert str(refused.value) == f"the route document is malformed: {message}"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("route.split", FULL + 1, r"route \(5, 0, 10001\) is out of range"),
        ("generations.0.number", 0, "generation 0 with 1 versions is none that a store mints"),
        ("generations.0.chain", [], "generation 4 with 0 versions is none that a store mints"),
    ],
)
def test_a_route_that_no_store_gives_out_is_refused(path: str, value: object, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        RouteDocument.from_json(changed(ROUTE_JSON, path, value))


@pytest.mark.parametrize(
    ("read", "document", "path", "value", "message"),
    [
        (RELEASE, RELEASE_JSON, "version", None, "version must be text, not None"),
        (RELEASE, RELEASE_JSON, "paths", [], "paths must be an object, not a list"),
        (RELEASE, RELEASE_JSON, "paths", {"model": None}, "model must be text, not None"),
        (RELEASE, RELEASE_JSON, "golden", 3, "golden must be text, not 3"),
        (WORKER, WORKER_JSON, "worker", None, "worker must be text, not None"),
        (WORKER, WORKER_JSON, "pid", "41", "pid must be a whole number, not '41'"),
        (WORKER, WORKER_JSON, "ready", {}, "ready must be a list, not an object"),
        (WORKER, WORKER_JSON, "failed", [V1], "failed must be an object, not a list"),
        (WORKER, WORKER_JSON, "failed", {V1: 3}, f"{V1} must be text, not 3"),
        (WORKER, WORKER_JSON, "load_seconds", None, "load_seconds must be an object, not None"),
        (WORKER, WORKER_JSON, "load_seconds", {V1: "1"}, f"{V1} must be a number, not '1'"),
        (WORKER, WORKER_JSON, "load_seconds", {V1: math.nan}, f"{V1} must be finite, not nan"),
        (WORKER, WORKER_JSON, "memory_bytes", -1, "memory_bytes must be 0 or more, not -1"),
        (WORKER, WORKER_JSON, "fallback", 1, "fallback must be true or false, not 1"),
        (REPLICA, REPLICA_JSON, "fallback", None, "fallback must be true or false, not None"),
        (WORKER, WORKER_JSON, "warnings", "slow", "warnings must be a list, not 'slow'"),
        (WORKER, WORKER_JSON, "warnings", None, "warnings must be a list, not None"),
        (REPLICA, REPLICA_JSON, "replica", 1, "replica must be text, not 1"),
        (REPLICA, REPLICA_JSON, "state", None, "an object with fleet is expected, not None"),
        (REPLICA, REPLICA_JSON, "state.latched", True, "latched must be a whole number, not True"),
        (REPLICA, REPLICA_JSON, "state.local", [V1], f"local must hold [replica, generation, version], not {V1!r}"),
        (REPLICA, REPLICA_JSON, "ready", [1], "ready must be a list of texts"),
        (REPLICA, REPLICA_JSON, "failed", {V1: None}, f"{V1} must be text, not None"),
        (REPLICA, REPLICA_JSON, "load_seconds", {V1: None}, f"{V1} must be a number, not None"),
        (REPLICA, REPLICA_JSON, "workers", 1.5, "workers must be a whole number, not 1.5"),
        (REPLICA, REPLICA_JSON, "memory_bytes", "2", "memory_bytes must be a whole number, not '2'"),
        (REPLICA, REPLICA_JSON, "refusal", "no", "an object with generation is expected, not 'no'"),
        (REPLICA, REPLICA_JSON, "refusal", [], "an object with generation is expected, not a list"),
        (REPLICA, REPLICA_JSON, "refusal.generation", None, "generation must be a whole number, not None"),
        (REPLICA, REPLICA_JSON, "refusal.unseen_quarantine", [1], "unseen_quarantine must be a list of texts"),
        (REPLICA, REPLICA_JSON, "refusal.unseen_local", None, "unseen_local must be a list, not None"),
        (REPLICA, REPLICA_JSON, "refusal.unready", V1, f"unready must be a list, not {V1!r}"),
        (REPLICA, REPLICA_JSON, "at", 3, "at must be text, not 3"),
        (REPLICA, REPLICA_JSON, "anchor", [], "an object with count is expected, not a list"),
        (REPLICA, REPLICA_JSON, "stopped", 1, "stopped must be true or false, not 1"),
        (REPLICA, REPLICA_JSON, "stopped", None, "stopped must be true or false, not None"),
        (REPLICA, REPLICA_JSON, "warnings", [1], "warnings must be a list of texts"),
        (REPLICA, REPLICA_JSON, "crew", "w", "crew must be a list, not 'w'"),
        (REPLICA, REPLICA_JSON, "held_out", None, "held_out must be true or false, not None"),
        (COUNTS, COUNTS_JSON, "worker", 1, "worker must be text, not 1"),
        (COUNTS, COUNTS_JSON, "sequence", -1, "sequence must be 0 or more, not -1"),
        (COUNTS, COUNTS_JSON, "at", None, "at must be text, not None"),
        (COUNTS, COUNTS_JSON, "versions", [], "versions must be an object, not a list"),
        (COUNTS, COUNTS_JSON, "holds", "w0", "holds must be a list, not 'w0'"),
        (COUNTS, COUNTS_JSON, "holds", None, "holds must be a list, not None"),
    ],
)
def test_a_report_that_is_malformed_is_refused_by_its_field(
    read: Document, document: dict[str, Any], path: str, value: object, message: str
) -> None:
    what = next(what for what, known, _ in DOCUMENTS if known is read)
    with pytest.raises(InvalidError) as refused:
        type(read).from_json(changed(document, path, value))
    assert str(refused.value) == f"the {what} is malformed: {message}"


def test_counts_that_are_malformed_are_refused() -> None:
    with pytest.raises(InvalidError, match="counts are malformed: requests must be 0 or more, not -1"):
        CountsReport.from_json(changed(COUNTS_JSON, "versions", {V1: {"requests": -1}}))


@pytest.mark.parametrize("item", [None, [], "t1", 3])
def test_what_is_no_object_is_no_state_and_no_trip(item: object) -> None:
    with pytest.raises(InvalidError, match=r"^the replica state is malformed: an object with fleet is expected, not "):
        state_from_json(item)
    with pytest.raises(InvalidError, match=r"^the trip is malformed: an object with uid is expected, not "):
        trip_from_json(item)


def test_a_manifest_that_was_edited_after_it_was_recorded_is_refused() -> None:
    edited = MANIFEST.with_component("model", replace(MANIFEST.components["model"], ref=Ref(digest=V2)))
    with pytest.raises(InvalidError) as refused:
        ReleaseDocument.from_json({**RELEASE_JSON, "manifest": edited.to_json()})
    assert str(refused.value) == (
        f"the manifest recorded as {MANIFEST.content_digest} has content digest {edited.content_digest}."
        " It was edited after it was recorded; restore the file or deploy again"
    )
    with pytest.raises(InvalidError, match="manifest lacks components, system"):
        ReleaseDocument.from_json({**RELEASE_JSON, "manifest": {}})
