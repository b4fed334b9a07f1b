"""
Bodies: what requests carry, checked at the edge into the values of the port.

The classes are those of ``knowngood.ports.verbs``; here they only learn to refuse keys that nobody reads.
"""

import inspect
import re
from collections.abc import Mapping
from dataclasses import field, fields
from typing import Annotated, Any

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as checked

from knowngood.ports.verbs import DeployWish, RollbackWish, SystemText
from knowngood_sdk.model.route import FULL

__all__ = [
    "EXAMPLES",
    "BarBody",
    "BreakGlassBody",
    "DeployBody",
    "ReadmitBody",
    "ReissueBody",
    "ReleaseBody",
    "ResumeBody",
    "RollbackBody",
    "SystemBody",
    "described",
    "summary",
]

_STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)
_LONGEST_SECONDS = 3600
_Words = Annotated[str, Field(max_length=2000)]
_Reason = Annotated[str, Field(min_length=1, max_length=2000)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]
_Change = Annotated[float, Field(strict=True)]
_Seconds = Annotated[float, Field(strict=True, gt=0, le=_LONGEST_SECONDS)]


@checked(config=_STRICT, frozen=True, kw_only=True)
class DeployBody(DeployWish):
    """See ``DeployWish``."""

    intent: _Words = ""
    expects: Mapping[str, tuple[_Change, _Change]] = field(default_factory=dict)
    version: _Name | None = None
    split: Annotated[int, Field(strict=True, ge=1, le=FULL)] = FULL
    timeout_seconds: _Seconds = 120
    override: _Reason | None = None


@checked(config=_STRICT, frozen=True, kw_only=True)
class RollbackBody(RollbackWish):
    """See ``RollbackWish``."""

    why: _Reason = "a person asked for it"
    to: _Name | None = None
    level: Annotated[int, Field(strict=True, ge=1, le=4)] | None = None
    suspect: _Name | None = None
    override: _Reason | None = None
    wait: Annotated[bool, Field(strict=True)] = True
    timeout_seconds: _Seconds = 180


@checked(config=_STRICT, frozen=True, kw_only=True)
class SystemBody(SystemText):
    """See ``SystemText``."""

    file: _Name
    root: Annotated[str, Field(pattern="^/[^\\x00]*$", max_length=4096)]


@checked(config=_STRICT, frozen=True, kw_only=True)
class BarBody:
    """
    What is put into quarantine although it serves nobody.

    Attributes:
        version: Its digest, the first digits of it, or ``way-back``.
        reason: Why it may not be used, in a person's words.
    """

    version: _Name
    reason: _Reason


@checked(config=_STRICT, frozen=True, kw_only=True)
class ReleaseBody:
    """
    What is released from quarantine.

    Attributes:
        version: Its digest, the first digits of it, or ``live``, ``candidate``, ``way-back``.
        reason: Why it may be used again, in a person's words.
        shown: The acts that were shown, as the list names them together; may be left out for a single one.
    """

    version: _Name
    reason: _Reason
    shown: _Name | None = None


@checked(config=_STRICT, frozen=True, kw_only=True)
class ResumeBody:
    """
    Which rollbacks go on that wait for a person.

    Attributes:
        version: Only that which left this version: its digest, or the first digits of it; None for all.
        wait_seconds: How long to wait until what serves is verified; None for not at all.
    """

    version: _Name | None = None
    wait_seconds: _Seconds | None = None


@checked(config=_STRICT, frozen=True, kw_only=True)
class ReadmitBody:
    """
    Which sick replica is well again.

    Attributes:
        replica: Its name.
        why: How that is known, in a person's words.
    """

    replica: _Name
    why: _Reason


@checked(config=_STRICT, frozen=True, kw_only=True)
class ReissueBody:
    """
    Why what is served is minted again.

    Attributes:
        why: The reason, in a person's words.
    """

    why: _Reason


@checked(config=_STRICT, frozen=True, kw_only=True)
class BreakGlassBody:
    """
    What is left without asking the store.

    Attributes:
        why: The reason, in a person's words.
        replica: The one replica that is to leave by itself; None for the whole fleet.
    """

    why: _Reason = "a person asked for it"
    replica: _Name | None = None


EXAMPLES: Mapping[str, dict[str, Any]] = {
    "DeployBody": {"intent": "demand from attempts", "expects": {"prediction_mean": [0.0, 0.1]}, "split": 1000},
    "RollbackBody": {"why": "prices 40 % too high", "wait": True, "timeout_seconds": 180},
    "SystemBody": {"text": "system: pricing\nkind: realtime\n", "file": "pricing.yaml", "root": "/srv/pricing"},
    "BarBody": {"version": "9b0c6a1de4f7", "reason": "trained on leaked labels"},
    "ReleaseBody": {"version": "9b0c6a1de4f7", "reason": "false alarm: holiday", "shown": "4e7edc3ddb2a"},
    "ResumeBody": {"wait_seconds": 180},
    "ReadmitBody": {"replica": "r1", "why": "its memory was changed"},
    "ReissueBody": {"why": "r1 is mended"},
    "BreakGlassBody": {"why": "the store is down"},
}
"""An example of each body."""


def described(kind: type) -> dict[str, str]:
    """Return what the docstring of a dataclass says of each field."""
    text = _docstring(kind)
    _, _, attributes = text.partition("Attributes:\n")
    names = "|".join(one.name for one in fields(kind))
    found = re.split(rf"^    ({names}): ", attributes, flags=re.MULTILINE)[1:]
    return {name: " ".join(said.split()) for name, said in zip(found[::2], found[1::2], strict=True)}


def _docstring(kind: type) -> str:
    """Return what describes a body: what the class of the port says, where it stands on one."""
    return next(text for one in reversed(kind.__mro__[:-1]) if (text := inspect.getdoc(one)) and "Attributes:" in text)


def summary(kind: type) -> str:
    """Return the first sentence about a body."""
    return _docstring(kind).split("\n\n")[0]
