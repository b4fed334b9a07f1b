"""Documents: what each answer looks like, for the OpenAPI: its keys, and an example of a system that sets prices."""

from collections.abc import Mapping, Sequence
from typing import Any

from knowngood.api.problem import MEDIA_TYPE

__all__ = ["ANSWERS", "PROBLEMS", "answers"]

_BAD = "sha256:9b0c6a1de4f7" + "0" * 52
_GOOD = "sha256:3f1c9a0b7d2e" + "0" * 52
_HASH = "sha256:" + "5" * 64
_AT = "2026-11-23T18:02:11.120Z"
Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_NUMBER_OR_NULL: Schema = {"type": ["number", "null"]}
_TRUTH: Schema = {"type": "boolean"}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _map(of: Schema) -> Schema:
    return {"type": "object", "additionalProperties": of}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


_DEPLOYMENT = {
    "system": _TEXT,
    "generation": _WHOLE,
    "version": _TEXT,
    "manifest": _TEXT,
    "strategy": {"enum": ["full", "canary"]},
    "split": _WHOLE,
    "actor": _TEXT,
    "started_at": _TEXT,
    "full_at": _TEXT_OR_NULL,
    "state": {"enum": ["armed", "canary", "full", "abandoned", "rolled-back", "verified"]},
    "anchored_at": _TEXT,
    "leaves": _TEXT_OR_NULL,
}
_STEP = _object(name=_TEXT, at=_TEXT, outcome={"enum": ["done", "skipped", "failed"]}, details={"type": "object"})
_SAGA = {
    "id": _TEXT,
    "system": _TEXT,
    "version": _TEXT,
    "episode": _WHOLE,
    "target": _TEXT_OR_NULL,
    "generation": _WHOLE,
    "started_at": _TEXT,
    "state": {"enum": ["running", "done", "stuck"]},
    "steps": _list(_STEP),
    "timeline": {"type": "object"},
    "needs": _TEXT,
}
_ENTRY = _object(
    sequence=_WHOLE,
    system=_TEXT,
    at=_TEXT,
    actor=_TEXT,
    kind=_TEXT,
    body={"type": "object"},
    previous=_TEXT,
    hash=_TEXT,
)
_REPLICA = _object(
    replica=_TEXT,
    agent=_TRUTH,
    workers=_WHOLE,
    workers_unheard=_WHOLE,
    seen_at=_TEXT_OR_NULL,
    generation=_WHOLE,
    step=_WHOLE,
    serves=_list(_TEXT_OR_NULL),
    ready=_list(_TEXT),
    left=_list(_TEXT),
    failed=_map(_TEXT),
    refusal=_TEXT_OR_NULL,
    trouble=_TEXT,
)
_STATUS = _object(
    system=_TEXT,
    generation=_WHOLE,
    serving=_list(_TEXT_OR_NULL),
    split=_NUMBER,
    chain=_list(_TEXT),
    deploying=_TEXT_OR_NULL,
    trip_leads_to=_TEXT_OR_NULL,
    static_fallback={"type": ["boolean", "null"]},
    left=_list(_TEXT),
    record_behind={"anyOf": [_object(known=_WHOLE, recorded=_WHOLE), {"type": "null"}]},
    not_on_record=_list(_TEXT),
    quarantined=_list(_TEXT),
    ledger=_object(count=_WHOLE, head=_TEXT),
    replicas=_list(_REPLICA),
)
_TRIP = _object(uid=_TEXT, version=_TEXT, generation=_WHOLE, source=_TEXT, at=_TEXT, why=_TEXT)
_ALTERNATIVE = _object(
    scope=_TEXT,
    level=_WHOLE,
    target=_TEXT,
    verdict={"enum": ["preferred", "allowed", "refused"]},
    reason=_TEXT,
    proven=_TRUTH,
    grade=_TEXT_OR_NULL,
    ready=_TRUTH,
    changes=_list(_TEXT),
    steps=_list(_object(stage=_WHOLE, verb=_TEXT, component=_TEXT, estimate_seconds=_NUMBER_OR_NULL)),
    estimate_seconds=_NUMBER_OR_NULL,
    stops_harm_seconds=_NUMBER_OR_NULL,
    n=_WHOLE,
    known_issues=_list(_TEXT),
)
_PLAN = {
    "outcome": {"enum": ["planned", "unsafe"]},
    "live": _TEXT,
    "target": _TEXT_OR_NULL,
    "level": {"type": ["integer", "null"]},
    "grade": _TEXT_OR_NULL,
    "chosen": {"anyOf": [_ALTERNATIVE, {"type": "null"}]},
    "alternatives": _list(_ALTERNATIVE),
    "authority": {"type": ["object", "null"]},
    "consumers": _list(_TEXT),
    "risks": _list(_TEXT),
    "flags": _list(_TEXT),
    "stop_first": _TEXT_OR_NULL,
    "options": _list(_TEXT),
}
_CHANGE = _object(
    component=_TEXT,
    level=_WHOLE,
    before={"type": ["object", "null"]},
    after={"type": ["object", "null"]},
    shared_by=_list(_TEXT),
)

