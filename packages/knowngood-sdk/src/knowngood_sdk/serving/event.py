"""Event: what a request leaves behind for the counts."""

from typing import Final

__all__ = ["Event", "Kind"]


class Kind:
    """What an event says; plain integers, for a request writes them."""

    OK: Final = 0
    ERROR: Final = 1  # through the version's own fault
    CLIENT_ERROR: Final = 2
    RESCUED: Final = 3  # an error that the standby made good within the request
    SHARED: Final = 4  # an error that the standby shares: counted, and no evidence against the version
    OUTPUT: Final = 5
    NONSENSE: Final = 6
    OUTCOME: Final = 7


Event = tuple[str, int, float | None, str | bytes | None]
"""
(version, kind, number, text). The number is a request's latency in ns (None when it has none), an
output, or the amount of an outcome; the text is a request's subject, or the name of an outcome.
"""
