"""Seen: what was collected on stage, before anything is made of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from knowngood.demo.incident import Attempt, Canary, Incident
from knowngood.demo.load import Notes, Request
from knowngood.demo.placebos import Placebos
from knowngood.demo.record import Record
from knowngood.demo.replay_clock import ReplayClock
from knowngood.demo.without import Plain
from knowngood.demo.world.evenings import EveningResult
from knowngood.demo.world.training import Score

__all__ = ["Seen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """
    What was collected on stage.

    Attributes:
        change: Name of the change of features.
        seed: Of training and riders.
        evening: Date of the real evening, ISO.
        versions: ``known``, ``bad`` and, where it was deployed, ``fix`` -> content digest.
        models: ``known`` and ``bad`` -> stamp that the version's model puts into a price.
        processes: What ran: name, what it was, process id.
        urls: Replica -> its URL.
        clock: The two clocks.
        incident: What was seen of the deployment to all traffic.
        attempts: Deployments of version 2 that were tried again.
        canary: What was seen of it as a canary; None where it was never left before.
        record: What the product put on record.
        ledger: What ``kg ledger verify`` said at the end.
        diff: What ``kg diff`` said of the two versions.
        log: What riders wrote down, all of them.
        evening_log: What the riders of the evening wrote down.
        notes: What their processes wrote down beside it.
        known_prices: Local hour -> what version 1 asks.
        scores: Name -> how well a version predicts a measure.
        evening_result: Level 1 on all requests of the evening, in fast mode, held against the truth.
        placebos: What became of versions with an inert byte changed, in fast mode.
        plain: The same riders without the product; None where there was no decision to begin at.
    """

    change: str
    seed: int
    evening: str
    versions: Mapping[str, str]
    models: Mapping[str, str]
    processes: Sequence[tuple[str, str, int]]
    urls: Mapping[str, str]
    clock: ReplayClock
    incident: Incident
    attempts: Sequence[Attempt]
    canary: Canary | None
    record: Record
    ledger: Mapping[str, Any]
    diff: Mapping[str, Any]
    log: Sequence[Request]
    evening_log: Sequence[Request]
    notes: Notes
    known_prices: Mapping[int, float]
    scores: Mapping[str, Score]
    evening_result: EveningResult
    placebos: Placebos
    plain: Plain | None

    @property
    def incident_log(self) -> list[Request]:
        """What riders wrote down before version 2 came again as a canary."""
        return [r for r in self.log if self.canary is None or r.sent_at < self.canary.started_at]

    @property
    def canary_log(self) -> list[Request]:
        """What they wrote down from then on."""
        return [r for r in self.log if self.canary is not None and r.sent_at >= self.canary.started_at]
