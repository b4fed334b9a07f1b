"""Reading the system file from YAML."""

from pathlib import Path

from knowngood.adapters.yaml.document import read_document
from knowngood.domain.system import Kinds, SystemFile
from knowngood_sdk.errors import InvalidError, NotFoundError, PermanentError

__all__ = ["content_of", "read_system_file", "system_file_of"]

_LARGEST = 256 * 1024


def read_system_file(path: Path, *, kinds: Kinds = Kinds()) -> SystemFile:  # noqa: B008 - it is frozen
    """
    Read a system file.

    Args:
        path: It; UTF-8, 256 KiB at most.
        kinds: Kinds that are installed.

    Raises:
        NotFoundError: There is no such file.
        InvalidError: As ``system_file_of``.
        PermanentError: It cannot be opened.
    """
    return system_file_of(content_of(path), str(path), kinds=kinds)


def content_of(path: Path) -> bytes:
    """Return the bytes of a system file; raises as ``read_system_file`` where they cannot be read."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError) as error:
        raise NotFoundError(
            f"there is no system file {path}", hint=f"Write one: kg init {path.stem} --file {path}"
        ) from error
    except OSError as error:
        raise PermanentError(f"{path} cannot be read: {error.strerror}", hint="Give this user access to it") from error


def system_file_of(content: bytes, source: str, *, kinds: Kinds = Kinds()) -> SystemFile:  # noqa: B008 - it is frozen
    """
    Make a system file out of its bytes, wherever they come from.

    Args:
        content: UTF-8, 256 KiB at most.
        source: What it is, for messages: usually a path.
        kinds: Kinds that are installed.

    Raises:
        InvalidError: It is no YAML as ``read_document`` reads it, or a key or value is not as it must be; the message
            names source, line, key and value.
    """
    document = read_document(content, source, largest=_LARGEST)
    try:
        return SystemFile.from_json(document.value, kinds=kinds)
    except InvalidError as error:
        line = document.line(tuple(error.details.get("path", ())))
        written = content.decode("utf-8").splitlines()[line - 1].strip() if content.strip() else ""
        raise InvalidError(
            f"{source}, line {line} ({written}): {error.message}", hint=error.hint, line=line, **error.details
        ) from error
