"""Events: server-sent events, as they come over one response."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

__all__ = ["events_of"]


def events_of(lines: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield each event's name and its JSON; comments, which only show that the server lives, are passed over."""
    name, data = "message", []
    for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            yield name, json.loads("\n".join(data))
            name, data = "message", []
