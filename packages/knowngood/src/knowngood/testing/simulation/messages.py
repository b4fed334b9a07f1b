"""
Messages: documents and reports under way, each through its wire format.

A message may be lost, doubled, delayed and overtaken; there is no order among those under way.
"""

import json
from dataclasses import dataclass, replace
from typing import Any

from knowngood.testing.simulation.promise import Promise, broken
from knowngood.testing.simulation.rules import Rules
from knowngood_sdk.model.wire import ReplicaReport, RouteDocument

__all__ = ["Message", "Payload", "Wire"]

Payload = RouteDocument | ReplicaReport


@dataclass(frozen=True, slots=True)
class Message:
    """
    Something under way.

    Attributes:
        number: Rises with each message that is sent.
        to: Name of a replica, or ``control``.
        payload: What it says, as the receiver reads it.
    """

    number: int
    to: str
    payload: Payload


class Wire:
    """Puts documents and reports through JSON and back, and checks that nothing is lost on the way."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._last: tuple[Payload, Payload] | None = None

    def through(self, payload: Payload) -> Payload:
        """Return what arrives; one document that goes to many is put through once."""
        if self._last is None or self._last[0] is not payload:
            self._last = (payload, self._read(json.loads(json.dumps(payload.to_json())), payload))
            if self._last[1] != payload:
                raise broken(Promise.WIRE, f"{payload} arrives as {self._last[1]}")
        return self._last[1]

    def _read(self, document: Any, payload: Payload) -> Payload:
        if isinstance(payload, RouteDocument):
            return RouteDocument.from_json(document)
        report = ReplicaReport.from_json(document)
        state = self._rules.adopt(report.state)
        if state is report.state:
            return report
        return replace(report, state=state)
