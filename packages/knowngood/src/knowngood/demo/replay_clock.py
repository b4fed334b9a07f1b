"""Replay clock: which moment of the evening an instant is, and the other way round."""

from dataclasses import dataclass
from typing import Final

from knowngood.demo.world.hours import EVENING_HOURS

__all__ = ["SPEED", "ReplayClock", "clock_text"]

SPEED: Final = 240.0
"""Replay seconds that pass in one second: an hour of the evening takes fifteen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayClock:
    """
    Two clocks side by side; durations of the one are never added to durations of the other.

    Attributes:
        starts_at: Epoch seconds at which the riders begin.
        start_offset_seconds: Replay seconds of the evening that are passed over.
        speed: Replay seconds that pass in one second.
    """

    starts_at: float
    start_offset_seconds: float
    speed: float

    def offset(self, epoch: float) -> float:
        """Return the replay seconds since the evening began, at an instant in epoch seconds."""
        return self.start_offset_seconds + (epoch - self.starts_at) * self.speed

    def epoch(self, offset_seconds: float) -> float:
        """Return the instant of a moment of the evening, in epoch seconds."""
        return self.starts_at + (offset_seconds - self.start_offset_seconds) / self.speed

    def text(self, epoch: float) -> str:
        """Return the time of the evening at an instant: 18:07."""
        return clock_text(self.offset(epoch))


def clock_text(offset_seconds: float) -> str:
    """Return the time of day of a moment of the evening: 18:07."""
    minutes = EVENING_HOURS[0] * 60 + int(offset_seconds // 60)
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
