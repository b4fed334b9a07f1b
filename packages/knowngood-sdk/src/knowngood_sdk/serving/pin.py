"""
Pin: one request stays on one system version, from the edge to the last service that it reaches.

A pin is drawn once, where a request comes in, and carried in a context variable; threads of a pool and tasks inherit
it. Between services it travels as W3C baggage (``kg.sv``). From outside it is never believed: whoever could choose the
version could choose the bad one.
"""

import re
from collections.abc import Iterable

from knowngood_sdk.serving.slot import STATIC_FALLBACK, Slot
from knowngood_sdk.serving.table import Table

__all__ = ["BAGGAGE", "BAGGAGE_KEY", "VERSION_HEADER", "Pin", "baggage_with", "pinned_version", "strip_pins"]

BAGGAGE_KEY = "kg.sv"
VERSION_HEADER = b"kg-system-version"
BAGGAGE = b"baggage"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Headers = Iterable[tuple[bytes, bytes]]


class Pin:
    """
    One request.

    Attributes:
        slot: What serves it.
        table: The route that it was admitted on.
        subject: Who is served.
        began: When it was admitted, of ``perf_counter_ns``.
        baggage: What other services put into its baggage.
        touched: Whether its handler has used the slot: then another version would make a mixture.
        failed: The slot whose call the standby answered instead.
        shared: Whether the standby failed on the same call.
    """

    __slots__ = ("baggage", "began", "failed", "shared", "slot", "subject", "table", "touched")

    def __init__(self, slot: Slot, table: Table, subject: str | bytes | None, began: int) -> None:
        self.slot = slot
        self.table = table
        self.subject = subject
        self.began = began
        self.baggage = ""
        self.touched = False
        self.failed: Slot | None = None
        self.shared = False

    def take_back(self, slot: Slot) -> None:
        """Return to a slot whose call the standby could not make good: the failure is shared."""
        self.slot, self.failed, self.shared = slot, None, True


def pinned_version(headers: Headers) -> str | None:
    """Return the system version that a request is pinned to by its baggage, or None."""
    for name, value in headers:
        if name == BAGGAGE:
            for member in value.decode("latin-1").split(","):
                key, _, rest = member.partition("=")
                version = rest.partition(";")[0].strip()
                if key.strip() == BAGGAGE_KEY and _DIGEST.fullmatch(version):
                    return version
    return None


def strip_pins(headers: Headers) -> tuple[list[tuple[bytes, bytes]], str]:
    """
    Take every pin out of a request's headers.

    Returns:
        The headers without pins, and the baggage that is left, as text.
    """
    kept: list[tuple[bytes, bytes]] = []
    left: list[str] = []
    for name, value in headers:
        if name == VERSION_HEADER:
            continue
        if name != BAGGAGE:
            kept.append((name, value))
            continue
        members = [m for m in value.decode("latin-1").split(",") if m.partition("=")[0].strip() != BAGGAGE_KEY]
        others = ",".join(members).strip()
        if others:
            kept.append((name, others.encode("latin-1")))
            left.append(others)
    return kept, ",".join(left)


def baggage_with(version: str, others: str) -> str:
    """Return the baggage for a call to another service: what came in, and the pin; no pin on the static fallback."""
    members = [others] if others else []
    if version != STATIC_FALLBACK:
        members.append(f"{BAGGAGE_KEY}={version}")
    return ",".join(members)
