"""
Incident: version 2 goes out at 18:00 to all traffic, and once more as a canary; what happens then, nobody here does.

The demo only deploys, restarts the control loop as a service manager would, and looks. That nothing happens is a
finding too: what a stranger changed may stay within every limit.
"""

import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knowngood.demo.record import Record, epoch_of
from knowngood.demo.scene import BAD_NEWS_AT_OFFSET, Scene
from knowngood.demo.stage import FAULT, SYSTEM
from knowngood.demo.world.artifacts import placebo_curve
from knowngood.demo.world.pricing import Pricing
from knowngood_sdk.errors import PermanentError, TransientError

__all__ = ["Attempt", "Canary", "Incident", "play_canary", "play_incident", "try_again"]

_INTENT: Final = "demand from attempts, with an earlier surge"
_PATIENCE_SECONDS: Final = 60.0
_REFUSED: Final = 5
_HISTORY_EVERY: Final = 0.5
_STATUS_EVERY: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """
    What was seen of the incident from outside; all instants in epoch seconds.

    Attributes:
        deployed_at: When version 2 had all traffic.
        waited_seconds: How long it was given to be left.
        killed_at: When the control process was seen dead; None where it never came to leave version 2.
        killed_by: The signal that ended it; 0 where none did.
        left_before: Replicas that had left before another was started in its place.
        seen_at: When that was seen: they had left by then.
    """

    deployed_at: float
    waited_seconds: float
    killed_at: float | None = None
    killed_by: int = 0
    left_before: tuple[str, ...] = ()
    seen_at: float | None = None

    @property
    def killed(self) -> bool:
        """Whether it was SIGKILL that ended the control process."""
        return self.killed_by == signal.SIGKILL


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """
    An attempt to deploy version 2 again.

    Attributes:
        how: What was different about it.
        exit_code: Of ``kg deploy``.
        reason: What it said.
    """

    how: str
    exit_code: int
    reason: str

    @property
    def refused(self) -> bool:
        """Whether it was refused by policy."""
        return self.exit_code == _REFUSED

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"how": self.how, "exit_code": self.exit_code, "reason": self.reason, "refused": self.refused}


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """
    What was seen of the canary.

    Attributes:
        started_at: When ``kg deploy --canary`` was called, in epoch seconds.
        share: Share of the traffic that was asked for, a ratio.
        left: Whether it was left again.
        waited_seconds: How long it was given for that.
    """

    started_at: float
    share: float
    left: bool
    waited_seconds: float


def play_incident(scene: Scene) -> Incident:
    """
    Deploy version 2, and let what happens happen.

    Raises:
        TransientError: Version 1 was not verified before, or a rollback that began was not over, in the time stated.
        PermanentError: The control loop ended otherwise than by the kill.
    """
    say, cast = scene.narrator.say, scene.cast
    _wait_until_verified(scene, "known", "version 1 in service until it is verified")
    scene.workplace.write(cast.bad, cast.hours, f"Version 2: features {scene.options.change}, attempts, earlier surge")
    scene.wait(
        lambda: scene.clock.offset(time.time()) >= BAD_NEWS_AT_OFFSET, _PATIENCE_SECONDS, "an ordinary evening so far"
    )
    say("", f"2. {scene.clock.text(time.time())} Version 2 goes out, in one go, to all traffic")
    scene.narrator.doing("deploying version 2 to all traffic")
    answer = scene.stage.kg("deploy", SYSTEM, "--intent", _INTENT)
    scene.versions["bad"] = answer["version"]
    say(
        f"  kg deploy: {_short(answer['version'])} (version 2) has all traffic at"
        f" {scene.clock.text(epoch_of(answer['full_at']))};"
        f" loaded beside version 1 in {answer['load_seconds']:.1f} s, the way back tried:"
        f" {answer['way_back_seconds'] * 1000:.1f} ms"
    )
    return _wait_for_the_kill(scene, epoch_of(answer["full_at"]))


def _wait_for_the_kill(scene: Scene, deployed_at: float) -> Incident:
    """Wait until the watch, in the middle of the flip, is killed; start it again, and wait until all is done."""
    watch = scene.watch
    assert watch is not None  # noqa: S101 - it was started with version 1
    if not _came(scene, lambda: not watch.running, "nobody is told; kg watch looks", every=0.01):
        scene.record()
        return Incident(deployed_at=deployed_at, waited_seconds=_PATIENCE_SECONDS)
    killed_at = time.time()
    killed_by = -(watch.process.returncode or 0)
    if killed_by != signal.SIGKILL:
        raise PermanentError(f"kg watch ended with {watch.process.returncode} instead: {watch.output()[-1500:]}")
    status = scene.stage.kg("status", SYSTEM)
    seen_at = time.time()
    scene.watch = scene.stage.start_watch()
    left_before = tuple(sorted(_left(status, scene.versions["bad"])))
    scene.narrator.say(
        f"  {scene.clock.text(killed_at)} The watch leaves version 2, and is killed by SIGKILL in the middle of the"
        f" flip: process {watch.pid}, at {FAULT}",
        f"  It had heard one replica and put nothing on record; by now {', '.join(left_before) or 'no replica'} had"
        f" left. Started again, as a service manager would: process {scene.watch.pid}",
    )
    _wait_until_said(scene, f"{scene.versions['bad']}:1 is over", "the rollback, until its metrics are back")
    scene.wait(
        lambda: _done(scene.record(), scene.versions["bad"], 1),
        _PATIENCE_SECONDS,
        "the rollback on record",
        every=_HISTORY_EVERY,
    )
    return Incident(
        deployed_at=deployed_at,
        waited_seconds=_PATIENCE_SECONDS,
        killed_at=killed_at,
        killed_by=killed_by,
        left_before=left_before,
        seen_at=seen_at,
    )


