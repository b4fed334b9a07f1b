"""Scene: the stage with its servers, its riders and both versions, as every part of the demo finds them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Final

import pandas as pd

from knowngood.demo.narrator import Narrator
from knowngood.demo.record import Record
from knowngood.demo.replay_clock import SPEED, ReplayClock
from knowngood.demo.stage import SYSTEM, Child, Replica, Stage, poll
from knowngood.demo.workplace import Workplace
from knowngood.demo.world.feature_code import FeatureCode
from knowngood.demo.world.hours import thursday_evenings
from knowngood.demo.world.pricing import Pricing
from knowngood.demo.world.training import Score

__all__ = ["Cast", "Options", "Scene"]

STARTS_AT_OFFSET: Final = 4800.0
"""Replay seconds of the evening that are passed over: the riders begin at 17:20."""
BAD_NEWS_AT_OFFSET: Final = 7200.0
"""Replay seconds at which version 2 is deployed: 18:00."""

_BEFORE_RIDERS_SECONDS: Final = 2.0
_OTHER_SEEDS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """
    What is replayed.

    Attributes:
        change: Name of the change of features, or the path of a stranger's own.
        seed: Of training and riders, not negative.
        evening: The real evening; the first held-out Thursday unless given.
        keep: Whether the folder is left when it is over.
        report: Where the report is written.
    """

    change: str = "utc"
    seed: int = 1
    evening: date = field(default_factory=lambda: thursday_evenings()[0])
    keep: bool = False
    report: Path = field(default_factory=lambda: Path("report.html"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """
    Both versions, and the year they were trained on.

    Attributes:
        hours: The year.
        known: Version 1.
        bad: Version 2.
        scores: Version and measure -> how well the version predicts that measure on held-out hours.
    """

    hours: pd.DataFrame
    known: Pricing
    bad: Pricing
    scores: dict[str, Score]

    @property
    def change(self) -> FeatureCode:
        """The changed feature code."""
        return self.bad.features


@dataclass(slots=True)
class Scene:
    """
    What the parts of the demo share.

    Attributes:
        stage: The folder and its processes.
        options: What is replayed.
        narrator: Who tells it.
        workplace: The team's folder.
        cast: Both versions.
        replicas: The servers.
        versions: ``known``, ``bad`` and ``fix`` -> content digest, as they are deployed.
        watch: The control loop that runs now.
        riders: The riders that come now.
        logs: Where riders write down what they got: those of the evening, and those of every repetition.
        clock: The two clocks of the evening.
        last_record: What was on record when it was last read.
    """

    stage: Stage
    options: Options
    narrator: Narrator
    workplace: Workplace
    cast: Cast
    replicas: tuple[Replica, ...]
    versions: dict[str, str] = field(default_factory=dict)
    watch: Child | None = None
    riders: Child | None = None
    logs: list[Path] = field(default_factory=list)
    clock: ReplayClock = field(default_factory=lambda: ReplayClock(starts_at=0.0, start_offset_seconds=0.0, speed=1.0))
    last_record: Record = field(default_factory=lambda: Record((), (), ()))

    @property
    def models(self) -> dict[str, str]:
        """``known`` and ``bad`` -> stamp that the version's model puts into a price."""
        return {"known": self.cast.known.model.stamp, "bad": self.cast.bad.model.stamp}

    @property
    def evening_log(self) -> Path:
        """Where the riders of the evening write down what they got."""
        return self.logs[0]

    def start_riders(self) -> None:
        """
        Let the riders of the evening come, from 17:20 on.

        Where this machine is so slow that the evening is over before the demo is, the same evening comes once more from
        18:00 on, with other riders.
        """
        again = len(self.logs)
        offset = BAD_NEWS_AT_OFFSET if again else STARTS_AT_OFFSET
        clock = ReplayClock(starts_at=time.time() + _BEFORE_RIDERS_SECONDS, start_offset_seconds=offset, speed=SPEED)
        log = self.stage.folder / "logs" / f"riders-{again + 1}.jsonl"
        order = self.order(tuple(replica.server.url for replica in self.replicas), log, clock)
        seed = self.options.seed + again * _OTHER_SEEDS
        given = {**order, "seed": seed, "manifests": str(self.stage.manifests)}
        self.riders = self.stage.start_riders(f"{again + 1}", given)
        self.logs.append(log)
        if not again:
            self.clock = clock

    def order(self, targets: tuple[str, ...], log: Path, clock: ReplayClock) -> dict[str, object]:
        """Return the order for a load of this evening's riders, without stamps to compare."""
        return {
            "evening": self.options.evening.isoformat(),
            "seed": self.options.seed,
            "share": 1.0,
            "replay_seconds_per_second": clock.speed,
            "starts_at": clock.starts_at,
            "start_offset_seconds": clock.start_offset_seconds,
            "targets": targets,
            "manifests": "",
            "log": str(log),
        }

    def record(self) -> Record:
        """Read what is on record now, and keep it as ``last_record``."""
        self.last_record = Record.of(self.stage.kg("history", SYSTEM, "--limit", "500"))
        return self.last_record

    def wait(self, condition: Callable[[], bool], seconds: float, what: str, *, every: float = 0.05) -> None:
        """Wait for something, showing the time of the evening; raises TransientError when it takes too long."""

        def looked() -> bool:
            self.check_alive()
            self.narrator.doing(what, self._done(), detail=f"{self.clock.text(time.time())} of the evening")
            return condition()

        poll(looked, seconds, what, every=every)

    def check_alive(self) -> None:
        """Raise PermanentError when an agent, a server or the riders failed; let more riders come when all are gone."""
        for replica in self.replicas:
            replica.agent.check_running()
            replica.server.child.check_running()
        if self.riders is not None and self.riders.process.poll() == 0:
            self.narrator.say("  The evening is over and this is not: the same evening once more, with other riders")
            self.start_riders()
        elif self.riders is not None:
            self.riders.check_running()

    def _done(self) -> float:
        """Return the share of the demo that is over while riders come: from a fifth to four fifths."""
        evening = (self.clock.offset(time.time()) - STARTS_AT_OFFSET) / (6 * 3600 - STARTS_AT_OFFSET)
        return 0.2 + 0.6 * min(1.0, max(0.0, evening))
