"""Problem: from what a server answers when something went wrong (problem+json) to the error that it stands for."""

import json
from collections.abc import Iterator
from typing import Any

from knowngood_sdk.errors import KnownGoodError, PermanentError, TransientError

__all__ = ["error_of"]

_UNAVAILABLE = {502, 503, 504}


def error_of(status: int, body: bytes, url: str) -> KnownGoodError:
    """Return the error that an answer stands for; one that is none of ours comes from something in between."""
    try:
        document: Any = json.loads(body)
        kind = _kinds()[document["code"]]
        return kind(str(document["detail"]), hint=str(document.get("hint", "")), **_details(document))
    except (ValueError, KeyError, TypeError):
        kind = TransientError if status in _UNAVAILABLE else PermanentError
        return kind(
            f"{url} answered with status {status}, and not as a knowngood server does",
            hint="Check the address, and what stands between here and the server",
            status=status,
        )


def _details(document: dict[str, Any]) -> dict[str, Any]:
    details = document.get("details")
    return {str(k): v for k, v in details.items() if k not in {"message", "hint"}} if isinstance(details, dict) else {}


def _kinds() -> dict[str, type[KnownGoodError]]:
    def walk(kind: type[KnownGoodError]) -> Iterator[type[KnownGoodError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from walk(child)

    return {kind.code: kind for kind in walk(KnownGoodError)}
