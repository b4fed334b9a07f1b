"""
Replicas: the endpoints that agents call.

Nothing here waits for a database but what fetches a release: streams are fed and reports are taken from memory.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute

from knowngood.adapters.hub.channel import Channel
from knowngood.adapters.hub.hub import Hub
from knowngood.adapters.hub.pack import packed
from knowngood.api.bell import Bell, Bells
from knowngood.api.heart import Heart
from knowngood_sdk.errors import (
    ComponentError,
    ConflictError,
    InvalidError,
    KnownGoodError,
    NotAuthenticatedError,
    NotAuthorizedError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TransientError,
)
from knowngood_sdk.model.canonical import check_digest
from knowngood_sdk.model.manifest import check_name
from knowngood_sdk.model.stream import HEARTBEAT, STATE_HEADER, Answered, Counted, decode_json
from knowngood_sdk.model.wire import ReleaseDocument, ReplicaReport
from knowngood_sdk.serving.fingerprint import fingerprint

__all__ = ["Caller", "Patience", "problem", "replica_router"]

_MAX_REPORT = 1024 * 1024
_MAX_COUNTS = 4 * 1024 * 1024
_STATUSES = (
    (NotAuthenticatedError, 401),
    (InvalidError, 422),
    (NotFoundError, 404),
    (ConflictError, 409),
    (RefusedError, 403),
    (TransientError, 503),
    (ComponentError, 502),
    (OutcomeUnknownError, 504),
)
_TOO_LARGE = 413
_TOO_SLOW = 408
_NO_CONTENT = 204
_STATE_HEADER = STATE_HEADER.encode()
_NOT_MODIFIED = 304

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """
    How long is waited for what, in seconds.

    Attributes:
        heartbeat: A stream without events says after so long that it is well.
        deaf: A replica that does not read what it is sent for so long loses its stream, and calls again.
        body: A body has to be there whole after so long.
    """

    heartbeat: float = 5.0
    deaf: float = 10.0
    body: float = 10.0


class Caller(Protocol):
    """Who calls, as ``authenticate`` returns it."""

    def may(self, verb: str, system: str) -> bool:
        """Whether it may do this to a system; agents need ``read`` and ``report``."""
        ...


Authenticate = Callable[[Request], Awaitable[Caller]]
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def problem(error: KnownGoodError, status: int | None = None) -> JSONResponse:
    """Return the answer that tells an error (RFC 9457)."""
    code = status or next((number for kind, number in _STATUSES if isinstance(error, kind)), 500)
    body = {
        "type": "about:blank",
        "status": code,
        "code": error.code,
        "title": type(error).__doc__ or error.code,
        "detail": error.message,
        "hint": error.hint,
    }
    return JSONResponse(body, status_code=code, media_type="application/problem+json")


class _BodyError(Exception):
    """What was sent is no body for this endpoint; carries the status that says how."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.told = InvalidError(message, hint="Send the documents of this API")
        self.status = status


def _route_of(hub: Hub) -> type[APIRoute]:
    """Return a kind of route that answers an error of ours with its problem document, and notes who was refused."""

    async def guarded(handle: Handler, request: Request) -> Response:
        try:
            return await handle(request)
        except _BodyError as error:
            return problem(error.told, error.status)
        except KnownGoodError as error:
            if isinstance(error, NotAuthenticatedError | NotAuthorizedError):
                name = request.path_params.get("replica") or request.query_params.get("replica", "")
                hub.refused(request.path_params["system"], name, error.message)
            return problem(error)

    class Route(APIRoute):
        def get_route_handler(self) -> Handler:
            return partial(guarded, super().get_route_handler())

        async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
            plain = self.endpoint
            if not isinstance(plain, _Plain) or scope["method"] not in (self.methods or ()):
                await super().handle(scope, receive, send)
                return
            # Nothing of what the library wraps a request in is for one that has neither dependencies nor files.
            response = await guarded(plain, Request(scope, receive, send))
            await response(scope, receive, send)

    return Route


class _Plain:
    """
    An endpoint that takes the request as it is.

    A report is what comes from every replica at once when a version is left. To have its parameters found and its
    dependencies solved by the library costs more than to read it and to take it.

    Args:
        authenticate: Tells who calls.
        answer: Answers them.
    """

    def __init__(
        self, authenticate: Authenticate, answer: Callable[[Request, Caller], Coroutine[Any, Any, Response]]
    ) -> None:
        self._authenticate = authenticate
        self._answer = answer
        self.__name__ = answer.__name__
        self.__doc__ = answer.__doc__

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        return await self._answer(request, await self._authenticate(request))


