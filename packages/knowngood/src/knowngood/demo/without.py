"""
Without the product: one server on the same load, put back by hand: previous files in place, server started again.

As a team does it that is quick: the previous files are at hand, and somebody restarts at once. What stands here begins
where the product's figures begin, at the decision.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knowngood.demo.load import read_log, read_notes
from knowngood.demo.recovery import Recovery
from knowngood.demo.replay_clock import SPEED, ReplayClock
from knowngood.demo.scene import BAD_NEWS_AT_OFFSET, Scene
from knowngood.demo.stage import Child, lasting_port, poll
from knowngood.demo.world.artifacts import write_version
from knowngood.demo.world.pricing import Pricing

__all__ = ["Plain", "play_without", "start_without"]

_LEAST_ANSWERS: Final = 60
_BACK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """
    What the same riders got from a server without the product.

    Attributes:
        recovery: From the decision on; its first good price is there, for it is what is waited for.
        requests: Riders who asked in all.
        passed_over: Riders who never asked, because their process was too late to send them.
    """

    recovery: Recovery
    requests: int
    passed_over: int

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; ``seconds`` are those from the decision until the first good price."""
        found = {"seconds": self.recovery.first_good_price_seconds, **self.recovery.to_json()}
        return {**found, "requests_in_all": self.requests, "riders_passed_over": self.passed_over}


def start_without(scene: Scene) -> Child:
    """Start the server on version 2; it imports and loads while something else is done."""
    _put(scene, scene.cast.bad)
    return _start(scene, lasting_port())


def play_without(scene: Scene, child: Child, known_prices: Mapping[int, float]) -> Plain:
    """
    Let the riders of 18:00 come, put version 1 back by hand, and measure until prices are good again.

    Raises:
        TransientError: The server did not come back in the time stated.
    """
    server = scene.stage.wait_served(child, again=lambda: start_without(scene))
    port = int(server.url.rpartition(":")[2])
    log = scene.stage.folder / "logs" / "plain.jsonl"
    clock = ReplayClock(starts_at=time.time() + 1.5, start_offset_seconds=BAD_NEWS_AT_OFFSET, speed=SPEED)
    riders = scene.stage.start_riders("plain", scene.order((server.url,), log, clock))

    def wait(condition: Callable[[], bool], what: str) -> None:
        def looked() -> bool:
            riders.check_running()
            return condition()

        poll(looked, _BACK_SECONDS, what)

    scene.narrator.doing("without the product: the same riders", 0.86)
    wait(lambda: len(read_log(log)) >= _LEAST_ANSWERS, "the first riders")
    decided_at = time.time()
    scene.narrator.doing("without the product: previous files in place, server restarted", 0.9)
    _put(scene, scene.cast.known)
    server.child.stop()
    restarted = [_start(scene, port)]

    def recovery() -> Recovery:
        return Recovery.of(read_log(log), decided_at=decided_at, models=scene.models, known_prices=known_prices)

    def back() -> bool:
        if not restarted[-1].running:  # as a service manager would: again, until it stays
            restarted.append(_start(scene, port))
        return recovery().first_good_price_seconds is not None

    wait(back, "coming back without the product")
    riders.stop()
    return Plain(recovery=recovery(), requests=len(read_log(log)), passed_over=read_notes(log).passed_over)


def _put(scene: Scene, pricing: Pricing) -> None:
    """Put a version's files where the server reads them."""
    write_version(scene.stage.folder / "plain", pricing)


def _start(scene: Scene, port: int) -> Child:
    environment = {"PRICING_FOLDER": str(scene.stage.folder / "plain")}
    return scene.stage.start_server(
        "plain-server", "knowngood.demo.plain_service:app", workers=1, env=environment, port=port
    )
