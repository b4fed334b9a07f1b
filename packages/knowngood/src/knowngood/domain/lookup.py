"""Lookup: what people name, found among what is on record; the same answers and errors in every store."""

from collections.abc import Iterable
from dataclasses import dataclass

from knowngood.domain.spelling import did_you_mean
from knowngood_sdk.errors import ConflictError, InvalidError, NotFoundError
from knowngood_sdk.model.canonical import DIGEST_PREFIX, short

__all__ = ["Recorded", "find_version", "no_deployment", "no_system", "not_minted", "saved_already", "untold"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    A manifest that is on record.

    Attributes:
        version: Its content digest: the system version.
        manifest: Digest of the whole.
    """

    version: str
    manifest: str


def find_version(name: str, system: str, records: Iterable[Recorded]) -> Recorded:
    """
    Find the record that a name means.

    Args:
        name: A content digest or a manifest digest, or the first digits of one that no other version begins with; with
            or without ``sha256:``.
        system: Name of the system, for the message.
        records: What is on record, oldest first.

    Returns:
        For a content digest the newest record of that content, for a manifest digest that record. Content goes first.

    Raises:
        NotFoundError: Nothing on record begins like that.
        InvalidError: Several versions do; ``details["candidates"]`` has them.
    """
    digits = name.removeprefix(DIGEST_PREFIX)
    known = list(records)
    by_content = {r.version: r for r in known if digits and _begins(r.version, digits)}
    found = by_content or {r.manifest: r for r in known if digits and _begins(r.manifest, digits)}
    if len(found) > 1:
        candidates = sorted(found)
        raise InvalidError(
            f"{name!r} may mean {' or '.join(map(short, candidates))} of system {system}",
            hint="Give more digits",
            candidates=candidates,
        )
    if not found:
        newest = ", ".join(dict.fromkeys(short(r.version) for r in known[: -_SHOWN - 1 : -1]))
        raise NotFoundError(
            f"system {system} has no version {name!r}",
            hint=f"The newest on record: {newest}" if newest else f"None is on record yet: kg deploy {system}",
        )
    return next(iter(found.values()))


def no_system(system: str, known: Iterable[str]) -> NotFoundError:
    """Return the error for a system that was never applied."""
    return NotFoundError(
        f"there is no system {system!r}", hint=f"{did_you_mean(system, known)}. To add one: kg apply FILE"
    )


def no_deployment(system: str, generation: int) -> NotFoundError:
    """Return the error for a generation that no deployment minted."""
    return NotFoundError(
        f"system {system} has no deployment of generation {generation}", hint=f"List them: kg history {system}"
    )


def not_minted(system: str, generation: int) -> InvalidError:
    """Return the error for a deployment whose generation is not part of the system's state."""
    return InvalidError(f"generation {generation} of system {system} was not minted", hint="Save the state first")


def saved_already(saga: str) -> ConflictError:
    """Return the error for a rollback that is on record exactly as it is to be saved: somebody else did the same."""
    return ConflictError(
        f"{saga} is on record exactly so: somebody else did the same", hint="Read it again and go on from there"
    )


def untold(system: str) -> InvalidError:
    """Return the error for a change whose ledger would not say that anything was changed."""
    return InvalidError(f"a change of system {system} has no entry in the ledger", hint="Append what happened to it")


def _begins(digest: str, digits: str) -> bool:
    return digest.removeprefix(DIGEST_PREFIX).startswith(digits)