def replica_router(
    hub: Hub,
    authenticate: Authenticate,
    patience: Patience | None = None,
    namesake: Callable[[str, ReplicaReport], bool] = lambda _system, _report: False,
) -> APIRouter:
    """
    Return the endpoints that agents call.

    Args:
        hub: Where replicas are connected.
        authenticate: Takes the request and returns the ``Caller``, or raises. It is run for every report: let it be
            quick.
        patience: How long is waited for what.
        namesake: Whether a report is not of the replica that has its name on this host.
    """
    router = APIRouter(
        prefix="/v1/systems/{system}", route_class=_route_of(hub), tags=["replicas"], include_in_schema=False
    )
    caller = Annotated[Caller, Depends(authenticate)]
    # In the order in which they are called: routes are looked through one after the other.
    patience = patience or Patience()
    _add_reporting(router, hub, authenticate, patience, namesake)
    _add_reading(router, hub, caller, patience)
    _add_releases(router, hub, caller)
    return router


def _add_reading(router: APIRouter, hub: Hub, caller: Any, patience: Patience) -> None:
    bells = Bells()

    @router.get("/stream", response_class=Response)
    async def stream(system: str, replica: str, who: caller, last_event_id: Annotated[str, Header()] = "") -> Response:
        """Stream what is published, and what is asked of a replica, as server-sent events."""
        _allow(who, "read", system)
        return _Stream(hub, (system, check_name(replica, "replica")), last_event_id, (patience, bells.here()))

    @router.get("/route")
    async def route(system: str, who: caller, if_none_match: Annotated[str, Header()] = "") -> Response:
        """Return the published route document, or 304 to who has it."""
        _allow(who, "read", system)
        id_, document = await asyncio.to_thread(hub.current, system)
        if document is None:
            raise NotFoundError(f"no route of {system} is published yet", hint="Deploy a first version")
        tag = {"etag": f'"{id_}"'}
        if if_none_match == tag["etag"]:
            return Response(status_code=_NOT_MODIFIED, headers=tag)
        return JSONResponse(document.to_json(), headers=tag)

    @router.get("/rules")
    async def rules(system: str, who: caller) -> Response:
        """Return the rules of a system, as its system file has them."""
        _allow(who, "read", system)
        found = await asyncio.to_thread(hub.rules, system)
        if found is None:
            raise NotFoundError(f"no rules of {system} are published yet", hint="Apply its system file")
        return JSONResponse(dict(found))


def _add_releases(router: APIRouter, hub: Hub, caller: Any) -> None:
    @router.get("/releases/{version}")
    async def release(system: str, version: str, who: caller) -> Response:
        """Return a release, with places below its own URL for paths."""
        _allow(who, "read", system)
        return JSONResponse(await asyncio.to_thread(_described, hub, system, version))

    @router.get("/releases/{version}/components/{name}", response_class=StreamingResponse)
    async def component(system: str, version: str, name: str, who: caller) -> Response:
        """Stream the bytes of a component as a tar."""
        _allow(who, "read", system)
        found = await asyncio.to_thread(_release, hub, system, version)
        if name not in found.paths:
            raise NotFoundError(f"version {version} of {system} has no bytes of a component {name!r:.80}")
        file_name = found.manifest.components[name].ref.facets.get("name", "")
        pieces = await asyncio.to_thread(packed, Path(found.paths[name]), file_name)
        return StreamingResponse(pieces, media_type="application/x-tar")

    @router.get("/releases/{version}/golden", response_class=StreamingResponse)
    async def golden(system: str, version: str, who: caller) -> Response:
        """Stream the golden inputs of a version as a tar of one file, ``golden``."""
        _allow(who, "read", system)
        found = await asyncio.to_thread(_release, hub, system, version)
        if found.golden is None:
            raise NotFoundError(f"version {version} of {system} has no golden inputs")
        return StreamingResponse(
            await asyncio.to_thread(packed, Path(found.golden), "golden"), media_type="application/x-tar"
        )


