"""Health: whether the server lives, whether it is of use, and its figures. The first two are open to everybody."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from knowngood.api.documents import PROBLEMS, answers
from knowngood.api.identity import Asking, allow
from knowngood.api.metrics import MEDIA_TYPE, Metrics
from knowngood.app import Server
from knowngood.domain.token import Verb
from knowngood_sdk.errors import KnownGoodError

__all__ = ["health"]

_NOT_READY = 503


def health() -> APIRouter:
    """Return the routes."""
    router = APIRouter()
    ready = answers("ready")
    unready = {"description": "Not of use now, and why.", "content": ready[200]["content"]}

    @router.get("/healthz", responses={200: answers("healthy")[200], 500: PROBLEMS[500]}, summary="Alive")
    async def healthz() -> Any:
        """Answer as long as the process lives; asks nothing else."""
        return {"status": "alive"}

    @router.get(
        "/readyz", responses={200: ready[200], _NOT_READY: unready, 500: PROBLEMS[500]}, summary="Of use, or why not"
    )
    def readyz(request: Request) -> Any:
        """Ask everything that the server needs."""
        server: Server = request.app.state.server
        checks = {"stopping": "the server stops" if request.app.state.works.stopping.is_set() else ""}
        for name, check in server.checks.items():
            try:
                check()
            except KnownGoodError as error:
                # What is wrong, without the places of this host: everybody may ask.
                checks[name] = error.code
            else:
                checks[name] = ""
        found = {"ready": not any(checks.values()), "checks": checks}
        return JSONResponse(found, status_code=200 if found["ready"] else _NOT_READY)

    problems: dict[int | str, dict[str, Any]] = {status: PROBLEMS[status] for status in (401, 403, 500, 503)}
    text = {"description": "The figures.", "content": {"text/plain": {"schema": {"type": "string"}}}}

    @router.get(
        "/metrics",
        responses={200: text, **problems},
        response_class=PlainTextResponse,
        summary="Figures for a scraper",
    )
    def metrics(request: Request, caller: Asking) -> Response:
        """The figures in the text format of Prometheus; takes a token that may read."""
        allow(caller, Verb.READ, None)
        figures: Metrics = request.app.state.metrics
        return Response(figures.text(), media_type=MEDIA_TYPE)

    return router
