"""The verbs for people and programs. Those that may take long answer with their progress, where that is asked for."""

import json
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi import Path as InPath

from knowngood.adapters.yaml import system_file_of
from knowngood.api.bodies import (
    BarBody,
    BreakGlassBody,
    DeployBody,
    ReadmitBody,
    ReissueBody,
    ReleaseBody,
    ResumeBody,
    RollbackBody,
    SystemBody,
)
from knowngood.api.documents import answers
from knowngood.api.identity import Asking, allow, authenticate, highest
from knowngood.api.under_way import Work, answer
from knowngood.app import Server
from knowngood.domain.level import Level
from knowngood.domain.spelling import did_you_mean
from knowngood.domain.token import Verb
from knowngood.ports.verbs import Document
from knowngood.verbs import apply as applying
from knowngood.verbs import break_glass as breaking
from knowngood.verbs import deploy as deploying
from knowngood.verbs import quarantine, reading, replicas
from knowngood.verbs import resume as resuming
from knowngood.verbs import rollback as rolling_back
from knowngood.verbs.interrupt import interruptible
from knowngood.verbs.roots import check_roots
from knowngood.verbs.status import status as status_of
from knowngood_sdk.errors import InvalidError, KnownGoodError, NotFoundError
from knowngood_sdk.model.wording import readable, readable_in

__all__ = ["people"]

_MOST = 1000
"""Entries in one answer."""
_HIGHEST_COUNT = 2**31 - 1

System = Annotated[
    str,
    InPath(description="Name of the system.", pattern="^[a-z][a-z0-9_-]{0,62}$", examples=["pricing"]),
]
Name = Annotated[str | None, Query(min_length=1, max_length=200, examples=["3f1c9a0b7d2e"])]


def people() -> APIRouter:
    """Return the routes."""
    router = APIRouter(
        prefix="/v1/systems", dependencies=[Depends(authenticate), Depends(_check_query), Depends(_check_text)]
    )
    _reading(router)
    _record(router)
    _changing(router)
    _deploying(router)
    _going_back(router)
    _coming_in(router)
    return router