def _add_reporting(
    router: APIRouter,
    hub: Hub,
    authenticate: Authenticate,
    patience: Patience,
    namesake: Callable[[str, ReplicaReport], bool],
) -> None:
    async def report(request: Request, who: Caller) -> Response:
        """Take a report; the answer's header tells which document is published now."""
        system, replica = request.path_params["system"], request.path_params["replica"]
        _allow(who, "report", system)
        said = Answered.from_json(decode_json(await _body(request, _MAX_REPORT, patience)))
        if said.report.replica != check_name(replica, "replica"):
            raise InvalidError(f"the report is one of replica {said.report.replica!r:.80}, not {replica}")
        if namesake(system, said.report):
            raise ConflictError(
                f"a replica {replica} of {system} runs on the host of this server: give the agent another name, "
                f"kg agent {system} --replica NAME"
            )
        return _Taken(hub.report(system, said.report, said.answers))

    async def counts(request: Request, who: Caller) -> Response:
        """Take cumulative counts; those that come twice or late do no harm."""
        system, replica = request.path_params["system"], request.path_params["replica"]
        _allow(who, "report", system)
        said = Counted.from_json(decode_json(await _body(request, _MAX_COUNTS, patience)))
        return _Taken(hub.count(system, check_name(replica, "replica"), said.at, said.counts))

    for answer in (report, counts):
        path = f"/replicas/{{replica}}/{answer.__name__}"
        router.add_api_route(path, _Plain(authenticate, answer), methods=["POST"], status_code=_NO_CONTENT)


def _allow(who: Caller, verb: str, system: str) -> None:
    if not who.may(verb, check_name(system, "system")):
        raise NotAuthorizedError(f"this token may not {verb} {system}", hint="Use one that was made for it: kg token")


class _Taken(Response):
    """The answer to a report: nothing but which document is published now."""

    def __init__(self, published: str) -> None:
        # Not as the library makes it, part by part: as many of these as there are replicas are wanted at once.
        self.status_code = _NO_CONTENT
        self.background = None
        self.body = b""
        self.raw_headers = [(_STATE_HEADER, published.encode())]


def _release(hub: Hub, system: str, version: str) -> ReleaseDocument:
    return hub.exchange.release(system, check_digest(version))


def _described(hub: Hub, system: str, version: str) -> dict[str, Any]:
    release = _release(hub, system, version)
    digest = None if release.golden is None else fingerprint(release.golden)
    return {
        **release.to_json(),
        # Where bytes stand on this host is nobody's business, and of no use elsewhere.
        "paths": {name: f"components/{name}" for name in release.paths},
        "golden": None if release.golden is None else "golden",
        "golden_digest": digest,
    }


async def _body(request: Request, limit: int, patience: Patience) -> bytes:
    """Return a body that comes in time and is not too long."""
    received = bytearray()
    try:
        async with asyncio.timeout(patience.body):
            while True:
                message = await request.receive()
                if message["type"] != "http.request":
                    raise _BodyError("the body ended early", 400)
                received += message.get("body", b"")
                if len(received) > limit:
                    raise _BodyError(f"the body is longer than {limit} bytes", _TOO_LARGE)
                if not message.get("more_body"):
                    return bytes(received)
    except TimeoutError as error:
        raise _BodyError(f"the body took longer than {patience.body:g} s", _TOO_SLOW) from error


class _Stream(Response):
    """The open stream to one replica."""

    media_type = "text/event-stream"

    def __init__(self, hub: Hub, whose: tuple[str, str], known: str, by: tuple[Patience, Bell]) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._hub = hub
        self._system, self._replica = whose
        self._known = known
        self._patience, self._bell = by

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send what is there, and a heartbeat when nothing is, until either end has enough."""
        del scope
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        channel = Channel(self._system, self._replica, lambda: self._bell.ring(rung))
        gone = loop.create_task(_until_gone(receive))
        gone.add_done_callback(lambda _: rung.set())
        heart = Heart(rung, self._patience.heartbeat, self._patience.deaf)
        try:
            self._hub.open(channel, self._known)
            await _sent(heart, send, {"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            while not channel.ended and not gone.done():
                rung.clear()
                body = channel.take() or HEARTBEAT
                await _sent(heart, send, {"type": "http.response.body", "body": body, "more_body": True})
                await rung.wait()
            await _sent(heart, send, {"type": "http.response.body", "body": b"", "more_body": False})
        except OSError:
            # It has gone: what it missed it finds published.
            return
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if not heart.gave_up or task is None or task.uncancel():
                raise
            # It does not read; what it missed it finds published.
        finally:
            heart.stop()
            gone.cancel()
            self._hub.close(channel)


async def _sent(heart: Heart, send: Send, message: MutableMapping[str, Any]) -> None:
    """Send a part of a stream; whoever does not take it in time is given up, be it the first part or the last."""
    heart.sending()
    await send(message)
    heart.sent()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