_DEPLOYED_EXAMPLE = {
    "system": "pricing",
    "generation": 2,
    "version": _BAD,
    "manifest": _HASH,
    "strategy": "full",
    "split": 10000,
    "actor": "anna",
    "started_at": "2026-11-23T17:58:40.020Z",
    "full_at": "2026-11-23T17:58:41.300Z",
    "state": "full",
    "anchored_at": "2026-11-23T17:58:41.300Z",
    "leaves": None,
}
_SAGA_EXAMPLE = {
    "id": f"rb:pricing:{_BAD}:1",
    "system": "pricing",
    "version": _BAD,
    "episode": 1,
    "target": _GOOD,
    "generation": 2,
    "started_at": _AT,
    "state": "done",
    "steps": [{"name": "record", "at": _AT, "outcome": "done", "details": {}}],
    "timeline": {"level": 2},
    "needs": "",
}
_ENTRY_EXAMPLE = {
    "sequence": 1,
    "system": "pricing",
    "at": _AT,
    "actor": "anna",
    "kind": "applied",
    "body": {"grants": {"errors": "rollback"}},
    "previous": "",
    "hash": _HASH,
}
_TRIP_EXAMPLE = {
    "uid": "0f7c",
    "version": _BAD,
    "generation": 2,
    "source": "person",
    "at": _AT,
    "why": "prices 40 % too high",
}
_ALTERNATIVE_EXAMPLE = {
    "scope": "system",
    "level": 2,
    "target": _GOOD,
    "verdict": "preferred",
    "reason": "the newest version that was verified as a whole",
    "proven": True,
    "grade": "verified",
    "ready": True,
    "changes": ["features", "model"],
    "steps": [{"stage": 1, "verb": "traffic", "component": "", "estimate_seconds": 0.004}],
    "estimate_seconds": 0.004,
    "stops_harm_seconds": 0.004,
    "divergence": None,
    "bad_divergence": None,
    "tolerance": None,
    "n": 0,
    "override": None,
    "known_issues": [],
}
_PLAN_EXAMPLE = {
    "outcome": "planned",
    "live": _BAD,
    "target": _GOOD,
    "level": 2,
    "grade": "verified",
    "chosen": _ALTERNATIVE_EXAMPLE,
    "alternatives": [_ALTERNATIVE_EXAMPLE],
    "authority": {"approvals": [], "notify": "team-lead"},
    "consumers": [],
    "risks": [],
    "flags": [],
    "stop_first": None,
    "options": [],
}
_STATUS_EXAMPLE = {
    "system": "pricing",
    "generation": 2,
    "serving": [_GOOD],
    "split": 1.0,
    "chain": [_BAD, _GOOD],
    "deploying": None,
    "trip_leads_to": None,
    "static_fallback": True,
    "left": [_BAD],
    "record_behind": None,
    "not_on_record": [],
    "quarantined": [_BAD],
    "ledger": {"count": 12, "head": _HASH},
    "replicas": [
        {
            "replica": "r1",
            "agent": True,
            "workers": 2,
            "workers_unheard": 0,
            "seen_at": "2026-03-12T18:10:03+00:00",
            "generation": 2,
            "step": 1,
            "serves": [_GOOD],
            "ready": [_GOOD],
            "left": [],
            "failed": {},
            "refusal": None,
            "trouble": "",
        }
    ],
}