async def _check_query(request: Request) -> None:
    """Refuse a parameter that nobody reads: it is a mistyped one."""
    known = [field.alias for field in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            advice = did_you_mean(name, known) if known else "It takes none"
            raise InvalidError(f"{request.url.path} has no parameter {name!r}", hint=advice)


async def _check_text(request: Request) -> None:
    """Refuse half a character, which JSON can escape: no record could hold it, and no answer repeat it."""
    try:
        given = json.loads(await request.body() or b"null")
    except ValueError:
        return  # what is no JSON is refused for that
    if isinstance(given, dict):
        torn = sorted(readable(name) for name, value in given.items() if readable_in({name: value}) != {name: value})
        if torn:
            where = [f"body.{name}" for name in torn]
            raise InvalidError(
                f"the request is not as it must be: half a character (a lone surrogate) is in {', '.join(where)}",
                hint="Send whole characters, in UTF-8",
                fields=where,
            )


def _server(request: Request) -> Server:
    server: Server = request.app.state.server
    return server


def _status(server: Server, system: str) -> Document:
    plane = server.plane
    try:
        fallback: bool | None = plane.store.system_spec(system)["rules"].get("fallback") is not None
    except NotFoundError:
        raise
    except KnownGoodError:
        # What serves is not in there, and it is what the reader of a status needs first.
        fallback = None
    return status_of(plane.traffic, system, fallback)


def _reading(router: APIRouter) -> None:
    @router.get("", responses=answers("status"), summary="What all systems serve")
    def statuses(request: Request, caller: Asking) -> Any:
        """What every system that the caller may read serves on each replica, and where a trip leads to."""
        server = _server(request)
        systems = [name for name in server.plane.store.systems() if caller.may(Verb.READ, name)]
        if not systems:
            allow(caller, Verb.READ, None)
            raise NotFoundError(
                "there is no system on this server that you may read", hint="To begin one: kg apply SYSTEM.yaml"
            )
        return {"systems": [_status(server, name) for name in systems], "server": None}

    @router.get("/{system}", responses=answers("status"), summary="What a system serves")
    def status(request: Request, system: System, caller: Asking) -> Any:
        """What the system serves on each replica, and where a trip leads to."""
        allow(caller, Verb.READ, system)
        return {"systems": [_status(_server(request), system)], "server": None}

    @router.get("/{system}/history", responses=answers("history"), summary="What was done")
    def history(
        request: Request, system: System, caller: Asking, limit: Annotated[int, Query(ge=1, le=_MOST)] = 50
    ) -> Any:
        """The newest entries of the ledger, with every deployment and every rollback as they stand now."""
        allow(caller, Verb.READ, system)
        return reading.history(_server(request).plane, system, limit=limit)

    @router.get("/{system}/diff", responses=answers("diff"), summary="What differs between two versions")
    def diff(request: Request, system: System, caller: Asking, before: Name = None, after: Name = None) -> Any:
        """What differs between two versions; without names, those that a person most likely means."""
        allow(caller, Verb.READ, system)
        return reading.diff(_server(request).plane, system, before=before, after=after)

    @router.get("/{system}/plan", responses=answers("plan"), summary="How it would be rolled back now")
    def plan(
        request: Request,
        system: System,
        caller: Asking,
        suspect: Name = None,
        level: Annotated[int | None, Query(ge=1, le=4)] = None,
    ) -> Any:
        """How the system would be rolled back now, with every alternative and the reason."""
        allow(caller, Verb.READ, system)
        return reading.plan(_server(request).plane, system, suspect=suspect, level=level)


def _record(router: APIRouter) -> None:
    @router.get("/{system}/quarantine", responses=answers("quarantined"), summary="What is in quarantine")
    def quarantined(request: Request, system: System, caller: Asking) -> Any:
        """The versions in quarantine, with every act that put them there."""
        allow(caller, Verb.READ, system)
        return reading.quarantined(_server(request).plane, system)

    @router.get("/{system}/ledger", responses=answers("ledger"), summary="The record")
    def ledger(
        request: Request,
        system: System,
        caller: Asking,
        after: Annotated[int, Query(ge=0, le=_HIGHEST_COUNT)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
    ) -> Any:
        """The entries of the ledger behind a sequence number; ask again behind the last one until there are fewer."""
        allow(caller, Verb.READ, system)
        return reading.ledger(_server(request).plane, system, after=after, limit=limit)

    @router.get("/{system}/ledger/verification", responses=answers("verified"), summary="Whether the record is whole")
    def verify(request: Request, system: System, caller: Asking) -> Any:
        """Every entry is checked, and the anchors that replicas keep outside of the store."""
        allow(caller, Verb.READ, system)
        return reading.verify(_server(request).plane, system)


def _changing(router: APIRouter) -> None:
    @router.post("", responses=answers("applied"), summary="Apply a system file")
    def apply(request: Request, body: SystemBody, caller: Asking) -> Any:
        """Make a system file the system's rules; its folder, and all that it names, is where the server runs."""
        server = _server(request)
        allow(caller, Verb.APPLY, None)
        spec = system_file_of(body.text.encode(), body.file, kinds=server.plane.kinds)
        allow(caller, Verb.APPLY, spec.system)
        check_roots(spec, Path(body.root), server.settings.component_roots)
        return applying.apply(server.plane, body, actor=caller.name)

    @router.post("/{system}/quarantine/release", responses=answers("released"), summary="Release a version by name")
    def release(request: Request, system: System, body: ReleaseBody, caller: Asking) -> Any:
        """Release a version from quarantine. Moves nothing: the next deployment may use it again."""
        allow(caller, Verb.RELEASE, system)
        plane = _server(request).plane
        return quarantine.release(plane, system, body.version, shown=body.shown, reason=body.reason, actor=caller.name)

    @router.post("/{system}/quarantine", responses=answers("barred"), summary="Bar a version that serves nobody")
    def bar(request: Request, system: System, body: BarBody, caller: Asking) -> Any:
        """Put a recorded version into quarantine. Moves nothing: no deployment and no rollback may use it."""
        allow(caller, Verb.ROLLBACK, system, Level.SYSTEM)
        return quarantine.bar(_server(request).plane, system, body.version, reason=body.reason, actor=caller.name)

    @router.post("/{system}/break-glass", responses=answers("broken"), summary="Leave at once, without the store")
    def break_glass(request: Request, system: System, body: BreakGlassBody, caller: Asking) -> Any:
        """Make every replica leave what it serves, without asking the store."""
        allow(caller, Verb.BREAK_GLASS, system, Level.SYSTEM)
        traffic = _server(request).plane.traffic
        return breaking.break_glass(traffic, system, actor=caller.name, why=body.why, replica=body.replica)


def _deploying(router: APIRouter) -> None:
    @router.post("/{system}/deployments", responses=answers("deployed", events=True), summary="Deploy")
    async def deploy(request: Request, system: System, body: DeployBody, caller: Asking) -> Response:
        """Put what the working places hold into service, or a version on record, with the way back armed first."""
        allow(caller, Verb.DEPLOY, system)
        server = _server(request)

        def act(tell: Any, interrupted: Any) -> Document:
            if body.version is None:
                document = server.plane.store.system_spec(system)
                spec = server.plane.system_file(system)
                check_roots(spec, Path(str(document["root"])), server.settings.component_roots)
            plane = interruptible(server.plane, interrupted)
            return deploying.deploy(plane, system, body, actor=caller.name, tell=tell)

        return await answer(request, request.app.state.works, Work(verb="deploy", system=system, act=act))

    @router.post("/{system}/deployments/abandon", responses=answers("deployment", events=True), summary="Give it up")
    async def abandon(request: Request, system: System, caller: Asking) -> Response:
        """Give up the deployment under way; what was live serves on."""
        allow(caller, Verb.ABANDON, system)
        plane = _server(request).plane

        def act(tell: Any, interrupted: Any) -> Document:
            return deploying.abandon(interruptible(plane, interrupted), system, actor=caller.name, tell=tell)

        return await answer(request, request.app.state.works, Work(verb="abandon", system=system, act=act))

    @router.post(
        "/{system}/deployments/promote", responses=answers("deployment", events=True), summary="Give it all traffic"
    )
    async def promote(request: Request, system: System, caller: Asking) -> Response:
        """Give the candidate under way all traffic."""
        allow(caller, Verb.PROMOTE, system)
        plane = _server(request).plane

        def act(tell: Any, interrupted: Any) -> Document:
            return deploying.promote(interruptible(plane, interrupted), system, actor=caller.name, tell=tell)

        return await answer(request, request.app.state.works, Work(verb="promote", system=system, act=act))


def _going_back(router: APIRouter) -> None:
    @router.post("/{system}/rollbacks/resume", responses=answers("resumed", events=True), summary="Let them go on")
    async def resume(request: Request, system: System, body: ResumeBody, caller: Asking) -> Response:
        """Let rollbacks go on that wait for a person, each from the step that could not be done."""
        level = highest(caller, Verb.RESUME, system)
        plane = _server(request).plane

        def act(tell: Any, interrupted: Any) -> Document:
            able = interruptible(plane, interrupted)
            return resuming.resume(
                able, system, body.version, body.wait_seconds, actor=caller.name, highest=level, tell=tell
            )

        return await answer(request, request.app.state.works, Work(verb="resume", system=system, act=act))

    @router.post("/{system}/rollbacks", responses=answers("rolled-back", events=True), summary="Roll back")
    async def rollback(request: Request, system: System, body: RollbackBody, caller: Asking) -> Response:
        """Leave what is served now, at once and everywhere, and wait until what serves instead is verified."""
        level = highest(caller, Verb.ROLLBACK, system)
        plane = _server(request).plane

        def act(tell: Any, interrupted: Any) -> Document:
            return rolling_back.rollback(
                interruptible(plane, interrupted), system, body, actor=caller.name, highest=level, tell=tell
            )

        return await answer(request, request.app.state.works, Work(verb="rollback", system=system, act=act))


def _coming_in(router: APIRouter) -> None:
    @router.post("/{system}/replicas/readmit", responses=answers("readmitted"), summary="Say that a replica is well")
    def readmit(request: Request, system: System, body: ReadmitBody, caller: Asking) -> Any:
        """Say that a sick replica is well again: it returns to its balancer at the next look."""
        allow(caller, Verb.READMIT, system)
        return replicas.readmit(_server(request).plane, system, body.replica, why=body.why, actor=caller.name)

    @router.post("/{system}/reissue", responses=answers("reissued"), summary="Mint again what is served")
    def reissue(request: Request, system: System, body: ReissueBody, caller: Asking) -> Any:
        """Mint what is served again, so that replicas that stayed outside come in. What serves stays as it is."""
        allow(caller, Verb.REISSUE, system)
        return replicas.reissue(_server(request).plane, system, why=body.why, actor=caller.name)
