"""
Load: riders as a process of their own, who ask for prices and write down what they got.

The log is theirs and nobody else's: failures and mixtures are counted from it. A mixture is an answer whose model,
features and configuration, each stamped by the part itself, are not those of the manifest that the answer names. Beside
it they write down whom this process was too late to send, and what each version had expected of an hour once its rides
are known.

Run as ``python -m knowngood.demo.load`` with a JSON order on standard input; it ends with the evening or at SIGTERM.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, TextIO

import httpx

from knowngood.demo.world.hours import EVENING_HOURS, load_hours
from knowngood.demo.world.riders import RIDES_KNOWN_AFTER_SECONDS, Rider, arrivals
from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.wire import ReleaseDocument

__all__ = ["LATE_SECONDS", "Forecast", "Notes", "Order", "Request", "read_log", "read_notes", "run"]

_TIMEOUT_SECONDS = 5.0
_IDLE_SECONDS = 2.0
"""An idle connection is let go of before the server does (after 30 s), or else a request may meet its closing."""
LATE_SECONDS = 1.0
"""A rider who is later than that, because this process was, is passed over and counted: a burst would be no evening."""
_VERSION = "sha256:"
"""How the name of a version begins; what answers without one is no version."""
_STAMPED = ("model", "features", "config")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    What to replay.

    Attributes:
        evening: Date of the real evening, ISO.
        seed: Of the riders.
        share: Riders for each real ride.
        replay_seconds_per_second: How fast replay time passes.
        starts_at: Epoch seconds at which the replay begins; riders of a moment that is over are passed over.
        start_offset_seconds: Replay seconds of the evening that are passed over at the start.
        targets: Base URLs; a rider asks one and stays with it.
        manifests: Folder of the release documents, to compare stamps with; empty when answers carry no stamps.
        log: File to write one JSON line for each rider to; its notes lie beside it.
    """

    evening: str
    seed: int
    share: float
    replay_seconds_per_second: float
    starts_at: float
    start_offset_seconds: float
    targets: tuple[str, ...]
    manifests: str
    log: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    One rider's visit, as the rider saw it.

    Attributes:
        rider: Who.
        offset_seconds: When in replay time, from the start of the evening.
        hour: Local hour that the price was asked for.
        sent_at: Epoch seconds when the request was sent.
        answered_at: Epoch seconds when the answer was complete, or when it failed.
        target: Which base URL.
        status: HTTP status; 0 when there was no answer.
        version: System version that the answer names.
        route: Generation, step and split that the answer names.
        price: Dollars; None without an answer.
        demand: Rides an hour; None without an answer.
        model: Stamp of the model that answered; empty without an answer.
        mixed: Whether the stamps are not those of the named version's manifest.
        took: Whether the rider took the price.
        error: Why there was no answer.
    """

    rider: str
    offset_seconds: float
    hour: int
    sent_at: float
    answered_at: float
    target: str
    status: int
    version: str = ""
    route: str = ""
    price: float | None = None
    demand: float | None = None
    model: str = ""
    mixed: bool = False
    took: bool = False
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the rider got no price."""
        return self.status != httpx.codes.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """
    What a version had expected of an hour, once it is known what the hour had.

    Attributes:
        hour: Local hour.
        version: System version that quoted in it.
        demand: Rides an hour that it expected.
        rides: Rides that the hour really had.
    """

    hour: int
    version: str
    demand: float
    rides: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """
    What riders' process wrote down beside their log.

    Attributes:
        passed_over: Riders of the evening who never asked, because the process was too late to send them.
        forecasts: One for each hour that became known and each version that quoted in it.
    """

    passed_over: int
    forecasts: tuple[Forecast, ...]


