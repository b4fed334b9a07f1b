"""App: the HTTP API of a server, put together."""

import http
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi

from knowngood.api import bodies
from knowngood.api.documents import ANSWERS
from knowngood.api.health import health
from knowngood.api.identity import Asked, Identity, TokenIdentity, authenticate
from knowngood.api.limits import Limits
from knowngood.api.metrics import Metrics
from knowngood.api.observed import REQUEST_ID, Observed
from knowngood.api.people import people
from knowngood.api.problem import ProblemResponse, response_of
from knowngood.api.traces import tracer_of
from knowngood.api.under_way import Works
from knowngood.app import Server
from knowngood_sdk.errors import ComponentError, InvalidError, KnownGoodError, NotFoundError

__all__ = ["create_app"]

_SHOWN = 3
_ABOUT = """
The verbs are those of the command line, and the documents are what it prints with `--output json`. Every request but
`/healthz` and `/readyz` takes a token. Whatever goes wrong is answered as `application/problem+json`, with a stable
code and what to do next. Verbs that may take long tell their progress as server-sent events where
`Accept: text/event-stream` asks for it; who closes the connection gives the verb up.
"""


def create_app(
    server: Server,
    *,
    identity: Identity | None = None,
    routers: Sequence[APIRouter] = (),
    on_stop: Sequence[Callable[[], None]] = (),
) -> FastAPI:
    """
    Make the API of a server.

    Args:
        server: What it works on; its hub and overseer start and stop with the app.
        identity: Tells who asks; None for the server's tokens.
        routers: Further routes, such as those of replicas; they say themselves whether they are described.
            ``request.app.state`` has ``server``, ``identity`` and ``works``, whose ``stopping`` is set when the server
            begins to stop; ``all_is_stopped`` once it has.
        on_stop: Called when the server begins to stop, before its connections are waited for: what ends streams.
    """
    metrics = Metrics(server)
    app = FastAPI(
        title="knowngood",
        version="1",
        description=_ABOUT,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.server = server
    app.state.metrics = metrics
    app.state.all_is_stopped = False
    app.state.works = Works(metrics=metrics, on_stop=tuple(on_stop))
    app.state.identity = identity or TokenIdentity(
        tokens=server.tokens, environment=server.settings.environment, now=server.plane.clock.now
    )
    app.state.asked = Asked(app.state.identity)
    # Agents call most often, and routes are looked through in order: as they are, for to look into a router that was
    # included takes longer than to find the route. Their wire form is the SDK's, not this page's.
    for router in routers:
        app.router.routes.extend(router.routes)
    for router in (health(), people()):
        app.include_router(router)
    _answer_problems(app)
    _describe(app)
    app.add_middleware(Limits, largest=server.settings.body_bytes)
    app.state.tracer = tracer_of(wanted=server.settings.traces)
    app.add_middleware(Observed, metrics=metrics, tracer=app.state.tracer)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    server: Server = app.state.server
    if isinstance(app.state.identity, TokenIdentity):
        with suppress(ComponentError):  # then each is learned when it comes
            await run_in_threadpool(app.state.identity.learn)
    work = server.at_work()
    await run_in_threadpool(work.__enter__)
    try:
        yield
    finally:
        try:
            await run_in_threadpool(work.__exit__, None, None, None)
            app.state.all_is_stopped = True
        finally:
            await run_in_threadpool(app.state.tracer.close)


def _answer_problems(app: FastAPI) -> None:
    @app.exception_handler(KnownGoodError)
    async def ours(_request: Request, error: KnownGoodError) -> ProblemResponse:
        return response_of(error, REQUEST_ID.get())

    @app.exception_handler(RequestValidationError)
    async def malformed(_request: Request, error: RequestValidationError) -> ProblemResponse:
        return response_of(_invalid(error), REQUEST_ID.get())

    @app.exception_handler(http.HTTPStatus.BAD_REQUEST)
    async def unreadable(_request: Request, _error: Exception) -> ProblemResponse:
        what = InvalidError(
            "the body cannot be read as JSON in UTF-8", hint="GET /v1/openapi.json says what it must be"
        )
        return response_of(what, REQUEST_ID.get())

    @app.exception_handler(http.HTTPStatus.NOT_FOUND)
    async def nowhere(request: Request, _error: Exception) -> ProblemResponse:
        what = NotFoundError(f"there is no {request.url.path}", hint="GET /v1/openapi.json lists what there is")
        return response_of(what, REQUEST_ID.get())

    @app.exception_handler(http.HTTPStatus.METHOD_NOT_ALLOWED)
    async def otherwise(request: Request, error: Exception) -> ProblemResponse:
        what = InvalidError(f"{request.url.path} does not take {request.method}", hint="GET /v1/openapi.json says what")
        found = response_of(what, REQUEST_ID.get(), http.HTTPStatus.METHOD_NOT_ALLOWED)
        found.headers.update(getattr(error, "headers", None) or {})
        return found

    @app.exception_handler(Exception)
    async def unforeseen(_request: Request, _error: Exception) -> ProblemResponse:
        what = KnownGoodError("this request failed in a way that was not foreseen", hint="The server's log has more")
        return response_of(what, REQUEST_ID.get())


def _invalid(error: RequestValidationError) -> InvalidError:
    found = [(".".join(str(part) for part in one["loc"]), str(one["msg"])) for one in error.errors()]
    told = "; ".join(f"{where}: {what}" for where, what in found[:_SHOWN])
    return InvalidError(
        f"the request is not as it must be: {told}",
        hint="GET /v1/openapi.json says how",
        fields=[where for where, _ in found],
    )


def _describe(app: FastAPI) -> None:
    """Make the OpenAPI, with examples and with what the docstrings say of each field, and serve it."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = made.get("components", {}).get("schemas", {})
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            for name, example in bodies.EXAMPLES.items():
                schema = schemas[name]
                kind = getattr(bodies, name)
                schema["examples"] = [example]
                schema["description"] = bodies.summary(kind)
                for field, said in bodies.described(kind).items():
                    schema["properties"][field]["description"] = said
            _restore_examples(made)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]

    @app.get("/v1/openapi.json", include_in_schema=False, dependencies=[Depends(authenticate)])
    async def description() -> dict[str, Any]:
        return openapi()


def _restore_examples(made: dict[str, Any]) -> None:
    """Put the examples of answers back as they were given: the library leaves out what is null in them."""
    for operations in made["paths"].values():
        for operation in operations.values():
            content = operation["responses"]["200"]["content"].get("application/json", {"schema": {}})
            content["schema"].pop("title", None)
            found = (example for shape, example in ANSWERS.values() if shape == content["schema"])
            content["example"] = next(found, None)
