"""
Table: where requests go at one position of the route; frozen, and replaced whole.

A request reads the table once and finishes on what it read, so no request can see half of a flip.
"""

import random
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass

from xxhash import xxh3_64_intdigest

from knowngood_sdk.errors import NotReadyError
from knowngood_sdk.model.canonical import short
from knowngood_sdk.model.route import FULL, ReplicaState
from knowngood_sdk.serving.slot import Slot
from knowngood_sdk.serving.subject import subject_bytes

__all__ = ["NO_WORD", "Choose", "Pick", "Split", "Table"]

NO_WORD = -1
"""No word is negative: a table that carries this is worked out again by the next request."""
_HASHES = 2**64

Subject = str | bytes | None
Word = Sequence[int] | memoryview
Choose = Callable[[Subject], Slot]
"""``choose(subject)``: the slot that serves a subject; the same subject stays on the same side of a split."""
Pick = Callable[..., Slot]
"""``pick(subject=None)``: as ``Choose``, after a comparison with the shared word."""


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """
    Two slots that share the subjects.

    Attributes:
        candidate: What is tried.
        others: What serves those on whom it is not.
        salt: Prefix of a subject's bytes when its side is drawn. It names system and candidate: a subject stays where
            it is while the share of one candidate grows, and the next candidate is tried on others.
        below: Hashes below it are the candidate's: its share of 2**64.
    """

    candidate: Slot
    others: Slot
    salt: bytes
    below: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """
    What serves at one position.

    Attributes:
        word: The shared word that this table was built for; a request compares it with the present one.
        only: What serves everybody; None while a candidate is tried, or when nothing can serve.
        split: Who shares while a candidate is tried; else None.
        choose: Chooses for a subject, whatever the word says by now; raises NotReadyError when nothing can serve.
        route: ``generation.step.split``, as the response header carries it.
        behind: Version -> the slot that answers when a call on that version failed.
    """

    word: int
    only: Slot | None
    split: Split | None
    choose: Choose
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
        behind = {version: _ready(chain[place + 1 :], slots, bad) for place, version in enumerate(chain)}
        candidate, only, split = live[0], live[-1], None
        if only is not None and candidate is not None and len(live) > 1:
            salt = f"{system}\0{short(chain[0])}\0".encode()
            split = Split(candidate, only, salt, state.fleet.split * _HASHES // FULL)
            only = None
        return cls(
            word=word,
            only=only,
            split=split,
            # The same function as requests call, held against a word that never moves.
            choose=_picking(only, split, (word,), word, _nothing_serves),
            route=f"{state.fleet.generation}.{state.latched}.{state.fleet.split}".encode(),
            behind={version: slot for version, slot in behind.items() if slot is not None},
        )

    @property
    def serves(self) -> bool:
        """Whether anything can serve."""
        return self.only is not None or self.split is not None

    def picking(self, cell: Word, again: Choose) -> Pick:
        """
        Return the function that a request calls: one comparison, and what is frozen here.

        Args:
            cell: The shared word.
            again: Looks again when the word has moved, and chooses from what is in force by then.
        """
        return _picking(self.only, self.split, cell, self.word, again)


def _picking(only: Slot | None, split: Split | None, cell: Word, word: int, again: Choose) -> Pick:
    """Return a closure, because that is the fastest thing that Python can call; it is replaced with its table."""
    if split is not None:
        return _drawing(split, cell, word, again)
    if only is None:
        return again

    def pick(subject: Subject = None) -> Slot:
        return only if cell[0] == word else again(subject)

    return pick


def _drawing(split: Split, cell: Word, word: int, again: Choose) -> Pick:
    """
    Return what draws a side for each subject, by xxh3 (64 bits) of the salt and the subject's UTF-8 bytes.

    Without a subject each request is drawn by itself.
    """
    candidate, others, salt, below = split.candidate, split.others, split.salt, split.below

    def pick(subject: Subject = None) -> Slot:
        if cell[0] != word:
            return again(subject)
        if isinstance(subject, str):
            # As ``subject_bytes``, written out: nearly every subject is text, and nearly every text has an encoding.
            try:
                key = subject.encode()
            except UnicodeEncodeError:
                key = subject_bytes(subject)
        elif subject is None:
            key = random.randbytes(8)  # noqa: S311 - a draw, not a secret
        else:
            key = subject_bytes(subject)
        return candidate if xxh3_64_intdigest(salt + key) < below else others

    return pick


def _nothing_serves(_subject: Subject = None) -> Slot:
    raise NotReadyError("nothing can serve")


def _ready(chain: tuple[str, ...], slots: Mapping[str, Slot], bad: Set[str]) -> Slot | None:
    return next((slots[version] for version in chain if version in slots and version not in bad), None)
