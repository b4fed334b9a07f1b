"""Record elsewhere: what a command that works on a folder's own record says where another one counts."""

from pathlib import Path
from typing import TYPE_CHECKING

from knowngood_sdk.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from knowngood.control.plane import Plane

__all__ = ["ask_the_server_instead", "refuse_another_store", "server_to_ask"]

_SQLITE = "sqlite:///"


def server_to_ask(directory: str) -> str:
    """Say how to ask the server of a working folder, which reaches every replica."""
    address = _server_of(directory)
    return f"Ask the server: export KNOWNGOOD_URL={address}" if address else "Ask the server, once it runs: kg serve"


def refuse_another_store(directory: str, store: str, *, leaving: str = "") -> None:
    """
    Refuse to work on the record of a folder where another store was named: it would become a second record.

    Args:
        directory: The working folder.
        store: What KNOWNGOOD_STORE says; empty for the store in the folder.
        leaving: System whose version is to be left, at once perhaps; empty for none.

    Raises:
        InvalidError: The store is not that of the folder.
    """
    if not store or _is_of(directory, store):
        return
    from knowngood.domain.store_address import without_password

    address = _server_of(directory) or "http://HOST:8400"
    glass = (
        f". What the agents of this host serve is left at once, without any record: kg rollback {leaving} --break-glass"
    )
    raise InvalidError(
        f"the record is in {without_password(store)}, as KNOWNGOOD_STORE says, and this command works on that of a"
        " folder",
        hint=f"Ask its server: export KNOWNGOOD_URL={address}{glass if leaving else ''}",
    )


def ask_the_server_instead(error: NotFoundError, plane: "Plane", system: str, directory: str) -> NotFoundError:
    """Return an error that names the server of the folder, where one runs and nothing is served on record here."""
    address = _server_of(directory)
    if not address:
        return error
    try:
        if plane.store.read(system).watched is not None:
            return error
        first = ""
    except NotFoundError:
        first = f"{error.hint}. " if error.hint else ""
    return NotFoundError(
        error.message,
        hint=f"{first}A server runs here, whose record may be another: export KNOWNGOOD_URL={address}, and this command"
        f" again. What the agents of this host serve is left at once, without any record: kg rollback {system}"
        " --break-glass",
    )


def _is_of(directory: str, store: str) -> bool:
    path = store.removeprefix(_SQLITE)
    return "://" not in path and Path(path).resolve() == Path(directory).resolve() / "store.db"


def _server_of(directory: str) -> str | None:
    from knowngood.adapters.folder.presence import server_of

    return server_of(Path(directory).resolve())