def try_again(scene: Scene) -> tuple[Attempt, ...]:
    """Try to deploy version 2 again: as it is, under another intent, and after another parent."""
    attempts = [
        _attempt(scene, "as it is"),
        _attempt(scene, "under another intent", "--intent", "this time it is meant"),
    ]
    scene.narrator.doing("deploying a fix: version 1 with another note in its curve")
    cast = scene.cast
    fix = Pricing(cast.known.model, cast.known.features, placebo_curve(0))
    scene.workplace.write(fix, cast.hours, "Version 1 again, with another note in its curve")
    answer = scene.stage.kg("deploy", SYSTEM, "--intent", "version 1 with another note")
    scene.versions["fix"] = answer["version"]
    scene.workplace.write(cast.bad, cast.hours, "Version 2 again")
    attempts.append(_attempt(scene, "after another parent"))
    return tuple(attempts)


def play_canary(scene: Scene, share: float = 0.1) -> Canary:
    """
    Release version 2 by name, deploy it as a canary, and wait until it was left again.

    Raises:
        TransientError: What is served was not verified before, or the canary's rollback not on record, in the time
            stated.
    """
    bad = scene.versions["bad"]
    _wait_until_verified(scene, "fix", "the version in service until it is verified")
    scene.stage.kg("quarantine", "release", SYSTEM, bad, "--reason", "to see it as a canary")
    scene.narrator.doing("deploying version 2 as a canary")
    started_at = time.time()
    scene.stage.kg("deploy", SYSTEM, "--intent", _INTENT, "--canary", f"{share:.0%}")

    def left() -> bool:
        status = scene.stage.kg("status", SYSTEM)
        return len(_left(status, bad)) == len(scene.replicas) and bad in status["systems"][0]["quarantined"]

    if not _came(scene, left, "version 2 once more, as a canary", every=_STATUS_EVERY):
        scene.record()
        return Canary(started_at=started_at, share=share, left=False, waited_seconds=_PATIENCE_SECONDS)
    scene.wait(
        lambda: scene.record().step(bad, 2, "fan-out") is not None,
        _PATIENCE_SECONDS,
        "the canary's rollback",
        every=_HISTORY_EVERY,
    )
    return Canary(started_at=started_at, share=share, left=True, waited_seconds=_PATIENCE_SECONDS)


def _attempt(scene: Scene, how: str, *options: str) -> Attempt:
    scene.narrator.doing(f"deploying version 2 again, {how}")
    answer = scene.stage.kg("deploy", SYSTEM, *options, accept=tuple(range(10)))
    reason = answer["error"]["message"] if "error" in answer else "it was deployed"
    return Attempt(how=how, exit_code=answer["exit_code"], reason=reason)


def _came(scene: Scene, condition: Callable[[], bool], what: str, *, every: float) -> bool:
    """Wait for what may never come; return whether it did."""
    try:
        scene.wait(condition, _PATIENCE_SECONDS, what, every=every)
    except TransientError:
        return False
    return True


def _wait_until_verified(scene: Scene, name: str, what: str) -> None:
    """Wait until a version is verified."""
    version = scene.versions[name]
    _wait_until_said(scene, f"{_short(version)} verified", what)
    scene.wait(lambda: scene.record().is_verified(version), _PATIENCE_SECONDS, what, every=_HISTORY_EVERY)


def _wait_until_said(scene: Scene, words: str, what: str) -> None:
    """Wait until the watch says something; the record is read afterwards, for reading it takes a second."""
    scene.wait(lambda: scene.watch is not None and words in scene.watch.output(), _PATIENCE_SECONDS, what)


def _left(status: Mapping[str, Any], version: str) -> list[str]:
    """Return the replicas that serve, and not this version."""
    replicas = status["systems"][0]["replicas"]
    return [replica["replica"] for replica in replicas if replica["workers"] and version not in replica["serves"]]


def _done(record: Record, version: str, episode: int) -> bool:
    saga = record.saga(version, episode)
    if saga is not None and saga["state"] == "stuck":
        raise PermanentError(f"the rollback {saga['id']} is stuck: {saga['needs']}")
    return saga is not None and saga["state"] == "done"


def _short(version: str) -> str:
    return version.removeprefix("sha256:")[:12]
