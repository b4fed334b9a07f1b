"""One document of each kind that is on the wire, every field of it filled, beside the JSON that it is written as."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from knowngood_sdk.model.canonical import digest_of
from knowngood_sdk.model.counts import VersionCounts
from knowngood_sdk.model.manifest import Component, Intent, Manifest, Ref, Role
from knowngood_sdk.model.route import FULL, Facts, FleetRoute, Generation, LocalTrip, Refusal, ReplicaState, Trip
from knowngood_sdk.model.wire import (
    CountsReport,
    ReleaseDocument,
    ReplicaReport,
    RouteDocument,
    ShadowOrder,
    WorkerReport,
    state_from_json,
    trip_from_json,
)

AT = "2026-01-01T18:00:00Z"
V1, V2, V3 = (digest_of(name) for name in ("one", "two", "three"))
TRIP = Trip(uid="t2", version=V2, generation=4, source="person", at=AT, why="prices")
EARLIER = replace(TRIP, uid="t1", version=V3, source="trigger")
FACTS = Facts({"t2": TRIP, "t1": EARLIER}, frozenset({"t9", "t1"}))
HERE = LocalTrip("r1", 4, V2)
ELSEWHERE = LocalTrip("r0", 3, V1)
FIFTH = Generation(number=5, chain=(V2, V1), saw_quarantine=frozenset({V3, V1}), saw_local=frozenset({HERE, ELSEWHERE}))
FOURTH = Generation(number=4, chain=(V1,))
STATE = ReplicaState(
    fleet=FleetRoute(5, 1, FULL),
    latched=1,
    facts=FACTS,
    local=frozenset({HERE, ELSEWHERE}),
    generations={5: FIFTH, 4: FOURTH},
)
MANIFEST = Manifest(
    system="pricing",
    components={"model": Component(role=Role.MODEL, kind="files", ref=Ref(digest=V1, native="v41"))},
    intent=Intent(text="fewer surges"),
)

ROUTE = RouteDocument(
    system="pricing",
    route=FleetRoute(5, 0, 1_000),
    generations={5: FIFTH, 4: FOURTH},
    facts=FACTS,
    prepare=(V3, V1),
    shadow=ShadowOrder(reference=V1, others=(V3, V2), per_second=2.5),
    anchor=(12, "sha256:head"),
    held_out=frozenset({"r2"}),
    recorded=4,
)
RELEASE = ReleaseDocument(manifest=MANIFEST, paths={"model": "/trees/41"}, golden="/trees/golden.json")
WORKER = WorkerReport(
    worker="w1",
    pid=41,
    ready=frozenset({V2, V1}),
    failed={V3: "no such file"},
    load_seconds={V1: 1.5},
    memory_bytes=1_000,
    fallback=True,
    warnings=("slow",),
)
REPLICA = ReplicaReport(
    replica="r1",
    state=STATE,
    ready=frozenset({V2, V1}),
    failed={V3: "no such file"},
    load_seconds={V1: 1.5},
    workers=2,
    memory_bytes=2_000,
    fallback=True,
    refusal=Refusal(
        generation=6,
        unseen_quarantine=frozenset({V3, V2}),
        unseen_local=frozenset({HERE, ELSEWHERE}),
        unready=frozenset({V2, V1}),
    ),
    at=AT,
    anchor=(12, "sha256:head"),
    stopped=True,
    warnings=("slow", "full"),
    crew=frozenset({"w1", "w2"}),
    held_out=True,
)
COUNTS = CountsReport(
    worker="w1", sequence=7, at=AT, versions={V1: VersionCounts(requests=3, latency={8800: 3})}, holds=("w0",)
)

TRIP_JSON = {"uid": "t2", "version": V2, "generation": 4, "source": "person", "at": AT, "why": "prices"}
FACTS_JSON = {"trips": [{**TRIP_JSON, "uid": "t1", "version": V3, "source": "trigger"}, TRIP_JSON]}
LOCAL_JSON = [["r0", 3, V1], ["r1", 4, V2]]
GENERATIONS_JSON = [
    {"number": 4, "chain": [V1], "saw_quarantine": [], "saw_local": []},
    {"number": 5, "chain": [V2, V1], "saw_quarantine": sorted([V3, V1]), "saw_local": LOCAL_JSON},
]
STATE_JSON: dict[str, Any] = {
    "fleet": {"generation": 5, "step": 1, "split": 10_000},
    "latched": 1,
    "facts": {**FACTS_JSON, "released": ["t1", "t9"]},
    "local": LOCAL_JSON,
    "generations": GENERATIONS_JSON,
}
ROUTE_JSON: dict[str, Any] = {
    "format": 1,
    "system": "pricing",
    "route": {"generation": 5, "step": 0, "split": 1_000},
    "generations": GENERATIONS_JSON,
    "facts": STATE_JSON["facts"],
    "prepare": [V3, V1],
    "shadow": {"reference": V1, "others": [V3, V2], "per_second": 2.5},
    "anchor": {"count": 12, "head": "sha256:head"},
    "held_out": ["r2"],
    "recorded": 4,
}
RELEASE_JSON: dict[str, Any] = {
    "format": 1,
    "version": MANIFEST.content_digest,
    "manifest": MANIFEST.to_json(),
    "paths": {"model": "/trees/41"},
    "golden": "/trees/golden.json",
}
WORKER_JSON: dict[str, Any] = {
    "format": 1,
    "worker": "w1",
    "pid": 41,
    "ready": sorted([V1, V2]),
    "failed": {V3: "no such file"},
    "load_seconds": {V1: 1.5},
    "memory_bytes": 1_000,
    "fallback": True,
    "warnings": ["slow"],
}
REPLICA_JSON: dict[str, Any] = {
    "format": 1,
    "replica": "r1",
    "state": STATE_JSON,
    "ready": sorted([V1, V2]),
    "failed": {V3: "no such file"},
    "load_seconds": {V1: 1.5},
    "workers": 2,
    "memory_bytes": 2_000,
    "fallback": True,
    "refusal": {
        "generation": 6,
        "unseen_quarantine": sorted([V3, V2]),
        "unseen_local": LOCAL_JSON,
        "unready": sorted([V1, V2]),
        "reason": (
            "generation 6 refused: it has not seen the quarantine of 2 version(s)"
            " and it has not seen 2 local trip(s) and 2 live version(s) are not ready here"
        ),
    },
    "at": AT,
    "anchor": {"count": 12, "head": "sha256:head"},
    "stopped": True,
    "warnings": ["slow", "full"],
    "crew": ["w1", "w2"],
    "held_out": True,
}
COUNTS_JSON: dict[str, Any] = {
    "format": 1,
    "worker": "w1",
    "sequence": 7,
    "at": AT,
    "versions": {V1: {"requests": 3, "latency": {"8800": 3}}},
    "holds": ["w0"],
}

Document = RouteDocument | ReleaseDocument | WorkerReport | ReplicaReport | CountsReport
DOCUMENTS: list[tuple[str, Document, dict[str, Any]]] = [
    ("route document", ROUTE, ROUTE_JSON),
    ("release document", RELEASE, RELEASE_JSON),
    ("worker report", WORKER, WORKER_JSON),
    ("replica report", REPLICA, REPLICA_JSON),
    ("counts report", COUNTS, COUNTS_JSON),
]
PARTS: list[tuple[str, Callable[[Any], Any], dict[str, Any]]] = [
    *((what, type(value).from_json, document) for what, value, document in DOCUMENTS),
    ("replica state", state_from_json, STATE_JSON),
    ("trip", trip_from_json, TRIP_JSON),
]
each_document = pytest.mark.parametrize(
    ("what", "value", "document"), DOCUMENTS, ids=[what.replace(" ", "-") for what, _, _ in DOCUMENTS]
)


def dropped(document: Any, path: str) -> Any:
    """Return the document without what stands at a dotted path."""
    head, _, rest = path.partition(".")
    if isinstance(document, list):
        return [dropped(item, rest) for item in document[:1]] + document[1:]
    if not rest:
        return {key: value for key, value in document.items() if key != head}
    return {**document, head: dropped(document[head], rest)}