ANSWERS: Mapping[str, tuple[Schema, Any]] = {
    "status": (_object(systems=_list(_STATUS), server=_TEXT_OR_NULL), {"systems": [_STATUS_EXAMPLE], "server": None}),
    "applied": (
        _object(
            system=_TEXT,
            changed=_TRUTH,
            file=_TEXT,
            grants=_map(_TEXT),
            changes=_list(_object(what=_TEXT, weakens=_TRUTH)),
            missing=_map(_TEXT),
            served_elsewhere=_WHOLE,
        ),
        {
            "system": "pricing",
            "changed": True,
            "file": "pricing.yaml",
            "grants": {"errors": "rollback"},
            "changes": [],
            "missing": {},
            "served_elsewhere": 0,
        },
    ),
    "deployed": (
        _object(**_DEPLOYMENT, replicas=_list(_TEXT), load_seconds=_NUMBER, way_back_seconds=_NUMBER),
        {**_DEPLOYED_EXAMPLE, "replicas": ["r1"], "load_seconds": 0.8, "way_back_seconds": 0.004},
    ),
    "deployment": (_object(**_DEPLOYMENT), {**_DEPLOYED_EXAMPLE, "state": "abandoned"}),
    "history": (
        _object(
            system=_TEXT,
            deployments=_list(_object(**_DEPLOYMENT)),
            sagas=_list(_object(**_SAGA)),
            entries=_list(_ENTRY),
        ),
        {
            "system": "pricing",
            "deployments": [_DEPLOYED_EXAMPLE],
            "sagas": [_SAGA_EXAMPLE],
            "entries": [_ENTRY_EXAMPLE],
        },
    ),
    "diff": (
        _object(
            before=_TEXT,
            after=_TEXT,
            level={"type": ["integer", "null"]},
            changes=_list(_CHANGE),
            shared_by=_list(_TEXT),
        ),
        {"before": _GOOD, "after": _BAD, "level": None, "changes": [], "shared_by": []},
    ),
    "plan": (_object(system=_TEXT, **_PLAN), {"system": "pricing", **_PLAN_EXAMPLE}),
    "rolled-back": (
        _object(
            **_SAGA,
            resumed=_TRUTH,
            plan={"anyOf": [_object(**_PLAN), {"type": "null"}]},
            flip_seconds=_NUMBER_OR_NULL,
            acknowledged=_list(_TEXT),
            unreachable=_map(_TEXT),
            gone=_list(_TEXT),
            unpublished=_TEXT,
            elsewhere=_list(_TEXT),
            so_far=_TEXT,
        ),
        {
            **_SAGA_EXAMPLE,
            "resumed": False,
            "plan": _PLAN_EXAMPLE,
            "flip_seconds": 0.0041,
            "acknowledged": ["r1"],
            "unreachable": {},
            "gone": [],
            "unpublished": "",
            "elsewhere": [],
            "so_far": "",
        },
    ),
    "resumed": (
        _object(system=_TEXT, rollbacks=_list(_object(**_SAGA))),
        {"system": "pricing", "rollbacks": [_SAGA_EXAMPLE]},
    ),
    "broken": (
        _object(system=_TEXT, version=_TEXT, left=_list(_TEXT), unreachable=_map(_TEXT), unpublished=_TEXT),
        {"system": "pricing", "version": _BAD, "left": ["r1"], "unreachable": {}, "unpublished": ""},
    ),
    "quarantined": (
        _object(system=_TEXT, trips=_list(_TRIP), shown=_map(_TEXT)),
        {"system": "pricing", "trips": [_TRIP_EXAMPLE], "shown": {_BAD: "4e7edc3ddb2a"}},
    ),
    "barred": (
        _object(system=_TEXT, version=_TEXT, rollback=_TEXT),
        {"system": "pricing", "version": _BAD, "rollback": f"rb:pricing:{_BAD}:1"},
    ),
    "released": (
        _object(system=_TEXT, version=_TEXT, trips=_list(_TEXT), acts=_list(_TRIP)),
        {"system": "pricing", "version": _BAD, "trips": ["0f7c"], "acts": [_TRIP_EXAMPLE]},
    ),
    "readmitted": (
        _object(system=_TEXT, replica=_TEXT, incidents=_list(_TEXT)),
        {"system": "pricing", "replica": "r1", "incidents": [f"sick:pricing:r1:2:{_GOOD}"]},
    ),
    "reissued": (
        _object(system=_TEXT, version=_TEXT, generation=_WHOLE, brings_in=_map(_TEXT)),
        {
            "system": "pricing",
            "version": _GOOD,
            "generation": 3,
            "brings_in": {"r1": "stands at step 1, the fleet at 0"},
        },
    ),
    "ledger": (_object(system=_TEXT, entries=_list(_ENTRY)), {"system": "pricing", "entries": [_ENTRY_EXAMPLE]}),
    "verified": (
        _object(ok=_TRUTH, count=_WHOLE, anchors=_WHOLE, problem=_TEXT, at={"type": ["integer", "null"]}),
        {"ok": True, "count": 12, "anchors": 1, "problem": "", "at": None},
    ),
    "healthy": (_object(status=_TEXT), {"status": "alive"}),
    "ready": (_object(ready=_TRUTH, checks=_map(_TEXT)), {"ready": True, "checks": {"store": ""}}),
}
"""What each verb answers: the schema, and an example."""

