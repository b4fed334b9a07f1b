"""
Troubles: what the bookkeeping could not do, kept for a person to see.

Nothing here is ever raised into a request. A trouble stands under a topic until that topic is well again; it is logged
once and carried in the worker's report.
"""

import logging
import threading

__all__ = ["Troubles"]

_log = logging.getLogger("knowngood")


class Troubles:
    """The present troubles of one worker, by topic. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._texts: dict[str, str] = {}

    def note(self, topic: str, text: str) -> None:
        """Keep a trouble; an empty text says that the topic is well again."""
        # The common call, "still well", takes no lock.
        if not text and topic not in self._texts:
            return
        with self._lock:
            known = self._texts.pop(topic, "")
            if text:
                self._texts[topic] = text
        if text and text != known:
            _log.warning("%s", text)

    @property
    def texts(self) -> tuple[str, ...]:
        """The present troubles, oldest topic first."""
        with self._lock:
            return tuple(self._texts.values())
