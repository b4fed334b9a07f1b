"""
Disk: what is left of a replica when its process dies, and when its host does.

A rename is seen by the next process at once and by the next boot only after a sync; the word is a mapped page, which
the kernel writes back when it likes.
"""

from dataclasses import dataclass, replace

from knowngood_sdk.model.route import Facts, LocalTrip, ReplicaState, Trip
from knowngood_sdk.model.word import pack, unpack

__all__ = ["Disk"]


@dataclass(frozen=True, slots=True)
class Disk:
    """
    The folder of one replica.

    Attributes:
        file: The last-known-good file as a process that starts would read it.
        safe_file: The one that a power cut leaves.
        journal: Trips that were appended.
        synced: How many of them a power cut leaves.
        word: The shared word.
        safe_word: What the kernel has written back of it.
    """

    file: ReplicaState | None = None
    safe_file: ReplicaState | None = None
    journal: tuple[Trip | LocalTrip, ...] = ()
    synced: int = 0
    word: int = 0
    safe_word: int = 0

    @property
    def position(self) -> tuple[int, int, int] | None:
        """The position in the word."""
        return unpack(self.word)

    @property
    def trips(self) -> Facts:
        """Fleet trips in the journal."""
        return Facts({entry.uid: entry for entry in self.journal if isinstance(entry, Trip)})

    @property
    def local(self) -> frozenset[LocalTrip]:
        """Local trips in the journal."""
        return frozenset(entry for entry in self.journal if isinstance(entry, LocalTrip))

    def show(self, state: ReplicaState) -> "Disk":
        """Raise the word to a state's position, as the shared word's join does: never lower, never an older one."""
        if not state.fleet.generation:
            return self
        generation, latched, split = state.fleet.generation, state.latched, state.fleet.split
        held = self.position
        if held is not None and held[0] > generation:
            return self
        if held is not None and held[0] == generation:
            latched, split = max(latched, held[1]), max(split, held[2])
        return replace(self, word=pack(generation, latched, split))

    def renamed(self, state: ReplicaState) -> "Disk":
        """Put a new last-known-good file in place of the old one."""
        return replace(self, file=state)

    def file_synced(self) -> "Disk":
        """Make the file in place durable."""
        return replace(self, safe_file=self.file)

    def appended(self, entry: Trip | LocalTrip) -> "Disk":
        """Append to the journal."""
        return replace(self, journal=(*self.journal, entry))

    def journal_synced(self) -> "Disk":
        """Make the journal durable."""
        return replace(self, synced=len(self.journal))

    def written_back(self) -> "Disk":
        """Let the kernel write back the page of the word."""
        return replace(self, safe_word=self.word)

    def after_power_cut(self, *, lucky: bool) -> "Disk":
        """
        Return what a power cut leaves.

        Args:
            lucky: Whether what was written and not synced happens to be there all the same.
        """
        if lucky:
            return Disk(self.file, self.file, self.journal, len(self.journal), self.word, self.word)
        kept = self.journal[: self.synced]
        return Disk(self.safe_file, self.safe_file, kept, self.synced, self.safe_word, self.safe_word)
