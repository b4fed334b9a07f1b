"""
Load: riders as a process of their own, who ask for prices and write down what they got.

The log is theirs and nobody else's: failures and mixtures are counted from it. A mixture is an answer whose model,
features and configuration, each stamped by the part itself, are not those of the manifest that the answer names.

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
from typing import Any

import httpx

from knowngood.demo.world.hours import EVENING_HOURS, load_hours
from knowngood.demo.world.riders import RIDES_KNOWN_AFTER_SECONDS, Rider, arrivals
from knowngood_sdk.errors import InvalidError, KnownGoodError
from knowngood_sdk.model.wire import ReleaseDocument

__all__ = ["Order", "Request", "read_log", "run"]

_TIMEOUT_SECONDS = 5.0
_IDLE_SECONDS = 2.0
"""An idle connection is let go of before the server does (after 30 s), or else a request may meet its closing."""
_LATE_SECONDS = 1.0
"""A rider who is later than that, because this process was, is passed over: a burst would be no evening."""
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
        log: File to write one JSON line for each rider to.
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
    mixed: bool = False
    took: bool = False
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether the rider got no price."""
        return self.status != httpx.codes.OK


class _Load:
    def __init__(self, order: Order, client: httpx.AsyncClient) -> None:
        self.order = order
        self.client = client
        self.log = Path(order.log).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open for the process's life
        self.digests: dict[str, Mapping[str, str]] = {}
        self.quoted: dict[int, tuple[str, float, float]] = {}
        self.visits: set[asyncio.Task[None]] = set()

    async def replay(self, riders: list[Rider], stop: asyncio.Event) -> None:
        """Send every rider at its time; never wait for an answer before the next one is sent."""
        start = time.monotonic() + self.order.starts_at - time.time()
        reporters = asyncio.create_task(self._report_rides(start))
        for rider in riders:
            due = (rider.offset_seconds - self.order.start_offset_seconds) / self.order.replay_seconds_per_second
            wait_seconds = start + due - time.monotonic()
            if due < 0 or wait_seconds < -_LATE_SECONDS:
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
        reporters.cancel()

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
            self.quoted.setdefault(rider.hour.hour, (request.version, request.demand or 0.0, rider.rides))
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
            "mixed": self._mixed(version, quote),
            "took": rider.takes(quote["price"]),
        }

    def _mixed(self, version: str, quote: Mapping[str, Any]) -> bool:
        """Compare what each part says of itself with the manifest that the answer names."""
        if not self.order.manifests or not version.startswith("sha256:"):
            return any(quote.get(part) for part in _STAMPED) if self.order.manifests else False
        if version not in self.digests:
            path = Path(self.order.manifests, f"{version.removeprefix('sha256:')}.json")
            release = ReleaseDocument.from_json(json.loads(path.read_text(encoding="utf-8")))
            self.digests[version] = {name: part.ref.digest for name, part in release.manifest.components.items()}
        return any(quote.get(part) != self.digests[version].get(part) for part in _STAMPED)

    async def _report_rides(self, start: float) -> None:
        """Tell the service what an hour's rides really were, one replay hour after it ended."""
        for index, hour in enumerate(EVENING_HOURS):
            known_at = (index + 1) * 3600 + RIDES_KNOWN_AFTER_SECONDS - self.order.start_offset_seconds
            await asyncio.sleep(max(0.0, start + known_at / self.order.replay_seconds_per_second - time.monotonic()))
            if hour in self.quoted:
                version, demand, rides = self.quoted[hour]
                await self._tell(
                    self.order.targets[0], "/rides", {"version": version, "demand": demand, "rides": rides}
                )

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
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [Request(**json.loads(line)) for line in lines if line.endswith("\n")]


def _order(document: Any) -> Order:
    try:
        return Order(**{**document, "targets": tuple(document["targets"])})
    except (KeyError, TypeError) as error:
        raise InvalidError(f"the order of the load is malformed: {error}", hint="Start it through kg demo") from error


if __name__ == "__main__":
    asyncio.run(run(_order(json.load(sys.stdin))))
