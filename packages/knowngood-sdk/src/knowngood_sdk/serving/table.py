"""
Table: where requests go at one position of the route; frozen, and replaced whole.

A request reads the table once and finishes on what it read, so no request can see half of a flip.
"""

import random
from collections.abc import Mapping, Set
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import FULL, ReplicaState
from knowngood_sdk.serving.slot import Slot

__all__ = ["NO_WORD", "Table"]

_HASHES = 2**64
NO_WORD = -1
"""No word is negative: a table that carries this is worked out again by the next request."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """
    What serves at one position.

    Attributes:
        word: The shared word that this table was built for; a request compares it with the present one.
        only: What serves everybody; None while a candidate is tried, or when nothing can serve.
        slot: What serves, and while a candidate is tried, what serves the others. None when nothing can.
        candidate: What serves the candidate's share; None while nothing is split.
        below: Hashes below it are the candidate's: its share of 2**64.
        salt: Prefix of a subject's bytes when its share is drawn.
        route: ``generation.step.split``, as the response header carries it.
        behind: Version -> the slot that answers when a call on that version failed.
    """

    word: int
    only: Slot | None
    slot: Slot | None
    candidate: Slot | None
    below: int
    salt: bytes
    route: bytes
    behind: Mapping[str, Slot]

    @classmethod
    def of(
        cls, state: ReplicaState, slots: Mapping[str, Slot], fallback: Slot | None, *, word: int, system: str
    ) -> "Table":
        """
        Build the table of a state.

        A position whose slot is not ready here is served by a deeper one that is ready and not bad, else by the static
        fallback, until it is loaded: that moves nothing, for a worker's slots are not the replica's.
        """
        chain, bad = state.chain, state.bad
        live = [_ready(chain[position:], slots, bad) or fallback for position in state.positions]
        split = state.fleet.split if len(live) > 1 else 0
        behind = {version: _ready(chain[place + 1 :], slots, bad) for place, version in enumerate(chain)}
        return cls(
            word=word,
            only=None if split else live[-1],
            slot=live[-1],
            candidate=live[0] if split else None,
            below=split * _HASHES // FULL,
            salt=f"{system}\0{short(chain[0]) if chain else ''}\0".encode(),
            route=f"{state.fleet.generation}.{state.latched}.{state.fleet.split}".encode(),
            behind={version: slot for version, slot in behind.items() if slot is not None},
        )

    def choose(self, subject: str | bytes | None) -> Slot:
        """
        Return the slot that serves a subject; asked of a table in force, where there is one.

        It is drawn by xxh3 (64 bits) of salt and the subject's UTF-8 bytes: below the share of the whole range, the
        candidate serves. The salt names system and candidate, so that a subject stays where it is while the share of
        one candidate grows, and the next candidate is tried on others. Without a subject each request is drawn by
        itself.
        """
        slot, candidate = self.slot, self.candidate
        if slot is None:
            raise NotReadyError("nothing can serve")
        if candidate is None:
            return slot
        if isinstance(subject, str):
            try:
                key = subject.encode()
            except UnicodeEncodeError:
                key = subject.encode("utf-8", "surrogatepass")
        elif subject is None:
            key = random.randbytes(8)  # noqa: S311 - a draw, not a secret
        else:
            key = subject
        return candidate if xxh3_64_intdigest(self.salt + key) < self.below else slot


def _ready(chain: tuple[str, ...], slots: Mapping[str, Slot], bad: Set[str]) -> Slot | None:
    return next((slots[version] for version in chain if version in slots and version not in bad), None)
