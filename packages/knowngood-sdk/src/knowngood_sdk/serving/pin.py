"""
Pin: a request stays on one system version on its way between services.

It travels as W3C baggage (``kg.sv``) and is honoured from inside only: whoever could choose the version from outside
could choose the bad one.
"""

import re
from collections.abc import Iterable

from knowngood_sdk.serving.slot import STATIC_FALLBACK

__all__ = ["BAGGAGE", "BAGGAGE_KEY", "VERSION_HEADER", "baggage_with", "pinned_version", "strip_pins"]

BAGGAGE_KEY = "kg.sv"
VERSION_HEADER = b"kg-system-version"
BAGGAGE = b"baggage"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

Headers = Iterable[tuple[bytes, bytes]]


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
