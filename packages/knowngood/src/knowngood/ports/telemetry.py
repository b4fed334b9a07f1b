"""Telemetry: the port to what the replicas count, and to whether their endpoints answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from knowngood_sdk.model.wire import CountsReport

__all__ = ["HealthSample", "Telemetry"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSample:
    """
    One look at a health endpoint.

    Attributes:
        ok: Whether it answered with a status below 400 in time.
        status: HTTP status, or None when no answer came.
        latency_seconds: From the request to the head of the answer, or to the failure.
        error: Why no answer came; empty when one did.
    """

    ok: bool
    status: int | None
    latency_seconds: float
    error: str = ""


class Telemetry(Protocol):
    """What is measured at the replicas. Both methods only read; asking again is safe."""

    def counts(self, system: str) -> Mapping[str, CountsReport]:
        """
        Return the newest counts of every worker that ever reported, by worker id.

        Counts are cumulative since the start of each worker; what a dead worker counted last stays in.

        Raises:
            PermanentError: A report is there and cannot be read. No figure is better than a wrong one: what the
                worker served is unknown until a person has looked.
            TransientError: The place of the reports cannot be read at the moment.
        """
        ...

    def health(self, url: str, timeout: timedelta) -> HealthSample:
        """
        Ask a health endpoint once, within the timeout as a whole. Redirects are not followed.

        An endpoint that fails, refuses or does not answer is an answer, never an error.

        Raises:
            InvalidError: The URL is no http or https URL.
        """
        ...