class _Load:
    def __init__(self, order: Order, client: httpx.AsyncClient) -> None:
        self.order = order
        self.client = client
        self.log = _appended(Path(order.log))
        self.notes = _appended(_notes_of(Path(order.log)))
        self.digests: dict[str, Mapping[str, str]] = {}
        self.quoted: dict[tuple[int, str], tuple[str, Forecast]] = {}
        self.visits: set[asyncio.Task[None]] = set()

    async def replay(self, riders: list[Rider], stop: asyncio.Event) -> None:
        """Send every rider at its time; never wait for an answer before the next one is sent."""
        start = time.monotonic() + self.order.starts_at - time.time()
        reporters = asyncio.create_task(self._report_rides(start))
        for rider in riders:
            due = (rider.offset_seconds - self.order.start_offset_seconds) / self.order.replay_seconds_per_second
            wait_seconds = start + due - time.monotonic()
            if due < 0:
                continue
            if wait_seconds < -LATE_SECONDS:
                self._note("passed_over", {"rider": rider.rider_id, "late_seconds": -wait_seconds})
                continue
            try:
                await asyncio.wait_for(stop.wait(), timeout=max(0.0, wait_seconds))
                break
            except TimeoutError:
                task = asyncio.create_task(self._visit(rider))
                self.visits.add(task)
                task.add_done_callback(self.visits.discard)
        if self.visits:
            await asyncio.wait(self.visits)
        if stop.is_set():
            reporters.cancel()
        else:
            await reporters

    async def _visit(self, rider: Rider) -> None:
        targets = self.order.targets
        target = targets[sum(rider.rider_id.encode()) % len(targets)]
        sent_at = time.time()
        seen: dict[str, Any] = {"status": 0}
        try:
            answer = await self.client.post(
                f"{target}/price", json=rider.row, headers={"x-rider-id": rider.rider_id}, timeout=_TIMEOUT_SECONDS
            )
            seen = self._read(answer, rider)
        except (httpx.HTTPError, KnownGoodError, OSError, ValueError, KeyError) as error:
            # Whatever it was, the rider got no price: that goes on record, not on the floor.
            seen["error"] = f"{type(error).__name__}: {error}"
        request = Request(
            rider=rider.rider_id,
            offset_seconds=rider.offset_seconds,
            hour=rider.hour.hour,
            sent_at=sent_at,
            answered_at=time.time(),
            target=target,
            **seen,
        )
        self.log.write(json.dumps(asdict(request)) + "\n")
        if not request.failed:
            self._remember(request, rider.rides)
            await self._tell(target, "/answer", {"version": request.version, "took": request.took})

    def _read(self, answer: httpx.Response, rider: Rider) -> dict[str, Any]:
        if answer.status_code != httpx.codes.OK:
            return {"status": answer.status_code, "error": answer.text[:200]}
        quote = answer.json()
        version = answer.headers.get("kg-system-version", "")
        return {
            "status": answer.status_code,
            "version": version,
            "route": answer.headers.get("kg-route", ""),
            "price": quote["price"],
            "demand": quote["demand"],
            "model": quote.get("model", ""),
            "mixed": self._mixed(version, quote),
            "took": rider.takes(quote["price"]),
        }

    def _mixed(self, version: str, quote: Mapping[str, Any]) -> bool:
        """Compare what each part says of itself with the manifest that the answer names."""
        if not self.order.manifests or not version.startswith(_VERSION):
            return any(quote.get(part) for part in _STAMPED) if self.order.manifests else False
        if version not in self.digests:
            path = Path(self.order.manifests, f"{version.removeprefix(_VERSION)}.json")
            release = ReleaseDocument.from_json(json.loads(path.read_text(encoding="utf-8")))
            self.digests[version] = {name: part.ref.digest for name, part in release.manifest.components.items()}
        return any(quote.get(part) != self.digests[version].get(part) for part in _STAMPED)

    def _remember(self, request: Request, rides: float) -> None:
        """Keep what a version first said of an hour: riders of one hour all ask the same question."""
        if request.version.startswith(_VERSION) and request.demand is not None:
            said = Forecast(hour=request.hour, version=request.version, demand=request.demand, rides=rides)
            self.quoted.setdefault((request.hour, request.version), (request.target, said))

    async def _report_rides(self, start: float) -> None:
        """Tell the service what an hour's rides really were, as soon as they are known, for each version in it."""
        for index, hour in enumerate(EVENING_HOURS):
            known_at = index * 3600 + RIDES_KNOWN_AFTER_SECONDS - self.order.start_offset_seconds
            await asyncio.sleep(max(0.0, start + known_at / self.order.replay_seconds_per_second - time.monotonic()))
            for target, said in [kept for (of, _), kept in self.quoted.items() if of == hour]:
                self._note("forecast", asdict(said))
                heard = {"version": said.version, "demand": said.demand, "rides": said.rides}
                await self._tell(target, "/rides", heard)

    def _note(self, kind: str, body: Mapping[str, Any]) -> None:
        self.notes.write(json.dumps({"kind": kind, "body": body}) + "\n")

    async def _tell(self, target: str, path: str, body: Mapping[str, Any]) -> None:
        try:
            await self.client.post(f"{target}{path}", json=body, timeout=_TIMEOUT_SECONDS)
        except httpx.HTTPError as error:
            print(f"{path} was not heard: {type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201


async def run(order: Order) -> None:
    """Replay an evening until it ends or the process is told to stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    riders = arrivals(load_hours(), date.fromisoformat(order.evening), seed=order.seed, share=order.share)
    limits = httpx.Limits(max_connections=200, keepalive_expiry=_IDLE_SECONDS)
    async with httpx.AsyncClient(limits=limits) as client:
        print("ready", flush=True)  # noqa: T201 - the one who started this process waits for the line
        await _Load(order, client).replay(riders, stop)


def read_log(path: Path) -> list[Request]:
    """Return what riders wrote down; a last line that is still being written is left out."""
    return [Request(**document) for document in _documents(path)]


def read_notes(path: Path) -> Notes:
    """Return what was written down beside the log of that path; nothing where there is none."""
    notes = list(_documents(_notes_of(path)))
    forecasts = tuple(Forecast(**note["body"]) for note in notes if note["kind"] == "forecast")
    return Notes(passed_over=sum(note["kind"] == "passed_over" for note in notes), forecasts=forecasts)


def _documents(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def _notes_of(log: Path) -> Path:
    return log.with_suffix(".notes.jsonl")


def _appended(path: Path) -> TextIO:
    return path.open("a", encoding="utf-8", buffering=1)


def _order(document: Any) -> Order:
    try:
        return Order(**{**document, "targets": tuple(document["targets"])})
    except (KeyError, TypeError) as error:
        raise InvalidError(f"the order of the load is malformed: {error}", hint="Start it through kg demo") from error


if __name__ == "__main__":
    asyncio.run(run(_order(json.load(sys.stdin))))