_PROBLEM = _object(
    type=_TEXT,
    title=_TEXT,
    status=_WHOLE,
    detail=_TEXT,
    instance=_TEXT,
    code=_TEXT,
    hint=_TEXT,
    details={"type": "object"},
)
_KINDS = {
    401: ("It is not known who asks.", "not-authenticated"),
    403: ("Nobody allows it, or not yet: the scope is too small, there is no tested way back.", "not-authorized"),
    404: ("A name resolves to nothing.", "not-found"),
    409: ("The state moved, or is not what the verb needs.", "conflict"),
    413: ("The body is too large.", "invalid"),
    422: ("What was given can never be valid.", "invalid"),
    500: ("Something that was not foreseen; the log has more under the id of the request.", "error"),
    502: ("A system outside failed for good.", "component-permanent"),
    503: ("A system outside cannot be reached now: the same request may succeed.", "component-transient"),
    504: ("It was begun, and how it ended is not known: look before you ask again.", "outcome-unknown"),
}


def _problem_example(status: int, code: str) -> dict[str, Any]:
    return {
        "type": f"urn:knowngood:error:{code}",
        "title": _KINDS[status][0],
        "status": status,
        "detail": "there is no system 'pricng'" if code == "not-found" else "what is wrong, and with which value",
        "instance": "urn:knowngood:request:7c0e5d",
        "code": code,
        "hint": "Did you mean 'pricing'?" if code == "not-found" else "what to do next",
        "details": {},
    }


PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": meaning,
        "content": {MEDIA_TYPE: {"schema": _PROBLEM, "example": _problem_example(status, code)}},
    }
    for status, (meaning, code) in _KINDS.items()
}
"""What every verb may answer instead."""


def answers(name: str, *, events: bool = False, without: Sequence[int] = ()) -> dict[int | str, dict[str, Any]]:
    """
    Return the responses of a route for the OpenAPI.

    Args:
        name: Of the document that it answers with.
        events: Whether it also answers as server-sent events.
        without: Statuses that it never answers with.
    """
    schema, example = ANSWERS[name]
    content: dict[str, Any] = {"application/json": {"schema": schema, "example": example}}
    if events:
        content["text/event-stream"] = {
            "schema": {"type": "string"},
            "example": 'event: progress\ndata: {"sign": "waiting", "line": "waiting for r1 to load 9b0c6a1de4f7"}\n\n'
            "event: result\ndata: {…}\n\n",
        }
    good: dict[int | str, dict[str, Any]] = {200: {"description": "Done.", "content": content}}
    return good | {status: problem for status, problem in PROBLEMS.items() if status not in without}
